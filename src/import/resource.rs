//! Reads version v2 of the W&B operator's resource.

use k8s_openapi::api::core::v1::EnvVar;
use serde_json::Value;

use super::{
    Certificates, EntryOrigin, EnvironmentEntry,
    certificates::CertificatePlace,
    subject::{config_map, secret},
    workload::origin,
};
use crate::{
    api::OidcProvider,
    engine::{Field, Kind, Requirement},
};

/// The part of the server that answers logins.
const APPLICATION: &str = "api";

/// The fields that select a key of a Secret or, in newer definitions, can also contain a value.
const SELECTORS: [(Field, &str); 4] = [
    (Field::Issuer, "/wandb/oidc/issuerUrl"),
    (Field::ClientId, "/wandb/oidc/clientId"),
    (Field::ClientSecret, "/wandb/oidc/clientSecret"),
    (Field::AuthMethod, "/wandb/oidc/authMethod"),
];

/// The environment that results from the resource. Overrides come last, because they win.
pub fn entries(spec: &Value) -> Vec<EnvironmentEntry> {
    let selected = SELECTORS.iter().filter_map(|(field, path)| {
        let origin = selected(spec.pointer(path)?)?;
        Some(EnvironmentEntry::Variable { name: first_name(*field)?.to_owned(), origin })
    });
    let scalars = [
        (Field::SessionLength, "/wandb/oidc/sessionLength"),
        (Field::NoProvisioning, "/wandb/security/disableSSOProvisioning"),
    ];
    let scalars = scalars.into_iter().filter_map(|(field, path)| {
        let text = scalar(spec.pointer(path)?).filter(|text| !text.is_empty())?;
        Some(EnvironmentEntry::Variable {
            name: first_name(field)?.to_owned(),
            origin: EntryOrigin::Text(text),
        })
    });
    let overrides = ["global", APPLICATION].into_iter().flat_map(|part| {
        let list = spec.pointer(&format!("/wandb/legacyOverrides/{part}/env")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|entry| {
            let variable: EnvVar = serde_json::from_value(entry.clone()).ok()?;
            Some(EnvironmentEntry::Variable { origin: origin(&variable), name: variable.name })
        })
    });
    selected.chain(scalars).chain(overrides).collect()
}

/// The certificate authorities of every part of the server.
pub fn certificates(spec: &Value) -> Vec<Certificates> {
    listed(spec.pointer("/global/customCACerts"), spec.pointer("/global/caCertsConfigMap"))
}

/// The address at which people open W&B.
pub fn host(spec: &Value) -> Option<String> {
    spec.pointer("/wandb/hostname").and_then(scalar)
}

/// The certificates in a list, and those in the ConfigMap of this name.
pub(super) fn listed(list: Option<&Value>, map: Option<&Value>) -> Vec<Certificates> {
    let texts = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let texts = texts.map(|text| CertificatePlace::Text(text.to_owned()));
    let map = map.and_then(Value::as_str).filter(|name| !name.is_empty());
    let map = map.map(|name| CertificatePlace::Object(config_map(name)));
    texts.chain(map).map(Certificates::everything).collect()
}

/// The origin of the value of a field. It is `None` for an empty one, which the W&B operator writes into fields
/// that nobody has set.
fn selected(value: &Value) -> Option<EntryOrigin> {
    if let Some(text) = value.get("value").and_then(scalar).filter(|text| !text.is_empty()) {
        return Some(EntryOrigin::Text(text));
    }
    let selector = value.pointer("/valueFrom/secretKeyRef").unwrap_or(value);
    let word = |field: &str| selector.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(EntryOrigin::Key {
        object: secret(word("name")?),
        key: word("key")?.to_owned(),
        need: Requirement::Required,
    })
}

/// The name under which the split services read the setting of a field.
fn first_name(field: Field) -> Option<&'static str> {
    let env = OidcProvider::ENVIRONMENT.iter().find(|env| env.field == Some(field))?;
    env.split.first().copied()
}

/// The text of a scalar, as it becomes the value of a variable.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
