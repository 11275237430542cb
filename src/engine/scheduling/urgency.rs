//! Which resources of a namespace go before others when there is no slot for all of them. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{api::Status, engine::status::reading::is_ready};

/// When a resource gets a slot, compared with others of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Urgency {
    /// In the order in which they come.
    Ordinary,
    /// Ahead of those: a restarted process looks first at what was not Ready.
    Urgent,
    /// Before all others: what works and stops working without this run. What was not Ready may hang.
    Expiring,
}

/// How near the end of a published token is when its resource goes before all others: tokens live for minutes to hours,
/// and a run may take some of the last ones.
const NEAR: SignedDuration = SignedDuration::from_mins(15);

/// Which run of a resource it is in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum RunOrdinal {
    First,
    Later,
}

/// What works, and has a token that ends soon, is renewed before anything else: what was not Ready may hang for as long
/// as the token lives. What was not Ready when this process began is looked at before the rest, of which there may be
/// thousands.
pub(in crate::engine) fn urgency_of(
    run: RunOrdinal,
    status: Option<&Status>,
    generation: Option<i64>,
    expiration: Option<Timestamp>,
    now: Timestamp,
) -> Urgency {
    let ready = status.filter(|status| is_ready(status));
    let ends_soon = expiration.is_some_and(|end| end.duration_since(now) <= NEAR);
    let is_settled = ready.is_some_and(|status| {
        status.observed_generation.is_some() && status.observed_generation == generation
    });
    match run {
        _ if ready.is_some() && ends_soon => Urgency::Expiring,
        RunOrdinal::First if !is_settled => Urgency::Urgent,
        RunOrdinal::First | RunOrdinal::Later => Urgency::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_hangs_does_not_go_before_what_expires() {
        use RunOrdinal::{First, Later};
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        let status = |ready: &str| -> Status {
            let condition = json!({
                "type": "Ready", "status": ready, "reason": "x", "message": "", "lastTransitionTime": now,
            });
            serde_json::from_value(json!({"observedGeneration": 3, "conditions": [condition]})).unwrap()
        };
        let (ready, other) = (status("True"), status("False"));
        let after = |minutes| Some(now + SignedDuration::from_mins(minutes));
        for (run, status, generation, expiration, expected) in [
            (First, Some(&ready), 3, after(10), Urgency::Expiring),
            (Later, Some(&ready), 3, after(10), Urgency::Expiring),
            // Its token has ended while nobody ran.
            (First, Some(&ready), 3, after(-10), Urgency::Expiring),
            (First, Some(&ready), 4, after(10), Urgency::Expiring),
            (First, Some(&ready), 3, after(30), Urgency::Ordinary),
            (First, Some(&ready), 4, None, Urgency::Urgent),
            (First, Some(&ready), 3, None, Urgency::Ordinary),
            (First, Some(&other), 3, after(10), Urgency::Urgent),
            (First, None, 3, None, Urgency::Urgent),
            (Later, Some(&other), 3, after(10), Urgency::Ordinary),
        ] {
            let seen = urgency_of(run, status, Some(generation), expiration, now);
            assert_eq!(seen, expected, "{run:?} {generation} {expiration:?}");
        }
    }
}
