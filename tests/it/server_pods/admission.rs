//! What the pod is to the cluster: restricted, owned, without a token, and without traffic.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Namespace, Pod, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use test_support::pods::Life;

use super::{NAME, from_pods, is_check, nothing_is_left, open, pods};
use crate::{
    delivery::{eventually, is_ready},
    world::PASSWORD,
};

#[tokio::test]
async fn the_pod_is_restricted_owned_and_gets_no_traffic() -> Result<()> {
    let stage = open(&[]).await?;
    let namespaces: Api<Namespace> = Api::all(stage.workspace.client().clone());
    let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces.patch(stage.workspace.namespace(), &PatchParams::default(), &Patch::Merge(level)).await?;
    eventually("the level to be enforced", || async {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "any-"},
            "spec": {"containers": [{"name": "a", "image": "a"}]}});
        Ok(stage.workspace.try_create(&pod.to_string()).await?.err())
    })
    .await?;
    stage.player.change_script(|_| Life::Ready);
    stage.apply(&from_pods("")).await?;
    // Its container runs as every other one does, and the pod is not ready.
    let pod = eventually("the pod with an address", || async {
        let pod = stage.api::<Pod>().get_opt(NAME).await?;
        Ok(pod.filter(|pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some())))
    })
    .await?;
    ensure!(!is_ready(&pod), "{:#?}", pod.status);
    // Neither a ReplicaSet nor anybody else takes it, and nobody counts it.
    let owners = pod.owner_references();
    ensure!(
        owners.len() == 1 && owners[0].kind == "LdapConfig" && owners[0].controller == Some(true),
        "{owners:#?}"
    );
    assert_eq!(pod.labels().get("app").map(String::as_str), Some("wandb"));
    for set in stage.api::<ReplicaSet>().list(&ListParams::default()).await? {
        assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(2));
    }
    let deployment: Deployment = stage.api().get("wandb").await?;
    assert_eq!(deployment.status.and_then(|status| status.replicas), Some(2));
    assert_eq!(pods(&stage).await?.iter().filter(|pod| is_check(pod)).count(), 1);
    let spec = pod.spec.context("no spec")?;
    assert_eq!(spec.automount_service_account_token, Some(false));
    let mounts = spec.containers[0].volume_mounts.clone().unwrap_or_default();
    ensure!(mounts.iter().all(|mount| !mount.mount_path.contains("serviceaccount")), "{mounts:#?}");
    ensure!(!serde_json::to_string(&spec)?.contains(PASSWORD), "the password is in the Secret alone");
    let secret: Secret = stage.api().get(NAME).await?;
    assert_eq!((secret.immutable, secret.owner_references().len()), (Some(true), 1));
    super::act(&stage, &[]);
    // New pods of the Deployment are not restricted.
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ChecksPassed").await?;
    nothing_is_left(&stage).await
}

#[tokio::test]
async fn a_pod_without_a_server_to_be_like_is_refused_in_plain_words() -> Result<()> {
    let stage = open(&[]).await?;
    let url = stage.directory.ldaps_url()?;
    let refused =
        stage.workspace.try_create(&crate::world::ldap_config(&url, "checkFrom: ServerPod")).await?;
    let words = refused.err().context("it was accepted")?;
    ensure!(words.contains("checkFrom: ServerPod needs a target"), "{words}");
    let account = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "ServiceAccount", "metadata": {"name": "ci"},
        "spec": {
            "checkFrom": "ServerPod", "team": "research", "instance": {"baseURL": "https://wandb.example.com"},
            "credentials": {"apiKey": {"bootstrapSecretRef": {"name": "a", "key": "a"}}},
        },
    });
    let words = stage.workspace.try_create(&account.to_string()).await?.err().context("it was accepted")?;
    ensure!(words.contains("checkFrom must be Operator for a ServiceAccount"), "{words}");
    Ok(())
}
