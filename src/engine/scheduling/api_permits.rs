//! How many runs speak with the API server at a time, in fair shares by namespace and kind: as many as it can take.

use std::{borrow::Cow, time::Duration};

use tokio::sync::oneshot;

use super::urgency::Urgency;
use crate::{
    api_server::{Load, TurnHolder},
    shares::{Permit, Permits},
};

/// How long a run keeps its permit at most. A run that takes longer waits for an answer that does not come soon,
/// and others may go on meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

/// The API permits of one kind, from those of all kinds together. A kind that is alone in one namespace has half of them.
pub(in crate::engine) struct ApiPermits {
    load: Load,
    kind: Cow<'static, str>,
}

/// A run's API permit, until it is dropped.
pub(in crate::engine) struct ApiPermit {
    _over: oneshot::Sender<()>,
}

impl ApiPermits {
    /// As many permits as the API server can take, for runs of this kind.
    pub(in crate::engine) fn new(load: Load, kind: Cow<'static, str>) -> Self {
        Self { load, kind }
    }

    /// Waits for a permit for a run that begins in the namespace.
    pub(in crate::engine) async fn take(&self, namespace: &str, urgency: Urgency) -> ApiPermit {
        let (turns, holder) = (self.turns(), self.holder(namespace));
        let turn = match urgency {
            Urgency::Ordinary => turns.take(holder).await,
            Urgency::Urgent => turns.take_ahead(holder).await,
            Urgency::Expiring => turns.take_first(holder).await,
        };
        self.kept(turn)
    }

    /// The same for a run that goes on: it has more in memory than one that begins.
    pub(in crate::engine) async fn take_again(&self, namespace: &str) -> ApiPermit {
        self.take(namespace, Urgency::Urgent).await
    }

    fn holder(&self, namespace: &str) -> TurnHolder {
        TurnHolder { kind: self.kind.clone(), namespace: namespace.to_owned() }
    }

    fn turns(&self) -> &Permits<TurnHolder> {
        // It changes only by answers to those who have a turn, so that looking when one begins or ends is enough.
        self.load.turns().resize(self.load.places());
        self.load.turns()
    }

    fn kept(&self, turn: Option<Permit<TurnHolder>>) -> ApiPermit {
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

    use futures::FutureExt;

    use super::*;

    fn permits(load: &Load, kind: &'static str) -> ApiPermits {
        ApiPermits::new(load.clone(), kind.into())
    }

    fn now(permits: &ApiPermits, namespace: &str) -> Option<ApiPermit> {
        permits.take(namespace, Urgency::Ordinary).now_or_never()
    }

    fn take_all(permits: &ApiPermits, namespace: &str) -> Vec<ApiPermit> {
        std::iter::from_fn(|| now(permits, namespace)).collect()
    }

    #[tokio::test]
    async fn a_run_that_hangs_holds_nobody_up() {
        let permits = permits(&Load::default(), "A");
        let started = Instant::now();
        let hanging = take_all(&permits, "a");
        assert!(now(&permits, "b").is_some(), "another namespace has its turn at once");
        let next = permits.take("a", Urgency::Ordinary).await;
        assert!(started.elapsed() >= LONGEST / 2, "all turns were taken");
        drop((next, hanging));
    }

    #[tokio::test]
    async fn kinds_have_one_limit_and_do_not_delay_one_another() {
        let load = Load::default();
        let held = take_all(&permits(&load, "A"), "a");
        assert_eq!(held.len(), load.places() / 2);
        let others = take_all(&permits(&load, "B"), "a");
        assert_eq!(others.len(), load.places() / 4, "half of what is left");
        assert!(now(&permits(&load, "A"), "a").is_none() && now(&permits(&load, "C"), "a").is_some());
    }

    #[tokio::test]
    async fn what_expires_has_its_turn_before_others() {
        let permits = permits(&Load::default(), "A");
        let mut held = take_all(&permits, "a");
        let mut begins = Box::pin(permits.take("a", Urgency::Ordinary));
        let mut goes_on = Box::pin(permits.take_again("a"));
        let mut expires = Box::pin(permits.take("a", Urgency::Expiring));
        assert!((&mut begins).now_or_never().is_none() && (&mut goes_on).now_or_never().is_none());
        assert!((&mut expires).now_or_never().is_none());
        drop(held.pop());
        let turn = expires.await;
        assert!((&mut begins).now_or_never().is_none() && (&mut goes_on).now_or_never().is_none());
        drop(turn);
        let turn = goes_on.await;
        assert!((&mut begins).now_or_never().is_none());
        drop(turn);
        drop(begins.await);
    }

    #[tokio::test]
    async fn a_turn_that_is_over_is_the_next_ones() {
        let permits = permits(&Load::default(), "A");
        let many = async {
            for _ in 0..1000 {
                drop(permits.take("a", Urgency::Ordinary).await);
            }
        };
        // If each one kept its turn for as long as it may, they would take minutes.
        assert!(tokio::time::timeout(Duration::from_mins(1), many).await.is_ok());
    }
}
