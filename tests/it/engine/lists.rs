//! Lists of several pages, and an API server that has just come back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    api::{ListParams, PostParams},
    core::DynamicObject,
};
use serde_json::json;
use test_support::{ApiProxy, ControlPlane, Fault, Workspace, condition, wait_until};

use crate::world::{certificate, directory, eventually, ldap_config, program, put_references, workspace};

const PATIENCE: Duration = Duration::from_mins(1);

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
    eventually("a status of each", || async {
        let listed = resources.list(&ListParams::default()).await?;
        Ok(listed.iter().all(|object| object.data["status"]["conditions"].is_array()).then_some(()))
    })
    .await?;

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
    let before = workspace.status("LdapConfig", "corp").await?["conditions"].clone();

    for refused in ["/secrets/corp-ldap", "/secrets/ldap-bind", "/configmaps/authority", "/ldapconfigs/corp"]
    {
        let connections = proxy.connections();
        proxy.go_down();
        wait_until(PATIENCE, "the watches to break", || Ok(proxy.connections() > connections + 20))?;
        workspace.recheck("LdapConfig", "corp", refused).await?;
        let refusals = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&refusals);
        // The watch of the resources is the first to come back: one that waits longer for its next try than the others
        // would tell of the change when the API server has long had its roles.
        let is_back = AtomicBool::new(false);
        proxy.fail(move |_, path| {
            let is_first = path.contains("/ldapconfigs?");
            if !is_back.fetch_or(is_first, Ordering::SeqCst) && !is_first {
                return Some(Fault::Close);
            }
            (path.contains(refused) && seen.fetch_add(1, Ordering::SeqCst) < 2).then_some(Fault::Refuse(403))
        });
        eventually("the check that was asked for", || async {
            let status = workspace.status("LdapConfig", "corp").await?;
            Ok((status["lastHandledRecheck"] == refused).then_some(()))
        })
        .await?;
        ensure!(refusals.load(Ordering::SeqCst) >= 2, "{refused} was not asked for");
        let after = workspace.status("LdapConfig", "corp").await?["conditions"].clone();
        assert_eq!(after, before, "{refused}");
    }
    let log = operator.log().read()?;
    ensure!(!log.contains("is not allowed to"), "{log}");
    Ok(())
}
