//! An issuer that a test makes up, right but for what the test changes.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use test_support::{
    Certificate,
    hostile::{AfterAnswer, HttpServer, Request, Response},
    tokens::SigningKey,
};

use super::{SUBJECT, in_seconds};

pub const WELL_KNOWN: &str = "/.well-known/openid-configuration";
pub const OLDER_WELL_KNOWN: &str = "/.well-known/oidc-configuration";

/// An issuer with a document that has what is needed and nothing else, but for these changes.
pub struct Issuer {
    changes: Value,
    keys: Arc<Mutex<Value>>,
    places: Vec<&'static str>,
    answers: Vec<(&'static str, Response)>,
}

impl Issuer {
    pub fn publishing(keys: &[&SigningKey]) -> Self {
        let issuer = Self {
            changes: json!({}),
            keys: Arc::default(),
            places: vec![WELL_KNOWN, OLDER_WELL_KNOWN],
            answers: Vec::new(),
        };
        let keys: Vec<_> = keys.iter().map(|key| key.jwk().unwrap()).collect();
        issuer.publishing_jwks(json!(keys))
    }

    /// Publishes these JSON Web Keys.
    pub fn publishing_jwks(self, keys: Value) -> Self {
        Self { keys: Arc::new(Mutex::new(keys)), ..self }
    }

    /// The published keys, to be replaced while it runs.
    pub fn keys(&self) -> Arc<Mutex<Value>> {
        Arc::clone(&self.keys)
    }

    /// Changes the document; null takes a field out.
    pub fn changed(self, changes: Value) -> Self {
        Self { changes, ..self }
    }

    /// Has the document at these places only.
    pub fn at(self, places: &[&'static str]) -> Self {
        Self { places: places.to_vec(), ..self }
    }

    /// Answers this path in another way.
    pub fn answering(mut self, path: &'static str, answer: Response) -> Self {
        self.answers.push((path, answer));
        self
    }

    pub fn start(self) -> HttpServer {
        HttpServer::plain(move |request| self.answer("http", request)).unwrap()
    }

    pub fn start_tls(self, certificate: &Certificate) -> HttpServer {
        HttpServer::tls(certificate, move |request| self.answer("https", request)).unwrap()
    }

    /// The same, where this becomes of connections after an answer.
    pub fn start_tls_with(self, certificate: &Certificate, after: AfterAnswer) -> HttpServer {
        HttpServer::tls_with(certificate, after, move |request| self.answer("https", request)).unwrap()
    }

    fn answer(&self, scheme: &str, request: &Request) -> Response {
        let path = request.path.as_str();
        if let Some((_, answer)) = self.answers.iter().find(|(answered, _)| *answered == path) {
            return answer.clone();
        }
        let issuer = format!("{scheme}://{}", request.header("host").unwrap_or_default());
        match path {
            _ if self.places.contains(&path) => Response::json(&self.document(&issuer)),
            "/jwks" => Response::json(&json!({ "keys": *self.keys.lock().unwrap() })),
            _ => Response::status(404, ""),
        }
    }

    fn document(&self, issuer: &str) -> Value {
        let mut document = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        });
        let fields = document.as_object_mut().unwrap();
        fields.extend(self.changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        document
    }
}

/// Claims that keep every rule but for these changes; null takes a claim out.
pub fn claims(issuer: &str, changes: &Value) -> Value {
    let mut claims = json!({ "iss": issuer, "sub": SUBJECT, "aud": "my-org", "exp": in_seconds(600) });
    let fields = claims.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    claims
}
