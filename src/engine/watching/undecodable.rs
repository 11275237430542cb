//! Handles an object that this version of the operator may not be able to decode. Such an object is reported,
//! other objects are not affected, and it keeps the claims and entries that it has.

use std::borrow::Cow;

use kube::{Resource, core::ObjectMeta};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Value;

use super::lean::LeanJson;
use crate::{
    api::{self, Status},
    workloads::Target,
};

/// An object of a kind without what the API server and `kubectl apply` store for their own use, whether this version of the operator can read it or not.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, Unreadable>);

/// What is known of an object that this version of the operator cannot read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why it cannot be read.
    pub error: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its spec as it is stored.
    pub spec: Value,
    /// Its status, where that can be read.
    pub status: Option<Status>,
}

impl Unreadable {
    /// Its target, as far as the spec shows it.
    pub fn target(&self) -> Option<Target> {
        let target = api::TargetSpec::deserialize(self.spec.get("target")?).ok()?;
        Target::of(&target)
    }

    /// The name of the Secret that it has published, or would have published.
    pub fn secret_name(&self) -> Option<&str> {
        let published = self.status.as_ref().and_then(|status| status.secret_ref.as_ref());
        let named = || self.spec.get("secretName").and_then(Value::as_str);
        published.map(|secret| secret.name.as_str()).or_else(named)
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let LeanJson(raw) = LeanJson::deserialize(deserializer)?;
        let error = match K::deserialize(&raw) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let field = |name: &str| raw.get(name).cloned().unwrap_or_default();
        let metadata = ObjectMeta::deserialize(&field("metadata")).map_err(D::Error::custom)?;
        let status = Status::deserialize(&field("status")).ok();
        Ok(Self(Err(Unreadable { error, metadata, spec: field("spec"), status })))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LdapConfig;

    fn guarded(spec: &Value, status: &Value) -> Guarded<LdapConfig> {
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "metadata": {"name": "corp"},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn what_cannot_be_read_keeps_what_can() {
        let target = json!({"deployment": {"name": "wandb"}});
        let published = json!({"secretRef": {"name": "corp-ldap"}});
        for (spec, status, target, secret) in [
            (
                json!({"address": 7, "target": target}),
                published.clone(),
                Some("Deployment/wandb"),
                "corp-ldap",
            ),
            (json!({"address": 7, "target": 7, "secretName": "own"}), published, None, "corp-ldap"),
            (json!({"address": 7, "secretName": "own"}), json!({}), None, "own"),
            (json!("nothing like a spec"), json!("nor a status"), None, ""),
        ] {
            let guarded = guarded(&spec, &status);
            let unreadable = guarded.0.as_ref().unwrap_err();
            assert_eq!(guarded.meta().name.as_deref(), Some("corp"));
            assert_eq!(unreadable.target().map(|target| target.to_string()).as_deref(), target);
            assert_eq!(unreadable.secret_name().unwrap_or_default(), secret);
        }
    }

    #[test]
    fn what_can_be_read_is_itself() {
        let guarded = guarded(
            &json!({"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"}),
            &json!({}),
        );
        assert_eq!(guarded.0.unwrap().spec.address, "ldaps://ldap.example.com");
    }
}
