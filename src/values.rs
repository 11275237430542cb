//! The values that are published, and the environment variables that carry them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{net::CaBundle, sensitive::Sensitive, text::Text};

/// The environment variables of one setting in the two dialects of W&B Server (`wandb/local` and the split
/// services).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// The name that W&B documents for the `wandb/local` image.
    pub local: Option<&'static str>,
    /// The names that W&B documents for the split services, or that these may read.
    pub split: &'static [&'static str],
    /// The field for it in the W&B operator's own resource, if there is one.
    pub field: Option<Field>,
}

/// The address at which people open W&B, in the order of preference. No kind publishes it.
pub const HOST: Env =
    Env { local: Some("HOST"), split: &["GORILLA_FRONTEND_HOST", "GORILLA_FILE_HOST"], field: None };

/// Settings for which the W&B operator's resource has fields of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The issuer of an OpenID Provider.
    Issuer,
    /// The client at that provider.
    ClientId,
    /// The client's secret.
    ClientSecret,
    /// How people are sent to the provider.
    AuthMethod,
    /// How long people stay logged in.
    SessionLength,
    /// Whether a login creates no account.
    NoProvisioning,
}

/// The name of the certificates of the authorities among the published values, a file for
/// `/usr/local/share/ca-certificates/`.
pub const CA_FILE: &str = "ca.crt";

impl Env {
    /// Every name of the setting, without repetition.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let split = self.split.iter().copied().filter(move |name| Some(*name) != self.local);
        self.local.into_iter().chain(split)
    }
}

/// The data of a published Secret. The type has no `Debug`, because every value may be secret.
#[derive(Clone, Default, PartialEq)]
pub struct Values {
    /// In the order of the names. Several places keep the same ones.
    entries: Arc<Vec<(Text, Sensitive)>>,
    record: Option<Text>,
}

impl Values {
    fn insert(&mut self, name: &str, value: Sensitive) {
        let entries = Arc::make_mut(&mut self.entries);
        match position(entries, name) {
            Ok(at) => {
                if let Some((_, known)) = entries.get_mut(at) {
                    *known = value;
                }
            }
            Err(at) => {
                // They are kept for long, and not one by one.
                entries.reserve_exact(1);
                entries.insert(at, (name.into(), value));
            }
        }
    }

    /// Sets a setting under each of its names.
    pub fn set(&mut self, env: Env, value: impl Into<Sensitive>) {
        let value = value.into();
        for name in env.names() {
            self.insert(name, value.clone());
        }
    }

    /// Sets a setting whose value is written differently in the two dialects.
    pub fn set_each(&mut self, env: Env, local: impl Into<Sensitive>, split: impl Into<Sensitive>) {
        if let Some(name) = env.local {
            self.insert(name, local.into());
        }
        let split = split.into();
        for name in env.split {
            self.insert(name, split.clone());
        }
    }

    /// Sets the certificates of the authorities, which pods use as a file.
    pub fn set_authorities(&mut self, bundle: &CaBundle) {
        self.set_file(CA_FILE, bundle.pem());
    }

    /// Sets an entry that pods use as a file.
    pub fn set_file(&mut self, name: &str, content: impl Into<Sensitive>) {
        self.insert(name, content.into());
    }

    /// Sets what a later run must know of these values and cannot find out elsewhere. It is written as an
    /// annotation of the Secret, where everybody who may read the Secret's metadata can see it.
    pub fn set_record(&mut self, record: impl Into<Text>) {
        self.record = Some(record.into());
    }

    /// What was recorded with the values, if anything.
    pub fn record(&self) -> Option<&str> {
        self.record.as_deref()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Sensitive> {
        let at = position(&self.entries, name).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// The value of a setting, under the first of its names that has a value.
    pub fn setting(&self, env: Env) -> Option<&Sensitive> {
        env.names().find_map(|name| self.get(name))
    }

    /// Every name and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Sensitive)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }
}

/// Where the name is, or belongs.
fn position(entries: &[(Text, Sensitive)], name: &str) -> Result<usize, usize> {
    entries.binary_search_by(|(known, _)| known.as_str().cmp(name))
}

impl FromIterator<(String, Sensitive)> for Values {
    fn from_iter<T: IntoIterator<Item = (String, Sensitive)>>(entries: T) -> Self {
        let entries: BTreeMap<Text, _> =
            entries.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { entries: Arc::new(entries.into_iter().collect()), record: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once_and_in_order() {
        const SETTING: Env = Env { local: Some("B"), split: &["C", "A"], field: None };
        let mut values = Values::default();
        values.set(SETTING, "first");
        values.set_file("B", "second");
        let listed = |values: &Values| -> Vec<_> {
            values.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect()
        };
        assert_eq!(listed(&values), ["A=first", "B=second", "C=first"]);
        assert_eq!(values.setting(SETTING).map(Sensitive::expose), Some("second"));
        assert!(values.get("D").is_none());
        let pairs = [("C", "first"), ("B", "lost"), ("A", "first"), ("B", "second")];
        let same: Values =
            pairs.map(|(name, value)| (name.to_owned(), Sensitive::from(value))).into_iter().collect();
        assert!(same == values);
        let copy = values.clone();
        values.set_file("E", "new");
        assert!(copy.get("E").is_none() && values.get("E").is_some(), "copies are told apart");
    }
}
