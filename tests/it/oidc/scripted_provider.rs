//! A provider that a test makes up, right but for what the test changes.

use serde_json::{Value, json};
use test_support::{
    Certificate,
    hostile::{HttpServer, Request, Response, discovery_document},
};

pub const WELL_KNOWN: &str = "/.well-known/openid-configuration";

type Answer = Box<dyn Fn(&Request) -> Response + Send + Sync>;

/// A provider with a document that lacks nothing but for these changes.
pub struct Provider {
    changes: Value,
    keys: Value,
    answers: Vec<(&'static str, Answer)>,
}

impl Provider {
    pub fn with(changes: Value) -> Self {
        let token: Answer = Box::new(|_| refusal(400, "invalid_grant"));
        Self { changes, keys: json!([strong_key()]), answers: vec![("/token", token)] }
    }

    /// Publishes these keys instead of a strong one.
    pub fn publishing(self, keys: Value) -> Self {
        Self { keys, ..self }
    }

    /// Answers this path in another way.
    pub fn answering(
        mut self,
        path: &'static str,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.answers.insert(0, (path, Box::new(answer)));
        self
    }

    pub fn start(self) -> HttpServer {
        HttpServer::plain(move |request| self.answer("http", request)).unwrap()
    }

    pub fn start_tls(self, certificate: &Certificate) -> HttpServer {
        HttpServer::tls(certificate, move |request| self.answer("https", request)).unwrap()
    }

    fn answer(&self, scheme: &str, request: &Request) -> Response {
        let issuer = format!("{scheme}://{}", request.header("host").unwrap_or_default());
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some((_, answer)) = self.answers.iter().find(|(answered, _)| *answered == path) {
            return answer(request);
        }
        match path {
            WELL_KNOWN => Response::json(&self.document(&issuer)),
            "/jwks" => Response::json(&json!({ "keys": self.keys })),
            _ => Response::status(404, ""),
        }
    }

    /// A change to null takes the field out.
    fn document(&self, issuer: &str) -> Value {
        let mut document = discovery_document(issuer);
        let fields = document.as_object_mut().unwrap();
        fields.extend(self.changes.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        document
    }
}

pub fn refusal(status: u16, error: &str) -> Response {
    Response::status(status, &json!({ "error": error }).to_string())
}

/// A digit of base64url is six bits.
pub fn strong_key() -> Value {
    json!({ "kty": "RSA", "use": "sig", "n": format!("{}w", "_".repeat(341)), "e": "AQAB" })
}
