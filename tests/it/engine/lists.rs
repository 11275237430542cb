//! Lists of several pages, and an API server that has just come back.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    api::{ListParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use test_support::{ApiProxy, ControlPlane, Fault, Workspace, condition, wait_until};

use crate::world::{
    PATIENCE, certificate, directory, eventually, ldap_config, program, put_references, workspace,
};

/// An API server that has come back may refuse for three seconds what it allows. Some of that time passes on the way.
const ROLES_UNREAD: Duration = Duration::from_secs(2);

/// More than fit into one page of a list, beside those whose names come before.
const PAGE: usize = 500;

/// Resources at which nothing is looked.
async fn fill_a_page(workspace: &Workspace) -> Result<()> {
    let resources = workspace.resources("LdapConfig")?;
    let create = |number: usize| {
        let object = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": format!("number-{number:03}")},
            "spec": {"address": "ldaps://127.0.0.1:1", "baseDN": "dc=example,dc=org", "suspend": true},
        });
        let resources = &resources;
        async move {
            let object: DynamicObject = serde_json::from_value(object)?;
            resources.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        }
    };
    stream::iter((0..PAGE).map(create)).buffer_unordered(32).try_collect().await
}

/// Until the last page is there, the operator knows each resource as it was before, or not at all.
#[tokio::test]
async fn what_changed_during_an_outage_is_seen_in_a_list_of_several_pages() -> Result<()> {
    let certificate = certificate()?;
    let (directory, workspace) = (directory(&certificate)?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    fill_a_page(&workspace).await?;
    let before = ldap_config(&directory.ldaps_url()?, "suspend: true\ncheckInterval: 1h");
    let after = ldap_config(&directory.ldaps_url()?, "suspend: false\ncheckInterval: 1h");
    workspace.apply(&before).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let _operator =
        workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
    // Five hundred runs would delay the two that count.
    let resources = workspace.resources("LdapConfig")?;
    for quarter in 1..=4 {
        eventually("a status of each", || async {
            let listed = resources.list(&ListParams::default()).await?;
            let told = listed.iter().filter(|object| object.data["status"]["conditions"].is_array()).count();
            Ok((told >= (PAGE + 1) * quarter / 4).then_some(()))
        })
        .await?;
    }

    let connections = proxy.connections();
    proxy.go_down();
    workspace.apply(&after).await?;
    workspace.apply(&after.replace("name: corp", "name: late")).await?;
    wait_until(PATIENCE, "the watches to break", || Ok(proxy.connections() > connections + 20))?;
    // Everything is listed anew, and the second page is had after some tries only.
    let (watches, pages) = (AtomicUsize::new(0), AtomicUsize::new(0));
    proxy.fail(move |_, path| {
        let nth = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::SeqCst);
        if !path.contains("/ldapconfigs?") {
            return None;
        }
        if path.contains("watch=true") {
            return (nth(&watches) == 0).then_some(Fault::Refuse(410));
        }
        (path.contains("continue=") && nth(&pages) < 3).then_some(Fault::Close)
    });
    for name in ["corp", "late"] {
        eventually("Ready", || async {
            let status = workspace.status("LdapConfig", name).await?;
            Ok(condition(&status, "Ready").filter(|ready| ready["status"] == "True").map(|_| ()))
        })
        .await?;
    }
    Ok(())
}

/// What a proxy has seen since the API server is back.
#[derive(Default)]
struct Recovery {
    /// When it answered first.
    back: Option<Instant>,
    /// When it refused something.
    refused: Vec<Instant>,
}

/// Refuses what has this in its path right after an outage, twice, while a check is asked for. Tells whether it did so
/// as early as an API server does that has just come back, and fails where such a refusal was taken for a verdict.
async fn refuse_after_an_outage(
    workspace: &Workspace,
    proxy: &ApiProxy,
    path: &'static str,
    check: &str,
) -> Result<bool> {
    let connections = proxy.connections();
    proxy.go_down();
    wait_until(PATIENCE, "the watches to break", || Ok(proxy.connections() > connections + 20))?;
    workspace.recheck("LdapConfig", "corp", check).await?;
    let recovery = Arc::new(Mutex::new(Recovery::default()));
    let seen = Arc::clone(&recovery);
    proxy.fail(move |_, requested| {
        let mut recovery = seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The watch of the resources is the first to come back: one that waits longer for its next try than the others
        // would tell of the change when the API server has long had its roles.
        if requested.contains("/ldapconfigs?") {
            recovery.back.get_or_insert_with(Instant::now);
        }
        if recovery.back.is_none() {
            return Some(Fault::Close);
        }
        if !requested.contains(path) || recovery.refused.len() >= 2 {
            return None;
        }
        recovery.refused.push(Instant::now());
        Some(Fault::Refuse(403))
    });
    workspace.wait_for("LdapConfig", "corp", |status| status["lastHandledRecheck"] == check).await?;
    proxy.heal();
    let Recovery { back, refused } = mem::take(&mut *recovery.lock().unwrap_or_else(PoisonError::into_inner));
    let back = back.context("nothing came back")?;
    ensure!(!refused.is_empty(), "{path} was not asked for");
    if refused.iter().any(|refused| *refused >= back + ROLES_UNREAD) {
        return Ok(false);
    }
    ensure!(refused.len() > 1, "a refusal right after the outage was taken for a verdict: {path}");
    Ok(true)
}

async fn conditions(workspace: &Workspace) -> Result<Value> {
    let status = workspace.status("LdapConfig", "corp").await?;
    Ok(status.get("conditions").cloned().unwrap_or_default())
}

/// It answers before it has read the roles.
#[tokio::test]
async fn a_refusal_right_after_an_outage_is_no_verdict() -> Result<()> {
    let certificate = certificate()?;
    let (directory, workspace) = (directory(&certificate)?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let operator = workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;

    let mut verdicts = 0;
    for refused in ["/secrets/corp-ldap", "/secrets/ldap-bind", "/configmaps/authority", "/ldapconfigs/corp"]
    {
        // On a busy machine the operator may ask so late that a refusal is a verdict, but not each time.
        let mut rounds = 1..=5;
        loop {
            let round = rounds.next().with_context(|| format!("{refused} was never refused in time"))?;
            let before = conditions(&workspace).await?;
            if refuse_after_an_outage(&workspace, &proxy, refused, &format!("{refused} {round}")).await? {
                assert_eq!(conditions(&workspace).await?, before, "{refused}");
                break;
            }
            verdicts += 1;
            let again = format!("{refused} after {round}");
            workspace.recheck("LdapConfig", "corp", &again).await?;
            let is_handled = |status: &Value| status["lastHandledRecheck"] == again.as_str();
            workspace.wait_for("LdapConfig", "corp", is_handled).await?;
            workspace.wait_until_ready("LdapConfig", "corp").await?;
        }
    }
    let log = operator.log().read()?;
    ensure!(verdicts > 0 || !log.contains("is not allowed to"), "{log}");
    Ok(())
}
