//! How many runs speak with the API server at a time, in fair shares by namespace: each takes a connection and memory.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::shares::Shares;

/// Runs of a kind that speak with the API server at a time, and half as many of a namespace that is alone with that.
const TURNS: usize = 16;

/// A turn that takes longer waits for an answer that does not come soon, and the others go on meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

/// The turns of one kind.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Shares<String, oneshot::Sender<Permit>>>>);

/// A run's turn, until it is dropped.
pub(super) struct Turn {
    _over: Option<oneshot::Sender<()>>,
}

/// What is given back after a turn.
struct Permit {
    turns: Turns,
    namespace: String,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Shares::new(TURNS))))
    }
}

impl Turns {
    /// Waits for a turn of the namespace's.
    pub(super) async fn take(&self, namespace: &str) -> Turn {
        // A sender is dropped only after it has sent.
        let Ok(permit) = self.permit(namespace).await else { return Turn { _over: None } };
        let (over, is_over) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LONGEST, is_over).await;
            drop(permit);
        });
        Turn { _over: Some(over) }
    }

    fn permit(&self, namespace: &str) -> oneshot::Receiver<Permit> {
        let (sender, permit) = oneshot::channel();
        let mut shares = self.shares();
        let namespace = namespace.to_owned();
        if shares.take(&namespace) {
            drop(shares);
            let _ = sender.send(Permit { turns: self.clone(), namespace });
        } else {
            shares.wait(namespace, sender);
        }
        permit
    }

    fn shares(&self) -> MutexGuard<'_, Shares<String, oneshot::Sender<Permit>>> {
        // Nothing that happens under the lock panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.turns.shares().give_back(&self.namespace);
        loop {
            let Some((namespace, waiter)) = self.turns.shares().next() else { return };
            // Who waits no longer gives it back at once.
            let _ = waiter.send(Permit { turns: self.turns.clone(), namespace });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn take_all(turns: &Turns, namespace: &str) -> Vec<Turn> {
        let mut taken = Vec::new();
        while let Some(turn) = turns.take(namespace).now_or_never() {
            taken.push(turn);
        }
        taken
    }

    #[tokio::test]
    async fn a_run_that_hangs_holds_nobody_up() {
        let turns = Turns::default();
        let started = tokio::time::Instant::now();
        let hanging = take_all(&turns, "a");
        let next = turns.take("a").await;
        assert!(started.elapsed() >= LONGEST, "all turns were taken");
        drop((next, hanging));
    }

    #[tokio::test]
    async fn another_namespace_has_its_turn_at_once() {
        let turns = Turns::default();
        let _hanging = take_all(&turns, "a");
        assert!(turns.take("b").now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_is_over_is_the_next_ones() {
        let turns = Turns::default();
        let started = tokio::time::Instant::now();
        for _ in 0..TURNS * 3 {
            drop(turns.take("a").await);
        }
        // Who gave up while they waited is passed over.
        let taken = take_all(&turns, "a");
        for _ in 0..3 {
            assert!(turns.take("a").now_or_never().is_none());
        }
        drop(taken);
        drop(turns.take("a").await);
        assert!(started.elapsed() < LONGEST);
    }
}
