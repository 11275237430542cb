//! What was read of an installation, before the objects to which it refers are read.

use serde_json::Value;

use super::Certificates;
use crate::engine::{ObjectKey, ReferenceSource, Requirement};

/// An installation of W&B Server, as a workload, a resource or a file describes it.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where the description was read, for messages.
    pub place: String,
    /// The namespace of the installation.
    pub namespace: String,
    /// The name that the resources get.
    pub name: String,
    /// The target of the resources, in the form of `spec.target`, if it is known.
    pub target: Option<Value>,
    /// Which names the server reads first, if that is known.
    pub shape: Option<ServerShape>,
    /// The environment. A later entry replaces an earlier one of the same name.
    pub entries: Vec<EnvironmentEntry>,
    /// The certificate authorities that the server trusts in addition to those of the image.
    pub certificates: Vec<Certificates>,
    /// The address at which people open W&B, if it comes from elsewhere than an environment variable.
    pub host: Option<String>,
    /// The chart values of a resource, below which other sources must be merged.
    pub values: Option<Value>,
    /// What a person should know about how the installation was read.
    pub notes: Vec<String>,
}

/// The two shapes of W&B Server, which differ in the names that they read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerShape {
    /// The `wandb/local` image.
    Local,
    /// The split services.
    Split,
}

/// An entry of an environment.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvironmentEntry {
    /// A single variable.
    Variable {
        /// The name of the variable.
        name: String,
        /// Where its value comes from.
        origin: EntryOrigin,
    },
    /// A variable for every key of an object.
    Every {
        /// The object with the keys.
        object: ObjectKey,
        /// The prefix of the variables' names.
        prefix: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryOrigin {
    /// The value is plain text.
    Text(String),
    /// The value is in a key of a Secret or a ConfigMap.
    Key {
        /// The Secret or ConfigMap.
        object: ObjectKey,
        /// The key in it.
        key: String,
        /// Whether the key may be missing.
        need: Requirement,
    },
    /// The value is known only in the running container.
    Elsewhere,
}

impl Installation {
    /// Every object that contains parts of the environment or certificate authorities.
    pub fn objects(&self) -> Vec<ObjectKey> {
        let of_entries = self.entries.iter().filter_map(|entry| match entry {
            EnvironmentEntry::Every { object, .. }
            | EnvironmentEntry::Variable { origin: EntryOrigin::Key { object, .. }, .. } => Some(object),
            EnvironmentEntry::Variable { .. } => None,
        });
        let of_certificates = self.certificates.iter().filter_map(|certificates| certificates.object());
        of_entries.chain(of_certificates).cloned().collect()
    }
}

/// The key for the Secret of this name.
pub(super) fn secret(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::Secret, name: name.into() }
}

/// The key for the ConfigMap of this name.
pub(super) fn config_map(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::ConfigMap, name: name.into() }
}
