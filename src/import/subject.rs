//! What was read of an installation, before any object that it refers to.

use serde_json::Value;

use super::Certificates;
use crate::engine::{ObjectKey, ReferenceSource, Requirement};

/// One installation, as a workload, a resource or a file describes it.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where it was read, for messages.
    pub place: String,
    /// The namespace.
    pub namespace: String,
    /// The name that the resources get.
    pub name: String,
    /// What the resources are delivered to, as `spec.target` has it, where that is known.
    pub target: Option<Value>,
    /// Which names the server reads first, where that is known.
    pub shape: Option<ServerShape>,
    /// The environment, in the order in which entries count: a later one replaces an earlier one.
    pub entries: Vec<EnvironmentEntry>,
    /// The authorities that the server trusts beside the image's.
    pub certificates: Vec<Certificates>,
    /// Where people open W&B, where that is no environment variable.
    pub host: Option<String>,
    /// The chart values of a resource, which other sources are merged below.
    pub values: Option<Value>,
    /// What a person should know of how it was read.
    pub notes: Vec<String>,
}

/// The two shapes of W&B Server, by the names that they read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerShape {
    /// The `wandb/local` image.
    Local,
    /// The split services.
    Split,
}

/// One entry of an environment.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvironmentEntry {
    /// A variable.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        origin: EntryOrigin,
    },
    /// Every key of an object as a variable.
    Every {
        /// The object.
        object: ObjectKey,
        /// What stands before each key.
        prefix: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryOrigin {
    /// It is written out.
    Text(String),
    /// A key of a Secret or a ConfigMap.
    Key {
        /// The object.
        object: ObjectKey,
        /// The key.
        key: String,
        /// What its absence means.
        need: Requirement,
    },
    /// It is known in the running container only.
    Elsewhere,
}

impl Installation {
    /// Every object that the environment and the authorities are read from.
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

/// A Secret.
pub(super) fn secret(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::Secret, name: name.to_owned() }
}

/// A ConfigMap.
pub(super) fn config_map(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::ConfigMap, name: name.to_owned() }
}
