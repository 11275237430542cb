//! `Problem`: a mistake of the user's or of the other side, which becomes a condition.

use std::fmt::Write;

use crate::api::Reason;

/// Why something does not work, for a person to mend. It is reported, never retried as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word for programs.
    pub reason: Reason,
    /// What was seen, what was expected and what to do next.
    pub message: String,
}

impl Problem {
    /// A problem with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Fails with all of these as one, if there are any: the first one's reason, and every message once.
    pub fn all(problems: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut messages: Vec<String> = Vec::new();
        let mut reason = None;
        for problem in problems {
            reason.get_or_insert(problem.reason);
            if !messages.contains(&problem.message) {
                messages.push(problem.message);
            }
        }
        reason.map_or(Ok(()), |reason| Err(Self::new(reason, messages.join(" "))))
    }

    /// Refuses a spec; the full stop may be left out.
    pub fn invalid_spec<T>(message: impl AsRef<str>) -> Result<T, Self> {
        let message = format!("{}.", message.as_ref().trim_end_matches('.'));
        Err(Self::new(Reason::InvalidSpec, message))
    }
}

/// The most characters of somebody else's text that a message repeats.
const QUOTE_LIMIT: usize = 200;

/// Stands where a text was cut.
pub(crate) const CUT: &str = "…";

/// Somebody else's text in a form that is safe to show: one line, printable, at most 200 characters.
pub fn quote(remote: &str) -> String {
    let mut characters = remote
        .chars()
        .map(|character| if character.is_control() || is_invisible(character) { ' ' } else { character });
    let mut quoted: String = characters.by_ref().take(QUOTE_LIMIT).collect();
    if characters.next().is_some() {
        quoted.push_str(CUT);
    }
    quoted.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with a capital letter at its start.
pub(crate) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A value of a spec as it stands there: what [`quote`] hides, such as a line break at its end, is shown by name.
pub fn quote_exactly(text: &str) -> String {
    let mut characters = text.chars();
    let mut quoted = String::new();
    for character in characters.by_ref().take(QUOTE_LIMIT) {
        match character {
            '\n' => quoted.push_str("<line break>"),
            '\r' => quoted.push_str("<carriage return>"),
            '\t' => quoted.push_str("<tab>"),
            _ if character.is_control() || is_invisible(character) => {
                let _ = write!(quoted, "<U+{:04X}>", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    if characters.next().is_some() {
        quoted.push_str(CUT);
    }
    quoted
}

/// The most entries of somebody else's list that a message repeats.
const LISTED: usize = 10;

/// Somebody else's list, for people.
pub(crate) fn enumerate(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() {
        return "none".to_owned();
    }
    let more = if items.len() > LISTED { " and more" } else { "" };
    let shown: Vec<_> = items.into_iter().take(LISTED).collect();
    format!("{}{more}", quote(&shown.join(", ")))
}

/// Characters that change how their neighbours are displayed, or that are not displayed at all.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn several_problems_are_told_together() {
        let problem = |reason, message: &str| Problem::new(reason, message);
        assert_eq!(Problem::all([]), Ok(()));
        let (a, b) = (problem(Reason::InvalidSpec, "A."), problem(Reason::KeyNotFound, "B."));
        assert_eq!(Problem::all([a.clone(), b, a]), Err(problem(Reason::InvalidSpec, "A. B.")));
    }

    #[test]
    fn shows_one_printable_line() {
        assert_eq!(quote("a\r\nb\u{1b}[31m  c\u{202e}"), "a b [31m c");
        assert_eq!(quote(&"x".repeat(500)).chars().count(), 201);
    }

    #[test]
    fn shows_the_white_space_of_a_spec() {
        assert_eq!(quote_exactly(" (uid=a)\n"), " (uid=a)<line break>");
        assert_eq!(quote_exactly("a\u{200b}\tb\u{7}"), "a<U+200B><tab>b<U+0007>");
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert!(quoted.chars().count() <= QUOTE_LIMIT + 1);
            prop_assert!(!quoted.chars().any(char::is_control));
        }
    }
}
