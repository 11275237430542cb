//! From the spec to types that cannot be wrong.

use std::{collections::BTreeSet, time::Duration};

use super::{provider, redirect_uri::RedirectUri};
use crate::{
    api::{
        OidcProviderSpec,
        oidc_provider::{AuthMethod, OidcChecks, Provider},
    },
    issuer::{self, Issuer, Plaintext, is_https},
    problem::{Problem, quote_exactly, without_user},
};

/// A spec that makes sense.
pub struct OidcSettings {
    /// The issuer, exactly as it was written.
    pub issuer: Issuer,
    /// Whether connections without TLS are accepted.
    pub plaintext: Plaintext,
    /// The client that is registered for W&B.
    pub client_id: String,
    /// How people's browsers get tokens.
    pub flow: AuthMethod,
    /// Where the provider sends people back to.
    pub redirect_uri: RedirectUri,
    /// The product, as it was declared or guessed.
    pub provider: Provider,
    /// Scopes beside `openid profile email`.
    pub extra_scopes: Vec<String>,
    /// Puts people into teams by the `groups` claim.
    pub groups_claim: bool,
    /// Takes user name and name from claims.
    pub identifier_claims: bool,
    /// Creates a W&B user at a person's first login.
    pub auto_provision: bool,
    /// How long a login lasts.
    pub session_hours: u64,
    /// Which optional checks run.
    pub checks: OidcChecks,
    /// For all checks of one run together.
    pub time_limit: Duration,
}

/// The scopes that W&B always asks for.
pub(super) const SCOPES: [&str; 3] = ["openid", "profile", "email"];

impl OidcSettings {
    /// Judges the spec by itself, and tells every field that is wrong. The schema's rules are repeated here, since `check` has no API server.
    pub fn parse(spec: &OidcProviderSpec) -> Result<Self, Problem> {
        let plaintext = Plaintext::from(spec.insecure_plaintext);
        let issuer = issuer::validate(&spec.issuer, plaintext, "tokens and secrets travel unencrypted");
        let protected = issuer.as_ref().map_or(Ok(()), |issuer| tls(spec, issuer));
        let client_id = client_id(&spec.client_id);
        let redirect_uri = redirect_uri(&spec.host, plaintext);
        let extra_scopes = extra_scopes(spec);
        let session_hours = session_hours(spec);
        let problems = [
            issuer.as_ref().err(),
            protected.as_ref().err(),
            client_id.as_ref().err(),
            redirect_uri.as_ref().err(),
            extra_scopes.as_ref().err(),
            session_hours.as_ref().err(),
        ];
        Problem::all(problems.into_iter().flatten().cloned())?;
        let issuer = issuer?;
        let provider = spec.provider.unwrap_or_else(|| provider::guess(&issuer));
        if spec.provider == Some(Provider::Cognito) && spec.auth_method == AuthMethod::Implicit {
            return Problem::invalid_spec("Amazon Cognito works with spec.authMethod: pkce only");
        }
        Ok(Self {
            plaintext,
            client_id: client_id?,
            flow: spec.auth_method,
            redirect_uri: redirect_uri?,
            provider,
            extra_scopes: extra_scopes?,
            groups_claim: spec.groups_claim,
            identifier_claims: spec.identifier_claims,
            auto_provision: spec.auto_provision,
            session_hours: session_hours?,
            checks: spec.checks.clone(),
            time_limit: spec.common.check_timeout.get(),
            issuer,
        })
    }

    /// Every scope that W&B asks for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let extra = self.extra_scopes.iter().map(String::as_str);
        SCOPES.into_iter().chain(extra.filter(|scope| !SCOPES.contains(scope)))
    }
}

/// The longest text of a field that the schema admits.
const FIELD_LIMIT: usize = 512;

fn redirect_uri(host: &str, plaintext: Plaintext) -> Result<RedirectUri, Problem> {
    let Some(uri) = RedirectUri::of_host(host).filter(|_| host.chars().count() <= FIELD_LIMIT) else {
        return Problem::invalid_spec(format!(
            "spec.host is \"{}\", but must be the URL that people open, such as https://wandb.example.com, without a path",
            quote_exactly(&without_user(host))
        ));
    };
    if !is_https(host) && plaintext == Plaintext::Refused {
        return Problem::invalid_spec(
            "spec.host must be an https:// URL; set insecurePlaintext: true to accept that people's logins travel unencrypted",
        );
    }
    Ok(uri)
}

