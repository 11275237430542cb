//! How many runs speak with the API server at a time: each takes a connection and memory.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};

/// Runs of a kind that speak with the API server at a time.
const TURNS: usize = 8;

/// A turn that takes longer waits for an answer that does not come soon, and the others go on meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

/// The turns of one kind.
pub(super) struct Turns(Arc<Semaphore>);

/// A run's turn, until it is dropped.
pub(super) struct Turn {
    _over: Option<oneshot::Sender<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }
}

impl Turns {
    /// Waits for a turn.
    pub(super) async fn take(&self) -> Turn {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&self.0).acquire_owned().await else { return Turn { _over: None } };
        let (over, is_over) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LONGEST, is_over).await;
            drop(permit);
        });
        Turn { _over: Some(over) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_run_that_hangs_holds_nobody_up() {
        let turns = Turns::default();
        let mut hanging = Vec::new();
        for _ in 0..TURNS {
            hanging.push(turns.take().await);
        }
        let started = Instant::now();
        let next = turns.take().await;
        assert!(started.elapsed() >= LONGEST / 2, "all turns were taken");
        drop((next, hanging));
    }

    #[tokio::test]
    async fn a_turn_that_is_over_is_the_next_ones() {
        let turns = Turns::default();
        let started = Instant::now();
        for _ in 0..TURNS * 3 {
            drop(turns.take().await);
        }
        assert!(started.elapsed() < LONGEST);
    }
}
