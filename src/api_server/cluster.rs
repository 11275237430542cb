//! The cluster as an issuer of tokens, and whether its own API server accepts a given token.

use std::sync::Arc;

use hyper::{Request, StatusCode};
use jiff::Timestamp;
use kube::{Client, Config, client::Body, config::AuthInfo};

use super::{
    Load, Requests, Writes, client,
    clock::{Clock, Now},
};
use crate::{error::in_words, sensitive::Sensitive, token::Token};

/// A cluster, with the operator's own credentials for it.
#[derive(Clone)]
pub struct Cluster {
    /// The client with the operator's credentials.
    pub client: Client,
    /// The address, the trusted authorities, and the operator's credentials.
    config: Config,
    clock: Arc<Clock>,
    /// How much its API server can take.
    load: Load,
}

/// Whether the API server accepts a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// The API server recognizes an identity in the token.
    Accepted,
    /// The API server refuses the token.
    Refused,
    /// The answer does not show it. The text describes what happened.
    Unknown(String),
}

impl Cluster {
    /// The cluster of this configuration, from which the client was made.
    pub fn new(client: Client, config: Config) -> Self {
        Self { client, config, clock: Arc::default(), load: Load::default() }
    }

    /// The same, where what the client is answered tells how much the API server can take.
    #[must_use]
    pub fn with_load(self, load: Load) -> Self {
        Self { load, ..self }
    }

    /// How much its API server can take.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The current time of the API server.
    pub async fn now(&self) -> kube::Result<Now> {
        self.clock.read(&self.client).await
    }

    /// The current time of the API server in whole seconds, as it stores times, without another request.
    pub fn seconds(&self) -> Timestamp {
        self.clock.seconds()
    }

    /// The audiences of the operator's own token, all of which the API server accepts. Empty if the operator has no
    /// token, or one that does not list audiences.
    pub fn own_audiences(&self) -> Vec<String> {
        let auth = &self.config.auth_info;
        let text = match (&auth.token, &auth.token_file) {
            (Some(token), _) => Some(Sensitive::from(secrecy::ExposeSecret::expose_secret(token))),
            (None, Some(path)) => std::fs::read_to_string(path).ok().map(|text| Sensitive::from(text.trim())),
            (None, None) => None,
        };
        text.map(|text| audiences(&text)).unwrap_or_default()
    }

    /// Whether the API server accepts the token. The request carries the token instead of the operator's
    /// credentials.
    pub async fn accepts(&self, token: &Sensitive) -> Acceptance {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token: Some(token.expose().to_owned().into()), ..AuthInfo::default() };
        match ask(config).await {
            // The API server authenticates a request before it considers what is requested, so any other answer
            // means that it accepted the token.
            Ok(StatusCode::UNAUTHORIZED) => Acceptance::Refused,
            Ok(StatusCode::OK | StatusCode::FORBIDDEN) => Acceptance::Accepted,
            Ok(status) => Acceptance::Unknown(format!("it answers with the status {}", status.as_u16())),
            Err(error) => Acceptance::Unknown(in_words(&error)),
        }
    }
}

/// The status of a request that every authenticated account may make.
async fn ask(config: Config) -> kube::Result<StatusCode> {
    let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    Ok(client(config, &Writes::default(), &Requests::default())?.send(request).await?.status())
}

fn audiences(token: &Sensitive) -> Vec<String> {
    let Ok(token) = Token::read(token.expose()) else { return Vec::new() };
    let audiences = token.claims.audiences().unwrap_or_default();
    audiences.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_audiences_of_its_own_token() {
        let key = test_support::tokens::SigningKey::p256("key").unwrap();
        for (claims, expected) in [
            (json!({"aud": ["a", "b"]}), vec!["a", "b"]),
            (json!({"aud": "a"}), vec!["a"]),
            (json!({}), vec![]),
        ] {
            assert_eq!(audiences(&Sensitive::new(key.sign(&claims).unwrap())), expected);
        }
        assert_eq!(audiences(&"an-opaque-token".into()), Vec::<String>::new());
    }
}
