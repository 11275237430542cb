//! The discovery document: how it is had, and what it must say.

use std::sync::Arc;

use openidconnect::{
    AdditionalProviderMetadata, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::Plan;
use crate::{
    api::{Reason, oidc_provider::Provider},
    engine::Checked,
    issuer::{Issuer, expect_ok, read_json},
    net::{self, Duplex, HttpRequest, HttpResponse, Network, RequestKey},
    problem::{Problem, quote},
};

/// A discovery document.
pub(super) type Metadata = ProviderMetadata<
    Pkce,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What RFC 8414 added to the document.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Pkce {
    /// Usually `S256`.
    pub code_challenge_methods_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Pkce {}

/// Fetches the document over a connection that was made for it.
///
/// Resources that ask for the same document at the same time share one request; the connections of
/// the others are not used.
pub(super) async fn fetch(
    plan: &Plan,
    network: &Network,
    connection: Box<dyn Duplex>,
) -> Result<Checked<Metadata>, Problem> {
    let issuer = &plan.settings.issuer;
    let url = issuer.well_known_url();
    let key = RequestKey {
        url: url.clone(),
        host: network.full_name(&net::endpoint_of(url)?.host),
        ca_bundle: plan.ca_bundle.as_ref().map(|bundle| bundle.expose().to_owned()),
        server_name: plan.settings.server_name.clone(),
    };
    // Boxed, since it is moved several times on its way to being the one that is awaited.
    let request = Box::pin(async {
        let response = net::exchange(connection, HttpRequest::get(url.clone())).await?;
        expect_ok(&response, url, &network.egress, || advice(issuer, plan.settings.provider))?;
        Ok::<_, Problem>(response)
    });
    let response: Arc<HttpResponse> = network.documents.get(key, request).await?;
    let metadata = read(&response.body, url)?;
    if issuer.is_encrypted() {
        return Ok(Checked::passed(metadata, format!("{url} has the discovery document.")));
    }
    Ok(Checked::warning(
        metadata,
        Reason::Unencrypted,
        format!(
            "{url} has the discovery document, but tokens and secrets travel in the clear, as spec.insecurePlaintext accepts. Give the provider an https:// address."
        ),
    ))
}

/// What to look at when an issuer has no document.
fn advice(issuer: &Issuer, provider: Provider) -> &'static str {
    match provider {
        Provider::Cognito if issuer.host().ends_with(".amazoncognito.com") => {
            "The Cognito domain has no discovery document; the issuer is https://cognito-idp.<region>.amazonaws.com/<user pool ID>"
        }
        Provider::Cognito => "Check the region and the ID of the user pool",
        Provider::Keycloak => {
            "Check the realm's name (upper and lower case differ), and whether the server's paths begin with /auth, as before Keycloak 17"
        }
        Provider::Entra => "Check the tenant ID",
        _ => "Check spec.issuer, above all its path",
    }
}

/// What a field must be.
#[derive(Clone, Copy)]
enum Shape {
    Url,
    Texts,
}

/// The fields that are used, and those that OpenID Connect Discovery 1.0 section 3 requires.
const REQUIRED: [(&str, Shape); 6] = [
    ("issuer", Shape::Url),
    ("authorization_endpoint", Shape::Url),
    ("jwks_uri", Shape::Url),
    ("response_types_supported", Shape::Texts),
    ("subject_types_supported", Shape::Texts),
    ("id_token_signing_alg_values_supported", Shape::Texts),
];
const OPTIONAL: [(&str, Shape); 5] = [
    ("token_endpoint", Shape::Url),
    ("userinfo_endpoint", Shape::Url),
    ("scopes_supported", Shape::Texts),
    ("response_modes_supported", Shape::Texts),
    ("code_challenge_methods_supported", Shape::Texts),
];

fn read(body: &[u8], url: &Url) -> Result<Metadata, Problem> {
    let object = read_json(body, url)?;
    let problem = |what: String| {
        Problem::new(
            Reason::InvalidDocument,
            format!("The discovery document {what}. Check that {url} comes from an OpenID Provider."),
        )
    };
    // The library's errors name no field, so the fields are looked at before it reads them.
    for (field, shape) in REQUIRED {
        let value = object.get(field).ok_or_else(|| problem(format!("has no {field}")))?;
        expect_shape(field, shape, value).map_err(problem)?;
    }
    for (field, shape) in OPTIONAL {
        if let Some(value) = object.get(field).filter(|value| !value.is_null()) {
            expect_shape(field, shape, value).map_err(problem)?;
        }
    }
    serde_json::from_value(Value::Object(object))
        .map_err(|error| problem(format!("cannot be read: {}", quote(&error.to_string()))))
}

fn expect_shape(field: &str, shape: Shape, value: &Value) -> Result<(), String> {
    match shape {
        Shape::Url if value.as_str().is_some_and(|text| Url::parse(text).is_ok()) => Ok(()),
        Shape::Url => Err(format!("has a {field} that is not an absolute URL")),
        Shape::Texts if value.as_array().is_some_and(|list| list.iter().all(Value::is_string)) => Ok(()),
        Shape::Texts => Err(format!("has a {field} that is not a list of texts")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url() -> Url {
        Url::parse("https://idp.example/.well-known/openid-configuration").unwrap()
    }

    fn document() -> Value {
        json!({
            "issuer": "https://idp.example",
            "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": null,
            "jwks_uri": "https://idp.example/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "from-the-future"],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    #[test]
    fn reads_a_minimal_document() {
        let metadata = read(document().to_string().as_bytes(), &url()).unwrap();
        assert_eq!(metadata.issuer().as_str(), "https://idp.example");
        assert_eq!(
            metadata.additional_metadata().code_challenge_methods_supported,
            Some(vec!["S256".to_owned()])
        );
    }

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        for (field, _) in REQUIRED {
            let mut document = document();
            document.as_object_mut().unwrap().remove(field);
            let problem = read(document.to_string().as_bytes(), &url()).unwrap_err();
            assert_eq!(problem.reason, Reason::InvalidDocument);
            assert!(problem.message.contains(&format!("has no {field}")), "{}", problem.message);
        }
        for (field, _) in REQUIRED.into_iter().chain(OPTIONAL) {
            let mut document = document();
            document[field] = json!({"a": 1});
            let problem = read(document.to_string().as_bytes(), &url()).unwrap_err();
            assert_eq!(problem.reason, Reason::InvalidDocument);
            assert!(problem.message.contains(field), "{}", problem.message);
        }
    }

    #[test]
    fn tells_web_pages_from_other_answers() {
        for (body, reason) in [
            (" <!doctype html>", Reason::NotJson),
            ("", Reason::NotJson),
            ("{", Reason::NotJson),
            ("[]", Reason::InvalidDocument),
            ("{}", Reason::InvalidDocument),
        ] {
            assert_eq!(read(body.as_bytes(), &url()).unwrap_err().reason, reason, "{body}");
        }
    }
}
