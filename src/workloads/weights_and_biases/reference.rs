//! The forms in which the resource refers to a key of a Secret.

use serde_json::{Value, json};

use super::{shape::OidcFieldShape, tree};

/// How a reference to a key of a Secret is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A field for OIDC, in the shape that the installed definition has.
    Field(OidcFieldShape),
    /// The source of an environment variable.
    Variable,
    /// The chart's own, for the secret of an OpenID client.
    OidcSecret,
}

/// A reference in the resource.
pub(super) struct ResourceReference<'a> {
    /// The field whose owner set it.
    pub path: Vec<&'a str>,
    /// The Secret's name.
    pub secret: &'a str,
}

/// Where a field or a variable that takes its value from elsewhere names the source.
const SOURCE: &[&str] = &["valueFrom", "secretKeyRef"];
const NAME_IN_SOURCE: &[&str] = &["valueFrom", "secretKeyRef", "name"];

impl Form {
    /// The reference to this key.
    pub fn to(self, secret: &str, key: &str) -> Value {
        match self {
            Self::Field(OidcFieldShape::Selector) => json!({"name": secret, "key": key}),
            Self::Field(OidcFieldShape::ValueOrSource) | Self::Variable => {
                json!({"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
            }
            Self::OidcSecret => json!({"name": secret, "secretKey": key}),
        }
    }

    /// Whether the value is the reference to this key, in whichever shape: the W&B operator rewrites the one of a
    /// field into the other.
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

    /// Whether nobody set the field: the W&B operator writes all that it knows, also with nothing in it.
    pub fn is_vacant(self, value: &Value) -> bool {
        match self {
            Self::Field(_) => says_nothing(value),
            Self::Variable | Self::OidcSecret => false,
        }
    }

    /// The name of the Secret that the value refers to, if it is such a reference.
    pub fn secret(self, value: &Value) -> Option<&str> {
        match self {
            // A value of its own is what counts.
            Self::Field(_) if named(value, &["value"]).is_some() => None,
            Self::Field(_) => named(value, NAME_IN_SOURCE).or_else(|| named(value, &["name"])),
            Self::Variable => tree::text(value, NAME_IN_SOURCE),
            Self::OidcSecret => tree::text(value, &["name"]),
        }
    }

    /// The reference of a field at the path. The API server knows the owner of a selector as a whole, and the owners
    /// of each part of everything else.
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

    /// The reference at the path where the API server knows owners of each field in it.
    pub fn granular<'a>(self, path: &[&'a str], value: &'a Value) -> Option<ResourceReference<'a>> {
        let secret = self.secret(value)?;
        let name: &[&str] = match self {
            Self::Variable => NAME_IN_SOURCE,
            Self::Field(_) | Self::OidcSecret => &["name"],
        };
        Some(ResourceReference { path: [path, name].concat(), secret })
    }

    /// The reference at the path where the field at `owned` has one owner as a whole.
    pub fn atomic<'a>(self, owned: &[&'a str], value: &'a Value) -> Option<ResourceReference<'a>> {
        Some(ResourceReference { path: owned.to_vec(), secret: self.secret(value)? })
    }
}

/// The text at the path, if there is something in it.
fn named<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    tree::text(value, path).filter(|text| !text.is_empty())
}

/// The reference without the words that it is not optional, which W&B's conversion adds.
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

/// Whether neither a value nor a part of a reference is there.
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
