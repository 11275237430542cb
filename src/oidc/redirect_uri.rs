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
