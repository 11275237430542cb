//! From an edit of a healthy resource until it is Ready again, as a watch sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
    runtime::watcher::watch_object,
};
use serde_json::{Value, json};
use test_support::fleet::{Fleet, manifest};

use crate::report::{Cell, Report, milliseconds, percentile};

/// How often a resource is edited.
pub const EDITS: usize = 100;

/// Longer than any edit takes that ever ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// Edits one directory of the fleet many times.
pub async fn measure(fleet: &Fleet, size: usize, report: &mut Report) -> Result<()> {
    let workspace = fleet.first()?;
    workspace.apply(&manifest(&fleet.servers, "LdapConfig", "edited")?.to_string()).await?;
    workspace.wait_until_ready("LdapConfig", "edited").await?;
    let api = workspace.resources("LdapConfig")?;
    let edits = edit_many_times(&api, "edited", "Ready", longer_timeout).await?;
    report.add_sized("LdapConfig: edit to Ready, p50 and p99", size, words(&edits), "30 ms, 80 ms");
    Ok(())
}

/// A change of a spec that is another one each time.
pub fn longer_timeout(number: usize) -> Value {
    json!({"spec": {"checkTimeout": format!("{}s", 20 + number)}})
}

/// The percentiles.
pub fn words(edits: &[Duration]) -> Cell {
    let (half, most) = (percentile(edits, 50), percentile(edits, 99));
    Cell::cost(format!("{}, {}", milliseconds(half), milliseconds(most)), most.as_secs_f64())
}

/// How long each edit of this resource took until its condition was True again.
pub async fn edit_many_times(
    api: &Api<DynamicObject>,
    name: &str,
    condition: &str,
    edit: impl Fn(usize) -> Value,
) -> Result<Vec<Duration>> {
    let mut seen = Box::pin(watch_object(api.clone(), name));
    let mut edits = Vec::new();
    for number in 0..EDITS {
        let change = Patch::Merge(edit(number));
        let started = Instant::now();
        let edited = api.patch(name, &PatchParams::default(), &change).await?;
        loop {
            let object = tokio::time::timeout(PATIENCE, seen.next()).await?.context("the watch ended")??;
            if object.is_some_and(|object| is_ready_after(&edited, &object, condition)) {
                break;
            }
        }
        edits.push(started.elapsed());
    }
    ensure!(!edits.is_empty(), "nothing was edited");
    Ok(edits)
}

/// Whether a controller has answered to the edit, and all is well.
fn is_ready_after(edited: &DynamicObject, object: &DynamicObject, condition: &str) -> bool {
    let Some(status) = object.data.get("status") else { return false };
    let answers = match status.get("observedGeneration").and_then(Value::as_i64) {
        Some(observed) => Some(observed) >= edited.metadata.generation,
        // Who tells of no generation has changed something else.
        None => object.resource_version() != edited.resource_version(),
    };
    let found = test_support::condition(status, condition);
    answers && found.and_then(|found| found.get("status")?.as_str()) == Some("True")
}
