//! Finds fields that a definition does not know: the API server warns of them, plain decoding does not.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_yaml::Value;

/// The paths below `spec` that the definition has no place for.
pub(super) fn unknown_fields(definition: &CustomResourceDefinition, object: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let spec_schema = definition.spec.versions.first().and_then(|version| {
        version.schema.as_ref()?.open_api_v3_schema.as_ref()?.properties.as_ref()?.get("spec")
    });
    if let (Some(schema), Some(spec)) = (spec_schema, object.get("spec")) {
        walk(schema, spec, "spec", &mut unknown);
    }
    unknown
}

fn walk(schema: &JSONSchemaProps, value: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let key = key.as_str().unwrap_or_default();
                let path = format!("{path}.{key}");
                let property = schema.properties.as_ref().and_then(|properties| properties.get(key));
                match (property, &schema.additional_properties) {
                    (Some(property), _) => walk(property, value, &path, unknown),
                    (None, Some(JSONSchemaPropsOrBool::Schema(any))) => walk(any, value, &path, unknown),
                    (None, Some(JSONSchemaPropsOrBool::Bool(true))) => {}
                    // A mapping where the schema wants a text is told by decoding.
                    (None, _) if schema.properties.is_none() => {}
                    (None, _) => unknown.push(path),
                }
            }
        }
        Value::Sequence(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(item_schema)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    walk(item_schema, item, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LdapConfig;
    use kube::CustomResourceExt;

    #[test]
    fn finds_misspelled_and_misplaced_fields() {
        let object = serde_yaml::from_str(
            "spec:\n  address: ldaps://a\n  starTLS: true\n  attributes: {anything: goes}\n  bind: {dn: x, password: y}\n  testUsers: [{filter: (a=b), expected: {}}]\n",
        )
        .unwrap();
        assert_eq!(
            unknown_fields(&LdapConfig::crd(), &object),
            ["spec.starTLS", "spec.bind.password", "spec.testUsers[0].expected"]
        );
    }
}
