//! A status that somebody else wrote, or that comes too late.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::{ApiProxy, ControlPlane, KillSwitch, Workspace, condition};

use crate::{
    ldap::scripted::{BIND, BIND_RESPONSE, CLOSE, directory as scripted, result},
    world::{
        ARGUMENTS, Corp, PATIENCE, certificate, directory, eventually, ldap_config, program, put_references,
        silence, workspace,
    },
};

const KIND: &str = "LdapConfig";

/// Changes the status as somebody else.
async fn patch_status(workspace: &Workspace, patch: &Value) -> Result<()> {
    let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    workspace.resources(KIND)?.patch_status("corp", &parameters, &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_wrote_is_mended_by_the_change_itself() -> Result<()> {
    let Corp { workspace, directory, operator: _operator, .. } = Corp::ready("checkInterval: 1h").await?;
    let binds = directory.bind_attempts(test_support::Slapd::SERVICE_DN)?;
    let before = workspace.status(KIND, "corp").await?;
    let foreign = |type_: &str, status: &str| {
        json!({"type": type_, "status": status, "reason": "Foreign", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let lies = json!({"status": {
        "conditions": [foreign("Ready", "False"), foreign("Stalled", "True")],
        "checks": null, "checkedInputs": "none", "revision": 7, "observedGeneration": 99,
    }});
    for lie in [json!({"status": {"checks": null}}), lies, json!({"status": null})] {
        patch_status(&workspace, &lie).await?;
        // The operator looks at the resource by itself an hour later, so it is the change that led to this.
        workspace.wait_for(KIND, "corp", |status| *status == before).await?;
    }
    assert_eq!(
        directory.bind_attempts(test_support::Slapd::SERVICE_DN)?,
        binds,
        "no check was made for that"
    );
    // Events are written after the status.
    eventually("the event", || async {
        Ok(workspace.events().await?.contains("StatusChanged").then_some(()))
    })
    .await
}

#[tokio::test]
async fn two_writers_make_no_storm() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 1h")).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let operator = workspace.start_operator_through(&proxy, program(), &ARGUMENTS)?;
    let before = workspace.wait_until_ready(KIND, "corp").await?;
    let writes = || proxy.mutations().iter().filter(|write| write.path.contains("/corp/status")).count();
    let begun = writes();
    for number in 0..30 {
        patch_status(&workspace, &json!({"status": {"checkedInputs": format!("{number}")}})).await?;
    }
    // Several changes that came together are one, so that it may not come to the end of its patience.
    silence(Duration::from_secs(2), || async { Ok(writes()) }).await?;
    if writes() > begun + 5 {
        operator.log().wait_for("Somebody else keeps changing the status", PATIENCE)?;
    }
    ensure!(writes() <= begun + 6, "{} writes", writes() - begun);
    // A look that is made anyway mends it.
    workspace.recheck(KIND, "corp", "now").await?;
    eventually("the operator's own status", || async {
        let status = workspace.status(KIND, "corp").await?;
        Ok((status["conditions"] == before["conditions"]
            && status["checks"] == before["checks"]
            && status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains("recheck=now")))
        .then_some(()))
    })
    .await
}

#[tokio::test]
async fn changes_of_the_rest_of_a_resource_keep_no_status_from_being_written() -> Result<()> {
    let Corp { workspace, operator: _operator, directory: _directory, .. } = Corp::ready("").await?;
    let resources = workspace.resources(KIND)?;
    for number in 0..40 {
        let label = json!({"metadata": {"labels": {"number": number.to_string()}}});
        let interval = json!({"spec": {"checkInterval": format!("{}s", 10 + number)}});
        for patch in [label, interval] {
            resources.patch("corp", &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
    }
    workspace.wait_until_ready(KIND, "corp").await?;
    ensure!(!workspace.events().await?.contains("StatusChanged"), "nobody else wrote the status");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_was_paused_writes_no_old_status() -> Result<()> {
    let workspace = workspace().await?;
    workspace.put_secret("ldap-bind", &[("password", "wrong")]).await?;
    // The first bind pauses who made it, and every answer can be told from the others.
    let (paused, binds) = (Arc::new(OnceLock::<KillSwitch>::new()), Arc::new(AtomicUsize::new(0)));
    let (to_pause, counted) = (paused.clone(), binds.clone());
    let server = scripted(move |operation, _| {
        if operation != BIND {
            return vec![(CLOSE, Vec::new())];
        }
        let text = if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            if let Some(leader) = to_pause.get() {
                leader.pause();
            }
            ""
        } else {
            "Entry permanently locked."
        };
        vec![(BIND_RESPONSE, result(49, text))]
    });
    let replica = || workspace.start_operator(program(), &[&ARGUMENTS[..], &["--leader-elect"]].concat());
    let mut first = replica()?;
    first.log().wait_for("became the leader", PATIENCE)?;
    let switch = first.kill_switch()?;
    ensure!(paused.set(switch.clone()).is_ok());
    let second = replica()?;
    workspace
        .apply(&format!(
            "apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {{name: corp}}
spec:
  address: ldap://{}
  insecurePlaintext: true
  baseDN: dc=example,dc=org
  checkTimeout: 1m
  bind: {{dn: 'cn=w,dc=example,dc=org', passwordSecretRef: {{name: ldap-bind, key: password}}}}
",
            server.address()
        ))
        .await?;
    second.log().wait_for("became the leader", PATIENCE)?;
    workspace.wait_for_reason(KIND, "corp", "Verified", "AccountLocked").await?;
    let before = workspace.resources(KIND)?.get("corp").await?.metadata.resource_version;
    switch.resume();
    let ended = first.process().wait(PATIENCE)?;
    ensure!(!ended.success(), "it has lost the leadership: {ended}");
    let now = workspace.resources(KIND)?.get("corp").await?;
    ensure!(now.metadata.resource_version == before, "somebody wrote: {:#}", now.data);
    let status = workspace.status(KIND, "corp").await?;
    ensure!(condition(&status, "Verified").is_some_and(|verified| verified["reason"] == "AccountLocked"));
    assert_eq!(binds.load(Ordering::SeqCst), 2);
    Ok(())
}
