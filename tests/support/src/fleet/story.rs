//! What a fleet must live through without a write too many: its beginning, a restart of the operator, a Secret that
//! many share and that somebody rotates, and an outage of the API server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{Census, Fleet, KINDS, SHARED_KEYS, manifest};
use crate::{AuditEvent, Operator};

/// How many resources there are, and where.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Of all kinds together.
    pub resources: usize,
    /// The namespaces that they are spread over.
    pub namespaces: usize,
}

/// A fleet without any write for so long is at rest.
const REST: Duration = Duration::from_secs(3);

/// The writes that bring one resource from nothing to Ready: its Secret and its status.
const WRITES_EACH: usize = 2;

struct Story<'a> {
    program: &'a Path,
    fleet: Fleet,
    census: Census,
    resources: usize,
    patience: Duration,
}

/// Lives through all of it with this program; an error says what was not as it must be. The closure is told what is
/// going on.
pub async fn live(
    program: &Path,
    definitions: &[CustomResourceDefinition],
    extent: Extent,
    tell: impl Fn(&str),
) -> Result<()> {
    tell("starting the servers and the control plane");
    let fleet = Fleet::start(definitions, extent.namespaces).await?;
    let census = fleet.census(&KINDS)?;
    let resources = extent.resources;
    let patience = Duration::from_mins(5) + Duration::from_millis(200) * u32::try_from(resources)?;
    let mut story = Story { program, fleet, census, resources, patience };
    tell("creating the resources");
    story.fleet.fill(&KINDS, resources).await?;
    tell("from nothing to Ready");
    let operator = story.begin().await.context("from nothing to Ready")?;
    tell("over a restart");
    let mut operator = story.restart(operator).await.context("over a restart")?;
    tell("with a rotated Secret that many share");
    story.rotate().await.context("with a rotated Secret")?;
    tell("over an outage of the API server");
    story.outage(&mut operator).await.context("over an outage of the API server")
}

impl Story<'_> {
    async fn begin(&self) -> Result<Operator> {
        let operator = self.fleet.operator(self.program)?;
        self.all_ready(self.resources).await?;
        let writes = self.at_rest().await?;
        let twice = several(&writes, 1);
        ensure!(twice.is_empty(), "written more than once: {twice:#?}");
        let wanted = WRITES_EACH * self.resources;
        ensure!(writes.len() == wanted, "{} writes instead of {wanted}", writes.len());
        Ok(operator)
    }

    async fn restart(&self, operator: Operator) -> Result<Operator> {
        let before = self.fleet.writes()?.len();
        drop(operator);
        let operator = self.fleet.operator(self.program)?;
        operator.wait_until_ready()?;
        let started = Instant::now();
        while verdicts(&operator)? < self.resources {
            ensure!(started.elapsed() < self.patience, "{} verdicts so far", verdicts(&operator)?);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.nothing_written_since(before).await?;
        Ok(operator)
    }

    async fn rotate(&self) -> Result<()> {
        let before = self.fleet.writes()?.len();
        let workspace = self.fleet.first()?;
        let users = workspace.resources("ServiceAccount")?.list(&ListParams::default()).await?.items;
        let mut keys = BTreeMap::new();
        for user in &users {
            keys.insert(user.name_any(), self.fleet.servers.another_key(&user.name_any())?);
        }
        let entries: Vec<_> = keys.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
        workspace.put_secret(SHARED_KEYS, &entries).await?;
        let wanted = before + WRITES_EACH * users.len();
        let started = Instant::now();
        while self.fleet.writes()?.len() < wanted && started.elapsed() < self.patience {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let writes = self.at_rest().await?.split_off(before);
        let twice = several(&writes, 1);
        ensure!(twice.is_empty(), "written more than once: {twice:#?}");
        ensure!(writes.len() == wanted - before, "{} writes for {} users", writes.len(), users.len());
        for (user, key) in &keys {
            let name = format!("{user}-wsa");
            let secret = workspace.secrets().get(&name).await?;
            let published = secret.data.and_then(|mut data| data.remove("WANDB_API_KEY"));
            ensure!(published.is_some_and(|value| value.0 == key.as_bytes()), "{name} has another key");
        }
        self.all_ready(self.resources).await
    }

    async fn outage(&mut self, operator: &mut Operator) -> Result<()> {
        let before = self.fleet.writes()?.len();
        self.fleet.plane.stop_api_server()?;
        self.fleet.plane.start_api_server()?;
        ensure!(operator.process().exit_status()?.is_none(), "the operator ended");
        // Who reaches this one has its watches back.
        let workspace = self.fleet.first()?;
        workspace.apply(&manifest(&self.fleet.servers, "LdapConfig", "late")?.to_string()).await?;
        self.all_ready(self.resources + 1).await?;
        let writes = self.at_rest().await?.split_off(before);
        let (late, others): (Vec<_>, Vec<_>) =
            writes.into_iter().partition(|write| write.name.starts_with("late"));
        ensure!(others.is_empty(), "written: {others:#?}");
        ensure!(late.len() == WRITES_EACH, "written for the new resource: {late:#?}");
        Ok(())
    }

    async fn all_ready(&self, wanted: usize) -> Result<()> {
        let (ready, took) = self.census.wait(wanted, self.patience).await?;
        ensure!(ready == wanted, "{ready} of {wanted} are Ready after {took:?}");
        Ok(())
    }

    async fn nothing_written_since(&self, before: usize) -> Result<()> {
        let writes = self.at_rest().await?.split_off(before);
        ensure!(writes.is_empty(), "written: {writes:#?}");
        self.all_ready(self.resources).await
    }

    /// Every write so far, once there was none for a while.
    async fn at_rest(&self) -> Result<Vec<AuditEvent>> {
        let started = Instant::now();
        let mut last = (self.fleet.writes()?.len(), started);
        while started.elapsed() < self.patience {
            tokio::time::sleep(REST / 6).await;
            let writes = self.fleet.writes()?;
            if writes.len() != last.0 {
                last = (writes.len(), Instant::now());
            } else if last.1.elapsed() > REST {
                return Ok(writes);
            }
        }
        bail!("the operator goes on writing")
    }
}

/// What was written more often than that.
fn several(writes: &[AuditEvent], limit: usize) -> Vec<String> {
    let mut counts = BTreeMap::<_, usize>::new();
    for write in writes {
        *counts.entry((&write.resource, &write.subresource, &write.namespace, &write.name)).or_default() += 1;
    }
    let too_often = counts.into_iter().filter(|(_, count)| *count > limit);
    too_often
        .map(|((resource, subresource, namespace, name), count)| {
            format!("{resource}/{subresource} {namespace}/{name}: {count} times")
        })
        .collect()
}

/// Of how many resources the process has a verdict.
fn verdicts(operator: &Operator) -> Result<usize> {
    let (_, metrics) = operator.get("/metrics")?;
    Ok(metrics.lines().filter(|line| line.starts_with("wandb_auth_ready{")).count())
}
