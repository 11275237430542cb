//! Collects the fields of a spec, as a kind finds them in an environment.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{FoundEnvironment, Setting, VariableSource, remarks::remark, subject::secret};
use crate::{
    api::{CheckResult, KeyReference, Reason},
    engine::{Env, Fetched, Finding, ObjectKey},
    problem::quote_exactly,
    sensitive::Sensitive,
    text::Text,
};

/// The fields that a kind has found, and the settings that it cannot express in fields.
pub struct Recovery<'a> {
    base: &'a str,
    objects: &'a BTreeMap<ObjectKey, Fetched>,
    pub(super) required: Vec<(&'static str, Value)>,
    pub(super) optional: Vec<(&'static str, Value, Vec<&'static str>)>,
    pub(super) holes: Vec<Hole>,
    pub(super) losses: Vec<Loss>,
    pub(super) made: Vec<NewSecretKey>,
    pub(super) notes: Vec<String>,
    pub(super) remarks: Vec<Finding>,
}

/// What a person must add to a resource before it can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// No variable gives the value of a field that every resource has.
    Unknown {
        /// The field of the spec.
        field: &'static str,
        /// What a person must write there.
        wanted: String,
    },
    /// The operator would not accept the resource, for this reason.
    Refused(String),
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { field, wanted } => write!(f, "spec.{field} is not known: write {wanted}"),
            Self::Refused(complaint) => f.write_str(complaint),
        }
    }
}

/// A setting that no field can express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The name of the variable.
    pub name: String,
    /// Why no field can express it.
    pub why: String,
}

/// A key of a Secret that must be created, since no Secret contains its value today.
#[derive(Clone, PartialEq)]
pub struct NewSecretKey {
    /// The reference to the key in the resource.
    pub reference: KeyReference,
    /// The value of the key.
    pub value: Sensitive,
}

/// The value of a variable that is meant to be true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// The variable is not set.
    Unset,
    /// The variable has a value that Go reads (`strconv.ParseBool`).
    Known(bool),
    /// The variable has any other value.
    Unknown,
}

/// The purposes for which Secrets may be created.
const PURPOSES: [&str; 2] = [BIND, CLIENT];
/// The purpose of a Secret with the password of the directory's account; it is a part of the Secret's name.
pub const BIND: &str = "ldap-bind";
/// The purpose of a Secret with the secret of the provider's client; it is a part of the Secret's name.
pub const CLIENT: &str = "oidc-client";
const ATTEMPTS: usize = 9;

/// Every Secret that may be created. Their present contents must be known, since no existing Secret is replaced.
pub fn made_names(base: &str) -> impl Iterator<Item = ObjectKey> {
    PURPOSES.into_iter().flat_map(move |purpose| candidates(base, purpose))
}

fn candidates(base: &str, purpose: &str) -> impl Iterator<Item = ObjectKey> {
    let first = format!("{base}-{purpose}");
    let others = (2..=ATTEMPTS).map({
        let first = first.clone();
        move |number| format!("{first}-{number}")
    });
    std::iter::once(first).chain(others).map(|name| secret(&name))
}

/// The boolean value of a text, as Go reads it (`strconv.ParseBool`).
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

