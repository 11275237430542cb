//! The URL of an issuer.

use std::fmt;

use url::Url;

use crate::{
    api::Reason,
    engine::Checked,
    net::{self, Endpoint, HttpScheme, HttpServer},
    problem::{Problem, quote},
};

/// An issuer, exactly as it was written, because it is an identifier that is compared character by character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    url: Url,
    well_known_url: Url,
    older_well_known_url: Url,
    endpoint: Endpoint,
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
/// The path at which W&B's older documentation looks for the document.
const OLDER_WELL_KNOWN: &str = "/.well-known/oidc-configuration";

impl Issuer {
    /// Parses an http or https URL without user, query and fragment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = plain_url(text)?;
        // Like Go's libraries, this removes only one slash: a URL with two slashes at the end has another document.
        let below = |path: &str| Url::parse(&format!("{}{path}", without_slash(text))).ok();
        Some(Self {
            well_known_url: below(WELL_KNOWN)?,
            older_well_known_url: below(OLDER_WELL_KNOWN)?,
            endpoint: net::endpoint_of(&url).ok()?,
            text: text.to_owned(),
            url,
        })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the URL is an https URL.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The non-empty segments of the path.
    pub fn path_segments(&self) -> Vec<&str> {
        self.url.path().split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The URL of the discovery document.
    pub fn well_known_url(&self) -> &Url {
        &self.well_known_url
    }

    /// The URL at which W&B's older documentation expects the discovery document.
    pub fn older_well_known_url(&self) -> &Url {
        &self.older_well_known_url
    }

    /// The host and port to connect to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The server, with the scheme by which it is asked.
    pub fn server(&self) -> HttpServer {
        HttpServer { scheme: HttpScheme::of(&self.url), endpoint: self.endpoint.clone() }
    }

    /// Checks that the document's issuer is this one. The problem does not recommend another issuer, because only a
    /// caller that has read its document can do so.
    pub fn matches(&self, seen: &str) -> Result<Checked, Problem> {
        if seen == self.text {
            return Ok(Checked::passed((), format!("The document's issuer is exactly {self}.")));
        }
        Err(Problem::new(
            Reason::IssuerMismatch,
            format!(
                "The document's issuer is {}, but spec.issuer is {self}: {}. W&B compares them character by character.",
                quote(seen),
                self.difference("the document's", seen)
            ),
        ))
    }

    /// Describes how another spelling differs. `whose` is where it comes from, such as `the document's`.
    pub fn difference(&self, whose: &str, other: &str) -> String {
        if without_slash(other) == without_slash(&self.text) {
            return if other.ends_with('/') {
                format!("{whose} ends with a slash, and the expected one does not")
            } else {
                format!("{whose} does not end with a slash, and the expected one does")
            };
        }
        if other.eq_ignore_ascii_case(&self.text) {
            return "they differ in upper and lower case only".to_owned();
        }
        let Ok(url) = Url::parse(other) else {
            return format!("{whose} is not a URL");
        };
        let mut parts = Vec::new();
        if url.scheme() != self.url.scheme() {
            parts.push("scheme");
        }
        if url.host_str() != self.url.host_str() {
            parts.push("host");
        }
        if url.port_or_known_default() != self.url.port_or_known_default() && url.port() != self.url.port() {
            parts.push("port");
        }
        if url.path() != self.url.path() {
            parts.push("path");
        }
        if parts.is_empty() {
            return "they are the same address in different spellings".to_owned();
        }
        format!("they differ in the {}", parts.join(" and the "))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the text is an https URL. Like the schema, this expects the scheme in lower case.
pub(crate) fn is_https(text: &str) -> bool {
    text.starts_with("https://")
}

pub(crate) fn without_slash(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

/// Parses a URL by the rule of the schema, and by what a connection needs in addition.
pub(crate) fn plain_url(text: &str) -> Option<Url> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    // `Url` would drop line breaks and read a backslash as a slash without an error.
    let unexpected = |character: char| {
        matches!(character, '?' | '#' | '\\') || character.is_whitespace() || character.is_control()
    };
    if authority.is_empty()
        || authority.contains('@')
        || rest.contains(unexpected)
        || !rest.split('%').skip(1).all(begins_with_two_digits)
    {
        return None;
    }
    let url = Url::parse(text).ok()?;
    (net::endpoint_of(&url).is_ok() && url.port() != Some(0)).then_some(url)
}

/// Whether the text begins with two hexadecimal digits, which must follow a `%` (RFC 3986 section 2.1).
fn begins_with_two_digits(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer::parse(text).unwrap()
    }

    #[test]
    fn finds_the_document_below_the_issuer() {
        for (text, document) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/realms/x", "https://a.example/realms/x/.well-known/openid-configuration"),
            ("https://a.example/realms/x/", "https://a.example/realms/x/.well-known/openid-configuration"),
            ("https://a.example/x//", "https://a.example/x//.well-known/openid-configuration"),
            ("http://[::1]:8080", "http://[::1]:8080/.well-known/openid-configuration"),
        ] {
            assert_eq!(issuer(text).well_known_url().as_str(), document);
            assert_eq!(issuer(text).to_string(), text);
        }
    }

    #[test]
    fn rejects_what_cannot_be_an_issuer() {
        for text in [
            "",
            "a.example",
            "ldap://a.example",
            "HTTPS://a.example",
            "https://",
            "https:///realms",
            "https://user@a.example",
            "https://a.example?x",
            "https://a.example/#x",
            "https://a.example/a b",
            "https://a.example/%zz",
            "https://a.example/%2",
            "https://a.example\n",
            "https://a.example\\b",
            "https://a.example:99999",
            "https://a.example:0",
            "https://-a",
        ] {
            assert_eq!(Issuer::parse(text), None, "{text}");
        }
    }

    #[test]
    fn explains_differences_in_words() {
        let ours = issuer("https://a.example/realms/x");
        for (other, words) in [
            (
                "https://a.example/realms/x/",
                "the document's ends with a slash, and the expected one does not",
            ),
            ("https://a.example/realms/X", "they differ in upper and lower case only"),
            ("https://A.example/realms/x", "they differ in upper and lower case only"),
            ("http://a.example/realms/x", "they differ in the scheme"),
            ("https://a.example:8443/realms/x", "they differ in the port"),
            ("https://b.example/realms/y", "they differ in the host and the path"),
            ("https://a.example:443/realms/x", "they are the same address in different spellings"),
            ("realm", "the document's is not a URL"),
        ] {
            assert_eq!(ours.difference("the document's", other), words, "{other}");
        }
        assert_eq!(
            issuer("https://a.example/").difference("the document's", "https://a.example"),
            "the document's does not end with a slash, and the expected one does"
        );
    }
}
