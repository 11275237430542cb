//! The cases, as they are written down.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The kinds that have cases.
pub const KINDS: [&str; 4] = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];

/// Everything that is written down about one kind.
#[derive(Deserialize)]
pub struct Cases {
    /// Objects that are taken and that have, together, every field.
    pub complete: Vec<Value>,
    /// The object that the cases of rules change.
    pub base: Value,
    /// The kind's rules, and those of all kinds.
    pub rules: Vec<Rule>,
}

/// What is written down about one rule.
#[derive(Deserialize)]
pub struct Rule {
    /// The rule's own message.
    pub message: String,
    /// What the rule looks at.
    #[serde(default)]
    pub judges: Judged,
    /// Changes of the base that are taken.
    pub accepts: Vec<Value>,
    /// Changes of the base that are refused with the message.
    pub rejects: Vec<Value>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Judged {
    /// The spec by itself.
    #[default]
    Spec,
    /// The object's name too.
    Metadata,
    /// A change: each case is an object to be created and a patch of it.
    Transition,
}

#[derive(Deserialize)]
struct Common {
    rules: Vec<Rule>,
}

#[test]
fn every_file_is_read() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/validation");
    let mut found = std::collections::BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        found.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let read = KINDS.map(|kind| format!("{}.yaml", kind.to_lowercase()));
    assert_eq!(found, read.into_iter().chain(["common.yaml".to_owned()]).collect());
    Ok(())
}

impl Cases {
    /// Reads what is written down about a kind.
    pub fn of(kind: &str) -> Result<Self> {
        let mut cases: Self = read(&kind.to_lowercase())?;
        cases.rules.extend(read::<Common>("common")?.rules);
        Ok(cases)
    }

    /// The base, changed.
    pub fn changed(&self, patch: &Value) -> Value {
        let mut object = self.base.clone();
        merge(&mut object, patch);
        object
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> Result<T> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/validation");
    let file = directory.join(format!("{name}.yaml"));
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    serde_yaml::from_str(&text).with_context(|| file.display().to_string())
}

/// A merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
    *target = Value::Object(members);
}
