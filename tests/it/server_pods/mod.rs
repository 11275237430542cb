//! Checks from a pod like the server's (`spec.checkFrom: ServerPod`). The test plays the kubelet, and in the place of the
//! image runs the real program with what the pod's container gets.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod admission;
mod crashes;
mod leftovers;
mod network;
mod obstacles;
mod passwords;
mod verdicts;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use serde_json::{Value, json};
use test_support::{
    ApiProxy, AuditEvent, ControlPlane, condition,
    pods::{Life, WandbWorkload},
};

use crate::{
    delivery::{Stage, TARGET, eventually, player_has_ready},
    world::{ARGUMENTS, program},
};

/// The name of the pod, and of its Secret.
pub const NAME: &str = "corp-ldap-check";

/// What every operator is started with.
pub const PODS: [&str; 4] =
    ["--server-pod-checks", "--image", "registry.example.com/operator:1", "--server-pod-patience"];

/// How long a pod may take where a test does not say otherwise.
const PATIENCE: &str = "60s";

/// A namespace with a directory and the Deployment, in which the pods of checks run the real program. `place` are
/// variables that are others there.
pub async fn stage(place: &[(&str, &str)]) -> Result<Stage> {
    let stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    player_has_ready(&stage.player, "wandb", 2).await?;
    act(&stage, place);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "server-pods"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create", "delete"]}],
    });
    stage.workspace.apply(&role.to_string()).await?;
    stage.workspace.bind_role("server-pods").await?;
    Ok(stage)
}

/// Takes the rights of [`stage`] away, for tests of others.
pub async fn revoke(stage: &Stage) -> Result<()> {
    let bindings = stage.api::<k8s_openapi::api::rbac::v1::RoleBinding>();
    bindings.delete("server-pods", &kube::api::DeleteParams::default()).await?;
    Ok(())
}

/// Plays the pods of checks so from now on.
pub fn act(stage: &Stage, place: &[(&str, &str)]) {
    let place: Vec<_> = place.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    stage.player.change_script(move |pod| {
        if is_check(pod) {
            Life::Program { program: program().to_owned(), place: place.clone() }
        } else {
            Life::Ready
        }
    });
}

/// Whether a pod is that of a check, of whatever resource.
pub fn is_check(pod: &Pod) -> bool {
    pod.metadata.name.as_deref().is_some_and(|name| name.ends_with("-check"))
}

/// The same with an operator.
pub async fn open(place: &[(&str, &str)]) -> Result<Stage> {
    let mut stage = stage(place).await?;
    start(&mut stage, &[])?;
    Ok(stage)
}

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let patience = more.first().copied().unwrap_or(PATIENCE);
    [&ARGUMENTS[..], &PODS[..], &[patience], more.get(1..).unwrap_or_default()].concat()
}

/// Starts an operator; `more` begins with how long a pod may take.
pub fn start(stage: &mut Stage, more: &[&str]) -> Result<()> {
    stage.operator = Some(stage.workspace.start_operator(program(), &arguments(more))?);
    Ok(())
}

/// Starts an operator with the proxy between it and the API server.
pub fn start_through(stage: &mut Stage, proxy: &ApiProxy) -> Result<()> {
    stage.operator = Some(stage.workspace.start_operator_through(proxy, program(), &arguments(&[]))?);
    Ok(())
}

/// The lines of a spec that has its checks made from pods of the Deployment.
pub fn from_pods(more: &str) -> String {
    format!("checkFrom: ServerPod\n{TARGET}\n{more}")
}

/// Waits until neither the pod nor its Secret is there.
pub async fn nothing_is_left(stage: &Stage) -> Result<()> {
    eventually("the end of the pod and its Secret", || async {
        let pod = stage.api::<Pod>().get_opt(NAME).await?;
        let secret = stage.api::<Secret>().get_opt(NAME).await?;
        Ok((pod.is_none() && secret.is_none()).then_some(()))
    })
    .await
}

/// How many pods of checks were made in the namespace.
pub async fn made(stage: &Stage) -> Result<usize> {
    let events = ControlPlane::shared().await?.audit_in(stage.workspace.namespace())?;
    let is_made = |event: &&AuditEvent| {
        event.user == "operator" && event.resource == "pods" && event.verb == "create" && event.code == 201
    };
    Ok(events.iter().filter(is_made).count())
}

/// The check of a name in a status.
pub fn check<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["checks"].as_array()?.iter().find(|check| check["name"] == name)
}

/// Fails where the Secret was published.
pub async fn expect_nothing_published(stage: &Stage) -> Result<()> {
    ensure!(stage.workspace.secrets().get_opt("corp-ldap").await?.is_none(), "it was published");
    ensure!(stage.entries().await?.is_empty(), "it was delivered");
    Ok(())
}

/// The status of a condition, with its reason.
pub fn said(status: &Value, type_: &str) -> String {
    let found = condition(status, type_);
    found.map_or_else(String::new, |found| {
        format!(
            "{} {}",
            found["status"].as_str().unwrap_or_default(),
            found["reason"].as_str().unwrap_or_default()
        )
    })
}

/// The pods of the namespace by name.
pub async fn pods(stage: &Stage) -> Result<Vec<Pod>> {
    Ok(stage.api::<Pod>().list(&ListParams::default()).await?.items)
}

/// The status of a container that ended with this message.
pub fn ended(message: &str) -> Value {
    let state = json!({"terminated": {"exitCode": 0, "message": message, "finishedAt": jiff::Timestamp::now().to_string()}});
    json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "check", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": state,
    }]}})
}
