//! Reads a discovery document as go-oidc does: it uses few fields, but fails if one of them has a wrong type.

use serde_json::{Map, Value};
use url::Url;

use super::read_json;
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// A discovery document (OpenID Connect Discovery 1.0 section 3): the fields that W&B Server reads, and all others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    /// The issuer that the document names.
    pub issuer: String,
    /// The URL at which people log in.
    pub authorization_endpoint: Option<String>,
    /// The URL at which tokens are requested.
    pub token_endpoint: Option<String>,
    /// The URL at which a person's claims can be requested.
    pub userinfo_endpoint: Option<String>,
    /// The URL of the key set.
    pub jwks_uri: Url,
    /// The signature algorithms with which W&B Server accepts ID tokens.
    pub algorithms: Vec<String>,
    fields: Map<String, Value>,
}

/// The algorithms that go-oidc accepts from a document; below, the one that it uses if the document names none of
/// them.
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"];
const DEFAULT_ALGORITHM: &str = "RS256";

/// A field that should be a list of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextList {
    /// The document does not have the field.
    Absent,
    /// The field is not a list of texts.
    Mistyped,
    /// The texts in the list.
    Texts(Vec<String>),
}

impl Document {
    /// Parses the document at this URL. The problem names the field on which W&B Server fails.
    pub(crate) fn read(body: &[u8], url: &Url) -> Result<Self, Problem> {
        let fields = read_json(body, url)?;
        let problem = |what: String| {
            Problem::new(
                Reason::InvalidDocument,
                format!(
                    "The discovery document {what}. Check that {} comes from an OpenID Provider or another issuer of tokens.",
                    quote(url.as_str())
                ),
            )
        };
        Self::of(fields).map_err(problem)
    }

    fn of(fields: Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| match field(&fields, name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("has {name} that is not a text, which W&B Server cannot read")),
        };
        text("device_authorization_endpoint")?;
        let (authorization_endpoint, token_endpoint, userinfo_endpoint) =
            (text("authorization_endpoint")?, text("token_endpoint")?, text("userinfo_endpoint")?);
        let algorithms = match text_list(&fields, "id_token_signing_alg_values_supported") {
            TextList::Mistyped => {
                return Err(
                    "has id_token_signing_alg_values_supported that is not a list of texts, which W&B Server cannot read"
                        .to_owned(),
                );
            }
            TextList::Absent => Vec::new(),
            TextList::Texts(list) => list,
        };
        let issuer = text("issuer")?.ok_or("has no issuer")?;
        let jwks_uri = text("jwks_uri")?.ok_or("has no jwks_uri")?;
        let jwks_uri = Url::parse(&jwks_uri).map_err(|_| "has a jwks_uri that is not an absolute URL")?;
        Ok(Self {
            issuer,
            authorization_endpoint,
            token_endpoint,
            userinfo_endpoint,
            jwks_uri,
            algorithms: accepted(algorithms),
            fields,
        })
    }

    /// Whether another document is equal in what W&B Server reads of it.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let read = |document: &Self| {
            let Self { issuer, authorization_endpoint, token_endpoint, jwks_uri, algorithms, .. } =
                document.clone();
            (issuer, authorization_endpoint, token_endpoint, jwks_uri, algorithms)
        };
        read(self) == read(other)
    }

    /// A field that W&B Server does not read, but that describes the capabilities of the provider.
    pub(crate) fn texts(&self, name: &str) -> TextList {
        text_list(&self.fields, name)
    }
}

fn accepted(advertised: Vec<String>) -> Vec<String> {
    let known: Vec<_> =
        advertised.into_iter().filter(|algorithm| ALGORITHMS.contains(&algorithm.as_str())).collect();
    if known.is_empty() { vec![DEFAULT_ALGORITHM.to_owned()] } else { known }
}

/// A field by its name; null counts as absent. Like Go, this ignores case if no field has exactly this name.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let exact = fields.get(name);
    let found = exact
        .or_else(|| fields.iter().find(|(seen, _)| seen.eq_ignore_ascii_case(name)).map(|(_, value)| value));
    found.filter(|value| !value.is_null())
}

fn text_list(fields: &Map<String, Value>, name: &str) -> TextList {
    let Some(value) = field(fields, name) else { return TextList::Absent };
    // Go reads null in a list of texts as an empty text.
    let texts = value.as_array().and_then(|list| {
        list.iter()
            .map(
                |entry| if entry.is_null() { Some(String::new()) } else { entry.as_str().map(str::to_owned) },
            )
            .collect::<Option<Vec<_>>>()
    });
    texts.map_or(TextList::Mistyped, TextList::Texts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(changes: &Value) -> Result<Document, Problem> {
        let url = Url::parse("https://idp.example/.well-known/openid-configuration").unwrap();
        let mut document = json!({ "issuer": "https://idp.example", "jwks_uri": "https://idp.example/jwks" });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Document::read(document.to_string().as_bytes(), &url)
    }

    proptest! {
        #[test]
        fn survives_any_answer(body in any::<Vec<u8>>(), name in "[a-z_]{1,20}", value in any::<String>()) {
            let url = Url::parse("https://idp.example/").unwrap();
            let _ = Document::read(&body, &url);
            let document = read(&json!({ name: value }));
            prop_assert!(document.is_ok_and(|document| !document.algorithms.is_empty()));
        }
    }

    #[test]
    fn little_is_needed() {
        let document = read(&json!({ "op_tos_uri": "", "claims_parameter_supported": "true" })).unwrap();
        assert_eq!(document.issuer, "https://idp.example");
        assert_eq!(document.jwks_uri.as_str(), "https://idp.example/jwks");
        assert_eq!(document.algorithms, ["RS256"]);
        assert_eq!(document.texts("scopes_supported"), TextList::Absent);
        assert_eq!(
            read(&json!({ "scopes_supported": "openid" })).unwrap().texts("scopes_supported"),
            TextList::Mistyped
        );
    }

    #[test]
    fn algorithms_are_those_that_the_server_takes_from_the_document() {
        for (list, expected) in [
            (json!(null), vec!["RS256"]),
            (json!([]), vec!["RS256"]),
            (json!(["HS256", "none"]), vec!["RS256"]),
            (json!(["ES512", "from-the-future", null]), vec!["ES512"]),
        ] {
            let document = read(&json!({ "id_token_signing_alg_values_supported": list })).unwrap();
            assert_eq!(document.algorithms, expected, "{list}");
        }
    }

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        for (changes, words) in [
            (json!({ "issuer": null }), "has no issuer"),
            (json!({ "issuer": 1 }), "issuer that is not a text"),
            (json!({ "jwks_uri": "" }), "has no jwks_uri"),
            (json!({ "jwks_uri": "/jwks" }), "not an absolute URL"),
            (json!({ "jwks_uri": [] }), "jwks_uri that is not a text"),
            (json!({ "token_endpoint": {} }), "token_endpoint"),
            (json!({ "authorization_endpoint": false }), "authorization_endpoint"),
            (json!({ "userinfo_endpoint": 7 }), "userinfo_endpoint"),
            (json!({ "device_authorization_endpoint": 7 }), "device_authorization_endpoint"),
            (
                json!({ "id_token_signing_alg_values_supported": "RS256" }),
                "id_token_signing_alg_values_supported",
            ),
            (json!({ "id_token_signing_alg_values_supported": [7] }), "not a list of texts"),
        ] {
            let problem = read(&changes).unwrap_err();
            assert_eq!(problem.reason, Reason::InvalidDocument);
            assert!(problem.message.contains(words), "{changes}: {}", problem.message);
        }
    }
}
