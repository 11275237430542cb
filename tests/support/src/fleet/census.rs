//! How many resources are Ready, counted with as little of the API server's time as possible.

use std::time::{Duration, Instant};

use anyhow::Result;
use kube::Client;
use kube::Resource as _;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, Request};
use serde::Deserialize;

/// Resources of these kinds in every namespace of a control plane.
pub struct Census {
    client: Client,
    resources: Vec<ApiResource>,
    condition: String,
}

/// What of a list is read; the rest of thousands of objects is not even kept.
#[derive(Deserialize)]
struct Lean {
    items: Vec<LeanObject>,
}

#[derive(Deserialize)]
struct LeanObject {
    metadata: LeanMetadata,
    #[serde(default)]
    status: LeanStatus,
}

#[derive(Deserialize)]
struct LeanMetadata {
    generation: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeanStatus {
    observed_generation: Option<i64>,
    conditions: Vec<LeanCondition>,
}

#[derive(Deserialize)]
struct LeanCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl LeanObject {
    fn is_ready(&self, condition: &str) -> bool {
        let is_current = match (self.status.observed_generation, self.metadata.generation) {
            (Some(observed), Some(generation)) => observed >= generation,
            // Some controllers tell of no generation.
            _ => true,
        };
        let is_true = |found: &LeanCondition| found.type_ == condition && found.status == "True";
        is_current && self.status.conditions.iter().any(is_true)
    }
}

impl Census {
    /// Counts those of these kinds whose condition of that type is True.
    pub fn new(client: Client, resources: Vec<ApiResource>, condition: &str) -> Self {
        Self { client, resources, condition: condition.to_owned() }
    }

    /// How many are Ready now.
    pub async fn ready(&self) -> Result<usize> {
        let mut ready = 0;
        for resource in &self.resources {
            // Answered from the API server's memory.
            let listing = ListParams::default().match_any();
            let request = Request::new(DynamicObject::url_path(resource, None)).list(&listing)?;
            let list: Lean = self.client.request(request).await?;
            ready += list.items.iter().filter(|object| object.is_ready(&self.condition)).count();
        }
        Ok(ready)
    }

    /// Waits until so many are Ready, or for that long; how many are, and how long it took.
    pub async fn wait(&self, wanted: usize, patience: Duration) -> Result<(usize, Duration)> {
        let started = Instant::now();
        loop {
            let ready = self.ready().await?;
            let took = started.elapsed();
            if ready >= wanted || took > patience {
                return Ok((ready, took));
            }
            tokio::time::sleep(pause(wanted - ready, wanted)).await;
        }
    }
}

/// Long where much is to be listed and the end is far, and short where it is near.
fn pause(missing: usize, all: usize) -> Duration {
    let milliseconds = if missing * 10 > all { all / 4 } else { all / 20 };
    Duration::from_millis(u64::try_from(milliseconds.clamp(50, 2500)).unwrap_or(2500))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_is_what_is_true_of_the_current_generation() {
        for (status, expected) in [
            (json!({}), false),
            (json!({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]}), true),
            (json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}), false),
            (json!({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "False"}]}), false),
            (json!({"conditions": [{"type": "Ready", "status": "True"}]}), true),
            (json!({"observedGeneration": 2, "conditions": [{"type": "Verified", "status": "True"}]}), false),
        ] {
            let object: LeanObject =
                serde_json::from_value(json!({"metadata": {"generation": 2}, "status": status})).unwrap();
            assert_eq!(object.is_ready("Ready"), expected, "{status}");
        }
    }

    #[test]
    fn the_end_is_looked_for_more_often() {
        for (missing, all, milliseconds) in [(10_000, 10_000, 2500), (100, 10_000, 500), (5, 100, 50)] {
            assert_eq!(pause(missing, all), Duration::from_millis(milliseconds), "{missing} of {all}");
        }
    }
}
