//! The environment variables of W&B Server.

mod inverse;

use super::OidcPlan;
use crate::{
    api::oidc_provider::AuthMethod,
    engine::{Env, Field, Values},
};

pub(super) const ISSUER: Env =
    Env { local: Some("OIDC_ISSUER"), split: &["GORILLA_OIDC_ISSUER"], field: Some(Field::Issuer) };
pub(super) const CLIENT_ID: Env =
    Env { local: Some("OIDC_CLIENT_ID"), split: &["GORILLA_OIDC_CLIENT_ID"], field: Some(Field::ClientId) };
pub(super) const SECRET: Env =
    Env { local: Some("OIDC_SECRET"), split: &["GORILLA_OIDC_SECRET"], field: Some(Field::ClientSecret) };
pub(super) const AUTH_METHOD: Env =
    Env { local: Some("OIDC_AUTH_METHOD"), split: &["GORILLA_AUTH_METHOD"], field: Some(Field::AuthMethod) };
const SESSION_LENGTH: Env = Env {
    local: Some("SESSION_LENGTH"),
    split: &["GORILLA_SESSION_LENGTH"],
    field: Some(Field::SessionLength),
};
const NO_PROVISIONING: Env = Env {
    local: Some("DISABLE_SSO_PROVISIONING"),
    split: &["GORILLA_DISABLE_SSO_PROVISIONING"],
    field: Some(Field::NoProvisioning),
};
/// Older and newer documents of W&B spell it differently, so both are set. This and what follows is documented
/// for every self-managed instance, under these names only.
const GROUPS_CLAIM: Env = Env {
    local: Some("GORILLA_ENABLE_SSO_GROUPS_CLAIMS"),
    split: &["GORILLA_ENABLE_SSO_GROUPS_CLAIMS", "GORILLA_ENABLE_SSO_GROUP_CLAIMS"],
    field: None,
};
/// The separator is not documented; other lists of W&B are separated by commas.
pub(super) const EXTRA_SCOPES: Env =
    Env { local: Some("GORILLA_OIDC_CUSTOM_SCOPES"), split: &["GORILLA_OIDC_CUSTOM_SCOPES"], field: None };
const IDENTIFIER_CLAIMS: Env = Env {
    local: Some("GORILLA_USE_IDENTIFIER_CLAIMS"),
    split: &["GORILLA_USE_IDENTIFIER_CLAIMS"],
    field: None,
};

/// Every setting, in the order in which people read them.
pub(super) const ENVIRONMENT: &[Env] = &[
    ISSUER,
    CLIENT_ID,
    SECRET,
    AUTH_METHOD,
    SESSION_LENGTH,
    NO_PROVISIONING,
    GROUPS_CLAIM,
    EXTRA_SCOPES,
    IDENTIFIER_CLAIMS,
];

/// Every setting in both dialects. An empty value would be read as a value, so none is ever set.
pub(super) fn render(plan: &OidcPlan) -> Values {
    let settings = &plan.settings;
    let mut values = Values::default();
    values.set(ISSUER, settings.issuer.as_str());
    values.set(CLIENT_ID, settings.client_id.as_str());
    if let Some(secret) = &plan.secret {
        values.set(SECRET, secret.clone());
    }
    values.set(AUTH_METHOD, auth_method(settings.flow));
    let hours = settings.session_hours;
    values.set_each(SESSION_LENGTH, hours.to_string(), format!("{hours}h"));
    values.set(NO_PROVISIONING, (!settings.auto_provision).to_string());
    if settings.groups_claim {
        values.set(GROUPS_CLAIM, "true");
    }
    if settings.identifier_claims {
        values.set(IDENTIFIER_CLAIMS, "true");
    }
    if !settings.extra_scopes.is_empty() {
        values.set(EXTRA_SCOPES, settings.extra_scopes.join(","));
    }
    if let Some(bundle) = &plan.ca_bundle {
        values.set_authorities(bundle);
    }
    values
}

fn auth_method(flow: AuthMethod) -> &'static str {
    match flow {
        AuthMethod::Pkce => "pkce",
        AuthMethod::Implicit => "implicit",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        net::{CaBundle, Trust},
        oidc::OidcSettings,
    };

    fn rendered(spec: Value, secret: Option<&str>, ca_bundle: Option<&CaBundle>) -> BTreeMap<String, String> {
        let plan = OidcPlan {
            settings: OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap(),
            secret: secret.map(Into::into),
            secret_location: String::new(),
            ca_bundle: ca_bundle.cloned(),
            trust: Trust::empty(),
        };
        let values = render(&plan);
        values.iter().map(|(name, value)| (name.to_owned(), value.expose().to_owned())).collect()
    }

    #[test]
    fn a_public_client_has_no_secret() {
        let spec = json!({
            "issuer": "https://login.example.com/realms/main",
            "clientID": "wandb",
            "host": "https://wandb.example.com",
        });
        insta::assert_yaml_snapshot!(rendered(spec, None, None), @r#"
        DISABLE_SSO_PROVISIONING: "false"
        GORILLA_AUTH_METHOD: pkce
        GORILLA_DISABLE_SSO_PROVISIONING: "false"
        GORILLA_OIDC_CLIENT_ID: wandb
        GORILLA_OIDC_ISSUER: "https://login.example.com/realms/main"
        GORILLA_SESSION_LENGTH: 720h
        OIDC_AUTH_METHOD: pkce
        OIDC_CLIENT_ID: wandb
        OIDC_ISSUER: "https://login.example.com/realms/main"
        SESSION_LENGTH: "720"
        "#);
    }

    #[test]
    fn every_setting_in_both_dialects() {
        let spec = json!({
            "issuer": "https://login.example.com/",
            "clientID": "wandb",
            "clientSecretRef": {"name": "oidc", "key": "secret"},
            "host": "https://wandb.example.com",
            "authMethod": "implicit",
            "extraScopes": ["groups", "offline_access"],
            "groupsClaim": true,
            "identifierClaims": true,
            "autoProvision": false,
            "sessionLength": "8h",
        });
        let authority = test_support::CertificateAuthority::new("one").unwrap();
        let bundle = CaBundle::parse(authority.certificate_pem().as_bytes()).unwrap().bundle;
        let mut values = rendered(spec, Some("s3cret"), Some(&bundle));
        assert_eq!(values.remove("ca.crt").as_deref(), Some(bundle.pem()));
        insta::assert_yaml_snapshot!(values, @r#"
        DISABLE_SSO_PROVISIONING: "true"
        GORILLA_AUTH_METHOD: implicit
        GORILLA_DISABLE_SSO_PROVISIONING: "true"
        GORILLA_ENABLE_SSO_GROUPS_CLAIMS: "true"
        GORILLA_ENABLE_SSO_GROUP_CLAIMS: "true"
        GORILLA_OIDC_CLIENT_ID: wandb
        GORILLA_OIDC_CUSTOM_SCOPES: "groups,offline_access"
        GORILLA_OIDC_ISSUER: "https://login.example.com/"
        GORILLA_OIDC_SECRET: s3cret
        GORILLA_SESSION_LENGTH: 8h
        GORILLA_USE_IDENTIFIER_CLAIMS: "true"
        OIDC_AUTH_METHOD: implicit
        OIDC_CLIENT_ID: wandb
        OIDC_ISSUER: "https://login.example.com/"
        OIDC_SECRET: s3cret
        SESSION_LENGTH: "8"
        "#);
    }
}
