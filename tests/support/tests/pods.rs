//! The player of pods against the controllers of a real control plane.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::wait::{Condition, await_condition},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use test_support::{
    ControlPlane, PodPlayer, Slapd, Workspace,
    pods::{Life, WandbWorkload},
    process::PATIENCE,
    stand_in_server::log_in,
};

async fn workspace() -> Result<Workspace> {
    Workspace::create(ControlPlane::shared().await?, &[]).await
}

fn api<K>(workspace: &Workspace) -> Api<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(workspace.client().clone(), workspace.namespace())
}

async fn wait_until<K>(workspace: &Workspace, name: &str, condition: impl Condition<K>) -> Result<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    let waiting = await_condition(api(workspace), name, condition);
    let found = tokio::time::timeout(PATIENCE, waiting).await.context("it takes too long")??;
    found.context("the object is gone")
}

fn is_available(deployment: Option<&Deployment>) -> bool {
    deployment.is_some_and(|deployment| {
        let status = deployment.status.as_ref();
        status.is_some_and(|status| {
            status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == Some(2)
                && status.replicas == Some(2)
                && status.available_replicas == Some(2)
        })
    })
}

fn exceeded_its_deadline(deployment: Option<&Deployment>) -> bool {
    let status = deployment.and_then(|deployment| deployment.status.as_ref());
    status.into_iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    })
}

async fn set_variable<K>(workspace: &Workspace, name: &str, value: &str) -> Result<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let variable = json!({"name": "LOGGING", "value": value});
    let container = json!({"name": "wandb", "env": [variable]});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    api::<K>(workspace).patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}

fn variable<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let variables =
        pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.env.iter());
    variables.flatten().find(|variable| variable.name == name)?.value.as_deref()
}

async fn pods(workspace: &Workspace) -> Result<Vec<Pod>> {
    Ok(api::<Pod>(workspace).list(&ListParams::default()).await?.items)
}

#[tokio::test]
async fn a_deployment_becomes_available_and_is_replaced_without_a_gap() -> Result<()> {
    let workspace = workspace().await?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    workspace.put_secret("corp", &[("password", "first")]).await?;
    let workload = WandbWorkload::deployment("wandb").secret_variable("PASSWORD", "corp", "password");
    workspace.apply(&workload.manifest()).await?;
    wait_until(&workspace, "wandb", is_available).await?;

    set_variable::<Deployment>(&workspace, "wandb", "true").await?;
    wait_until(&workspace, "wandb", is_available).await?;
    assert_eq!(player.fewest_ready("wandb-", 2).await?, Some(2));
    assert_eq!(player.fewest_ready("wandb-", 4).await?, None);
    assert_eq!(player.broken_references(), []);
    for pod in pods(&workspace).await? {
        let inputs = player.environment_of(&pod.name_any()).context("it did not start")?;
        assert_eq!(inputs.environment.get("PASSWORD").map(String::as_str), Some("first"));
        assert_eq!(inputs.environment.get("LOGGING").map(String::as_str), Some("true"));
        assert_eq!(inputs.environment.get("HOST").map(String::as_str), Some("https://wandb.example.com"));
    }
    workspace.delete().await
}

