//! Parses `spec.credentials.federated` into types that cannot express invalid settings.

use std::{collections::BTreeMap, time::Duration};

use super::super::account::invalid;
use crate::{
    api::{
        KeyReference,
        common::is_object_name,
        service_account::{ClientCredentialsToken, FederatedSpec, RESERVED_PARAMETERS, ServiceAccountToken},
    },
    engine::{Reference, ReferencedKind},
    problem::Problem,
};

/// The kind to which a federated account refers.
const JWT_ISSUER: ReferencedKind = ReferencedKind { kind: "JwtIssuer", plural: "jwtissuers" };

/// The field that refers to the `JwtIssuer`.
pub(super) const ISSUER: &str = "spec.credentials.federated.issuerRef";
/// The field that refers to a token that somebody else keeps fresh.
pub(super) const TOKEN: &str = "spec.credentials.federated.token.secretRef";
/// The field that refers to the client's secret.
pub(super) const CLIENT_SECRET: &str = "spec.credentials.federated.token.clientCredentials.clientSecretRef";

/// The identity of the account, and the source of its tokens.
pub struct FederatedSettings {
    /// The name of the `JwtIssuer`.
    pub issuer: String,
    /// The exact subject of the tokens.
    pub subject: String,
    /// The audience of the tokens.
    pub audience: String,
    /// The source of the tokens.
    pub source: TokenSource,
}

/// A source of tokens.
pub enum TokenSource {
    /// Somebody else puts tokens into a Secret.
    Secret,
    /// Kubernetes issues the tokens.
    Kubernetes {
        /// The Kubernetes service account for which they are issued.
        account: String,
        /// The requested lifetime of each token.
        expiration: Duration,
    },
    /// The issuer gives tokens to a client.
    ClientCredentials {
        /// The identifier of the client.
        id: String,
        /// The scopes to ask for, separated by spaces.
        scope: Option<String>,
        /// Further parameters that the issuer expects in the request.
        parameters: BTreeMap<String, String>,
    },
}

/// The limits of the schema. Lengths are in characters.
const SUBJECT_LIMIT: usize = 512;
const AUDIENCE_LIMIT: usize = 256;
const FIELD_LIMIT: usize = 512;
const PARAMETERS_LIMIT: usize = 16;
const PARAMETER_NAME_LIMIT: usize = 64;
const PARAMETER_LIMIT: usize = 1024;
const SHORTEST: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(24);

impl FederatedSettings {
    /// Parses and checks the spec, without its references. The schema's rules are repeated here, since the command
    /// `check` works without an API server.
    pub fn parse(spec: &FederatedSpec) -> Result<Self, Problem> {
        let token = &spec.token;
        let source = match (&token.secret_ref, &token.service_account, &token.client_credentials) {
            (Some(_), None, None) => TokenSource::Secret,
            (None, Some(account), None) => kubernetes(account)?,
            (None, None, Some(client)) => client_credentials(client)?,
            _ => {
                return invalid(
                    "spec.credentials.federated.token must have exactly one of secretRef, serviceAccount and clientCredentials",
                );
            }
        };
        Ok(Self {
            issuer: object_name("issuerRef.name", &spec.issuer_ref.name)?,
            subject: text("subject", &spec.subject, SUBJECT_LIMIT)?,
            audience: text("audience", &spec.audience, AUDIENCE_LIMIT)?,
            source,
        })
    }
}

/// The objects to which the spec refers.
pub fn references(spec: &FederatedSpec) -> Vec<Reference> {
    let secret = |reference: &KeyReference, field: &'static str| Reference::secret(reference, field);
    let token = spec.token.secret_ref.iter().map(|reference| secret(reference, TOKEN));
    let client = spec.token.client_credentials.iter();
    let client = client.map(|client| secret(&client.client_secret_ref, CLIENT_SECRET));
    let issuer = Reference::neighbour(JWT_ISSUER, &spec.issuer_ref.name, ISSUER);
    [issuer].into_iter().chain(token).chain(client).collect()
}

fn text(field: &str, text: &str, limit: usize) -> Result<String, Problem> {
    if text.is_empty() || text.chars().count() > limit {
        return invalid(format!("spec.credentials.federated.{field} must have 1 to {limit} characters"));
    }
    if text.trim() != text {
        return invalid(format!(
            "spec.credentials.federated.{field} must not begin or end with white space, since W&B compares it character by character"
        ));
    }
    Ok(text.to_owned())
}

fn object_name(field: &str, name: &str) -> Result<String, Problem> {
    if is_object_name(name) {
        return Ok(name.to_owned());
    }
    // The text is not repeated: it may be a secret that stands in the wrong place.
    invalid(format!(
        "spec.credentials.federated.{field} must be the name of an object in this namespace, but is another text"
    ))
}

fn kubernetes(account: &ServiceAccountToken) -> Result<TokenSource, Problem> {
    let expiration = account.expiration.get();
    if !(SHORTEST..=LONGEST).contains(&expiration) {
        return invalid(
            "spec.credentials.federated.token.serviceAccount.expiration must be between 10m and 24h",
        );
    }
    Ok(TokenSource::Kubernetes {
        account: object_name("token.serviceAccount.name", &account.name)?,
        expiration,
    })
}

