//! Tests of what both versions have in common, and of what each of them writes.

mod cases;
mod fields;
mod overrides;
mod properties;

use serde_json::{Map, Value, json};

use super::{reference::Form, tree::merge, *};
use crate::{
    api::{MANAGER, jwt_issuer::JwtIssuer, ldap_config::LdapConfig, oidc_provider::OidcProvider},
    engine::Kind,
    values::{Env, Values},
};

pub(super) const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

pub(super) fn owner<K: Kind>(name: &str) -> Owner {
    let kind = K::kind(&());
    let manager = format!("{MANAGER}/{}", kind.to_lowercase());
    Owner::new(&kind, K::SHORT_NAME, &manager, name, format!("{name}-{}", K::SHORT_NAME))
}

pub(super) fn oidc() -> Owner {
    owner::<OidcProvider>("main")
}

pub(super) fn ldap() -> Owner {
    owner::<LdapConfig>("corp")
}

pub(super) fn jwt() -> Owner {
    owner::<JwtIssuer>("ci")
}

fn has_any(env: &Env, names: &[&str]) -> bool {
    env.names().any(|name| names.contains(&name))
}

/// These settings under all of their names. The values must not appear in any message.
pub(super) fn values(environment: &'static [Env], settings: &[&str]) -> Values {
    let mut values = Values::default();
    for env in environment.iter().filter(|env| has_any(env, settings)) {
        values.set(*env, "s3cret");
    }
    values
}

/// The values of a confidential client, and one setting for which v2 has no field.
pub(super) fn oidc_values() -> Values {
    let settings = ["OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_SECRET", "GORILLA_USE_IDENTIFIER_CLAIMS"];
    let mut values = values(OidcProvider::ENVIRONMENT, &settings);
    let literals = [("SESSION_LENGTH", "8", "8h"), ("DISABLE_SSO_PROVISIONING", "true", "true")];
    for (name, local, split) in literals {
        let env = OidcProvider::ENVIRONMENT.iter().find(|env| env.local == Some(name)).unwrap();
        values.set_each(*env, local, split);
    }
    values
}

pub(super) fn ldap_values() -> Values {
    let mut values = values(LdapConfig::ENVIRONMENT, &["LDAP_ADDRESS", "LOCAL_LDAP_GROUP_ALLOW_LIST"]);
    values.set_file("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    values
}

pub(super) fn oidc_delivery(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: OidcProvider::ENVIRONMENT, values }
}

pub(super) fn ldap_delivery(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: LdapConfig::ENVIRONMENT, values }
}

/// A resource of this version with this spec, created by `helm`.
pub(super) fn resource(version: Version, spec: Value) -> WeightsAndBiases {
    let mut seen = WeightsAndBiases {
        version,
        shape: OidcFieldShape::default(),
        object: serde_json::from_value(json!({
            "apiVersion": "apps.wandb.com/v0", "kind": "WeightsAndBiases",
            "metadata": {"name": "wandb", "uid": "u1", "resourceVersion": "0"},
        }))
        .unwrap(),
        sources: v1::ValueSources::default(),
        logins: Vec::new(),
    };
    apply(&mut seen, "helm", &Value::Object(Map::from_iter([("spec".to_owned(), spec)])));
    seen
}

/// A resource of the second version, for an installed definition of this shape.
pub(super) fn resource_with(shape: OidcFieldShape, spec: Value) -> WeightsAndBiases {
    WeightsAndBiases { shape, ..resource(Version::V2, spec) }
}

/// Applies a merge patch of this manager as the API server does: the manager then owns the changed fields.
pub(super) fn apply(seen: &mut WeightsAndBiases, manager: &str, patch: &Value) {
    let before = seen.object.data.clone();
    let mut after = before.clone();
    let mut patch = patch.clone();
    tree::remove(&mut patch, &["metadata"]);
    merge(&mut after, &patch);
    let metadata = &mut seen.object.metadata;
    let number = metadata.resource_version.take().unwrap().parse::<u32>().unwrap() + 1;
    metadata.resource_version = Some(number.to_string());
    let entries = metadata.managed_fields.get_or_insert_default();
    if !entries.iter().any(|entry| entry.manager.as_deref() == Some(manager)) {
        let entry = json!({"manager": manager, "operation": "Update", "fieldsV1": {}});
        entries.push(serde_json::from_value(entry).unwrap());
    }
    for entry in entries {
        let is_changer = entry.manager.as_deref() == Some(manager);
        let set = &mut entry.fields_v1.as_mut().unwrap().0;
        *set = owned(set, &before, &after, is_changer).unwrap_or_else(|| json!({".": {}}));
        if is_changer {
            entry.time = serde_json::from_value(json!(format!("2026-01-01T00:00:{number:02}Z"))).unwrap();
        }
    }
    seen.object.data = after;
}

/// The fields that a manager owns after a change. A value or list that changed belongs to the changer alone.
fn owned(set: &Value, before: &Value, after: &Value, is_changer: bool) -> Option<Value> {
    let Some(map) = after.as_object().filter(|map| !map.is_empty()) else {
        let had = set.as_object().is_some_and(Map::is_empty) && before == after && !before.is_null();
        return (had || is_changer && before != after && !after.is_null()).then(|| json!({}));
    };
    let mut result = Map::new();
    if set.get(".").is_some() || is_changer && !before.is_object() {
        result.insert(".".to_owned(), json!({}));
    }
    for (name, value) in map {
        let key = format!("f:{name}");
        let child = set.get(&key).unwrap_or(&Value::Null);
        let old = before.get(name).unwrap_or(&Value::Null);
        if let Some(fields) = owned(child, old, value, is_changer) {
            result.insert(key, fields);
        }
    }
    (!result.is_empty()).then_some(Value::Object(result))
}

/// The patch of the change, without the pinned version.
pub(super) fn patch_of(
    seen: &WeightsAndBiases,
    owner: &Owner,
    delivery: Option<&Delivery<'_>>,
) -> Result<Option<Value>, Problem> {
    let change = seen.change(owner, delivery, &[])?;
    Ok(change.map(|change| {
        let Change::Merge(mut patch) = change else { panic!("not a merge patch") };
        let version = seen.object.metadata.resource_version.as_deref().unwrap();
        assert_eq!(patch["metadata"], json!({"uid": "u1", "resourceVersion": version}));
        tree::remove(&mut patch, &["metadata"]);
        patch
    }))
}

/// Makes the change to the delivery, and asserts that no further change is needed.
pub(super) fn deliver(
    seen: &mut WeightsAndBiases,
    owner: &Owner,
    delivery: Option<&Delivery<'_>>,
) -> Option<Value> {
    let patch = patch_of(seen, owner, delivery).unwrap();
    if let Some(patch) = &patch {
        apply(seen, &owner.manager, patch);
    }
    assert_eq!(patch_of(seen, owner, delivery).unwrap(), None);
    patch
}
