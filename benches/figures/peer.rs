//! Another controller on the same machine, whose program and manifests are named by variables.

use std::{process::Command, time::Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    discovery::{Scope, pinned_kind},
};
use serde::Deserialize;
use serde_json::Value;
use test_support::{
    ChildProcess, User,
    fleet::{Census, Fleet, is_write},
};

use crate::{
    edits::{self, edit_many_times},
    load::Load,
    mixed::{SETTLING, namespaces},
    options::{Options, Peer},
    process::Process,
    report::{Cell, Report, grouped},
};

const AT_A_TIME: usize = 16;

/// Tries in which a definition that was just applied must be served.
const TRIES: usize = 100;

/// Measures it at each size.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let Some(peer) = &options.peer else { return Ok(()) };
    for &size in &options.sizes {
        eprintln!("  {} resources of {} …", grouped(size), peer.name);
        measure_size(peer, size, report).await.with_context(|| peer.name.clone())?;
    }
    Ok(())
}

async fn measure_size(peer: &Peer, size: usize, report: &mut Report) -> Result<()> {
    let fleet = Fleet::start(&[], namespaces(size)).await?;
    let client = fleet.first()?.client().clone();
    for workspace in &fleet.workspaces {
        for object in documents(&peer.manifests)? {
            apply(&client, workspace.namespace(), &object).await?;
        }
    }
    let resource = fill(peer, &fleet, &client, size).await?;

    let scratch = tempfile::tempdir()?;
    let mut command = Command::new(&peer.program);
    command.args(&peer.arguments).env("KUBECONFIG", fleet.plane.kubeconfig(User::Operator));
    let started = Instant::now();
    let running = ChildProcess::spawn(&peer.name, &command, &scratch.path().join("log"))?;
    let process = Process(running.id());
    let census = Census::new(client.clone(), vec![resource.clone()], &peer.condition);
    let load = Load::of((process, started), &census, size, async || fleet.requests()).await?;
    load.record(report, &peer.name, ("", None));
    tokio::time::sleep(SETTLING).await;
    let resident = process.resident()?;
    report.add_sized(&format!("{}: resident memory", peer.name), size, Cell::text(resident.words), "");
    if let Some(edit) = &peer.edit {
        let edit = |number: usize| {
            let text = edit.replace("{{number}}", &number.to_string());
            serde_json::from_str(&text).unwrap_or(Value::Null)
        };
        let api = Api::namespaced_with(client.clone(), fleet.first()?.namespace(), &resource);
        let edits = edit_many_times(&api, &name(0), &peer.condition, edit).await?;
        report.add_sized(
            &format!("{}: edit to {}, p50 and p99", peer.name, peer.condition),
            size,
            edits::words(&edits),
            "",
        );
    }

    drop(running);
    let before = fleet.requests()?.len();
    let running = ChildProcess::spawn(&peer.name, &command, &scratch.path().join("log"))?;
    tokio::time::sleep(4 * SETTLING).await;
    let writes = fleet.requests()?.split_off(before).iter().filter(|event| is_write(event)).count();
    report.add_sized(
        &format!("{}: writes after a restart", peer.name),
        size,
        Cell::text(grouped(writes)),
        "",
    );
    drop(running);
    Ok(())
}

fn name(number: usize) -> String {
    format!("peer-{number:05}")
}

/// Creates so many of its resources; what they are.
async fn fill(peer: &Peer, fleet: &Fleet, client: &Client, size: usize) -> Result<ApiResource> {
    let made = |number: usize| -> Result<DynamicObject> {
        let workspace = fleet.workspaces.get(number % fleet.workspaces.len().max(1));
        let namespace = workspace.context("there is no namespace")?.namespace();
        let text = peer.resource.replace("{{name}}", &name(number)).replace("{{namespace}}", namespace);
        let mut object = documents(&text)?.into_iter().next().context("the peer's resource is empty")?;
        object.metadata.namespace = Some(namespace.to_owned());
        Ok(object)
    };
    let (resource, _) = served(client, &made(0)?).await?;
    let objects = (0..size).map(made).collect::<Result<Vec<_>>>()?;
    stream::iter(objects)
        .map(|object| {
            let namespace = object.namespace().unwrap_or_default();
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
            async move { api.create(&PostParams::default(), &object).await }
        })
        .buffer_unordered(AT_A_TIME)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(resource)
}

async fn apply(client: &Client, namespace: &str, object: &DynamicObject) -> Result<()> {
    let (resource, scope) = served(client, object).await?;
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| namespace.to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let how = PatchParams::apply("figures").force();
    api.patch(&object.name_any(), &how, &Patch::Apply(object)).await?;
    Ok(())
}

/// How the API server serves the object's kind, once it does.
async fn served(client: &Client, object: &DynamicObject) -> Result<(ApiResource, Scope)> {
    let types = object.types.clone().context("a manifest has no kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    for _ in 0..TRIES {
        if let Ok((resource, capabilities)) = pinned_kind(client, &kind).await {
            return Ok((resource, capabilities.scope));
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    anyhow::bail!("the API server serves no {} of {}", kind.kind, kind.api_version())
}

fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(Value::deserialize)
        .filter(|document| !matches!(document, Ok(Value::Null)))
        .map(|document| Ok(serde_json::from_value(document?)?))
        .collect()
}
