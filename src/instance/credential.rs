//! The credentials with which requests are authenticated.

use std::time::Duration;

use hyper::header::HeaderValue;

use super::ApiKey;
use crate::{
    api::Reason,
    problem::Problem,
    sensitive::{Redactor, Sensitive, base64},
};

/// An access token that W&B Server gave in exchange for an identity token.
#[derive(Clone)]
pub struct AccessToken {
    /// The token. All of its characters are allowed in a header.
    pub token: Sensitive,
    /// How long the token is valid, counted from when it was given.
    pub expires_in: Duration,
}

/// A credential for requests to W&B Server.
#[derive(Clone)]
pub enum Credential {
    /// An API key, sent by HTTP Basic authentication.
    Key(ApiKey),
    /// An access token, sent as a bearer token.
    Token(AccessToken),
}

impl Credential {
    /// The value of the header `Authorization`.
    pub(super) fn authorization(&self) -> Result<HeaderValue, Problem> {
        let text = match self {
            Self::Key(key) => format!("Basic {}", base64(&key.basic())),
            Self::Token(token) => format!("Bearer {}", token.token.expose()),
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            Problem::new(
                Reason::InvalidValue,
                format!("The {} has characters that no request can carry. Use another one.", self.noun()),
            )
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// How messages name the credential.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Key(_) => "API key",
            Self::Token(_) => "access token",
        }
    }

    /// A redactor that removes the credential from texts, in every form in which requests contain it.
    pub(super) fn redactor(&self) -> Redactor {
        match self {
            Self::Key(key) => Redactor::new(key.secrets()),
            Self::Token(token) => Redactor::new([token.token.clone()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sent_as_the_documentation_says() {
        let key =
            ApiKey::parse(&"0123456789012345678901234567890123456789".into()).unwrap_or_else(|_| panic!());
        let value = Credential::Key(key).authorization().unwrap();
        assert_eq!(value, "Basic YXBpOjAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODk=");
        assert_eq!(format!("{value:?}"), "Sensitive");
        let token = AccessToken { token: "a.b~c".into(), expires_in: Duration::ZERO };
        assert_eq!(Credential::Token(token).authorization().unwrap(), "Bearer a.b~c");
    }
}
