//! The cluster as a maker of tokens: what it makes, and which of that opens its own API server.

use std::sync::Arc;

use hyper::{Request, StatusCode};
use jiff::Timestamp;
use kube::{Client, Config, client::Body, config::AuthInfo};

use super::{
    Load, Writes, client,
    clock::{Clock, Now},
};
use crate::{error::in_words, jwt::Token, sensitive::Sensitive};

/// A cluster, with the operator's own right to it.
#[derive(Clone)]
pub struct Cluster {
    /// The connection with the operator's credentials.
    pub client: Client,
    /// Where it is and whom to trust, with the operator's credentials.
    config: Config,
    clock: Arc<Clock>,
    /// How much its API server can take.
    load: Load,
}

/// What the API server makes of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It takes the token for somebody.
    Accepted,
    /// It refuses the token.
    Refused,
    /// It does not say; what was seen.
    Unknown(String),
}

impl Cluster {
    /// The cluster of this configuration, which the client belongs to.
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

    /// The present time of the API server.
    pub async fn now(&self) -> kube::Result<Now> {
        self.clock.read(&self.client).await
    }

    /// The same in whole seconds, as it stores times, without a new reading of its clock.
    pub fn seconds(&self) -> Timestamp {
        self.clock.seconds()
    }

    /// The audiences of the operator's own token, all of which the API server accepts. Nothing where the operator has
    /// no token, or one that says nothing.
    pub fn own_audiences(&self) -> Vec<String> {
        let auth = &self.config.auth_info;
        let text = match (&auth.token, &auth.token_file) {
            (Some(token), _) => Some(Sensitive::from(secrecy::ExposeSecret::expose_secret(token))),
            (None, Some(path)) => std::fs::read_to_string(path).ok().map(|text| Sensitive::from(text.trim())),
            (None, None) => None,
        };
        text.map(|text| audiences(&text)).unwrap_or_default()
    }

    /// Whether the token opens the API server that it is from: it is sent there as a stranger would send it.
    pub async fn accepts(&self, token: &Sensitive) -> Acceptance {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token: Some(token.expose().to_owned().into()), ..AuthInfo::default() };
        match ask(config).await {
            // Whoever is not known is refused before it is looked at what is asked for.
            Ok(StatusCode::UNAUTHORIZED) => Acceptance::Refused,
            Ok(StatusCode::OK | StatusCode::FORBIDDEN) => Acceptance::Accepted,
            Ok(status) => Acceptance::Unknown(format!("it answers with the status {}", status.as_u16())),
            Err(error) => Acceptance::Unknown(in_words(&error)),
        }
    }
}

/// The status of a request that everybody may make who is known.
async fn ask(config: Config) -> kube::Result<StatusCode> {
    let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    Ok(client(config, &Writes::default())?.send(request).await?.status())
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
