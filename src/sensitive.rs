//! `Sensitive`: a password, key or token that cannot be printed by accident.

use secrecy::{ExposeSecret, SecretString};

/// A secret text. It has neither `Debug` nor `Display` nor `Serialize`, and is wiped when dropped.
#[derive(Clone)]
pub struct Sensitive(SecretString);

impl Sensitive {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself: only for the place that sends or stores it.
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

/// Takes secrets out of texts that are about to be shown.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<Sensitive>,
}

/// Shorter values would blank out ordinary words, and protect nothing that could be called a secret.
const SHORTEST_SECRET: usize = 4;

impl Redactor {
    /// A redactor for these secrets.
    pub fn new(secrets: impl IntoIterator<Item = Sensitive>) -> Self {
        let mut secrets: Vec<_> =
            secrets.into_iter().filter(|secret| secret.expose().trim().len() >= SHORTEST_SECRET).collect();
        // A secret that contains another goes first, or its remainder would stay behind.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// The text without any of the secrets.
    pub fn redact(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            [secret.expose(), secret.expose().trim()].into_iter().fold(text, |text, needle| {
                if text.contains(needle) { text.replace(needle, "[redacted]") } else { text }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_secret_out() {
        let redactor = Redactor::new(["hunter2", "hunter22\n", "a"].map(Sensitive::from));
        assert_eq!(
            redactor.redact("hunter2 and hunter22 are a pair".into()),
            "[redacted] and [redacted] are a pair"
        );
    }
}
