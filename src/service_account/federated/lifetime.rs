//! The lifetime of a token, and when it must be renewed.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::Reason,
    api_server::Now,
    jitter,
    jwt::{Claims, Token},
    problem::Problem,
    sensitive::Sensitive,
};

/// The time during which a token is valid according to its claims.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lifetime {
    begin: Timestamp,
    end: Timestamp,
    /// A fraction between 0 and 1 that spreads renewals over time. It is always the same for the same token.
    jitter: f64,
}

/// The share of its lifetime after which a token is renewed at the latest.
const RENEWAL: f64 = 0.8;
/// By how much of its lifetime the renewal may come earlier than that.
const JITTER: f64 = 0.05;

/// The shortest time between two tokens.
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// With a shorter lifetime, the time between renewal and expiry may be too short for the way to the pods: the
/// kubelet takes up to about 90 seconds to update a changed Secret there.
const SHORTEST_LIFE: SignedDuration = SignedDuration::from_mins(10);

impl Lifetime {
    /// The lifetime of a token. The token must be readable.
    pub(super) fn of(token: &Sensitive) -> Result<Self, Problem> {
        let text = token.expose();
        let read = Token::read(text).map_err(|what| malformed(&what))?;
        Self::read(&read.claims, jitter::of(text))
    }

    fn read(claims: &Claims, jitter: f64) -> Result<Self, Problem> {
        let time = |name: &str| claims.time(name).map_err(|what| malformed(&what));
        let end = time("exp")?.ok_or_else(|| malformed("it has no time of expiry (exp)"))?;
        let begin = match time("iat")? {
            Some(issued) => Some(issued),
            None => time("nbf")?,
        };
        let begin = begin.ok_or_else(|| {
            malformed("it does not say since when it is valid (iat), so the operator does not know when to renew it")
        })?;
        Ok(Self { begin, end, jitter })
    }

    /// When the token should be replaced.
    pub(super) fn renewal(self) -> Timestamp {
        let length = self.end.duration_since(self.begin).max(SignedDuration::ZERO);
        let share = RENEWAL - JITTER * self.jitter;
        let passed = SignedDuration::try_from_secs_f64(length.as_secs_f64() * share).unwrap_or(length);
        self.begin.checked_add(passed).unwrap_or(self.end).min(self.end)
    }

    /// When to replace the token, but not too soon after it was made, so that a token that lives for seconds does
    /// not keep the issuer busy.
    pub(super) fn renew_at(self, now: Timestamp) -> Timestamp {
        let earliest = self.begin.min(now).checked_add(SHORTEST_WAIT).unwrap_or(self.end);
        self.renewal().max(earliest)
    }

    /// Whether the token may expire in a pod before its successor arrives there.
    pub(super) fn is_short(self) -> bool {
        self.end.duration_since(self.begin) < SHORTEST_LIFE
    }

    /// Whether less than a fifth of the lifetime is left.
    pub(super) fn is_nearly_over(self, now: Timestamp) -> bool {
        let length = self.end.duration_since(self.begin).as_secs_f64();
        self.end.duration_since(now).as_secs_f64() < length * (1.0 - RENEWAL)
    }
}

/// When the token expires according to its claims.
pub(super) fn expiration(token: &Sensitive) -> Option<Timestamp> {
    Token::read(token.expose()).ok()?.claims.time("exp").ok()?
}

/// When the token expires according to its claims, if the API server accepts that time in a status.
pub(super) fn shown_expiration(token: &Sensitive) -> Option<Timestamp> {
    // A time after the last representable one is read as exactly that one, so it is excluded.
    expiration(token).filter(|end| (Timestamp::UNIX_EPOCH..Timestamp::MAX).contains(end))
}

/// Converts a time on the likely clock into the same moment on the clock that the engine follows.
pub(super) fn as_followed(due: Timestamp, Now { time, likely, .. }: Now) -> Timestamp {
    due.checked_sub(likely.duration_since(time)).unwrap_or(due)
}

