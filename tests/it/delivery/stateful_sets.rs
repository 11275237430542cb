//! `StatefulSet`s: their pods are replaced in place, one after the other, and wait for a broken one.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PodTemplateSpec};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use test_support::pods::{Life, WandbWorkload};

use super::{
    Stage, entries_of,
    other_resources::{is_gone, rolled_back, rotate_password, runs_with},
    player_has_ready, refers_to,
};
use crate::world::operator;

const TARGET: &str = "target: {statefulSet: {name: wandb}}";

/// Three ready pods, and an operator.
async fn open() -> Result<Stage> {
    let mut stage = Stage::quiet(&WandbWorkload::stateful_set("wandb").replicas(3)).await?;
    player_has_ready(&stage.player, "wandb", 3).await?;
    stage.operator = Some(operator(&stage.workspace)?);
    Ok(stage)
}

async fn template(stage: &Stage) -> Result<PodTemplateSpec> {
    let set: StatefulSet = stage.api().get("wandb").await?;
    Ok(set.spec.context("spec")?.template)
}

/// The fields that the resource's manager owns, null where there is no such manager.
async fn fields(stage: &Stage) -> Result<Value> {
    let set: StatefulSet = stage.api().get("wandb").await?;
    let mut entries = set.metadata.managed_fields.into_iter().flatten();
    let own = entries.find(|entry| entry.manager.as_deref() == Some("wandb-auth-operator/ldapconfig/corp"));
    Ok(own.and_then(|entry| entry.fields_v1).map(|fields| fields.0).unwrap_or_default())
}

/// The one Secret that every entry comes from.
async fn revision(stage: &Stage) -> Result<String> {
    let entries = entries_of(&template(stage).await?.spec.context("pod")?);
    let mut secrets: Vec<_> = entries.into_values().map(|(secret, _)| secret).collect();
    secrets.dedup();
    ensure!(secrets.len() == 1, "{secrets:?}");
    secrets.pop().context("no entry")
}

/// Shows that all three pods are of this revision.
async fn all_run_with(stage: &Stage, secret: &str) -> Result<()> {
    let pods = stage.pods().await?;
    ensure!(pods.len() == 3 && pods.iter().all(|pod| refers_to(pod, secret)), "{pods:#?}");
    ensure!(revision(stage).await? == secret);
    Ok(())
}

#[tokio::test]
async fn values_come_are_renewed_and_go() -> Result<()> {
    let stage = open().await?;
    let before = template(&stage).await?;
    let status = stage.ready(TARGET).await?;
    assert_eq!(status["revision"], 1);
    let entries = entries_of(&template(&stage).await?.spec.context("pod")?);
    insta::assert_yaml_snapshot!("stateful_set", entries);
    insta::assert_json_snapshot!("stateful_set_fields", fields(&stage).await?);
    all_run_with(&stage, "corp-ldap-1").await?;

    let edited = format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}");
    let status = stage.ready(&edited).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    all_run_with(&stage, "corp-ldap-2").await?;

    let password = "the-next-password";
    rotate_password(&stage.workspace, &stage.directory, password).await?;
    runs_with(&stage.workspace, 3).await?;
    all_run_with(&stage, "corp-ldap-3").await?;
    for pod in stage.pods().await? {
        let inputs = stage.player.environment_of(&pod.name_any()).context("it did not start")?;
        assert_eq!(inputs.environment.get("LOCAL_LDAP_BIND_PW").map(String::as_str), Some(password));
    }
    assert_eq!(stage.revisions("corp-ldap").await?, [1, 2, 3]);

    // What the set itself remembers of earlier templates keeps no revision.
    stage.ready(TARGET).await?;
    all_run_with(&stage, "corp-ldap-4").await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [2, 3, 4]);

    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert_eq!(template(&stage).await?, before, "nothing is left");
    assert_eq!(fields(&stage).await?, Value::Null);
    assert!(stage.revisions("corp-ldap").await?.is_empty());
    assert!(stage.pods().await?.iter().all(|pod| !refers_to(pod, "corp-ldap-4")));
    // Each of the three is replaced in its turn.
    assert_eq!(stage.player.fewest_ready("wandb", 3).await?, Some(2));
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn broken_pods_do_not_keep_a_set_from_going_back() -> Result<()> {
    let stage = open().await?;
    stage.ready(TARGET).await?;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic: no such attribute".to_owned() }
        } else if refers_to(pod, "corp-ldap-3") {
            Life::NeverReady
        } else {
            Life::Ready
        }
    });
    stage.apply(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    for part in ["went back to revision 1", "revision 2", "wandb-2", "exit code 3", "kubectl logs --previous"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(1), &json!(1)));
    all_run_with(&stage, "corp-ldap-1").await?;

    // Kubernetes has no deadline for a set, so the resource's own ends the wait.
    let slow =
        format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: sn}}\nrolloutTimeout: 10s");
    stage.apply(&slow).await?;
    let (_, message) = rolled_back(&stage.workspace).await?;
    for part in ["went back to revision 1", "revision 3", "of 3 to be new", "The wait began at"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    all_run_with(&stage, "corp-ldap-1").await?;
    assert_eq!(stage.player.fewest_ready("wandb", 3).await?, Some(2), "one pod at a time is at risk");
    assert_eq!(stage.revisions("corp-ldap").await?, [1, 2, 3]);
    stage.expect_no_broken_reference()
}
