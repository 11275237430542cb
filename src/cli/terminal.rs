//! What a terminal shows: colours, and lines that end before its edge.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// What is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What deserves a look.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What was not looked at.
pub(super) const FAINT: Style = Style::new().dimmed();
/// What the lines below it are about.
pub(super) const TITLE: Style = Style::new().bold();

/// The text in a style. The streams of `anstream` take the style out where nobody sees it, or `NO_COLOR` is set.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A narrower terminal is not worth wrapping for.
const NARROWEST: usize = 40;

/// How many characters fit into a line of the stream; nothing where it is no terminal.
pub(super) fn width(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    let (terminal_size::Width(width), _) =
        Some(stream).filter(|stream| stream.is_terminal()).and_then(terminal_size::terminal_size_of)?;
    Some(usize::from(width)).filter(|width| *width >= NARROWEST)
}

/// The text in lines of at most so many characters. A word that is longer, such as a URL, stays whole, so that it can
/// be copied.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let length = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrapped("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(
            wrapped("see https://a.example/very/long now", Some(10)),
            ["see", "https://a.example/very/long", "now"]
        );
        assert_eq!(wrapped("one two", None), ["one two"]);
        assert_eq!(wrapped("", Some(10)), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-z]{1,8}( [a-z]{1,8}){0,12}", width in 1_usize..40) {
            prop_assert_eq!(wrapped(&text, Some(width)).join(" "), text);
        }
    }
}
