//! Writes and reads references to a key of a Secret, in the forms that the resource has for them.

use serde_json::{Value, json};

use super::{shape::OidcFieldShape, tree};

/// A form of a reference to a key of a Secret.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A field for OIDC, in the shape of the installed definition.
    Field(OidcFieldShape),
    /// An environment variable with `valueFrom`.
    Variable,
    /// The chart's own form for the secret of an OpenID Connect client.
    OidcSecret,
}

/// A reference that the resource contains.
pub(super) struct ResourceReference<'a> {
    /// The field whose field manager counts as the author of the reference.
    pub path: Vec<&'a str>,
    /// The name of the Secret.
    pub secret: &'a str,
}

/// Where a field or variable names the source of its value.
const SOURCE: &[&str] = &["valueFrom", "secretKeyRef"];
const NAME_IN_SOURCE: &[&str] = &["valueFrom", "secretKeyRef", "name"];

impl Form {
    /// Makes the reference to this key.
    pub fn to(self, secret: &str, key: &str) -> Value {
        match self {
            Self::Field(OidcFieldShape::Selector) => json!({"name": secret, "key": key}),
            Self::Field(OidcFieldShape::ValueOrSource) | Self::Variable => {
                json!({"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
            }
            Self::OidcSecret => json!({"name": secret, "secretKey": key}),
        }
    }

    /// Whether the value is a reference to this key. Both shapes of a field count, because the W&B operator
    /// rewrites one into the other.
    pub fn says(self, value: &Value, secret: &str, key: &str) -> bool {
        let forms = match self {
            Self::Field(_) => {
                &[Self::Field(OidcFieldShape::Selector), Self::Field(OidcFieldShape::ValueOrSource)][..]
            }
            Self::Variable => &[Self::Variable],
            Self::OidcSecret => &[Self::OidcSecret],
        };
        let value = as_required(value);
        forms.iter().any(|form| form.to(secret, key) == value)
    }

    /// Whether nobody has set the field. The W&B operator writes every field that it knows, also empty ones.
    pub fn is_vacant(self, value: &Value) -> bool {
        match self {
            Self::Field(_) => says_nothing(value),
            Self::Variable | Self::OidcSecret => false,
        }
    }

    /// The name of the Secret to which the value refers, or `None` if it is no such reference.
    pub fn secret(self, value: &Value) -> Option<&str> {
        match self {
            // A literal value has precedence over a reference.
            Self::Field(_) if named(value, &["value"]).is_some() => None,
            Self::Field(_) => named(value, NAME_IN_SOURCE).or_else(|| named(value, &["name"])),
            Self::Variable => tree::text(value, NAME_IN_SOURCE),
            Self::OidcSecret => tree::text(value, &["name"]),
        }
    }

    /// The reference in the field at the path. The API server tracks a selector as one value, and everything else
    /// by its members.
    pub fn field<'a>(
        shape: OidcFieldShape,
        path: &[&'a str],
        value: &'a Value,
    ) -> Option<ResourceReference<'a>> {
        let secret = Self::Field(shape).secret(value)?;
        let part: &[&str] = match shape {
            OidcFieldShape::Selector => &[],
            OidcFieldShape::ValueOrSource if tree::find(value, SOURCE).is_some() => SOURCE,
            OidcFieldShape::ValueOrSource => &["name"],
        };
        Some(ResourceReference { path: [path, part].concat(), secret })
    }

    /// The reference at the path, where the API server tracks the managers of every member.
    pub fn granular<'a>(self, path: &[&'a str], value: &'a Value) -> Option<ResourceReference<'a>> {
        let secret = self.secret(value)?;
        let name: &[&str] = match self {
            Self::Variable => NAME_IN_SOURCE,
            Self::Field(_) | Self::OidcSecret => &["name"],
        };
        Some(ResourceReference { path: [path, name].concat(), secret })
    }

    /// The reference at the path, where the API server tracks the field at `owned` as one value.
    pub fn atomic<'a>(self, owned: &[&'a str], value: &'a Value) -> Option<ResourceReference<'a>> {
        Some(ResourceReference { path: owned.to_vec(), secret: self.secret(value)? })
    }
}

/// The text at the path, unless it is empty.
fn named<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    tree::text(value, path).filter(|text| !text.is_empty())
}

/// The reference without `optional: false`, which W&B's conversion adds.
fn as_required(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields =
                fields.iter().filter(|(name, value)| *name != "optional" || **value != Value::Bool(false));
            Value::Object(fields.map(|(name, value)| (name.clone(), as_required(value))).collect())
        }
        value => value.clone(),
    }
}

/// Whether the value contains neither a literal nor any part of a reference.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.iter().all(|(name, value)| name == "optional" || says_nothing(value)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Form; 2] =
        [Form::Field(OidcFieldShape::Selector), Form::Field(OidcFieldShape::ValueOrSource)];

    #[test]
    fn a_field_is_vacant_until_there_is_something_in_it() {
        for (value, is_vacant, secret) in [
            (json!({}), true, None),
            (json!({"key": ""}), true, None),
            (json!({"name": ""}), true, None),
            (json!({"name": "", "key": ""}), true, None),
            (json!({"name": "", "key": "", "optional": true}), true, None),
            (json!({"value": ""}), true, None),
            (json!({"valueFrom": {}}), true, None),
            (json!({"valueFrom": null}), true, None),
            (json!({"valueFrom": {"secretKeyRef": {"name": "", "key": ""}}}), true, None),
            (json!({"name": "", "key": "k"}), false, None),
            (json!({"name": "s", "key": ""}), false, Some("s")),
            (json!({"name": "s", "key": "k"}), false, Some("s")),
            (json!({"value": "text"}), false, None),
            (json!({"value": "text", "valueFrom": {"secretKeyRef": {"name": "s"}}}), false, None),
            (json!({"value": "", "valueFrom": {"secretKeyRef": {"name": "s"}}}), false, Some("s")),
            (json!({"name": "old", "valueFrom": {"secretKeyRef": {"name": "s"}}}), false, Some("s")),
            (json!("text"), false, None),
            (json!([]), false, None),
        ] {
            for form in FIELDS {
                assert_eq!((form.is_vacant(&value), form.secret(&value)), (is_vacant, secret), "{value}");
            }
        }
    }

    #[test]
    fn a_reference_is_the_same_in_either_shape_of_a_field() {
        let (selector, source) = (FIELDS[0].to("s", "k"), FIELDS[1].to("s", "k"));
        for form in FIELDS {
            assert!(form.says(&selector, "s", "k") && form.says(&source, "s", "k"));
            assert!(!form.says(&selector, "s", "other") && !form.says(&source, "other", "k"));
            assert!(!form.says(&json!({"name": "s", "key": "k", "optional": true}), "s", "k"));
            let source = json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": false}}});
            assert!(form.says(&source, "s", "k"));
        }
        assert!(!Form::Variable.says(&selector, "s", "k") && Form::Variable.says(&source, "s", "k"));
    }
}
