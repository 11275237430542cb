//! What a terminal shows: colours, signs of its character set, and lines that end before its edge.

use std::{
    ffi::OsString,
    io::{ErrorKind, IsTerminal, Write},
};

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

/// The signs that stand before a line, in the character set of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyphs {
    /// All is well.
    pub(super) good: &'static str,
    /// It deserves a look.
    pub(super) doubtful: &'static str,
    /// It is wrong.
    pub(super) bad: &'static str,
    /// It was not looked at.
    pub(super) idle: &'static str,
    /// It is under way.
    pub(super) moving: &'static str,
    /// A branch with others below it.
    pub(super) branch: &'static str,
    /// The last branch.
    pub(super) corner: &'static str,
    /// Beside what is below a branch, where another one follows.
    pub(super) trunk: &'static str,
}

impl Glyphs {
    /// For terminals that show UTF-8.
    pub(super) const UNICODE: Self = Self {
        good: "✓",
        doubtful: "!",
        bad: "✗",
        idle: "-",
        moving: "~",
        branch: "├─",
        corner: "└─",
        trunk: "│ ",
    };

    /// For all others.
    pub(super) const ASCII: Self = Self {
        good: "+",
        doubtful: "!",
        bad: "x",
        idle: "-",
        moving: "~",
        branch: "|-",
        corner: "`-",
        trunk: "| ",
    };

    /// The signs of the locale that the environment sets.
    pub(super) fn of_the_locale() -> Self {
        Self::of(["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os))
    }

    /// The first variable that is set decides, as in POSIX. Where none is, as in containers and pipelines, UTF-8 is
    /// what reads the output.
    fn of(variables: [Option<OsString>; 3]) -> Self {
        let locale = variables.into_iter().flatten().find(|value| !value.is_empty());
        let Some(locale) = locale else { return Self::UNICODE };
        let locale = locale.to_string_lossy().to_ascii_uppercase();
        if locale.contains("UTF-8") || locale.contains("UTF8") { Self::UNICODE } else { Self::ASCII }
    }
}

/// The text in a style. The streams of `anstream` take the style out where nobody sees it, or `NO_COLOR` is set.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes to standard output. Whoever reads it may stop when they have seen enough.
pub(super) fn print(text: &str) -> std::io::Result<OutputReader> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(OutputReader::Listens),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(error),
    }
}

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputReader {
    /// The text was written.
    Listens,
    /// The other end of the pipe is closed.
    Gone,
}

/// A narrower terminal is not worth wrapping for.
const NARROWEST: usize = 40;

/// How many characters fit into a line of the stream; nothing where it is no terminal.
pub(super) fn width(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    let (terminal_size::Width(width), _) =
        Some(stream).filter(|stream| stream.is_terminal()).and_then(terminal_size::terminal_size_of)?;
    Some(usize::from(width)).filter(|width| *width >= NARROWEST)
}

/// The text in lines of at most so many characters. What is longer and is to be copied stays whole: a URL, or a
/// command.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in pieces(text) {
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

/// The words of a text. A command is one word: between backticks, or after a colon up to the end.
fn pieces(text: &str) -> Vec<&str> {
    let (words, command) = match text.split_once(": kubectl ") {
        Some((words, _)) => (text.get(..=words.len()), text.get(words.len() + 2..)),
        None => (Some(text), None),
    };
    let words = words.unwrap_or_default();
    let mut is_quoted = false;
    let is_even = words.matches('`').count().is_multiple_of(2);
    let ends = |character: char| {
        is_quoted ^= character == '`' && is_even;
        character == ' ' && !is_quoted
    };
    words.split(ends).chain(command).collect()
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
        assert_eq!(wrapped("do it: kubectl get pods -A", Some(10)), ["do it:", "kubectl get pods -A"]);
        assert_eq!(wrapped("run `a b c d e` or `f g`.", Some(8)), ["run", "`a b c d e`", "or", "`f g`."]);
        assert_eq!(wrapped("a ` b c d", Some(5)), ["a ` b", "c d"]);
    }

    #[test]
    fn the_locale_decides_which_signs_are_used() {
        for (variables, expected) in [
            ([None, None, None], Glyphs::UNICODE),
            ([Some(""), None, Some("")], Glyphs::UNICODE),
            ([None, None, Some("de_DE.UTF-8")], Glyphs::UNICODE),
            ([None, None, Some("C.utf8")], Glyphs::UNICODE),
            ([None, None, Some("C")], Glyphs::ASCII),
            ([Some("POSIX"), None, Some("en_US.UTF-8")], Glyphs::ASCII),
            ([Some(""), Some("en_US.ISO-8859-1"), Some("en_US.UTF-8")], Glyphs::ASCII),
        ] {
            assert_eq!(
                Glyphs::of(variables.map(|value| value.map(OsString::from))),
                expected,
                "{variables:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-z]{1,8}( [a-z]{1,8}){0,12}", width in 1_usize..40) {
            prop_assert_eq!(wrapped(&text, Some(width)).join(" "), text);
        }
    }
}
