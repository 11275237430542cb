//! The forms in which the resource refers to a key of a Secret.

use serde_json::{Value, json};

use super::tree;

/// How a reference to a key of a Secret is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A Secret key selector.
    Selector,
    /// The source of an environment variable.
    Variable,
    /// The chart's own, for the secret of an OpenID client.
    OidcSecret,
}

/// A reference in the resource.
pub(super) struct Reference<'a> {
    /// The field whose owner set it.
    pub path: Vec<&'a str>,
    /// The Secret's name.
    pub secret: &'a str,
}

impl Form {
    /// The reference to this key.
    pub fn to(self, secret: &str, key: &str) -> Value {
        match self {
            Self::Selector => json!({"name": secret, "key": key}),
            Self::Variable => json!({"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}),
            Self::OidcSecret => json!({"name": secret, "secretKey": key}),
        }
    }

    /// Where the name of the Secret stands in such a reference.
    fn name_path(self) -> &'static [&'static str] {
        match self {
            Self::Selector | Self::OidcSecret => &["name"],
            Self::Variable => &["valueFrom", "secretKeyRef", "name"],
        }
    }

    /// The name of the Secret that the value refers to, if it is such a reference.
    pub fn secret(self, value: &Value) -> Option<&str> {
        tree::text(value, self.name_path())
    }

    /// The reference at the path where the API server knows owners of each field in it.
    pub fn granular<'a>(self, path: &[&'a str], value: &'a Value) -> Option<Reference<'a>> {
        let secret = self.secret(value)?;
        Some(Reference { path: [path, self.name_path()].concat(), secret })
    }

    /// The reference at the path where the field at `owned` has one owner as a whole.
    pub fn atomic<'a>(self, owned: &[&'a str], value: &'a Value) -> Option<Reference<'a>> {
        Some(Reference { path: owned.to_vec(), secret: self.secret(value)? })
    }
}
