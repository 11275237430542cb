//! From the environment of W&B Server back to the spec that publishes it.

use serde_json::{Value, json};

use super::{
    AUTH_METHOD, CLIENT_ID, EXTRA_SCOPES, GROUPS_CLAIM, IDENTIFIER_CLAIMS, ISSUER, NO_PROVISIONING, SECRET,
    SESSION_LENGTH,
};
use crate::{
    api::{CheckName, CheckResult, Duration, OidcProvider, Reason},
    engine::Env,
    import::{CLIENT, Flag, FoundEnvironment, Recoverable, Recovery, SettingNeed, StandIn},
    issuer::is_https,
    problem::quote_exactly,
    values::HOST,
};

/// W&B's older charts wrote the client's secret under this name, which the server does not read.
const UNREAD_SECRET: &str = "OIDC_CLIENT_SECRET";

/// Stands for the host that no variable gives.
const UNKNOWN_HOST: &str = "https://host.invalid";

/// The settings without which the rest can be checked.
const STAND_INS: &[StandIn] = &[
    // A secret is never sent in the name of another client.
    StandIn {
        field: "clientID",
        spec: || json!({"clientID": "unknown", "checks": {"clientCredentials": false}}),
        void: &[CheckName::ClientCredentials],
        need: SettingNeed::Required,
    },
    StandIn { field: "host", spec: || json!({"host": UNKNOWN_HOST}), void: &[], need: SettingNeed::Expected },
    StandIn {
        field: "authMethod",
        spec: || json!({"authMethod": "pkce"}),
        void: &[CheckName::FlowSupported],
        need: SettingNeed::Required,
    },
    StandIn {
        field: "sessionLength",
        spec: || json!({"sessionLength": null}),
        void: &[],
        need: SettingNeed::Unjudged,
    },
    StandIn {
        field: "extraScopes",
        spec: || json!({"extraScopes": null}),
        void: &[CheckName::Scopes],
        need: SettingNeed::Expected,
    },
];

impl Recoverable for OidcProvider {
    const FIELDS: &'static [(&'static str, Env)] = &[
        ("issuer", ISSUER),
        ("clientID", CLIENT_ID),
        ("clientSecretRef", SECRET),
        ("authMethod", AUTH_METHOD),
        ("sessionLength", SESSION_LENGTH),
        ("autoProvision", NO_PROVISIONING),
        ("groupsClaim", GROUPS_CLAIM),
        ("extraScopes", EXTRA_SCOPES),
        ("identifierClaims", IDENTIFIER_CLAIMS),
        ("host", HOST),
    ];

    const STAND_INS: &'static [StandIn] = STAND_INS;

    const UNREAD: &'static [(&'static str, Env)] = &[(UNREAD_SECRET, SECRET)];

    // A session ends and an account is made in the same way whoever vouches for the person.
    const INDEPENDENT: &'static [Env] = &[SESSION_LENGTH, NO_PROVISIONING];

    fn is_configured(found: &FoundEnvironment) -> bool {
        found.is_set(ISSUER) || found.is_set(CLIENT_ID)
    }

    fn is_meant(found: &FoundEnvironment) -> bool {
        [ISSUER, CLIENT_ID, SECRET].into_iter().any(|env| found.is_set(env))
    }

    fn recover(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
        let issuer = recovery.url(found, ISSUER);
        recovery.require("issuer", issuer.map(Value::from), "the issuer's URL");
        let client = recovery.text(found, CLIENT_ID).map(|(_, client)| Value::from(client));
        recovery.require("clientID", client, "the client that is registered for W&B at the provider");
        let host = found.host.as_deref().map(url);
        let is_plain = |url: &str| !is_https(url);
        if issuer.is_some_and(is_plain) || host.as_deref().is_some_and(is_plain) {
            recovery.note("The issuer or the host is a URL without TLS. The resource accepts that, as the server does today, with insecurePlaintext.");
            recovery.require("insecurePlaintext", Some(json!(true)), "");
        }
        recovery.require(
            "host",
            host.map(Value::from),
            "the URL at which people open W&B (or give it with --host)",
        );
        secret(found, recovery);
        flow(found, recovery);
        session(found, recovery);
        let forbids = recovery.flag(found, NO_PROVISIONING);
        if forbids == Flag::Known(true) {
            recovery.require("autoProvision", Some(json!(false)), "");
        }
        for (field, env) in [("groupsClaim", GROUPS_CLAIM), ("identifierClaims", IDENTIFIER_CLAIMS)] {
            if recovery.flag(found, env) == Flag::Known(true) {
                recovery.require(field, Some(json!(true)), "");
            }
        }
        if let Some((name, text)) = recovery.text(found, EXTRA_SCOPES) {
            let scopes: Vec<_> = text.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect();
            recovery.offer("extraScopes", scopes.into(), &[name]);
        }
    }

    fn add_unsaid(&self, found: &mut FoundEnvironment) {
        found.host = Some(self.spec.host.clone());
    }

    fn complete(&mut self, present: &Self) {
        let present = &present.spec;
        self.spec.provider = present.provider.filter(|_| present.issuer == self.spec.issuer);
        self.spec.checks = present.checks.clone();
        self.spec.insecure_plaintext |= present.insecure_plaintext;
        self.spec.common = self.spec.common.beside(&present.common);
    }
}

