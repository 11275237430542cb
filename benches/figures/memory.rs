//! Resident memory, without resources and with a thousand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ListParams, PostParams};
use serde_json::Value;
use test_support::{Operator, Workspace};

use crate::{
    table::{Table, mebibytes},
    world::{World, is_ready, start_operator},
};

const OF_EACH_KIND: usize = 500;
const KINDS: [&str; 2] = ["LdapConfig", "OidcProvider"];

/// How long memory is given to settle after the last change.
const SETTLING: Duration = Duration::from_secs(5);

/// Resources that take longer than this are reported as not Ready.
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures one operator before and after its resources are created, and one that starts with them.
pub async fn measure(world: &World, table: &mut Table) -> Result<()> {
    let workspace = world.workspace().await?;
    let operator = start_operator(&workspace)?;
    operator.wait_until_ready()?;
    tokio::time::sleep(SETTLING).await;
    table.add("resident memory without resources", resident(&operator)?, "12 MiB");

    let started = Instant::now();
    create(world, &workspace).await?;
    let ready = wait_until_ready(&workspace, started).await?;
    let took = started.elapsed();
    tokio::time::sleep(SETTLING).await;
    let all = KINDS.len() * OF_EACH_KIND;
    table.add(
        &format!("{all} resources created and Ready"),
        format!("{ready} Ready after {:.1} s", took.as_secs_f64()),
        "",
    );
    table.add(&format!("resident memory with {all} resources"), resident(&operator)?, "24 MiB");
    drop(operator);

    let operator = start_operator(&workspace)?;
    operator.wait_until_ready()?;
    wait_until_checked(&operator, all).await?;
    tokio::time::sleep(SETTLING).await;
    table.add("the same after a restart", resident(&operator)?, "24 MiB");
    Ok(())
}

async fn create(world: &World, workspace: &Workspace) -> Result<()> {
    let mut objects = Vec::new();
    for number in 0..OF_EACH_KIND {
        objects.push(("LdapConfig", world.ldap_config(&format!("ldap-{number}"))?));
        objects.push(("OidcProvider", world.oidc_provider(&format!("oidc-{number}"))));
    }
    stream::iter(objects)
        .map(|(kind, object)| async move {
            let object = serde_json::from_value(object)?;
            workspace.resources(kind)?.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(16)
        .try_collect()
        .await
}

/// How many are Ready once all are, or when patience ends.
async fn wait_until_ready(workspace: &Workspace, started: Instant) -> Result<usize> {
    loop {
        let mut ready = 0;
        for kind in KINDS {
            let list = workspace.resources(kind)?.list(&ListParams::default()).await?;
            ready += list
                .items
                .iter()
                .filter(|object| is_ready(object.data.get("status").unwrap_or(&Value::Null), 1))
                .count();
        }
        if ready == KINDS.len() * OF_EACH_KIND || started.elapsed() > PATIENCE {
            return Ok(ready);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until a new process has checked so many resources; their status already says Ready.
async fn wait_until_checked(operator: &Operator, resources: usize) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let (_, metrics) = operator.get("/metrics")?;
        let checked = metrics.lines().filter(|line| line.starts_with("wandb_auth_ready{")).count();
        if checked >= resources {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// What the process holds in memory, and how much of that only it uses: the rest is its program file.
fn resident(operator: &Operator) -> Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.id()))
        .context("the operator's memory cannot be read: this needs Linux")?;
    let size = |name: &str| -> Result<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()).context("a field is missing")?;
        Ok(mebibytes(kibibytes.parse::<u64>()? * 1024))
    };
    Ok(format!("{} ({} without the program file; peak {})", size("VmRSS")?, size("RssAnon")?, size("VmHWM")?))
}
