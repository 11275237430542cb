//! Walks a value along its schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// A member of a map or an item of a list.
pub struct Child<'a> {
    /// Its name; `None` for an item of a list.
    pub name: Option<&'a str>,
    /// Its path, such as `spec.testUsers[0].filter`.
    pub path: String,
    /// Its schema; `None` for a member that the schema does not know.
    pub schema: Option<&'a JSONSchemaProps>,
    /// The member or item itself.
    pub value: &'a Value,
}

/// The members or items of a value, in their order.
pub fn children<'a>(schema: &'a JSONSchemaProps, value: &'a Value, path: &str) -> Vec<Child<'a>> {
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, value)| Child {
                    name: None,
                    path: format!("{path}[{index}]"),
                    schema: of_items(schema),
                    value,
                })
                .collect()
        }
        Value::Object(members) => {
            let known = |name: &String| schema.properties.as_ref().and_then(|known| known.get(name));
            members
                .iter()
                .map(|(name, value)| Child {
                    name: Some(name),
                    path: format!("{path}.{name}"),
                    schema: known(name).or_else(|| of_any_member(schema)),
                    value,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The schemas of everything below this one.
pub fn parts(schema: &JSONSchemaProps) -> impl Iterator<Item = &JSONSchemaProps> {
    let members = schema.properties.iter().flat_map(|members| members.values());
    members.chain(of_items(schema)).chain(of_any_member(schema))
}

fn of_items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        Some(JSONSchemaPropsOrArray::Schemas(_)) | None => None,
    }
}

fn of_any_member(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(any)) => Some(any),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
    }
}