impl<'a> Recovery<'a> {
    /// An empty recovery. The names of new objects begin with `base`.
    pub(super) fn new(base: &'a str, objects: &'a BTreeMap<ObjectKey, Fetched>) -> Self {
        Self {
            base,
            objects,
            required: Vec::new(),
            optional: Vec::new(),
            holes: Vec::new(),
            losses: Vec::new(),
            made: Vec::new(),
            notes: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Adds a field without which the resource makes no sense. If there is no value, `wanted` says what a person
    /// must write.
    pub fn require(&mut self, field: &'static str, value: Option<Value>, wanted: &str) {
        if value.is_none() {
            self.holes.push(Hole::Unknown { field, wanted: wanted.to_owned() });
        }
        self.required.push((field, value.unwrap_or_else(|| json!(format!("<{wanted}>")))));
    }

    /// Adds an optional field, with the variables that it expresses.
    pub fn offer(&mut self, field: &'static str, value: Value, names: &[&'static str]) {
        self.optional.push((field, value, names.to_vec()));
    }

    /// Records a variable that no field can express.
    pub fn lose(&mut self, name: &str, why: impl Into<String>) {
        self.losses.push(Loss { name: name.to_owned(), why: why.into() });
    }

    /// Records what W&B Server makes of a variable, where that may not be what is meant. It concerns those who have
    /// the server, and no resource.
    pub fn remark(&mut self, name: &str, result: CheckResult, reason: Reason, message: impl Into<Text>) {
        self.remarks.push(remark(name, result, reason, message));
    }

    /// Records a variable with a value that W&B Server cannot read, and that no field can express. `seen` says what
    /// the value is not, and `wanted` what to write.
    pub fn misread(&mut self, name: &str, value: &str, seen: &str, wanted: &str) {
        self.lose(name, format!("its value is {seen}"));
        let message = format!(
            "{name} is \"{}\", which is {seen}, so W&B Server cannot read it. Write {wanted}.",
            quote_exactly(value)
        );
        self.remark(name, CheckResult::Failed, Reason::VariableMalformed, message);
    }

    fn unreadable(&mut self, name: &str) {
        let message = format!("{name} is not text in UTF-8, so its value was not read. Store it as such.");
        self.remark(name, CheckResult::Failed, Reason::VariableMalformed, message);
    }

    /// Records what a person should know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The text of a setting, with its name. If the value could not be read, the setting is recorded as lost.
    pub fn text<'f>(&mut self, found: &'f FoundEnvironment, env: Env) -> Option<(&'static str, &'f str)> {
        let setting = found.setting(env)?;
        let Some(value) = &setting.variable.value else {
            let why = match &setting.variable.source {
                VariableSource::Secret(KeyReference { name, key }) => {
                    format!("its value, the key {key} of the Secret {name}, could not be read")
                }
                VariableSource::Elsewhere => {
                    "its value is known in the running container only, or could not be read".to_owned()
                }
            };
            self.lose(setting.name, why);
            self.unreadable(setting.name);
            return None;
        };
        Some((setting.name, value.expose()))
    }

    /// The URL of a setting. A URL with a user is recorded as lost, since it may contain a password, which must not
    /// be copied into a resource.
    pub fn url<'f>(&mut self, found: &'f FoundEnvironment, env: Env) -> Option<&'f str> {
        let (name, url) = self.text(found, env)?;
        if url.contains('@') {
            self.lose(name, "it holds a user's name, which no address here has");
            let message = format!("{name} holds a user's name. Write the address alone, without it.");
            self.remark(name, CheckResult::Failed, Reason::VariableMalformed, message);
            return None;
        }
        Some(url)
    }

    /// The boolean value of a setting.
    pub fn flag(&mut self, found: &FoundEnvironment, env: Env) -> Flag {
        if !found.is_set(env) {
            return Flag::Unset;
        }
        let Some((name, text)) = self.text(found, env) else { return Flag::Unknown };
        let Some(is_on) = boolean(text) else {
            self.misread(name, text, "neither true nor false", "true or false");
            return Flag::Unknown;
        };
        Flag::Known(is_on)
    }

    /// A reference to the Secret that contains the setting, or to one that must be created for it.
    pub fn reference(&mut self, setting: Setting<'_>, purpose: &'static str, key: &str) -> Option<Value> {
        let reference = match (&setting.variable.source, &setting.variable.value) {
            (VariableSource::Secret(reference), _) => reference.clone(),
            (VariableSource::Elsewhere, Some(value)) => self.make(value, purpose, key)?,
            (VariableSource::Elsewhere, None) => {
                self.lose(
                    setting.name,
                    "its value is known in the running container only, or could not be read",
                );
                self.unreadable(setting.name);
                return None;
            }
        };
        serde_json::to_value(reference).ok()
    }

    /// A reference to a new key of a Secret, under the first name that is free or whose Secret already contains the
    /// value.
    fn make(&mut self, value: &Sensitive, purpose: &'static str, key: &str) -> Option<KeyReference> {
        for object in candidates(self.base, purpose) {
            let reference = KeyReference { name: object.name.to_string(), key: key.to_owned() };
            if let Some(Fetched::Found { data, .. }) = self.objects.get(&object) {
                if data.get(key).is_some_and(|bytes| bytes.as_slice() == value.expose().as_bytes()) {
                    return Some(reference);
                }
                continue;
            }
            self.made.push(NewSecretKey { reference: reference.clone(), value: value.clone() });
            return Some(reference);
        }
        None
    }
}
