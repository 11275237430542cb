//! How many requests of runs the API server may have at a time: pure.
//!
//! As senders find what a network can take: a little more as long as all goes well and more is asked for, much less as
//! soon as the API server refuses (429), and less when most of its answers take much longer than they did. A webhook that
//! hangs for one namespace makes some of them slow, which says nothing of the others.

use std::time::{Duration, Instant};

/// As many at least, whatever the API server says: who takes what it can leaves room for another.
pub(super) const LEAST: f64 = 3.0;

/// As many at most, since each takes a connection and memory.
pub(super) const MOST: f64 = 32.0;

/// As many where nothing is known yet.
const FIRST: f64 = 16.0;

/// What is left of them when the API server refuses.
const CUT: f64 = 0.5;

/// What is left of them when it slows down, but for the first ones: it may have work of others, or this process none of
/// the processor, and fewer requests would make neither of them quicker.
const SLOWED: f64 = 0.8;

/// Answers to what was sent before a cut say nothing of what it led to.
const REST: Duration = Duration::from_secs(1);

/// An answer that takes so much longer than the quickest ones waits for others.
const SLOWER: f64 = 4.0;

/// Below that nothing is slow.
const QUICK: Duration = Duration::from_millis(200);

/// How much one answer counts in the share of those that were slow lately.
const WEIGHT: f64 = 0.1;

/// More than this share of slow answers is no single webhook's.
const MOST_OF_THEM: f64 = 0.5;

/// How fast the quickest answers are forgotten, for an API server that was moved: by half in some hundred answers.
const FORGETTING: f64 = 1.002;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum LimitAnswer {
    /// It was answered, or nothing came in the time that it may take.
    Answered {
        /// How long that took.
        took: Duration,
    },
    /// There was too much to do.
    Refused {
        /// How long the API server asks to be left alone.
        pause: Duration,
    },
}

/// How many requests the API server may have, and what that follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    places: f64,
    /// What the quickest answers take, in seconds.
    quickest: Option<f64>,
    /// The share of slow answers lately.
    slow: f64,
    /// Until when nothing more is added or cut.
    rests: Option<Instant>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { places: FIRST, quickest: None, slow: 0.0, rests: None }
    }
}

impl Limit {
    /// How many requests may be under way.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 3 and 32")]
    pub(super) fn requests(self) -> usize {
        self.places as usize
    }

    /// The limit after an answer, where so many requests were under way.
    pub(super) fn learn(self, answer: LimitAnswer, under_way: usize, now: Instant) -> Self {
        let is_resting = self.rests.is_some_and(|rests| now < rests);
        match answer {
            LimitAnswer::Refused { pause } if is_resting => {
                Self { rests: self.rests.max(now.checked_add(pause)), ..self }
            }
            LimitAnswer::Refused { pause } => self.cut(CUT, LEAST, now, REST.max(pause)),
            LimitAnswer::Answered { took } => {
                let took = took.as_secs_f64();
                let quickest = self.quickest.map_or(took, |quickest| took.min(quickest * FORGETTING));
                let is_slow = took > QUICK.as_secs_f64() && took > quickest * SLOWER;
                let slow = self.slow + (f64::from(u8::from(is_slow)) - self.slow) * WEIGHT;
                let known = Self { quickest: Some(quickest), slow, ..self };
                if is_resting {
                    known
                } else if slow > MOST_OF_THEM {
                    known.cut(SLOWED, FIRST, now, REST)
                } else if under_way.saturating_mul(2) >= self.requests() {
                    Self { places: (self.places + 1.0 / self.places).min(MOST), ..known }
                } else {
                    // Who does not use what there is learns nothing about more.
                    known
                }
            }
        }
    }

    fn cut(self, left: f64, least: f64, now: Instant, rest: Duration) -> Self {
        let places = (self.places * left).max(least.min(self.places));
        Self { places, rests: now.checked_add(rest), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(milliseconds: u64) -> LimitAnswer {
        LimitAnswer::Answered { took: Duration::from_millis(milliseconds) }
    }

    fn refused(seconds: u64) -> LimitAnswer {
        LimitAnswer::Refused { pause: Duration::from_secs(seconds) }
    }

    /// Each with the time since the first one in milliseconds, and how many requests are under way.
    fn after(answers: impl IntoIterator<Item = (LimitAnswer, u64, usize)>) -> usize {
        let begun = Instant::now();
        let learn = |limit: Limit, (answer, at, under_way)| {
            limit.learn(answer, under_way, begun + Duration::from_millis(at))
        };
        answers.into_iter().fold(Limit::default(), learn).requests()
    }

    #[test]
    fn it_follows_what_the_api_server_can_take() {
        let well = |count, under_way| (0..count).map(move |_| (written(10), 0, under_way));
        for (name, answers, expected) in [
            ("nothing is known", vec![], 16),
            ("one more for as many answers as there are places", well(17, 16).collect(), 17),
            ("no more than the most", well(10_000, 64).collect(), 32),
            ("nothing is learnt from little", well(10_000, 2).collect(), 16),
            ("a refusal", vec![(refused(0), 0, 16)], 8),
            ("many that were sent at the same time", vec![(refused(0), 0, 16), (refused(0), 900, 16)], 8),
            ("another one later", vec![(refused(0), 0, 16), (refused(0), 1100, 16)], 4),
            (
                "it asks for rest",
                [(refused(30), 0, 16)]
                    .into_iter()
                    .chain((0..100).map(|_| (written(10), 29_000, 16)))
                    .collect(),
                8,
            ),
            (
                "and more is tried after that",
                [(refused(30), 0, 16)]
                    .into_iter()
                    .chain((0..100).map(|_| (written(10), 31_000, 16)))
                    .collect(),
                16,
            ),
            (
                "it slows down",
                well(10_000, 64).chain((0..100).map(|number| (written(900), number * 10, 2))).collect(),
                25,
            ),
            (
                "it stays slow",
                (0..10_000).map(|number| (written(if number < 9 { 10 } else { 900 }), number, 2)).collect(),
                16,
            ),
            (
                "one in four hangs at a webhook",
                well(10, 2)
                    .chain((0..400).map(|number| (written(if number % 4 == 0 { 30_000 } else { 10 }), 0, 2)))
                    .collect(),
                16,
            ),
            ("it was always slow", (0..100).map(|_| (written(900), 0, 2)).collect(), 16),
            ("slower, but quick", well(10, 2).chain((0..100).map(|_| (written(150), 0, 2))).collect(), 16),
        ] {
            assert_eq!(after(answers), expected, "{name}");
        }
    }

    fn answer() -> impl Strategy<Value = (LimitAnswer, u64, usize)> {
        let answer = prop_oneof![(0u64..60_000).prop_map(written), (0u64..100).prop_map(refused)];
        (answer, 0u64..3_600_000, 0usize..1000)
    }

    proptest! {
        /// Whatever the API server does, somebody always has a turn, and once it is well again all have.
        #[test]
        fn nobody_starves(mut answers in prop::collection::vec(answer(), 0..200)) {
            answers.sort_by_key(|(_, at, _)| *at);
            let some = after(answers.clone());
            prop_assert!((3..=32).contains(&some));
            let well = (0..5000).map(|number| (written(10), 4_000_000 + number * 10, 64));
            prop_assert_eq!(after(answers.into_iter().chain(well)), 32);
        }
    }
}
