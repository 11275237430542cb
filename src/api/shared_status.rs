//! One copy of a status for all who keep it.

use std::{borrow::Cow, ops::Deref, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Status;

/// A status of which the watched object and what is remembered of it hold one copy together. In documents and in the
/// schema it is a status like any other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharedStatus(Arc<Status>);

impl SharedStatus {
    /// Whether both are the same copy.
    pub fn is_same_copy(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for SharedStatus {
    type Target = Status;

    fn deref(&self) -> &Status {
        &self.0
    }
}

impl From<Status> for SharedStatus {
    fn from(status: Status) -> Self {
        Self(Arc::new(status))
    }
}

impl Serialize for SharedStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Status::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for SharedStatus {
    fn inline_schema() -> bool {
        Status::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        Status::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Status::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Status::json_schema(generator)
    }
}
