//! From published values back to what they say, to check whether they still work.

use super::{Plan, Settings, render};
use crate::{
    api::{
        KeyReference, OidcProviderSpec,
        oidc_provider::{AuthMethod, Scope},
    },
    engine::{Env, Values},
    issuer::is_https,
    net::Trust,
};

/// The plan that the values stand for; nothing where they are not what a spec gives. What no check depends on is as
/// in the present spec, and so is the host, which the server has from elsewhere.
pub(super) fn plan(present: &OidcProviderSpec, values: &Values, system_trust: &Trust) -> Option<Plan> {
    let text = |env: Env| values.setting(env).map(|value| value.expose().to_owned());
    let issuer = text(render::ISSUER)?;
    let secret = values.setting(render::SECRET).cloned();
    let scopes = text(render::EXTRA_SCOPES).unwrap_or_default();
    let mut spec = OidcProviderSpec {
        insecure_plaintext: present.insecure_plaintext || !is_https(&issuer),
        client_id: text(render::CLIENT_ID)?,
        client_secret_ref: secret.is_some().then(|| KeyReference { name: String::new(), key: String::new() }),
        auth_method: match text(render::AUTH_METHOD)?.as_str() {
            "implicit" => AuthMethod::Implicit,
            _ => AuthMethod::Pkce,
        },
        provider: present.provider.filter(|_| present.issuer == issuer),
        extra_scopes: scopes
            .split(',')
            .filter(|scope| !scope.is_empty())
            .map(|scope| Scope(scope.to_owned()))
            .collect(),
        issuer,
        ..present.clone()
    };
    spec.common.tls = None;
    let settings = Settings::parse(&spec).ok()?;
    let (ca_bundle, trust) = values.trust(system_trust)?;
    Some(Plan { settings, secret, ca_bundle, trust })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(changes: &Value) -> OidcProviderSpec {
        let mut spec = json!({
            "issuer": "https://login.example.com", "clientID": "wandb", "host": "https://wandb.example.com",
        });
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn values_lead_back_to_what_they_were_made_of() {
        let present = spec(&json!({"issuer": "https://other.example.com", "clientID": "other"}));
        for (changes, secret) in [
            (json!({}), None),
            (json!({"clientSecretRef": {"name": "a", "key": "b"}}), Some("s3cret")),
            (json!({"authMethod": "implicit", "extraScopes": ["groups", "offline_access"]}), None),
            (json!({"issuer": "http://login.example.com", "insecurePlaintext": true}), None),
        ] {
            let settings = Settings::parse(&spec(&changes)).ok().unwrap();
            let secret = secret.map(Into::into);
            let values = render::render(&Plan { settings, secret, ca_bundle: None, trust: Trust::nobody() });
            let plan = plan(&present, &values, &Trust::nobody()).unwrap();
            assert!(render::render(&plan) == values, "{changes}");
        }
        assert!(plan(&present, &Values::default(), &Trust::nobody()).is_none());
    }
}
