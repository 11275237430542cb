//! The address of W&B Server.

use std::fmt;

use url::Url;

use crate::{
    api::{InstanceSpec, Reason},
    issuer::{plain_url, without_slash},
    net::{self, Endpoint},
    problem::{Problem, quote, without_user},
};

/// The URL that programs use as `WANDB_BASE_URL`, exactly as the spec has it, and the URLs derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    endpoint: Endpoint,
    graphql_url: Url,
    token_url: Url,
    health_url: Url,
}

/// The maximum length in the schema, in characters.
const LIMIT: usize = 512;

impl BaseUrl {
    /// Parses the spec by the rules of the schema, since the command `check` works without an API server.
    pub fn parse(spec: &InstanceSpec) -> Result<Self, Problem> {
        let text = &spec.base_url;
        let Some(base_url) = Self::read(text).filter(|_| text.chars().count() <= LIMIT) else {
            return Err(invalid(format!(
                "spec.instance.baseURL is \"{}\", but must be a URL such as https://wandb.example.com, without a user, a query or a fragment.",
                quote(&without_user(text))
            )));
        };
        if !base_url.is_encrypted() && !spec.insecure_plaintext {
            return Err(invalid(
                "spec.instance.baseURL must be an https:// URL; set insecurePlaintext: true to accept that keys and tokens travel unencrypted.",
            ));
        }
        Ok(base_url)
    }

    fn read(text: &str) -> Option<Self> {
        let endpoint = net::endpoint_of(&plain_url(text)?).ok()?;
        let root = without_slash(text);
        let below = |path: &str| Url::parse(&format!("{root}{path}")).ok();
        Some(Self {
            graphql_url: below("/graphql")?,
            token_url: below("/oidc/token")?,
            health_url: below("/healthz")?,
            endpoint,
            text: text.to_owned(),
        })
    }

    /// The text as the spec has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A canonical form, which is equal for every spelling of the same URL: the host in lower case, without a
    /// default port, and without a slash at the end.
    pub fn root(&self) -> &str {
        let below = self.graphql_url.as_str();
        below.strip_suffix("/graphql").unwrap_or(below)
    }

    /// The host and port to connect to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the URL is an https URL.
    pub fn is_encrypted(&self) -> bool {
        self.graphql_url.scheme() == "https"
    }

    /// The URL for GraphQL queries.
    pub fn graphql_url(&self) -> &Url {
        &self.graphql_url
    }

    /// The URL at which identity tokens are exchanged (RFC 7523).
    pub fn token_url(&self) -> &Url {
        &self.token_url
    }

    /// The URL that answers without credentials as soon as the server runs.
    pub fn health_url(&self) -> &Url {
        &self.health_url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(Reason::InvalidSpec, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(base_url: &str, insecure_plaintext: bool) -> Result<BaseUrl, Problem> {
        BaseUrl::parse(&InstanceSpec { base_url: base_url.to_owned(), insecure_plaintext })
    }

    #[test]
    fn finds_everything_below_the_base() {
        for (text, root) in [
            ("https://wandb.example.com", "https://wandb.example.com"),
            ("https://wandb.example.com/", "https://wandb.example.com"),
            ("https://a.example/wandb", "https://a.example/wandb"),
            ("https://a.example/wandb/", "https://a.example/wandb"),
            ("https://a.example/wandb//", "https://a.example/wandb/"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            let url = parse(text, false).unwrap();
            assert_eq!(url.as_str(), text);
            assert_eq!((url.graphql_url().as_str(), url.root()), (format!("{root}/graphql").as_str(), root));
            assert_eq!(url.token_url().as_str(), format!("{root}/oidc/token"));
            assert_eq!(url.health_url().as_str(), format!("{root}/healthz"));
            assert!(url.is_encrypted());
        }
        assert_eq!(parse("https://a.example", false).unwrap().endpoint().port, 443);
        assert_eq!(parse("http://a.example:8080/", true).unwrap().endpoint().to_string(), "a.example:8080");
    }

    #[test]
    fn rejects_what_cannot_be_a_base() {
        for text in [
            "",
            "wandb.example.com",
            "HTTPS://wandb.example.com",
            "ftp://wandb.example.com",
            "https://",
            "https://user:password@wandb.example.com",
            "https://wandb.example.com?x",
            "https://wandb.example.com/#x",
            "https://wandb.example.com\n",
            " https://wandb.example.com",
            "https://wandb.example.com:0",
            "https://wandb.example.com:65536",
            &format!("https://wandb.example.com/{}", "x".repeat(LIMIT)),
        ] {
            for accepted in [false, true] {
                assert_eq!(parse(text, accepted).unwrap_err().reason, Reason::InvalidSpec, "{text}");
            }
        }
    }

    #[test]
    fn wants_encryption_unless_the_spec_does_without() {
        let problem = parse("http://wandb.example.com", false).unwrap_err();
        assert!(problem.message.contains("insecurePlaintext: true"), "{}", problem.message);
        assert!(!parse("http://wandb.example.com", true).unwrap().is_encrypted());
    }
}
