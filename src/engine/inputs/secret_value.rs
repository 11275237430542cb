//! Judges whether a Secret holds the value itself, or something that a tool should have replaced by the value.
//! The functions are pure.
//!
//! Servers count a wrong password towards a lock-out each time that it is sent, so a text that is certainly not
//! the value is refused before. A text that may be the value only gets a remark: refusing a password that works
//! would lock people out.

mod encoding;
mod tools;

use self::{
    encoding::{Certainty, encoded_twice},
    tools::{ciphertext, is_template, may_be_template, reference},
};

/// What is wrong with a value, as the rest of a sentence about it, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Flaw {
    /// What was seen, without any part of the value.
    pub(in crate::engine) seen: String,
    /// What to do about it.
    pub(in crate::engine) remedy: &'static str,
}

/// The judgement about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Look {
    /// It may well be the value.
    Sound,
    /// It may be the value, but a person should look at it.
    Doubtful(Flaw),
    /// It is certainly not the value.
    Wrong(Flaw),
}

/// Judges a value, without the line break at its end.
pub(in crate::engine) fn look(value: &str) -> Look {
    let wrong = |seen: &str, remedy| Look::Wrong(Flaw { seen: seen.to_owned(), remedy });
    let doubtful = |seen: &str, remedy| Look::Doubtful(Flaw { seen: seen.to_owned(), remedy });
    if let Some(seen) = invisible(value) {
        return Look::Wrong(Flaw { seen, remedy: "Store the value again without it." });
    }
    let text = value.trim();
    if let Some(tool) = ciphertext(text) {
        return wrong(
            &format!("is still encrypted ({tool})"),
            "Have the tool decrypt it before it is applied.",
        );
    }
    if let Some(tool) = reference(text) {
        return wrong(
            &format!("is a reference that a tool should have replaced ({tool})"),
            "Apply it through that tool, or store the value itself.",
        );
    }
    if is_template(text) {
        return wrong(
            "is a template that a tool should have filled in",
            "Apply it through that tool, or store the value itself.",
        );
    }
    match encoded_twice(text) {
        Some(Certainty::Sure) => return wrong("was encoded in base64 twice", ENCODE_ONCE),
        Some(Certainty::Unsure) => return doubtful("may have been encoded in base64 twice", ENCODE_ONCE),
        None => {}
    }
    if may_be_template(text) {
        return doubtful(
            "looks like a placeholder that somebody should have replaced",
            "Store the value itself, unless this is the value.",
        );
    }
    Look::Sound
}

const ENCODE_ONCE: &str = "Put the value itself below stringData, or encode it once below data.";

/// Finds a character that nobody can see and nobody typed.
fn invisible(value: &str) -> Option<String> {
    if value.starts_with('\u{feff}') {
        return Some("begins with a byte order mark (U+FEFF), which some editors add".to_owned());
    }
    let mut before = None;
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        // These characters change the shape of their neighbours in emoji and in some scripts, and mean nothing
        // beside ASCII.
        let shapes = |neighbour: Option<char>| neighbour.is_some_and(|neighbour| !neighbour.is_ascii());
        let found = match character {
            '\t' | '\n' | '\r' => false,
            '\u{200c}' | '\u{200d}' => !(shapes(before) && shapes(next)),
            '\u{fe00}'..='\u{fe0f}' => !shapes(before),
            _ => character.is_control() || is_unseen(character),
        };
        if found {
            return Some(format!("holds the invisible character U+{:04X}", u32::from(character)));
        }
        before = Some(character);
    }
    None
}

/// Characters without any width (Unicode's `Default_Ignorable_Code_Point`, and line and paragraph separators).
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests;
