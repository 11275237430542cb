//! Whether the API server was away lately, as its answers tell: pure.

use std::time::{Duration, Instant};

/// How long an API server that has come back may refuse requests that it allows: it reads the roles after it has begun
/// to answer.
const RECOVERY: Duration = Duration::from_secs(15);

/// How long after the first request that it allows: the rest of the roles comes soon after the first ones.
const REST_OF_THE_ROLES: Duration = Duration::from_secs(3);

/// What fails so soon after another request was allowed is no outage, but a matter of that one connection.
const ANSWERING: Duration = Duration::from_secs(1);

/// What is known of the API server's absence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Presence {
    /// When it last did not answer, or said that it could not.
    away: Option<Instant>,
    /// When it allowed something for the first time since.
    back: Option<Instant>,
    /// When it last allowed something.
    allowed: Option<Instant>,
}

impl Presence {
    /// It did not answer, or said that it could not.
    pub(super) fn missed(&mut self, now: Instant) {
        let is_answering =
            self.allowed.is_some_and(|allowed| now.saturating_duration_since(allowed) < ANSWERING);
        if !is_answering {
            (self.away, self.back) = (Some(now), None);
        }
    }

    /// It did what it was asked to, or found that this cannot be done.
    pub(super) fn allowed(&mut self, now: Instant) {
        self.back = self.back.or(Some(now));
        self.allowed = Some(now);
    }

    /// Whether a refusal may only mean that it does not know the roles yet.
    pub(super) fn is_recovering(self, now: Instant) -> bool {
        let is_within = |since: Instant, time: Duration| now.saturating_duration_since(since) < time;
        self.away.is_some_and(|away| is_within(away, RECOVERY))
            && self.back.is_none_or(|back| is_within(back, REST_OF_THE_ROLES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Answer {
        Missed,
        Allowed,
    }

    #[test]
    fn a_refusal_counts_for_nothing_only_right_after_an_outage() {
        use Answer::{Allowed, Missed};
        for (name, answers, at, expected) in [
            ("never away", &[][..], 0, false),
            ("just away", &[(0, Missed)], 1_000, true),
            ("long back", &[(0, Missed)], 15_000, false),
            ("a long outage", &[(0, Missed), (60_000, Missed)], 61_000, true),
            ("the first roles", &[(0, Missed), (1_000, Allowed)], 2_000, true),
            ("all roles", &[(0, Missed), (1_000, Allowed)], 4_000, false),
            ("another outage", &[(0, Missed), (1_000, Allowed), (9_000, Missed)], 10_000, true),
            ("one bad connection", &[(0, Allowed), (500, Missed)], 600, false),
            (
                "one that fails again and again beside others",
                &[(0, Missed), (1_000, Allowed), (8_000, Missed), (9_000, Allowed)],
                12_500,
                false,
            ),
        ] {
            let begun = Instant::now();
            let mut presence = Presence::default();
            for (after, answer) in answers {
                let now = begun + Duration::from_millis(*after);
                match answer {
                    Missed => presence.missed(now),
                    Allowed => presence.allowed(now),
                }
            }
            assert_eq!(presence.is_recovering(begun + Duration::from_millis(at)), expected, "{name}");
        }
    }
}
