//! Where the provider sends people back to.

use std::fmt;

use url::Url;

use crate::issuer::{plain_url, without_slash};

/// Where the provider sends people back to, with the answer for W&B.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    url: Url,
}

impl RedirectUri {
    /// The redirect URI of W&B at a URL without a path.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        let root = without_slash(host);
        if plain_url(host)?.path() != "/" || plain_url(root).is_none() {
            return None;
        }
        let text = format!("{root}/oidc/callback");
        Some(Self { url: Url::parse(&text).ok()?, text })
    }

    /// An address of this machine itself (RFC 8252 section 7.3), at which a program can listen: `http://localhost:PORT/…`.
    pub fn of_loopback(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_loopback = match url.host()? {
            url::Host::Domain(name) => name == "localhost",
            url::Host::Ipv4(address) => address.is_loopback(),
            url::Host::Ipv6(address) => address.is_loopback(),
        };
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        (is_loopback && is_plain && url.scheme() == "http").then(|| Self { text: text.to_owned(), url })
    }

    /// The URL that the text is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The text as it is to be registered.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a URL leads there, whatever parameters it carries.
    pub fn is_reached_by(&self, url: &Url) -> bool {
        url.origin() == self.url.origin() && url.path() == self.url.path()
    }
}

impl RedirectUri {
    /// Whether both are the same place.
    pub(super) fn leads_to(&self, other: &Self) -> bool {
        other.is_reached_by(&self.url)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_redirect_uri_from_the_host() {
        for host in ["https://wandb.example.com", "https://wandb.example.com/"] {
            assert_eq!(
                RedirectUri::of_host(host).unwrap().as_str(),
                "https://wandb.example.com/oidc/callback"
            );
        }
        for host in ["wandb.example.com", "https://wandb.example.com/app", "https://wandb.example.com//"] {
            assert_eq!(RedirectUri::of_host(host), None, "{host}");
        }
    }

    #[test]
    fn programs_listen_on_loopback_only() {
        for text in
            ["http://localhost:8765/callback", "http://127.0.0.1:8765", "http://[::1]:8765/oidc/callback"]
        {
            assert_eq!(RedirectUri::of_loopback(text).unwrap().as_str(), text);
        }
        for text in [
            "https://localhost:8765/callback",
            "http://wandb.example.com/oidc/callback",
            "http://localhost.example.com/",
            "http://localhost:8765/?a=b",
            "http://10.0.0.1:80/",
            "localhost:8765",
        ] {
            assert_eq!(RedirectUri::of_loopback(text), None, "{text}");
        }
    }

    #[test]
    fn recognizes_an_answer_to_the_redirect_uri() {
        let uri = RedirectUri::of_host("https://wandb.example.com").unwrap();
        for (url, reached) in [
            ("https://wandb.example.com/oidc/callback?error=login_required", true),
            ("https://wandb.example.com:443/oidc/callback#error=login_required", true),
            ("https://wandb.example.com/oidc/callback/x", false),
            ("http://wandb.example.com/oidc/callback", false),
            ("https://login.example.com/oidc/callback", false),
        ] {
            assert_eq!(uri.is_reached_by(&Url::parse(url).unwrap()), reached, "{url}");
        }
    }
}