#[tokio::test]
async fn a_crash_loop_exceeds_the_deadline_until_the_script_is_another() -> Result<()> {
    let workspace = workspace().await?;
    let crash = Life::CrashLooping { exit_code: 3, message: "no such issuer".to_owned() };
    let crashing = crash.clone();
    let crashes_when_changed = move |pod: &Pod| match variable(pod, "LOGGING") {
        None => Life::ReadyAfter(Duration::from_millis(50)),
        Some(_) => crashing.clone(),
    };
    let player = PodPlayer::start(&workspace, crashes_when_changed)?;
    workspace.apply(&WandbWorkload::deployment("wandb").progress_deadline(3).manifest()).await?;
    wait_until(&workspace, "wandb", is_available).await?;
    set_variable::<Deployment>(&workspace, "wandb", "true").await?;
    wait_until(&workspace, "wandb", exceeded_its_deadline).await?;

    let pods = pods(&workspace).await?;
    let pod = pods.iter().find(|pod| variable(pod, "LOGGING").is_some()).context("there is no new pod")?;
    let pod = wait_until(&workspace, &pod.name_any(), |pod: Option<&Pod>| {
        pod.and_then(first_container).is_some_and(|container| {
            container.restart_count >= 3
                && container.state.as_ref().is_some_and(|state| state.waiting.is_some())
        })
    })
    .await?;
    let container = first_container(&pod).context("there is no container status")?;
    let reason = container.state.as_ref().and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    assert_eq!(reason, Some("CrashLoopBackOff"));
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let last = last.context("there is no last state")?;
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(last.message.as_deref(), Some("no such issuer"));
    assert_eq!(player.fewest_ready("wandb-", 2).await?, Some(2), "the old pods stay");

    player.change_script(|_| Life::Ready);
    wait_until(&workspace, "wandb", is_available).await?;
    player.change_script(move |_| crash.clone());
    wait_until(&workspace, "wandb", |deployment: Option<&Deployment>| {
        deployment.is_some_and(|deployment| {
            deployment.status.as_ref().is_some_and(|status| status.available_replicas.is_none())
        })
    })
    .await?;
    assert_eq!(player.fewest_ready("wandb-", 2).await?, Some(0));
    workspace.delete().await
}

fn first_container(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

#[tokio::test]
async fn a_stateful_set_rolls_one_pod_after_the_other() -> Result<()> {
    let workspace = workspace().await?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    workspace.apply(&WandbWorkload::stateful_set("wandb").manifest()).await?;
    let is_ready = |set: Option<&StatefulSet>| {
        set.is_some_and(|set| {
            let status = set.status.as_ref();
            status.is_some_and(|status| {
                status.observed_generation == set.metadata.generation
                    && status.ready_replicas == Some(2)
                    && status.updated_replicas == Some(2)
                    && status.current_revision == status.update_revision
            })
        })
    };
    wait_until(&workspace, "wandb", is_ready).await?;
    set_variable::<StatefulSet>(&workspace, "wandb", "true").await?;
    wait_until(&workspace, "wandb", is_ready).await?;
    assert_eq!(player.fewest_ready("wandb-", 2).await?, Some(1));
    assert_eq!(player.starts_of("wandb-0").len(), 2);
    workspace.delete().await
}

#[tokio::test]
async fn a_missing_secret_keeps_a_container_from_starting_whatever_the_script_says() -> Result<()> {
    let workspace = workspace().await?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    workspace.put_secret("half", &[("other", "value")]).await?;
    for (name, secret) in [("none", "gone"), ("half", "half")] {
        let workload = WandbWorkload::stateful_set(name).secret_variable("PASSWORD", secret, "password");
        workspace.apply(&workload.manifest()).await?;
    }
    let waits = |pod: Option<&Pod>| {
        let state = pod.and_then(first_container).and_then(|container| container.state.as_ref());
        let reason = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
        reason == Some("CreateContainerConfigError")
    };
    let namespace = workspace.namespace();
    wait_until(&workspace, "none-0", waits).await?;
    wait_until(&workspace, "half-0", waits).await?;
    let messages: Vec<_> = player.broken_references().into_iter().map(|broken| broken.message).collect();
    assert_eq!(
        messages,
        [
            format!("couldn't find key password in Secret {namespace}/half"),
            "secret \"gone\" not found".to_owned()
        ]
    );

    workspace.put_secret("gone", &[("password", "found")]).await?;
    wait_until(&workspace, "none-0", |pod: Option<&Pod>| {
        pod.and_then(first_container).is_some_and(|container| container.ready)
    })
    .await?;
    let inputs = player.environment_of("none-0").context("it did not start")?;
    assert_eq!(inputs.environment.get("PASSWORD").map(String::as_str), Some("found"));
    workspace.delete().await
}

#[tokio::test]
async fn a_restarted_container_gets_the_values_of_that_time_and_its_files() -> Result<()> {
    let workspace = workspace().await?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    workspace.put_secret("corp", &[("password", "first"), ("ca.crt", "certificate")]).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"},
        "spec": {
            "containers": [{
                "name": "wandb", "image": "wandb/local",
                "env": [
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "corp", "key": "password"}}},
                    {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k", "optional": true}}},
                    {"name": "URL", "value": "ldap://$(PASSWORD)"},
                ],
                "volumeMounts": [{
                    "name": "ca", "mountPath": "/usr/local/share/ca-certificates/corp.crt", "subPath": "corp.crt",
                }],
            }],
            "volumes": [{
                "name": "ca",
                "secret": {"secretName": "corp", "items": [{"key": "ca.crt", "path": "corp.crt"}]},
            }],
        },
    });
    workspace.apply(&pod.to_string()).await?;
    let runs = |restarts: i32| {
        move |pod: Option<&Pod>| {
            pod.and_then(first_container)
                .is_some_and(|container| container.ready && container.restart_count == restarts)
        }
    };
    wait_until(&workspace, "alone", runs(0)).await?;
    workspace.put_secret("corp", &[("password", "second"), ("ca.crt", "certificate")]).await?;
    player.restart("alone");
    wait_until(&workspace, "alone", runs(1)).await?;

    let starts = player.starts_of("alone");
    let urls: Vec<_> = starts.iter().filter_map(|inputs| inputs.environment.get("URL")).collect();
    assert_eq!(urls, ["ldap://first", "ldap://second"]);
    for inputs in starts {
        let path = "/usr/local/share/ca-certificates/corp.crt";
        assert_eq!(inputs.files.get(path).map(Vec::as_slice), Some(b"certificate".as_slice()));
        assert!(!inputs.environment.contains_key("NONE"));
    }
    workspace.delete().await
}

