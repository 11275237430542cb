//! `Sensitive`: a password, key or token that cannot be printed by accident.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};

use crate::problem::CUT;

/// A secret text. It has neither `Debug` nor `Display` nor `Serialize`, and is wiped when its last clone is dropped.
///
/// Equal texts are clones of each other: thousands of resources have the same authorities, addresses and switches.
#[derive(Clone)]
pub struct Sensitive(Arc<SecretString>);

/// Finds the texts that are in use, and keeps none.
static IN_USE: LazyLock<Mutex<InUse>> = LazyLock::new(Mutex::default);

/// So few are not looked through for those that nobody uses any more.
const FEW: usize = 1024;

#[derive(Default)]
struct InUse {
    /// By a hash whose key is another one in every process.
    texts: HashMap<u64, Weak<SecretString>>,
    key: RandomState,
    /// How many there are before those go that nobody uses any more.
    limit: usize,
}

impl InUse {
    fn copy_of(&mut self, text: SecretString) -> Arc<SecretString> {
        let hash = self.key.hash_one(text.expose_secret());
        let known = self.texts.get(&hash).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.expose_secret() == text.expose_secret()) {
            return known;
        }
        if self.texts.len() >= self.limit.max(FEW) {
            self.texts.retain(|_, text| text.strong_count() > 0);
            // Twice as many as are in use: looking through all of them takes no longer than it took to add them.
            self.limit = self.texts.len() * 2;
        }
        let text = Arc::new(text);
        self.texts.insert(hash, Arc::downgrade(&text));
        text
    }
}

impl Sensitive {
    /// Takes ownership of the text.
    pub fn new(text: String) -> Self {
        // A panic elsewhere leaves it whole: every change to it is a single call.
        Self(IN_USE.lock().unwrap_or_else(PoisonError::into_inner).copy_of(SecretString::from(text)))
    }

    /// The text itself, only for the code that sends or stores it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Sensitive {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl From<String> for Sensitive {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Sensitive {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

/// Removes secrets from texts that are about to be shown.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<Sensitive>,
}

/// Shorter values are not redacted: that would blank out ordinary words, and a value this short is no secret.
const SHORTEST_SECRET: usize = 4;

impl Redactor {
    /// A redactor for these secrets.
    pub fn new(secrets: impl IntoIterator<Item = Sensitive>) -> Self {
        let mut redactor = Self { secrets: Vec::new() };
        secrets.into_iter().for_each(|secret| redactor.conceal(&secret));
        redactor
    }

    /// Adds a secret to those that are removed.
    pub fn conceal(&mut self, secret: &Sensitive) {
        self.secrets.extend(spellings(secret));
        // A secret that contains another one is replaced first, or its remainder would stay.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// The text without any of the secrets.
    pub fn redact(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            let text = replace(text, secret.expose());
            let cut = cut_prefix(&text, secret.expose());
            cut.map_or(text.clone(), |prefix| replace(text, &format!("{prefix}{CUT}")))
        })
    }
}

fn replace(text: String, secret: &str) -> String {
    if text.contains(secret) { text.replace(secret, "[redacted]") } else { text }
}

/// The secret as it is, as [`quote`](crate::problem::quote) folds its white space, and as protocols encode it.
fn spellings(secret: &Sensitive) -> Vec<Sensitive> {
    let secret = secret.expose();
    let folded = secret.split_whitespace().collect::<Vec<_>>().join(" ");
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    // RFC 3986 encodes these three characters in another way than forms do.
    let percent = form.replace('+', "%20").replace('*', "%2A").replace("%7E", "~");
    let base64 = base64(secret);
    let unpadded = base64.trim_end_matches('=').to_owned();
    let url_safe = unpadded.replace('+', "-").replace('/', "_");
    let mut spellings =
        vec![secret.to_owned(), secret.trim().to_owned(), folded, form, percent, base64, unpadded, url_safe];
    spellings.sort_unstable();
    spellings.dedup();
    spellings.retain(|spelling| spelling.len() >= SHORTEST_SECRET);
    spellings.into_iter().map(Sensitive::new).collect()
}

/// The text in base64, which is how Kubernetes writes bytes.
pub(crate) fn base64(text: &str) -> String {
    match serde_json::to_value(ByteString(text.as_bytes().to_vec())) {
        Ok(serde_json::Value::String(encoded)) => encoded,
        _ => String::new(),
    }
}

/// The part of the secret that is left before the cut of a text that was shortened in the middle of the secret.
fn cut_prefix<'a>(text: &str, secret: &'a str) -> Option<&'a str> {
    let ends = secret.char_indices().map(|(end, _)| end).rev().filter(|end| *end >= SHORTEST_SECRET);
    text.match_indices(CUT).filter_map(|(cut, _)| text.get(..cut)).find_map(|before| {
        ends.clone().filter_map(|end| secret.get(..end)).find(|prefix| before.ends_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::quote;

    #[test]
    fn equal_texts_are_one_copy_while_somebody_has_it() {
        let [text, same, other] = ["hunter2", "hunter2", "hunter3"].map(Sensitive::from);
        assert!(Arc::ptr_eq(&text.0, &same.0) && !Arc::ptr_eq(&text.0, &other.0));
        let mut in_use = InUse::default();
        let kept: Vec<_> = (0..10).map(|number| in_use.copy_of(format!("kept {number}").into())).collect();
        for number in 0..10 * FEW {
            let dropped = Arc::downgrade(&in_use.copy_of(format!("dropped {number}").into()));
            assert_eq!(dropped.strong_count(), 0, "it is wiped at once");
            assert!(in_use.texts.len() <= FEW);
        }
        for (number, text) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(text, &in_use.copy_of(format!("kept {number}").into())));
        }
    }

    #[test]
    fn takes_every_secret_out() {
        let redactor = Redactor::new(["hunter2", "hunter22\n", "a"].map(Sensitive::from));
        assert_eq!(
            redactor.redact("hunter2 and hunter22 are a pair".into()),
            "[redacted] and [redacted] are a pair"
        );
    }

    #[test]
    fn finds_secrets_in_the_encodings_of_protocols() {
        let redactor = Redactor::new(["pä ss/w?o>rd~~".into()]);
        for spelling in [
            "p%C3%A4+ss%2Fw%3Fo%3Erd%7E%7E",
            "p%C3%A4%20ss%2Fw%3Fo%3Erd~~",
            "cMOkIHNzL3c/bz5yZH5+",
            "cMOkIHNzL3c_bz5yZH5-",
        ] {
            assert_eq!(redactor.redact(format!("no: {spelling}, no")), "no: [redacted], no");
        }
        let padded = Redactor::new(["hunter2".into()]);
        assert_eq!(padded.redact("aHVudGVyMg== or aHVudGVyMg".into()), "[redacted] or [redacted]");
    }

    #[test]
    fn finds_what_quoting_has_changed() {
        let secret = "two  words and some more";
        let redactor = Redactor::new([secret.into()]);
        for remote in
            [format!("no: {secret}"), format!("{}{secret}", "x".repeat(190)), format!("a\n{secret}\n")]
        {
            let shown = redactor.redact(quote(&remote));
            assert!(!shown.contains("two"), "{shown}");
        }
    }
}
