//! Whether a value was encoded in base64 once more than it should be.

use base64::{Engine, prelude::BASE64_STANDARD};

/// How certain a judgement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    Sure,
    Unsure,
}

/// Whether the text is base64 of a readable text, beyond what chance makes of passwords.
///
/// Of random bytes, three in eight are printable and one in four is a letter or a digit. So twelve printable
/// bytes in a row, or nine letters and digits, are no chance. Fewer are enough if the text ends with `=`, as only
/// base64 does, or if what it encodes ends with a line break, as `echo` adds one.
pub(super) fn encoded_twice(text: &str) -> Option<Certainty> {
    let Decoded { readable, is_marked } = decode(text)?;
    let length = readable.chars().count();
    let is_plain = readable.chars().all(|each| each.is_ascii_alphanumeric());
    let enough = match (is_marked, is_plain) {
        (true, true) => 4,
        (true, false) => 7,
        (false, true) => 9,
        (false, false) => 12,
    };
    let may_be_meant =
        is_generated(&readable) && decode(&readable).is_none() || readable == DOCUMENTED_SECRET;
    Some(if length >= enough && !may_be_meant { Certainty::Sure } else { Certainty::Unsure })
}

/// A readable text that was encoded in base64.
struct Decoded {
    readable: String,
    /// Whether the padding, or a line break at the end, shows that it was encoded. Chance seldom makes either.
    is_marked: bool,
}

fn decode(text: &str) -> Option<Decoded> {
    let joined = text.replace(['\r', '\n'], "");
    let decoded = String::from_utf8(BASE64_STANDARD.decode(&joined).ok()?).ok()?;
    let readable = decoded.strip_suffix('\n').unwrap_or(&decoded);
    let readable = readable.strip_suffix('\r').unwrap_or(readable);
    let is_readable = !readable.chars().any(|each| each.is_control() || each == '\u{fffd}');
    let is_marked = joined.ends_with('=') || decoded.len() != readable.len();
    (is_readable && readable.chars().count() >= 4)
        .then(|| Decoded { readable: readable.to_owned(), is_marked })
}

/// In Dex's documentation, the secret of the example client is the base64 of this text.
const DOCUMENTED_SECRET: &str = "example-app-secret";

/// Whether a program generated the text: a UUID, the digits of a number, or random letters and digits. People
/// encode such texts once to make secrets of them (`openssl rand -hex 16 | base64`).
fn is_generated(text: &str) -> bool {
    let is_hexadecimal = |text: &str| text.bytes().all(|each| each.is_ascii_hexdigit());
    let groups: Vec<_> = text.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| is_hexadecimal(group));
    let is_random =
        || text.bytes().all(|each| each.is_ascii_alphanumeric()) && changes(text) * 4 >= text.len();
    is_uuid || (text.len() >= SHORTEST_GENERATED && (is_hexadecimal(text) || is_random()))
}

/// Programs seldom generate shorter texts, and people seldom write longer ones without a mark between words.
const SHORTEST_GENERATED: usize = 16;

/// How often the text changes between small letters, capital letters and other characters, which is seldom in
/// words.
fn changes(text: &str) -> usize {
    let kind = |each: u8| (each.is_ascii_lowercase(), each.is_ascii_uppercase());
    let kinds = text.bytes().map(kind);
    kinds.clone().zip(kinds.skip(1)).filter(|(one, next)| one != next).count()
}
