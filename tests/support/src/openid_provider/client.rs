//! The clients that a provider knows.

use serde::Serialize;

/// A client registered with the provider.
#[derive(Debug, Clone, Serialize)]
pub struct OpenIdClient {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    redirect_uris: Vec<String>,
    response_types: Vec<&'static str>,
    grant_types: Vec<&'static str>,
    token_endpoint_auth_method: &'static str,
    application_type: &'static str,
}

impl OpenIdClient {
    /// A client with a secret (sent as HTTP Basic) and the authorization code flow.
    pub fn confidential(id: &str, secret: &str, redirect_uri: &str) -> Self {
        Self {
            client_id: id.to_owned(),
            client_secret: Some(secret.to_owned()),
            redirect_uris: vec![redirect_uri.to_owned()],
            response_types: vec!["code"],
            grant_types: vec!["authorization_code"],
            token_endpoint_auth_method: "client_secret_basic",
            application_type: "web",
        }
    }

    /// A client without a secret, which must use PKCE.
    pub fn public(id: &str, redirect_uri: &str) -> Self {
        Self {
            token_endpoint_auth_method: "none",
            client_secret: None,
            ..Self::confidential(id, "", redirect_uri)
        }
    }

    /// A client without a secret that gets an ID token from the authorization endpoint, by form post too.
    pub fn implicit(id: &str, redirect_uri: &str) -> Self {
        Self {
            response_types: vec!["id_token"],
            grant_types: vec!["implicit"],
            ..Self::public(id, redirect_uri)
        }
    }

    /// A program with a secret that gets JWT access tokens by client credentials.
    pub fn machine(id: &str, secret: &str) -> Self {
        Self {
            redirect_uris: Vec::new(),
            response_types: Vec::new(),
            grant_types: vec!["client_credentials"],
            ..Self::confidential(id, secret, "")
        }
    }

    /// The same, with another redirect URI beside its first.
    #[must_use]
    pub fn and_redirect_uri(mut self, redirect_uri: &str) -> Self {
        self.redirect_uris.push(redirect_uri.to_owned());
        self
    }

    /// The same as a program on a person's machine, whose redirect URIs may be on loopback in every flow.
    #[must_use]
    pub fn native(self) -> Self {
        Self { application_type: "native", ..self }
    }

    /// The same, sending its secret in the request's body.
    #[must_use]
    pub fn with_secret_in_body(self) -> Self {
        Self { token_endpoint_auth_method: "client_secret_post", ..self }
    }
}