/// A host name alone is that of a URL with TLS.
fn url(host: &str) -> String {
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}

fn secret(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    if let Some(setting) = found.setting(SECRET) {
        let reference = recovery.reference(setting, CLIENT, "secret");
        recovery.require("clientSecretRef", reference, "name and key of the Secret with the client's secret");
    }
    if found.variables.contains_key(UNREAD_SECRET) {
        let consequence = if found.is_set(SECRET) {
            "The value that the server does read was taken"
        } else {
            "So the server has no client secret today, and the resource has none. If the client at the provider is a confidential one, give the resource spec.clientSecretRef"
        };
        let read = SECRET.local.unwrap_or_default();
        recovery.remark(UNREAD_SECRET, CheckResult::Warning, Reason::VariableNotRead, format!(
            "W&B Server does not read {UNREAD_SECRET}, which older charts set. It reads {read}: give that the client's secret, and remove {UNREAD_SECRET}."
        ));
        recovery.lose(UNREAD_SECRET, format!("the server does not read it, it reads {read}. {consequence}"));
    }
}

/// Without a setting the server uses the implicit flow, unlike this operator.
fn flow(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    let method = match recovery.text(found, AUTH_METHOD) {
        Some((_, method @ ("pkce" | "implicit"))) => Some(method),
        Some((name, text)) => {
            recovery.misread(name, text, "neither pkce nor implicit", "pkce or implicit");
            None
        }
        None if found.is_set(AUTH_METHOD) => None,
        None => {
            let name = found.name_of(AUTH_METHOD);
            recovery.remark(name, CheckResult::Warning, Reason::VariableMissing, format!(
                "{name} is not set, so W&B Server uses its own default, implicit, and so do these checks. Most providers want pkce today: set it to that if yours does."
            ));
            recovery.note("No flow is set, so the server uses its own default, implicit; the resource says so. Most providers want pkce today.");
            Some("implicit")
        }
    };
    recovery.require("authMethod", method.map(Value::from), "pkce or implicit");
}

/// A whole number of hours on its own, or a duration with a unit.
fn session(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    let Some((name, text)) = recovery.text(found, SESSION_LENGTH) else { return };
    let length = if is_number(text) { format!("{text}h") } else { text.to_owned() };
    if let Ok(length) = length.parse::<Duration>() {
        recovery.offer("sessionLength", json!(length), &[name]);
        other_form(found, recovery);
    } else {
        let seen = "neither a whole number of hours nor a duration such as 720h";
        recovery.misread(name, text, seen, "720h, or 720 for the image wandb/local");
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Each of the two dialects reads one of the two forms only.
fn other_form(found: &FoundEnvironment, recovery: &mut Recovery<'_>) {
    for setting in found.settings(SESSION_LENGTH) {
        let Some(text) = setting.text().filter(|text| !text.is_empty()) else { continue };
        let is_local = SESSION_LENGTH.local == Some(setting.name);
        if is_local == is_number(text) {
            continue;
        }
        let wanted =
            if is_local { "a whole number of hours, such as 720" } else { "a duration, such as 720h" };
        recovery.remark(
            setting.name,
            CheckResult::Failed,
            Reason::VariableMalformed,
            format!("{} is \"{}\", but W&B Server reads {wanted} there.", setting.name, quote_exactly(text)),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::samples::comes_back;

    prop_compose! {
        fn spec()(
            issuer in "https://[a-z]{1,8}(/[a-z]{1,5})?/?",
            client in "[a-z0-9-]{1,12}",
            has_secret in any::<bool>(),
            method in prop_oneof![Just("pkce"), Just("implicit")],
            scopes in proptest::collection::btree_set("[a-z:/._-]{1,8}", 0..3),
            groups_claim in any::<bool>(),
            identifier_claims in any::<bool>(),
            provisions in any::<bool>(),
            hours in 1_u16..2000,
        ) -> Value {
            let mut spec = json!({
                "issuer": issuer, "clientID": client, "authMethod": method, "host": "https://wandb.example.com",
                "extraScopes": scopes, "groupsClaim": groups_claim, "identifierClaims": identifier_claims,
                "autoProvision": provisions, "sessionLength": format!("{hours}h"),
            });
            if has_secret {
                spec["clientSecretRef"] = json!({"name": "secret", "key": "key"});
            }
            spec
        }
    }

    proptest! {
        #[test]
        fn every_spec_comes_back(spec in spec()) {
            comes_back::<OidcProvider>(&spec);
        }
    }
}
