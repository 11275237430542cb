//! `status.conditions`: Kubernetes' own conditions, of which each text is one copy for all resources that have it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// One aspect of how a resource is. In documents and in the schema it is Kubernetes' condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "v1::Condition", rename_all = "camelCase")]
pub struct Condition {
    /// When `status` changed last.
    pub last_transition_time: Time,
    /// What was seen, what was expected and what to do next.
    pub message: Text,
    /// The `metadata.generation` that this condition speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for programs.
    pub reason: Text,
    /// True, False or Unknown.
    pub status: Text,
    /// What it is about, such as `Ready`.
    #[serde(rename = "type")]
    pub type_: Text,
}

impl From<v1::Condition> for Condition {
    fn from(condition: v1::Condition) -> Self {
        let v1::Condition { last_transition_time, message, observed_generation, reason, status, type_ } =
            condition;
        Self {
            last_transition_time,
            message: message.into(),
            observed_generation,
            reason: reason.into(),
            status: status.into(),
            type_: type_.into(),
        }
    }
}

impl JsonSchema for Condition {
    fn inline_schema() -> bool {
        v1::Condition::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        v1::Condition::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        v1::Condition::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        v1::Condition::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn is_written_and_read_as_kubernetes_does() {
        let whole = json!({
            "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "All is well.", "observedGeneration": 2,
            "reason": "Ready", "status": "True", "type": "Ready",
        });
        let mut of_another_writer = whole.clone();
        of_another_writer["message"] = Value::Null;
        of_another_writer["more"] = json!(7);
        for document in
            [whole, of_another_writer, json!({"lastTransitionTime": "2026-01-01T00:00:00Z"}), json!({})]
        {
            let own = serde_json::from_value::<Condition>(document.clone()).ok();
            let kubernetes = serde_json::from_value::<v1::Condition>(document.clone()).ok();
            let written = (serde_json::to_value(&own).unwrap(), serde_json::to_value(&kubernetes).unwrap());
            assert_eq!(written.0, written.1, "{document}");
        }
    }
}
