//! Durations as people write them in manifests.

use std::{fmt, str::FromStr};

use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

/// The pattern of a duration.
const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// What is said of a text that is no duration.
const NO_DURATION: &str = "must be a duration such as 30s, 5m or 1h30m";

/// A rule of a duration. It says nothing of a text that is none: another rule does, in better words than the parser's.
pub(super) fn rule(condition: &str) -> Rule {
    rule_of(&["self"], condition)
}

/// A rule of several durations.
pub(super) fn rule_of(durations: &[&str], condition: &str) -> Rule {
    let are_none: Vec<_> =
        durations.iter().map(|duration| format!("!{duration}.matches('{DURATION}')")).collect();
    Rule::new(format!("{} || ({condition})", are_none.join(" || ")))
}

/// A span of time such as `5m` or `1h30m` (GEP-2257, the Gateway API's subset of Go durations).
///
/// Keeps the text as it was written, so that an object that is read and written back is unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct Duration {
    text: String,
    value: std::time::Duration,
}

impl Duration {
    /// `<minutes>m`.
    pub(super) fn from_minutes(minutes: u16) -> Self {
        Self { text: format!("{minutes}m"), value: std::time::Duration::from_secs(u64::from(minutes) * 60) }
    }

    /// `<seconds>s`.
    pub(super) fn from_seconds(seconds: u16) -> Self {
        Self { text: format!("{seconds}s"), value: std::time::Duration::from_secs(u64::from(seconds)) }
    }

    /// `<hours>h`.
    pub(super) fn from_hours(hours: u16) -> Self {
        Self { text: format!("{hours}h"), value: std::time::Duration::from_secs(u64::from(hours) * 3600) }
    }

    /// The length of time.
    pub fn get(&self) -> std::time::Duration {
        self.value
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = parse(text)
            .ok_or_else(|| format!("\"{text}\" is not a duration; expected for example 30s, 5m or 1h30m"))?;
        Ok(Self { text: text.to_owned(), value })
    }
}

/// Reads up to four pairs of a number of at most five digits and a unit.
fn parse(text: &str) -> Option<std::time::Duration> {
    let mut rest = text;
    let mut total = std::time::Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        // `ms` is tried before `m`, of which it is an extension.
        let (unit, after) = ["ms", "s", "m", "h"]
            .into_iter()
            .find_map(|unit| after.strip_prefix(unit).map(|after| (unit, after)))?;
        total += match unit {
            "ms" => std::time::Duration::from_millis(number),
            "s" => std::time::Duration::from_secs(number),
            "m" => std::time::Duration::from_secs(number * 60),
            _ => std::time::Duration::from_secs(number * 3600),
        };
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            // The longest text that is one; it also bounds the cost of rules that parse it.
            "maxLength": 28,
            // A rule and no pattern: it has words of its own.
            "x-kubernetes-validations": [
                {"rule": format!("self.matches('{DURATION}')"), "message": NO_DURATION},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_keeps_it() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("1h30m", 5400), ("720h", 2_592_000)] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.get(), std::time::Duration::from_secs(seconds));
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("1500ms".parse::<Duration>().unwrap().get().as_millis(), 1500);
    }

    #[test]
    fn rejects_what_the_schema_rejects() {
        for text in ["", "5", "m", "-5m", "5 m", "1.5h", "123456s", "1s1s1s1s1s", "5d", "5mm"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