fn client_credentials(client: &ClientCredentialsToken) -> Result<TokenSource, Problem> {
    let scope = client.scope.clone();
    if scope.as_ref().is_some_and(|scope| !is_scope(scope)) {
        return invalid(
            "spec.credentials.federated.token.clientCredentials.scope must be scopes separated by one space each, without quotes and backslashes",
        );
    }
    let id = text("token.clientCredentials.clientID", &client.client_id, FIELD_LIMIT)?;
    Ok(TokenSource::ClientCredentials { id, scope, parameters: parameters(client)? })
}

fn parameters(client: &ClientCredentialsToken) -> Result<BTreeMap<String, String>, Problem> {
    const FIELD: &str = "spec.credentials.federated.token.clientCredentials.parameters";
    let parameters: BTreeMap<_, _> =
        client.parameters.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    if let Some(name) = parameters.keys().find(|name| RESERVED_PARAMETERS.contains(&name.as_str())) {
        return invalid(format!(
            "{FIELD} has {name}, which the operator sends itself; use clientID, clientSecretRef and scope for what they are for"
        ));
    }
    let is_too_long = |text: &str, limit: usize| text.is_empty() || text.chars().count() > limit;
    if parameters.len() > PARAMETERS_LIMIT
        || parameters.iter().any(|(name, value)| {
            is_too_long(name, PARAMETER_NAME_LIMIT) || is_too_long(value, PARAMETER_LIMIT)
        })
    {
        return invalid(format!(
            "{FIELD} must be at most {PARAMETERS_LIMIT} parameters with names of 1 to {PARAMETER_NAME_LIMIT} characters and values of 1 to {PARAMETER_LIMIT}"
        ));
    }
    Ok(parameters)
}

/// Whether the text is a valid scope parameter (RFC 6749 section 3.3).
fn is_scope(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    text.len() <= FIELD_LIMIT
        && text.split(' ').all(|scope| !scope.is_empty() && scope.bytes().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;

    fn parse(changes: &Value) -> Result<FederatedSettings, Problem> {
        let mut spec = json!({
            "issuerRef": {"name": "ci"}, "subject": "ci@example.org", "audience": "my-org",
            "token": {"secretRef": {"name": "token", "key": "token"}},
        });
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        FederatedSettings::parse(&serde_json::from_value(spec).unwrap())
    }

    fn client(id: &str, scope: &str) -> Value {
        let secret = json!({"name": "client", "key": "secret"});
        json!({"token": {"clientCredentials": {"clientID": id, "clientSecretRef": secret, "scope": scope}}})
    }

    fn with_parameters(parameters: &Value) -> Value {
        let mut spec = client("ci", "a");
        spec["token"]["clientCredentials"]["parameters"] = parameters.clone();
        spec
    }

    #[test]
    fn reads_each_source() {
        assert!(matches!(parse(&json!({})).ok().unwrap().source, TokenSource::Secret));
        let account = json!({"token": {"serviceAccount": {"name": "trainer"}}});
        assert!(matches!(
            parse(&account).ok().unwrap().source,
            TokenSource::Kubernetes { account, expiration } if account == "trainer" && expiration == Duration::from_hours(1)
        ));
        let more = parse(&with_parameters(&json!({"audience": "my-org"}))).ok().unwrap();
        assert!(matches!(
            more.source,
            TokenSource::ClientCredentials { parameters, .. } if parameters["audience"] == "my-org"
        ));
        assert!(matches!(
            parse(&client("ci", "a b")).ok().unwrap().source,
            TokenSource::ClientCredentials { id, scope: Some(scope), parameters }
                if id == "ci" && scope == "a b" && parameters.is_empty()
        ));
    }

    #[test]
    fn every_rule_of_the_schema_has_its_sentence() {
        for (changes, word) in [
            (json!({"subject": "ci "}), "subject must not begin"),
            (json!({"subject": ""}), "subject must have"),
            (json!({"subject": "s".repeat(513)}), "subject must have"),
            (json!({"audience": "\tmy-org"}), "audience must not begin"),
            (json!({"audience": "a".repeat(257)}), "audience must have"),
            (json!({"issuerRef": {"name": "Not A Name"}}), "issuerRef.name"),
            (json!({"token": {}}), "exactly one of"),
            (json!({"token": {"serviceAccount": {"name": "a/b"}}}), "serviceAccount.name"),
            (json!({"token": {"serviceAccount": {"name": "a", "expiration": "9m"}}}), "between 10m and 24h"),
            (json!({"token": {"serviceAccount": {"name": "a", "expiration": "25h"}}}), "between 10m and 24h"),
            (client(" ci", "a"), "clientID must not begin"),
            (client("ci", "a  b"), "scope must be"),
            (client("ci", "\"a\""), "scope must be"),
            (with_parameters(&json!({"grant_type": "password"})), "parameters has grant_type"),
            (with_parameters(&json!({"client_secret": "s"})), "parameters has client_secret"),
            (with_parameters(&json!({"audience": ""})), "1 to 1024"),
            (with_parameters(&json!({"audience": "a".repeat(1025)})), "1 to 1024"),
            (with_parameters(&json!({"": "a"})), "names of 1 to 64"),
            (with_parameters(&(0..17).map(|i| (i.to_string(), json!("a"))).collect()), "at most 16"),
        ] {
            let problem = parse(&changes).err().unwrap();
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }
}
