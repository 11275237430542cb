//! The second generation: typed settings, of which those of OIDC are references to Secrets.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::{
    controller::{self, Outcome},
    conversion::PENDING,
    objects::{self, Variables},
    typed::typed,
    webhook::Webhook,
};
use crate::definitions::OidcFields;

pub(super) struct Renderer {
    pub(super) fields: OidcFields,
    pub(super) replicas: usize,
    pub(super) webhook: Webhook,
}

/// Keeps a resource until what belongs to it is gone.
const FINALIZER: &str = "wandb.apps.wandb.com/cleanup";

/// The part of the server that answers logins, and the only one that is made.
const APPLICATION: &str = "api";

const SOURCES: [(&str, &str); 4] = [
    ("clientId", "GORILLA_OIDC_CLIENT_ID"),
    ("clientSecret", "GORILLA_OIDC_SECRET"),
    ("issuerUrl", "GORILLA_OIDC_ISSUER"),
    ("authMethod", "GORILLA_AUTH_METHOD"),
];

impl controller::Renderer for Renderer {
    const VERSION: &'static str = "v2";
    const WATCHES_DEPLOYMENTS: bool = true;

    async fn prepare(&self, client: &Client, namespace: &str, resource: &ApiResource) -> Result<()> {
        self.webhook.register(client, namespace, resource).await
    }

    /// Adds the finalizer, or takes it out of what is on its way out, or puts into a Secret what the conversion left,
    /// each time by an update of the whole object.
    async fn tend(&self, resources: &Api<DynamicObject>, object: &DynamicObject) -> Result<bool> {
        let is_going = object.metadata.deletion_timestamp.is_some();
        let has_finalizer = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        let mut object = object.clone();
        let pending = object.annotations_mut().remove(PENDING).filter(|_| !is_going);
        if is_going != has_finalizer && pending.is_none() {
            return Ok(false);
        }
        let finalizers = object.finalizers_mut();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if !is_going {
            finalizers.push(FINALIZER.to_owned());
        }
        if let Some(pending) = pending {
            self.take_over(resources.clone().into_client(), &mut object, &pending).await?;
        }
        if let Some(spec) = object.data.get_mut("spec") {
            *spec = typed(spec, self.fields);
        }
        let how = PostParams { field_manager: Some("manager".to_owned()), ..PostParams::default() };
        resources.replace(&object.name_any(), &how, &object).await?;
        Ok(true)
    }

    fn render(&self, name: &str, spec: &Value) -> Result<Vec<Value>, String> {
        let certificates = spec.pointer("/global/customCACerts").and_then(Value::as_array);
        let certificates = certificates.cloned().unwrap_or_default();
        let environment = environment(spec).into_entries();
        let image = "wandb/megabinary:0.76.1";
        let mut deployment = objects::deployment(name, APPLICATION, image, &environment, &certificates);
        if let Some(replicas) = deployment.pointer_mut("/spec/replicas") {
            *replicas = json!(self.replicas);
        }
        Ok(objects::config_map(name, &certificates).into_iter().chain([deployment]).collect())
    }

    fn status(spec: &Value, generation: i64, outcome: Outcome) -> Value {
        let hostname = spec.pointer("/wandb/hostname").cloned().unwrap_or_default();
        let ready = outcome == Outcome::Made { available: true };
        json!({"observedGeneration": generation, "ready": ready, "wandb": {"hostname": hostname}})
    }
}

