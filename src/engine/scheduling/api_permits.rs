//! How many runs speak with the API server at a time, in fair shares by namespace: each takes a connection and memory.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::shares::Permits;

/// Runs of a kind that speak with the API server at a time, and half as many of a namespace that is alone with that.
const TURNS: usize = 16;

/// How long a run keeps its permit at most. A run that takes longer waits for an answer that does not come soon,
/// and others may go on meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

/// The API permits of one kind.
pub(in crate::engine) struct Turns(Permits<String>);

/// A run's API permit, until it is dropped.
pub(in crate::engine) struct Turn {
    _over: oneshot::Sender<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Permits::new(TURNS))
    }
}

impl Turns {
    /// Waits for a permit of the namespace.
    pub(in crate::engine) async fn take(&self, namespace: &str) -> Turn {
        let permit = self.0.take(namespace.to_owned()).await;
        let (over, is_over) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LONGEST, is_over).await;
            drop(permit);
        });
        Turn { _over: over }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::FutureExt;

    use super::*;

    fn take_all(turns: &Turns, namespace: &str) -> Vec<Turn> {
        std::iter::from_fn(|| turns.take(namespace).now_or_never()).collect()
    }

    #[tokio::test]
    async fn a_run_that_hangs_holds_nobody_up() {
        let turns = Turns::default();
        let started = Instant::now();
        let hanging = take_all(&turns, "a");
        assert!(turns.take("b").now_or_never().is_some(), "another namespace has its turn at once");
        let next = turns.take("a").await;
        assert!(started.elapsed() >= LONGEST / 2, "all turns were taken");
        drop((next, hanging));
    }

    #[tokio::test]
    async fn a_turn_that_is_over_is_the_next_ones() {
        let turns = Turns::default();
        let started = Instant::now();
        for _ in 0..TURNS * 3 {
            drop(turns.take("a").await);
        }
        assert!(started.elapsed() < LONGEST);
    }
}
