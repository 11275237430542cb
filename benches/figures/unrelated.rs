//! Changes of Secrets that no resource refers to: what they cost the operator and the API server.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::fleet::Fleet;

use crate::{
    process::Process,
    report::{grouped, share},
};

/// As many as the kernel's unit of times needs for two digits of the aim.
const CHANGES: usize = 2_000;

const SECRETS: usize = 20;

const AT_A_TIME: usize = 8;

/// What a change costs.
pub struct Cost {
    /// The controller, if there is one.
    pub controller: Duration,
    /// The API server.
    pub api_server: Duration,
}

/// Changes some Secrets many times, beside the controller if there is one.
pub async fn cost(fleet: &Fleet, controller: Option<Process>) -> Result<Cost> {
    let workspace = fleet.first()?;
    for number in 0..SECRETS {
        workspace.put_secret(&format!("unrelated-{number}"), &[("value", "0")]).await?;
    }
    let api_server = Process(fleet.plane.api_server_id());
    let cpu = || controller.map_or(Ok(Duration::ZERO), Process::cpu);
    // What goes on anyway is not the Secrets' cost.
    let (started, before) = (Instant::now(), (cpu()?, api_server.cpu()?));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = |now: Duration, before: Duration, within: Duration| {
        now.saturating_sub(before).as_secs_f64() / within.as_secs_f64()
    };
    let within = started.elapsed();
    let (controller_idle, api_server_idle) =
        (idle(cpu()?, before.0, within), idle(api_server.cpu()?, before.1, within));

    let (started, before) = (Instant::now(), (cpu()?, api_server.cpu()?));
    let secrets = &workspace.secrets();
    stream::iter(0..CHANGES)
        .map(|number| async move {
            let change = json!({"stringData": {"value": grouped(number + 1)}});
            let name = format!("unrelated-{}", number % SECRETS);
            secrets.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await
        })
        .buffer_unordered(AT_A_TIME)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    // The last events are still on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let within = started.elapsed();
    let own = |used: Duration, idle: f64| {
        let own = used.as_secs_f64() - idle * within.as_secs_f64();
        share(Duration::try_from_secs_f64(own).unwrap_or_default(), CHANGES)
    };
    Ok(Cost {
        controller: own(cpu()?.saturating_sub(before.0), controller_idle),
        api_server: own(api_server.cpu()?.saturating_sub(before.1), api_server_idle),
    })
}
