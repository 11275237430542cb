//! The authorization request: the URL at which a person's browser begins a login (RFC 6749 section 4.1.1, OpenID Connect
//! Core 1.0 section 3).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use url::Url;

use super::{OidcSettings, discovery::ProviderMetadata};
use crate::api::oidc_provider::AuthMethod;

/// What differs from one request to the next.
pub(super) struct AuthorizationRequest<'a> {
    /// Where the provider sends the browser back to.
    pub redirect_uri: &'a str,
    /// The scopes.
    pub scope: &'a str,
    /// Comes back with the answer.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// Proves to the token endpoint that the code belongs to this request (RFC 7636).
    pub verifier: &'a str,
    /// How an ID token comes back that the authorization endpoint itself gives.
    pub response_mode: ResponseMode,
}

/// How an ID token comes back in the implicit flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseMode {
    /// By a form that the browser posts, as W&B Server wants it.
    FormPost,
    /// In the fragment of the address, where a person can copy it.
    Fragment,
}

/// The request of W&B's login page.
pub(super) fn authorization_url(
    settings: &OidcSettings,
    metadata: &ProviderMetadata,
    request: &AuthorizationRequest<'_>,
) -> Url {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, request.verifier.as_bytes()));
    let flow = match settings.flow {
        AuthMethod::Pkce => {
            [("response_type", "code"), ("code_challenge", &challenge), ("code_challenge_method", "S256")]
                .to_vec()
        }
        AuthMethod::Implicit => {
            let mode = match request.response_mode {
                ResponseMode::FormPost => "form_post",
                ResponseMode::Fragment => "fragment",
            };
            [("response_type", "id_token"), ("response_mode", mode)].to_vec()
        }
    };
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut()
        .extend_pairs(flow)
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", request.redirect_uri)
        .append_pair("scope", request.scope)
        .append_pair("state", request.state)
        .append_pair("nonce", request.nonce);
    url
}
