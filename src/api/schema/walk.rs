//! Walks a value along its schema.

use serde_json::Value;

use super::limits::{AnyMember, SpecSchema};

/// A member of a map or an item of a list.
pub struct Child<'a> {
    /// Its name; `None` for an item of a list.
    pub name: Option<&'a str>,
    /// Its path, such as `spec.testUsers[0].filter`.
    pub path: String,
    /// Its schema; `None` for a member that the schema does not know.
    pub schema: Option<&'a SpecSchema>,
    /// The member or item itself.
    pub value: &'a Value,
}

/// The members or items of a value, in their order.
pub fn children<'a>(schema: &'a SpecSchema, value: &'a Value, path: &str) -> Vec<Child<'a>> {
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, value)| Child {
                    name: None,
                    path: format!("{path}[{index}]"),
                    schema: schema.items.as_deref(),
                    value,
                })
                .collect()
        }
        Value::Object(members) => {
            let known = |name: &String| schema.properties.get(name);
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
pub fn parts(schema: &SpecSchema) -> impl Iterator<Item = &SpecSchema> {
    schema.properties.values().chain(schema.items.as_deref()).chain(of_any_member(schema))
}

fn of_any_member(schema: &SpecSchema) -> Option<&SpecSchema> {
    match &schema.additional_properties {
        Some(AnyMember::Like(any)) => Some(any),
        Some(AnyMember::Allowed(_)) | None => None,
    }
}
