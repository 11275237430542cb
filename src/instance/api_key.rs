//! API keys, and explanations of what is wrong with texts that are none.

use k8s_openapi::ByteString;

use crate::{api::Reason, problem::Problem, sensitive::Sensitive};

/// A text with the format that W&B's clients accept as an API key.
#[derive(Clone, PartialEq)]
pub struct ApiKey(Sensitive);

/// The minimum number of characters after the prefix.
const SHORTEST: usize = 40;

impl ApiKey {
    /// Checks the format. The problem explains a mistake without showing any part of the text.
    pub fn parse(text: &Sensitive) -> Result<Self, Problem> {
        objection(text.expose()).map_or_else(|| Ok(Self(text.clone())), |seen| Err(malformed(&seen)))
    }

    /// The key, as it is published.
    pub fn sensitive(&self) -> &Sensitive {
        &self.0
    }

    /// The texts that must be concealed. A server may repeat the key without its prefix.
    pub fn secrets(&self) -> Vec<Sensitive> {
        let bare = self.0.expose().split_once('-').map(|(_, bare)| Sensitive::from(bare));
        [self.0.clone(), Sensitive::new(self.basic())].into_iter().chain(bare).collect()
    }

    /// The user and password for HTTP Basic authentication.
    pub(super) fn basic(&self) -> String {
        format!("api:{}", self.0.expose())
    }
}

fn malformed(seen: &str) -> Problem {
    Problem::new(
        Reason::KeyMalformed,
        format!(
            "The API key {seen}. Expected a key exactly as the web UI shows it once: an optional prefix with a dash, then at least {SHORTEST} letters, digits, dashes or underscores."
        ),
    )
}

/// Describes why the text is no key. A mistake that explains other ones is reported first.
fn objection(text: &str) -> Option<String> {
    if let Some(seen) = wrapping(text) {
        return Some(seen.to_owned());
    }
    let (prefix, bare) = text.split_once('-').unwrap_or(("", text));
    let start = text.chars().count() - bare.chars().count();
    // W&B does not document prefixes, so any printable ASCII characters are accepted.
    let in_prefix = prefix.chars().position(|character| !character.is_ascii_graphic());
    let in_bare = || bare.chars().position(|character| !is_key_character(character)).map(|at| start + at);
    if let Some(position) = in_prefix.or_else(in_bare) {
        let class = class(text.chars().nth(position).unwrap_or_default());
        return Some(format!("has {class} at place {} of {}", position + 1, text.chars().count()));
    }
    let length = bare.len();
    if length >= SHORTEST {
        return None;
    }
    let place = if start == 0 { "" } else { " after its first dash" };
    Some(format!("has {length} characters{place}, so a part of it is missing, or it is not an API key"))
}

/// Whether the part of a key after the prefix may contain the character.
pub(super) fn is_key_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-' || character == '_'
}

/// Whether the text is long enough for a key.
pub(super) fn is_key_sized(text: &str) -> bool {
    text.len() >= SHORTEST
}

/// Describes a text that contains more than the key, or the key in another form.
fn wrapping(text: &str) -> Option<&'static str> {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    if text.is_empty() {
        Some("is empty")
    } else if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        Some("begins or ends with a quotation mark, which was stored with it")
    } else if text.starts_with("WANDB_API_KEY") {
        Some("is stored with the name of its environment variable")
    } else if text.starts_with("api:") || text.starts_with("Basic ") || text.starts_with("Bearer ") {
        Some("is stored as the header of a request")
    } else if is_jwt(text) {
        Some("is a JSON Web Token, which belongs to spec.credentials.federated")
    } else if is_encoded_key(text) {
        Some(
            "is encoded in base64 once too often: encode the value once below data of a Secret, and not at all below stringData",
        )
    } else {
        None
    }
}

/// Whether the text has three parts in base64url, of which the first begins like a JSON object.
fn is_jwt(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() == 3
        && text.starts_with("eyJ")
        && parts.iter().all(|part| !part.is_empty() && part.chars().all(is_key_character))
}

/// Whether the text is a key in base64. A real key is never mistaken for one, since its characters decode to bytes
/// that are no text.
fn is_encoded_key(text: &str) -> bool {
    let decoded = serde_json::from_value::<ByteString>(text.into()).ok();
    let inner = decoded.and_then(|ByteString(bytes)| String::from_utf8(bytes).ok());
    inner.is_some_and(|inner| objection(inner.trim_end()).is_none())
}

fn class(character: char) -> &'static str {
    match character {
        '\r' | '\n' => "a line break",
        character if character.is_whitespace() => "white space",
        character if character.is_control() => "a control character",
        character if character.is_ascii() => "a punctuation mark",
        _ => "a character that is not ASCII",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitive::base64;
    use proptest::prelude::*;

    const BARE: &str = "0123456789abcdefABCDEF_x0123456789abcdef";

    #[test]
    fn accepts_keys_with_and_without_a_prefix() {
        let long = format!("wandb_v1_{}", "x1".repeat(39));
        let prefixed = ["local-", "my.host:8080-", "-", "a-b-"].map(|prefix| format!("{prefix}{BARE}"));
        for text in prefixed.iter().map(String::as_str).chain([BARE, &long]) {
            let key = ApiKey::parse(&text.into()).unwrap_or_else(|problem| panic!("{problem:?}"));
            assert_eq!(key.sensitive().expose(), text);
        }
    }

    #[test]
    fn says_what_is_wrong_without_showing_it() {
        let key = &format!("local-{BARE}");
        for (text, words) in [
            (String::new(), "is empty"),
            ("hunter2".to_owned(), "has 7 characters,"),
            ("local-hunter2".to_owned(), "has 7 characters after its first dash"),
            (BARE[..39].to_owned(), "has 39 characters,"),
            (format!("\"{key}\""), "quotation mark"),
            (format!("'{key}"), "quotation mark"),
            (format!("{key}`"), "quotation mark"),
            (format!("{key}\n\n"), "has a line break at place 47 of 48"),
            (format!("{key} "), "has white space at place 47 of 47"),
            (format!(" {key}"), "has white space at place 1 of 47"),
            (format!("{key}.x"), "has a punctuation mark at place 47 of 48"),
            (format!("{key}é"), "has a character that is not ASCII at place 47 of 47"),
            (format!("lo\u{7}cal-{key}"), "has a control character at place 3"),
            (format!("WANDB_API_KEY={key}"), "environment variable"),
            (format!("api:{key}"), "header"),
            (format!("Basic {}", base64(&format!("api:{key}"))), "header"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodW50ZXIyIn0.c2ln".to_owned(), "JSON Web Token"),
            (base64(key), "base64 once too often"),
            (base64(&format!("{key}\n")), "base64 once too often"),
        ] {
            let problem = ApiKey::parse(&text.as_str().into()).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(problem.reason, Reason::KeyMalformed);
            assert!(problem.message.contains(words), "{words} is not in: {}", problem.message);
            assert!(!problem.message.contains("hunter2") && !problem.message.contains(BARE));
        }
    }

    proptest! {
        #[test]
        fn judges_any_text(text in any::<String>()) {
            if let Err(problem) = ApiKey::parse(&text.as_str().into()) {
                prop_assert!(text.len() < 12 || !problem.message.contains(&text));
            }
        }
    }
}