#[tokio::test]
async fn a_pod_can_run_a_process_that_serves_or_crashes_by_itself() -> Result<()> {
    let workspace = workspace().await?;
    let player = PodPlayer::start(&workspace, |_| Life::Serving)?;
    let slapd = Slapd::builder("service-password").start()?;
    workspace.put_secret("corp", &[("password", "wrong")]).await?;
    let workload = WandbWorkload::stateful_set("wandb")
        .replicas(1)
        .variable("LOCAL_LDAP_ADDRESS", &slapd.ldap_url())
        .variable("LOCAL_LDAP_BASE_DN", Slapd::SUFFIX)
        .variable("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber")
        .variable("LOCAL_LDAP_LOGIN", "true")
        .variable("LOCAL_LDAP_BIND_DN", Slapd::SERVICE_DN)
        .secret_variable("LOCAL_LDAP_BIND_PW", "corp", "password");
    workspace.apply(&workload.manifest()).await?;
    let last_message = |pod: &Pod| {
        let last = first_container(pod)?.last_state.as_ref()?.terminated.as_ref()?;
        last.message.clone().filter(|_| last.exit_code == 1)
    };
    let pod =
        wait_until(&workspace, "wandb-0", |pod: Option<&Pod>| pod.and_then(last_message).is_some()).await?;
    let message = last_message(&pod).unwrap_or_default();
    assert!(message.contains("cannot bind to the directory"), "{message}");
    assert_eq!(player.address_of("wandb-0"), None);

    workspace.put_secret("corp", &[("password", "service-password")]).await?;
    wait_until(&workspace, "wandb-0", |pod: Option<&Pod>| {
        pod.and_then(first_container).is_some_and(|container| container.ready)
    })
    .await?;
    let address = player.address_of("wandb-0").context("it serves nowhere")?;
    assert_eq!(log_in(address, "alice@example.org", "alice-password")?, 200);
    assert_eq!(log_in(address, "alice@example.org", "wrong")?, 401);
    drop(player);
    assert!(log_in(address, "alice@example.org", "alice-password").is_err(), "the process is left");
    workspace.delete().await
}

#[tokio::test]
async fn many_players_do_not_meet() -> Result<()> {
    let play = |_| async {
        let workspace = workspace().await?;
        let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
        workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
        wait_until(&workspace, "wandb", is_available).await?;
        ensure!(player.fewest_ready("wandb-", 2).await? == Some(2));
        ensure!(player.pods().len() == 2, "it played pods of others");
        workspace.delete().await
    };
    try_join_all((0..4).map(play)).await.map(drop)
}
