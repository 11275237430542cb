//! Reads what a watch brings without the parts that nobody uses. They are most of what comes, so they are passed over
//! while it is parsed.

use std::{borrow::Cow, fmt, marker::PhantomData};

use kube::{Resource, core::ObjectMeta};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// What is left out of an object, each by the fields that lead there: what the API server and `kubectl apply` store for
/// their own use.
const LEFT_OUT: [&[&str]; 2] = [
    &["metadata", "managedFields"],
    &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
];

/// An object as JSON, without those parts.
pub(super) struct LeanJson(pub(super) Value);

impl<'de> Deserialize<'de> for LeanJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Without(LEFT_OUT.to_vec()).deserialize(deserializer).map(Self)
    }
}

/// Reads an object without the fields at the end of these paths.
struct Without(Vec<&'static [&'static str]>);

impl<'de> DeserializeSeed<'de> for Without {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Without {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let below: Vec<_> = self
                .0
                .iter()
                .filter_map(|path| path.split_first())
                .filter(|(first, _)| **first == name)
                .map(|(_, rest)| rest)
                .collect();
            if below.iter().any(|rest| rest.is_empty()) {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = if below.is_empty() {
                fields.next_value()?
            } else {
                fields.next_value_seed(Without(below))?
            };
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// An object of which only the name and the version are read. It is asked for as metadata, so that its contents never
/// reach this process.
#[derive(Clone, Debug)]
pub(super) struct VersionOnly<O> {
    metadata: ObjectMeta,
    object: PhantomData<O>,
}

impl<'de, O> Deserialize<'de> for VersionOnly<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
        }
        let Object { metadata } = Object::deserialize(deserializer)?;
        let Metadata { name, namespace, uid, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, object: PhantomData })
    }
}

impl<O: Resource> Resource for VersionOnly<O> {
    type DynamicType = O::DynamicType;
    type Scope = O::Scope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        O::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        O::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        O::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        O::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_nobody_uses_is_left_out() {
        let kept = json!({
            "spec": {"managedFields": [1], "metadata": {"managedFields": 2}},
            "metadata": {"name": "corp", "annotations": {"auth.wandb.com/recheck": "now"}, "labels": null},
            "status": null,
        });
        let mut stored = kept.clone();
        stored["metadata"]["managedFields"] = json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]);
        stored["metadata"]["annotations"][LEFT_OUT[1][2]] = json!("{}");
        for document in [&kept, &stored] {
            let LeanJson(read) = serde_json::from_str(&document.to_string()).unwrap();
            assert_eq!(read, kept);
        }
        for odd in [json!({"metadata": null}), json!({"metadata": {"annotations": null}}), json!({})] {
            let LeanJson(read) = serde_json::from_value(odd.clone()).unwrap();
            assert_eq!(read, odd);
        }
        assert!(serde_json::from_str::<LeanJson>("7").is_err());
    }

    #[test]
    fn a_version_is_read_without_contents() {
        let stored = json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {
                "name": "bind", "namespace": "team", "uid": "u", "resourceVersion": "7",
                "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}],
            },
        });
        let read: VersionOnly<Secret> = serde_json::from_value(stored).unwrap();
        let expected = ObjectMeta {
            name: Some("bind".to_owned()),
            namespace: Some("team".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        };
        assert_eq!(*read.meta(), expected);
        assert!(VersionOnly::<Secret>::metadata_api());
    }
}
