//! Which revisions are kept: the newest ones, and whatever a pod may start with again.

use anyhow::{Result, ensure};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    batch::v1::{CronJob, Job},
    core::v1::Pod,
};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use test_support::pods::{Life, WandbWorkload};

use super::{Stage, TARGET, eventually, other_resources::is_gone, refers_to};

/// A spec whose values differ for each number.
fn spec(number: usize) -> String {
    format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}")
}

/// A pod that a person copied from one of the first revision, as `kubectl debug --copy-to` does.
fn copy() -> Value {
    let reference = json!({"secretKeyRef": {"name": "corp-ldap-1", "key": "LOCAL_LDAP_BIND_PW"}});
    let container = json!({
        "name": "wandb", "image": "wandb/local:0.76.1",
        "env": [{"name": "LOCAL_LDAP_BIND_PW", "valueFrom": reference}],
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copy", "labels": {"app": "wandb"}},
        "spec": {"containers": [container]},
    })
}

/// A template of pods that a person wired by hand to a revision.
fn template(number: usize, restart: &str) -> Value {
    let sources = json!([{"secretRef": {"name": format!("corp-ldap-{number}")}}]);
    let container = json!({"name": "tool", "image": "wandb/local:0.76.1", "envFrom": sources});
    json!({
        "metadata": {"labels": {"app": "tool"}},
        "spec": {"containers": [container], "restartPolicy": restart},
    })
}

/// What makes pods later: at a time, when it is resumed, and when there are nodes.
fn makers() -> [Value; 3] {
    let job = |number| json!({"suspend": true, "template": template(number, "Never")});
    let selector = json!({"matchLabels": {"app": "tool"}});
    [
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job(1)}},
        }),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": job(2)}),
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "everywhere"},
            "spec": {"selector": selector, "template": template(3, "Always")},
        }),
    ]
}

/// Ends the container of a pod, and waits until it has started again.
async fn restart(stage: &Stage, pod: &str) -> Result<()> {
    let before = stage.player.starts_of(pod).len();
    stage.player.restart(pod);
    eventually("the container's next start", || async {
        Ok((stage.player.starts_of(pod).len() > before).then_some(()))
    })
    .await
}

#[tokio::test]
async fn revisions_are_kept_as_long_as_a_pod_refers_to_them() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(&spec(1)).await?;
    stage.workspace.apply(&copy().to_string()).await?;
    eventually("the copy's start", || async { Ok(stage.player.environment_of("copy")) }).await?;
    for number in 2..=6 {
        let status = stage.ready(&spec(number)).await?;
        assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(number), &json!(number - 1)));
    }
    assert_eq!(stage.revisions("corp-ldap").await?, [1, 4, 5, 6]);
    restart(&stage, "copy").await?;
    stage.api::<Pod>().delete("copy", &DeleteParams::default()).await?;
    stage.ready(&spec(7)).await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [5, 6, 7]);

    // None of the next revisions gets anywhere, while pods of the last one serve people.
    stage.player.change_script(
        |pod| {
            if refers_to(pod, "corp-ldap-7") { Life::Ready } else { Life::NeverReady }
        },
    );
    for number in 8..=11 {
        stage.apply(&spec(number)).await?;
        let secret = format!("corp-ldap-{number}");
        stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "Progressing").await?;
        eventually("the next entries", || async {
            Ok(stage.entries().await?.values().all(|(name, _)| *name == secret).then_some(()))
        })
        .await?;
    }
    // Kubernetes would replace a pod that is not ready while there are new ones still to make.
    let pods = eventually("a pod of the last revision", || async {
        let pods = stage.pods().await?;
        let has_last = pods.iter().any(|pod| refers_to(pod, "corp-ldap-11"));
        Ok((pods.len() == 3 && has_last).then_some(pods))
    })
    .await?;
    let old: Vec<_> = pods.iter().filter(|pod| refers_to(pod, "corp-ldap-7")).collect();
    ensure!(old.len() == 2, "{pods:#?}");
    for pod in old {
        restart(&stage, &pod.name_any()).await?;
    }
    stage.player.change_script(|_| Life::Ready);
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    // The last one that worked is the way back from the newest.
    assert_eq!(stage.revisions("corp-ldap").await?, [7, 9, 10, 11]);
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn revisions_are_kept_as_long_as_anything_makes_pods_of_them() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    for maker in makers() {
        stage.workspace.apply(&maker.to_string()).await?;
    }
    for number in 1..=7 {
        stage.ready(&spec(number)).await?;
    }
    assert_eq!(stage.revisions("corp-ldap").await?, [1, 2, 3, 5, 6, 7]);
    let how = DeleteParams::background();
    stage.api::<CronJob>().delete("nightly", &how).await?;
    stage.api::<Job>().delete("once", &how).await?;
    stage.ready(&spec(8)).await?;
    assert_eq!(stage.revisions("corp-ldap").await?, [3, 6, 7, 8]);
    // Nothing ends a deletion before them either.
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    eventually("the end of the other revisions", || async {
        Ok((stage.revisions("corp-ldap").await? == [3]).then_some(()))
    })
    .await?;
    ensure!(stage.workspace.resources("LdapConfig")?.get_opt("corp").await?.is_some());
    stage.api::<DaemonSet>().delete("everywhere", &how).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}
