//! The second generation: typed settings, of which those of OIDC are references to Secrets.

use serde_json::{Value, json};

use super::{
    controller::{self, Outcome},
    objects::{self, Variables},
};

pub(super) struct Renderer;

const SELECTORS: [(&str, &str); 4] = [
    ("clientId", "GORILLA_OIDC_CLIENT_ID"),
    ("clientSecret", "GORILLA_OIDC_SECRET"),
    ("issuerUrl", "GORILLA_OIDC_ISSUER"),
    ("authMethod", "GORILLA_AUTH_METHOD"),
];

impl controller::Renderer for Renderer {
    const VERSION: &'static str = "v2";
    const WATCHES_DEPLOYMENTS: bool = true;

    fn render(&self, name: &str, spec: &Value) -> Result<Vec<Value>, String> {
        let certificates = spec.pointer("/global/customCACerts").and_then(Value::as_array);
        let certificates = certificates.cloned().unwrap_or_default();
        let environment = environment(spec).into_entries();
        let deployment =
            objects::deployment(name, "api", "wandb/megabinary:0.76.1", &environment, &certificates);
        Ok(objects::config_map(name, &certificates).into_iter().chain([deployment]).collect())
    }

    fn status(spec: &Value, generation: i64, outcome: Outcome) -> Value {
        let hostname = spec.pointer("/wandb/hostname").cloned().unwrap_or_default();
        let ready = outcome == Outcome::Made { available: true };
        json!({"observedGeneration": generation, "ready": ready, "wandb": {"hostname": hostname}})
    }
}

fn environment(spec: &Value) -> Variables {
    let wandb = |path: &str| spec.pointer(&format!("/wandb/{path}"));
    let mut variables = Variables::default();
    if let Some(hostname) = wandb("hostname").and_then(Value::as_str) {
        variables.literal("GORILLA_FRONTEND_HOST", hostname);
    }
    for (field, variable) in SELECTORS {
        if let Some(selector) = wandb(&format!("oidc/{field}")) {
            variables.secret(variable, selector);
        }
    }
    let session_length = wandb("oidc/sessionLength").and_then(Value::as_str).unwrap_or("720h");
    variables.literal("GORILLA_SESSION_LENGTH", session_length);
    if let Some(disabled) = wandb("security/disableSSOProvisioning").and_then(Value::as_bool) {
        variables.literal("GORILLA_DISABLE_SSO_PROVISIONING", &disabled.to_string());
    }
    for entry in wandb("legacyOverrides/global/env").and_then(Value::as_array).into_iter().flatten() {
        variables.set(entry.clone());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_becomes_a_variable_and_overrides_win() {
        let selector = json!({"name": "oidc-1", "key": "OIDC_ISSUER"});
        let spec = json!({"wandb": {
            "hostname": "https://wandb.example.com",
            "oidc": {"issuerUrl": selector},
            "security": {"disableSSOProvisioning": true},
            "legacyOverrides": {
                "global": {"env": [{"name": "GORILLA_SESSION_LENGTH", "value": "24h"}, {"name": "X", "value": "y"}]},
                "api": {"env": [{"name": "Y", "value": "z"}]},
            },
        }});
        assert_eq!(
            environment(&spec).into_entries(),
            [
                json!({"name": "GORILLA_FRONTEND_HOST", "value": "https://wandb.example.com"}),
                json!({"name": "GORILLA_OIDC_ISSUER", "valueFrom": {"secretKeyRef": selector}}),
                json!({"name": "GORILLA_SESSION_LENGTH", "value": "24h"}),
                json!({"name": "GORILLA_DISABLE_SSO_PROVISIONING", "value": "true"}),
                json!({"name": "X", "value": "y"}),
            ]
        );
    }
}
