//! Which revisions are kept: the newest ones, and whatever a pod may start with again.

use anyhow::{Result, ensure};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use test_support::pods::{Life, WandbWorkload};

use super::{Stage, TARGET, eventually, refers_to};

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
    stage.api::<k8s_openapi::api::core::v1::Pod>().delete("copy", &DeleteParams::default()).await?;
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
