//! The discovery document: how it is had, and what it must say.

use url::Url;

use super::OidcPlan;
use crate::{
    api::{Reason, oidc_provider::Provider},
    engine::Checked,
    issuer::{self, Document, Issuer, TextList},
    net::{HttpClient, HttpConnection, Lasting, Recency},
    problem::Problem,
};

/// A discovery document of a provider that people can log in with.
#[derive(Debug)]
pub(super) struct ProviderMetadata {
    /// What W&B Server reads.
    pub document: Document,
    /// Where people log in.
    pub authorization_endpoint: Url,
    /// Where codes are exchanged for tokens.
    pub token_endpoint: Option<Url>,
    /// Unused by W&B.
    pub userinfo_endpoint: Option<Url>,
    /// What the provider offers; W&B Server does not read it.
    pub offers: Offers,
}

/// Fields that say what the provider offers (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// The flows.
    pub response_types: Option<Vec<String>>,
    /// How answers come back.
    pub response_modes: Option<Vec<String>>,
    /// The scopes.
    pub scopes: Option<Vec<String>>,
    /// The methods of PKCE.
    pub code_challenge_methods: Option<Vec<String>>,
}

/// A document that is there is so for others, too.
pub(super) const SHARED: (Lasting, Recency) = (Lasting::Found, Recency::AsShared);

/// Fetches the document over a connection that was made for it.
///
/// Resources that ask for the same document share one request; the connections of the others are not used.
pub(super) async fn fetch(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    connection: HttpConnection,
) -> Result<Checked<ProviderMetadata>, Problem> {
    let issuer = &plan.settings.issuer;
    let url = issuer.well_known_url();
    http.leave(url, connection).await?;
    let advice = || advice(issuer, plan.settings.provider);
    let response = issuer::fetch(http, plan.ca_bundle.as_ref(), url, SHARED, advice).await?;
    let (metadata, unread) = read(&response.body, url)?;
    let seen = format!("{url} has the discovery document");
    let unencrypted = "tokens and secrets travel unencrypted, as spec.insecurePlaintext accepts. Give the provider an https:// address";
    let unread = (!unread.is_empty()).then(|| {
        format!(
            "its {} cannot be read. W&B does not use that, so people can log in anyway; correct it at the provider for other programs",
            unread.join(" and ")
        )
    });
    let age = http.network.seen_within();
    Ok(match (issuer.is_encrypted(), unread) {
        (true, None) => Checked::passed(metadata, format!("{seen}.{age}")),
        (true, Some(unread)) => {
            Checked::warning(metadata, Reason::InvalidDocument, format!("{seen}, but {unread}.{age}"))
        }
        (false, None) => {
            Checked::warning(metadata, Reason::Unencrypted, format!("{seen}, but {unencrypted}.{age}"))
        }
        (false, Some(unread)) => Checked::warning(
            metadata,
            Reason::Unencrypted,
            format!("{seen}, but {unencrypted}. Also, {unread}.{age}"),
        ),
    })
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

/// Reads the document; beside it, the fields that decide nothing and are not as they should be.
fn read(body: &[u8], url: &Url) -> Result<(ProviderMetadata, Vec<&'static str>), Problem> {
    let document = Document::read(body, url)?;
    let problem = |what: &str| {
        Problem::new(
            Reason::InvalidDocument,
            format!("The discovery document {what}. Check that {url} comes from an OpenID Provider."),
        )
    };
    let authorization_endpoint = document
        .authorization_endpoint
        .as_deref()
        .ok_or_else(|| problem("has no authorization_endpoint, where people log in"))?;
    let authorization_endpoint = Url::parse(authorization_endpoint)
        .map_err(|_| problem("has an authorization_endpoint that is not an absolute URL"))?;
    let mut unread = Vec::new();
    let token_endpoint = match document.token_endpoint.as_deref().map(Url::parse) {
        None => None,
        Some(Ok(url)) => Some(url),
        Some(Err(_)) => return Err(problem("has a token_endpoint that is not an absolute URL")),
    };
    let userinfo_endpoint = match document.userinfo_endpoint.as_deref().map(Url::parse) {
        None => None,
        Some(Ok(url)) => Some(url),
        Some(Err(_)) => {
            unread.push("userinfo_endpoint");
            None
        }
    };
    let mut texts = |name: &'static str| match document.texts(name) {
        TextList::Texts(list) => Some(list),
        TextList::Absent => None,
        TextList::Mistyped => {
            unread.push(name);
            None
        }
    };
    let offers = Offers {
        response_types: texts("response_types_supported"),
        response_modes: texts("response_modes_supported"),
        scopes: texts("scopes_supported"),
        code_challenge_methods: texts("code_challenge_methods_supported"),
    };
    Ok((
        ProviderMetadata { document, authorization_endpoint, token_endpoint, userinfo_endpoint, offers },
        unread,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn url() -> Url {
        Url::parse("https://idp.example/.well-known/openid-configuration").unwrap()
    }

    fn read_with(changes: &Value) -> Result<(ProviderMetadata, Vec<&'static str>), Problem> {
        let mut document = json!({
            "issuer": "https://idp.example",
            "authorization_endpoint": "https://idp.example/authorize",
            "jwks_uri": "https://idp.example/jwks",
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        read(document.to_string().as_bytes(), &url())
    }

    #[test]
    fn reads_a_minimal_document() {
        let (metadata, unread) = read_with(&json!({ "token_endpoint": null })).unwrap();
        assert_eq!(metadata.document.issuer, "https://idp.example");
        assert_eq!((metadata.token_endpoint, metadata.offers), (None, Offers::default()));
        assert!(unread.is_empty());
        let (metadata, _) = read_with(&json!({ "code_challenge_methods_supported": ["S256"] })).unwrap();
        assert_eq!(metadata.offers.code_challenge_methods, Some(vec!["S256".to_owned()]));
    }

    #[test]
    fn what_nobody_uses_is_named_and_decides_nothing() {
        for (field, value) in [
            ("userinfo_endpoint", json!("userinfo")),
            ("response_types_supported", json!("code")),
            ("response_modes_supported", json!({})),
            ("scopes_supported", json!([1])),
            ("code_challenge_methods_supported", json!(true)),
        ] {
            let (metadata, unread) = read_with(&json!({ field: value })).unwrap();
            assert_eq!(unread, [field]);
            assert_eq!((metadata.userinfo_endpoint, metadata.offers), (None, Offers::default()));
        }
    }

    #[test]
    fn names_the_endpoint_that_nobody_could_log_in_at() {
        for (changes, words) in [
            (json!({ "authorization_endpoint": null }), "has no authorization_endpoint"),
            (
                json!({ "authorization_endpoint": "/authorize" }),
                "authorization_endpoint that is not an absolute",
            ),
            (json!({ "token_endpoint": "/token" }), "token_endpoint that is not an absolute"),
        ] {
            let problem = read_with(&changes).unwrap_err();
            assert_eq!(problem.reason, Reason::InvalidDocument);
            assert!(problem.message.contains(words), "{}", problem.message);
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