fn malformed(what: &str) -> Problem {
    Problem::new(
        Reason::TokenMalformed,
        format!(
            "The token cannot be renewed in time: {what}. Configure the issuer to make JSON Web Tokens with iat and exp."
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lifetime(claims: Value, jitter: f64) -> Result<Lifetime, Problem> {
        let claims: serde_json::Map<_, _> = serde_json::from_value(claims).unwrap();
        Lifetime::read(&claims.into(), jitter)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn is_renewed_between_75_and_80_percent() {
        for (jitter, renewal) in [(0.0, 1080), (0.5, 1077), (1.0, 1075)] {
            let seen = lifetime(json!({"iat": 1000, "exp": 1100}), jitter).unwrap().renewal();
            assert_eq!(seen.as_second(), renewal, "{seen}");
        }
        assert_eq!(lifetime(json!({"nbf": 1000, "exp": 1100}), 0.0).unwrap().renewal(), at(1080));
        // A token that ends before it begins is renewed when it ends.
        assert_eq!(lifetime(json!({"iat": 1000, "exp": 900}), 0.0).unwrap().renewal(), at(900));
    }

    #[test]
    fn is_due_ten_seconds_after_it_was_made_at_the_earliest() {
        for (begin, end, now, due) in [
            (1000, 1100, 1000, 1080),
            (1000, 1001, 1000, 1010),
            (1000, 1001, 1020, 1010),
            // A token that could not be renewed remains due.
            (1000, 1100, 1090, 1080),
            // The issuer's clock is ahead.
            (5000, 1001, 1000, 1010),
            (1060, 1160, 1000, 1140),
        ] {
            let lifetime = lifetime(json!({"iat": begin, "exp": end}), 0.0).unwrap();
            assert_eq!(lifetime.renew_at(at(now)), at(due), "{begin} {end} {now}");
        }
    }

    #[test]
    fn a_renewal_is_not_late_while_the_time_that_is_followed_is_behind() {
        for (likely, due) in [(1000, 4000), (8200, -3200), (900, 4100)] {
            let now = Now { likely: at(likely), ..Now::certain(at(1000)) };
            assert_eq!(as_followed(at(4000), now), at(due), "{likely}");
        }
    }

    #[test]
    fn only_times_that_the_api_server_takes_are_told() {
        let key = test_support::tokens::SigningKey::p256("key").unwrap();
        for (end, told) in [
            (json!(1000), Some(at(1000))),
            (json!(0), Some(at(0))),
            (json!(-1), None),
            (json!(-1e300), None),
            (json!(1e12), None),
            (json!(1e300), None),
        ] {
            let token = Sensitive::new(key.sign(&json!({"iat": 0, "exp": end})).unwrap());
            assert_eq!(shown_expiration(&token), told, "{end}");
        }
    }

    #[test]
    fn is_nearly_over_in_its_last_fifth() {
        let lifetime = lifetime(json!({"iat": 1000, "exp": 1100}), 0.0).unwrap();
        for (now, nearly) in [(900, false), (1080, false), (1081, true), (1200, true)] {
            assert_eq!(lifetime.is_nearly_over(at(now)), nearly, "{now}");
        }
    }

    #[test]
    fn a_token_must_say_when_it_begins_and_ends() {
        for (claims, word) in [
            (json!({"iat": 1000}), "exp"),
            (json!({"exp": 1100}), "iat"),
            (json!({"iat": "x", "exp": 1100}), "iat"),
        ] {
            let problem = lifetime(claims, 0.0).unwrap_err();
            assert_eq!(problem.reason, Reason::TokenMalformed);
            assert!(problem.message.contains(word), "{}", problem.message);
        }
        let opaque = Lifetime::of(&"an-opaque-token".into()).unwrap_err();
        assert_eq!(opaque.reason, Reason::TokenMalformed);
        assert!(!opaque.message.contains("an-opaque-token"));
    }

    #[test]
    fn the_same_token_is_renewed_at_the_same_time() {
        let key = test_support::tokens::SigningKey::p256("key").unwrap();
        let token =
            |id: u32| Sensitive::new(key.sign(&json!({"iat": 0, "exp": 1_000_000, "jti": id})).unwrap());
        let first = token(1);
        assert_eq!(Lifetime::of(&first).unwrap(), Lifetime::of(&first).unwrap());
        let times: std::collections::BTreeSet<_> =
            (0..10).map(|id| Lifetime::of(&token(id)).unwrap().renewal()).collect();
        assert!(times.len() > 5 && times.iter().all(|time| (750_000..=800_000).contains(&time.as_second())));
    }
}
