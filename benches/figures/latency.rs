//! From an edit of a healthy resource until it is Ready again, as a watch sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::{
    api::{Patch, PatchParams},
    runtime::watcher::watch_object,
};
use serde_json::{Value, json};
use test_support::{Operator, Workspace};

use crate::{
    table::{Table, milliseconds, percentile},
    world::{World, is_ready, start_operator},
};

const EDITS: usize = 50;

/// Longer than answers are shared between resources, so that every edit makes every request.
const PAUSE: Duration = Duration::from_millis(1100);

/// An edit and what followed.
pub struct Edit {
    /// From the request until Ready.
    pub until_ready: Duration,
    /// What the checks took in this very run: the servers' own time.
    checks: Duration,
}

/// Edits one resource of each kind many times.
pub async fn measure(world: &World, table: &mut Table) -> Result<()> {
    let workspace = world.workspace().await?;
    workspace.apply(&world.ldap_config("edited")?.to_string()).await?;
    workspace.apply(&world.oidc_provider("edited").to_string()).await?;
    let operator = start_operator(&workspace)?;
    for kind in ["LdapConfig", "OidcProvider"] {
        workspace.wait_until_ready(kind, "edited").await?;
        let edits = edit_many_times(&workspace, &operator, kind).await?;
        let row = |of: fn(&Edit) -> Duration| {
            let durations: Vec<_> = edits.iter().map(of).collect();
            format!(
                "{}, {}",
                milliseconds(percentile(&durations, 50)),
                milliseconds(percentile(&durations, 99))
            )
        };
        table.add(
            &format!("{kind}, edit to Ready, {EDITS} times: p50, p99"),
            row(|edit| edit.until_ready),
            "50 ms + checks",
        );
        table.add(&format!("{kind}, the checks of the same runs: p50, p99"), row(|edit| edit.checks), "");
        table.add(
            &format!("{kind}, edit to Ready without the checks: p50, p99"),
            row(|edit| edit.until_ready.saturating_sub(edit.checks)),
            "50 ms",
        );
    }
    Ok(())
}

/// Edits the resource named `edited` of this kind many times.
pub async fn edit_many_times(workspace: &Workspace, operator: &Operator, kind: &str) -> Result<Vec<Edit>> {
    let api = workspace.resources(kind)?;
    let mut seen = Box::pin(watch_object(api.clone(), "edited"));
    let mut edits = Vec::new();
    for number in 0..EDITS {
        tokio::time::sleep(PAUSE).await;
        let before = time_in_checks(operator, kind)?;
        let edit = json!({"spec": {"checkTimeout": format!("{}s", 20 + number)}});
        let started = Instant::now();
        let edited = api.patch("edited", &PatchParams::default(), &Patch::Merge(edit)).await?;
        let generation = edited.metadata.generation.context("the API server counts no generations")?;
        loop {
            let object = seen.next().await.context("the watch ended")??;
            let status = object.as_ref().and_then(|object| object.data.get("status"));
            if is_ready(status.unwrap_or(&Value::Null), generation) {
                break;
            }
        }
        let until_ready = started.elapsed();
        edits.push(Edit { until_ready, checks: time_in_checks(operator, kind)?.saturating_sub(before) });
    }
    Ok(edits)
}

/// What all checks of a kind have taken so far, by the operator's own metrics.
fn time_in_checks(operator: &Operator, kind: &str) -> Result<Duration> {
    let (_, metrics) = operator.get("/metrics")?;
    let label = format!("kind=\"{kind}\"");
    let seconds: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("wandb_auth_check_duration_seconds_sum") && line.contains(&label))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    Ok(Duration::try_from_secs_f64(seconds)?)
}
