//! The requirements for every endpoint that the discovery document names.

use url::Url;

use super::Plaintext;
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// Fails if the endpoint is not encrypted although it must be, or is no http URL at all.
pub(crate) fn expect_encrypted(name: &str, url: &Url, plaintext: Plaintext) -> Result<(), Problem> {
    let problem = |expected: &str| {
        Problem::new(
            Reason::InvalidEndpoint,
            format!(
                "The document's {name} is {}; expected {expected}. Correct the provider's public address in its own configuration.",
                quote(url.as_str())
            ),
        )
    };
    match (url.scheme(), plaintext) {
        ("https", _) | ("http", Plaintext::Accepted) => Ok(()),
        ("http", Plaintext::Refused) => Err(problem("an https:// URL")),
        _ => Err(problem("an https:// URL of a server")),
    }
}

/// The problem with the name of its endpoint. The document names several, which may be on different servers.
pub(crate) fn at(name: &str, problem: &Problem) -> Problem {
    Problem::new(problem.reason, format!("The document's {name}: {}", problem.message))
}
