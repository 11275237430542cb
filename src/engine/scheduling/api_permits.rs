//! How many runs speak with the API server at a time, in fair shares by namespace: as many as it can take.

use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;

use crate::{
    api_server::Load,
    shares::{Permit, Permits},
};

/// How long a run keeps its permit at most. A run that takes longer waits for an answer that does not come soon,
/// and others may go on meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

/// The API permits of all kinds together. A namespace that is alone has half of them.
pub(in crate::engine) struct ApiPermits {
    load: Load,
}

/// A run's API permit, until it is dropped.
pub(in crate::engine) struct ApiPermit {
    _over: oneshot::Sender<()>,
}

impl ApiPermits {
    /// As many permits as the API server can take.
    pub(in crate::engine) fn new(load: Load) -> Self {
        Self { load }
    }

    /// Waits for a permit of the namespace.
    pub(in crate::engine) async fn take(&self, namespace: &str) -> ApiPermit {
        self.turns().take(namespace.to_owned()).map(|turn| self.kept(turn)).await
    }

    /// The same for a run that goes on: it has more in memory than one that begins.
    pub(in crate::engine) async fn take_again(&self, namespace: &str) -> ApiPermit {
        self.turns().take_ahead(namespace.to_owned()).map(|turn| self.kept(turn)).await
    }

    fn turns(&self) -> &Permits<String> {
        // It changes only by answers to those who have a turn, so that looking when one begins or ends is enough.
        self.load.turns().resize(self.load.places());
        self.load.turns()
    }

    fn kept(&self, turn: Option<Permit<String>>) -> ApiPermit {
        let (over, is_over) = oneshot::channel();
        let load = self.load.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LONGEST, is_over).await;
            load.turns().resize(load.places());
            drop(turn);
        });
        ApiPermit { _over: over }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn take_all(permits: &ApiPermits, namespace: &str) -> Vec<ApiPermit> {
        std::iter::from_fn(|| permits.take(namespace).now_or_never()).collect()
    }

    #[tokio::test]
    async fn a_run_that_hangs_holds_nobody_up() {
        let permits = ApiPermits::new(Load::default());
        let started = Instant::now();
        let hanging = take_all(&permits, "a");
        assert!(permits.take("b").now_or_never().is_some(), "another namespace has its turn at once");
        let next = permits.take("a").await;
        assert!(started.elapsed() >= LONGEST / 2, "all turns were taken");
        drop((next, hanging));
    }

    #[tokio::test]
    async fn what_one_kind_has_is_nothing_that_another_one_can_have() {
        let load = Load::default();
        let [first, second] = [(); 2].map(|()| ApiPermits::new(load.clone()));
        let held = take_all(&first, "a");
        assert_eq!(held.len(), load.places() / 2);
        assert!(second.take("a").now_or_never().is_none(), "all kinds have one limit");
        assert!(second.take("b").now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_is_over_is_the_next_ones() {
        let permits = ApiPermits::new(Load::default());
        let started = Instant::now();
        for _ in 0..100 {
            drop(permits.take("a").await);
        }
        assert!(started.elapsed() < LONGEST);
    }
}
