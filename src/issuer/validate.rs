//! Validates what a spec says about an issuer. The schema's rules are repeated here, since the command `check`
//! works without an API server.

use super::Issuer;
use crate::problem::{Problem, quote_exactly, without_user};

/// Whether connections without TLS are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Every URL must be an https URL.
    Refused,
    /// The spec has `insecurePlaintext: true`.
    Accepted,
}

impl From<bool> for Plaintext {
    /// Interprets `insecurePlaintext`.
    fn from(insecure_plaintext: bool) -> Self {
        if insecure_plaintext { Self::Accepted } else { Self::Refused }
    }
}

/// The maximum length in the schema, in characters.
const LIMIT: usize = 512;

/// Validates `spec.issuer`. `risk` describes the danger of an issuer without TLS, for the message.
pub(crate) fn validate(text: &str, plaintext: Plaintext, risk: &str) -> Result<Issuer, Problem> {
    let Some(issuer) = Issuer::parse(text).filter(|_| text.chars().count() <= LIMIT) else {
        return Problem::invalid_spec(format!(
            "spec.issuer is \"{}\", but must be a URL such as https://login.example.com/realms/main, without a user, a query or a fragment",
            quote_exactly(&without_user(text))
        ));
    };
    if text.contains("/.well-known/") {
        return Problem::invalid_spec(
            "spec.issuer must be the issuer itself, without /.well-known/openid-configuration",
        );
    }
    if !issuer.is_encrypted() && plaintext == Plaintext::Refused {
        return Problem::invalid_spec(format!(
            "spec.issuer must be an https:// URL; set insecurePlaintext: true to accept that {risk}"
        ));
    }
    Ok(issuer)
}