fn client_id(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.chars().count() > FIELD_LIMIT {
        return Problem::invalid_spec("spec.clientID must have 1 to 512 characters");
    }
    if text.trim() != text {
        return Problem::invalid_spec("spec.clientID must not begin or end with white space");
    }
    Ok(text.to_owned())
}

fn tls(spec: &OidcProviderSpec, issuer: &Issuer) -> Result<(), Problem> {
    if spec.common.tls.is_some() && !issuer.is_encrypted() {
        return Problem::invalid_spec("spec.tls has no effect on an issuer without https://");
    }
    Ok(())
}

/// The most extra scopes, and the most characters of one, that the schema admits.
const SCOPES_LIMIT: usize = 32;
const SCOPE_LIMIT: usize = 128;

fn extra_scopes(spec: &OidcProviderSpec) -> Result<Vec<String>, Problem> {
    let scopes: Vec<_> = spec.extra_scopes.iter().map(|scope| scope.0.clone()).collect();
    if scopes.len() > SCOPES_LIMIT || scopes.iter().collect::<BTreeSet<_>>().len() < scopes.len() {
        return Problem::invalid_spec("spec.extraScopes must name at most 32 scopes, each once");
    }
    match scopes.iter().find(|scope| !is_scope(scope)) {
        Some(scope) => Problem::invalid_spec(format!(
            "spec.extraScopes has \"{}\", but a scope is 1 to 128 printable characters without spaces, quotes, commas and backslashes",
            quote_exactly(scope)
        )),
        None => Ok(scopes),
    }
}

/// RFC 6749 section 3.3, without the comma that separates scopes in the published value.
fn is_scope(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'\\');
    (1..=SCOPE_LIMIT).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn session_hours(spec: &OidcProviderSpec) -> Result<u64, Problem> {
    let length = spec.session_length.get();
    let whole = length.subsec_nanos() == 0 && length.as_secs().is_multiple_of(3600);
    if !whole || length.is_zero() {
        return Problem::invalid_spec(format!(
            "spec.sessionLength is {}, but must be a whole number of hours, at least 1h",
            spec.session_length
        ));
    }
    Ok(length.as_secs() / 3600)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;

    fn parse(changes: &Value) -> Result<OidcSettings, Problem> {
        let mut spec = json!({
            "issuer": "https://login.example.com/realms/main",
            "clientID": "wandb",
            "host": "https://wandb.example.com",
        });
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        OidcSettings::parse(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn takes_the_defaults() {
        let settings = parse(&json!({})).ok().unwrap();
        assert_eq!(settings.provider, Provider::Keycloak);
        assert_eq!(settings.session_hours, 720);
        assert_eq!(settings.scopes().collect::<Vec<_>>(), ["openid", "profile", "email"]);
    }

    #[test]
    fn asks_for_each_scope_once() {
        let settings = parse(&json!({"extraScopes": ["groups", "email"]})).ok().unwrap();
        assert_eq!(settings.scopes().collect::<Vec<_>>(), ["openid", "profile", "email", "groups"]);
    }

    #[test]
    fn every_rule_of_the_schema_has_its_sentence() {
        for (changes, word) in [
            (json!({"issuer": "login.example.com"}), "spec.issuer is"),
            (json!({"issuer": format!("https://a.example/{}", "x".repeat(512))}), "spec.issuer is"),
            (json!({"issuer": "http://login.example.com"}), "insecurePlaintext"),
            (json!({"issuer": "https://a.example/.well-known/openid-configuration"}), "well-known"),
            (json!({"host": "https://wandb.example.com/x"}), "spec.host is"),
            (json!({"host": "http://wandb.example.com"}), "insecurePlaintext"),
            (json!({"clientID": ""}), "spec.clientID"),
            (json!({"clientID": "wandb "}), "white space"),
            (json!({"clientID": "w".repeat(513)}), "512"),
            (json!({"provider": "Cognito", "authMethod": "implicit"}), "Cognito"),
            (
                json!({"issuer": "http://a.example", "insecurePlaintext": true, "tls": {"caBundle": {}}}),
                "no effect",
            ),
            (json!({"extraScopes": ["a", "a"]}), "each once"),
            (json!({"extraScopes": ["a,b"]}), "extraScopes"),
            (json!({"extraScopes": [""]}), "extraScopes"),
            (json!({"sessionLength": "90m"}), "sessionLength"),
            (json!({"sessionLength": "0h"}), "sessionLength"),
        ] {
            let problem = parse(&changes).err().unwrap();
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }
}
