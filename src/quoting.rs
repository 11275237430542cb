//! Prepares text of somebody else for messages: cut to a limit, on one line, and printable.

use std::fmt::Write;

/// How many characters of somebody else's text a message repeats at most.
const QUOTE_LIMIT: usize = 200;

/// The character that replaces the rest of a text that was cut.
pub(crate) const CUT: &str = "…";

/// Somebody else's text in a form that is safe to show: one line, printable, and at most 200 characters.
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

/// The text with a capital first letter.
pub(crate) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A value of a spec exactly as it is: characters that [`quote`] hides, such as a line break at the end, are
/// shown by name.
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

/// A URL as a message may show it: what stands before an `@` may hold a password.
pub(crate) fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        (_, None) => url.to_owned(),
    }
}

/// How many entries of somebody else's list a message repeats at most.
const LISTED: usize = 10;

/// Somebody else's list as text for people.
pub(crate) fn enumerate(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() {
        return "none".to_owned();
    }
    let more = if items.len() > LISTED { " and more" } else { "" };
    let shown: Vec<_> = items.into_iter().take(LISTED).collect();
    format!("{}{more}", quote(&shown.join(", ")))
}

/// Whether the character is not displayed at all, or changes how its neighbours are displayed.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn a_url_is_shown_without_its_user() {
        for (url, shown) in [
            ("https://a.example/b", "https://a.example/b"),
            ("https://me:hunter2@a.example", "https://…@a.example"),
            ("https://me:hunt@er2@a.example", "https://…@a.example"),
            ("me:hunter2@a.example", "…@a.example"),
        ] {
            assert_eq!(without_user(url), shown);
        }
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