impl Renderer {
    /// Puts texts that the conversion left into a Secret, to which the fields refer that nobody has set.
    async fn take_over(&self, client: Client, object: &mut DynamicObject, pending: &str) -> Result<()> {
        let name = format!("{}-oidc-converted", object.name_any());
        let texts: BTreeMap<String, String> = serde_json::from_str(pending)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts,
        });
        let namespace = object.namespace().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(client, &namespace);
        secrets.patch(&name, &PatchParams::apply("manager").force(), &Patch::Apply(&secret)).await?;
        for (key, field) in [("clientId", "clientId"), ("issuer", "issuerUrl"), ("authMethod", "authMethod")]
        {
            let path = format!("/spec/wandb/oidc/{field}");
            let Some(present) = object.data.pointer_mut(&path).filter(|_| texts.contains_key(key)) else {
                continue;
            };
            if selector(present).is_none() && text(present, "/value").is_none() {
                let selector = json!({"name": name, "key": key});
                *present = match self.fields {
                    OidcFields::Selectors => selector,
                    OidcFields::ValuesOrSelectors | OidcFields::Values => {
                        json!({"valueFrom": {"secretKeyRef": selector}})
                    }
                };
            }
        }
        Ok(())
    }
}

fn environment(spec: &Value) -> Variables {
    let wandb = |path: &str| spec.pointer(&format!("/wandb/{path}"));
    let mut variables = Variables::default();
    if let Some(hostname) = wandb("hostname").and_then(Value::as_str) {
        variables.literal("GORILLA_FRONTEND_HOST", hostname);
    }
    for (field, variable) in SOURCES {
        let field = wandb(&format!("oidc/{field}")).unwrap_or(&Value::Null);
        if let Some(value) = text(field, "/value") {
            variables.literal(variable, value);
        } else if let Some(selector) = selector(field) {
            variables.secret(variable, selector);
        }
    }
    let session_length = wandb("oidc/sessionLength").and_then(Value::as_str).unwrap_or("720h");
    variables.literal("GORILLA_SESSION_LENGTH", session_length);
    if let Some(disabled) = wandb("security/disableSSOProvisioning").and_then(Value::as_bool) {
        variables.literal("GORILLA_DISABLE_SSO_PROVISIONING", &disabled.to_string());
    }
    // Everything else is beaten by what all applications get, and that by what this one gets.
    for section in ["global", APPLICATION] {
        let list = wandb(&format!("legacyOverrides/{section}/env")).and_then(Value::as_array);
        for entry in list.into_iter().flatten() {
            variables.set(entry.clone());
        }
    }
    variables
}

/// The selector of a field that has one with a name.
fn selector(field: &Value) -> Option<&Value> {
    let source = field.pointer("/valueFrom/secretKeyRef");
    source.or(Some(field)).filter(|selector| text(selector, "/name").is_some())
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_becomes_a_variable_and_overrides_win() {
        let source = json!({"name": "oidc-1", "key": "OIDC_ISSUER"});
        let spec = json!({"wandb": {
            "hostname": "https://wandb.example.com",
            "oidc": {
                "issuerUrl": source, "clientId": {"valueFrom": {"secretKeyRef": source}},
                "clientSecret": {"key": "", "name": ""}, "authMethod": {"value": "pkce"},
            },
            "security": {"disableSSOProvisioning": true},
            "legacyOverrides": {
                "global": {"env": [
                    {"name": "GORILLA_SESSION_LENGTH", "value": "24h"}, {"name": "X", "value": "y"},
                ]},
                "api": {"env": [{"name": "GORILLA_SESSION_LENGTH", "value": "1h"}]},
                "frontend": {"env": [{"name": "Y", "value": "z"}]},
            },
        }});
        assert_eq!(
            environment(&spec).into_entries(),
            [
                json!({"name": "GORILLA_FRONTEND_HOST", "value": "https://wandb.example.com"}),
                json!({"name": "GORILLA_OIDC_CLIENT_ID", "valueFrom": {"secretKeyRef": source}}),
                json!({"name": "GORILLA_OIDC_ISSUER", "valueFrom": {"secretKeyRef": source}}),
                json!({"name": "GORILLA_AUTH_METHOD", "value": "pkce"}),
                json!({"name": "GORILLA_SESSION_LENGTH", "value": "1h"}),
                json!({"name": "GORILLA_DISABLE_SSO_PROVISIONING", "value": "true"}),
                json!({"name": "X", "value": "y"}),
            ]
        );
    }
}
