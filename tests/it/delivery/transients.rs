//! Trouble in a pod that passes, and the same trouble that lasts: each kind at a target of its own, under one operator.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{
    Operator, condition,
    pods::{Life, WandbWorkload},
};

use super::{
    Stage, eventually,
    other_resources::{apply_ldap_config, message_of},
    player_has_ready, refers_to,
};
use crate::world::program;

/// How long a container must fail in these tests: longer than the trouble that passes, however slow the machine.
const LONG: &str = "10m";
const SHORT: &str = "2s";

/// Which container of the pods is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    /// The server, which takes the entries.
    Server,
    /// One beside it: that counts when the time is over, and no sooner.
    SideCar,
}

/// Each kind of trouble, in the kubelet's words.
fn troubles() -> [(Life, Container); 7] {
    let cannot_start = |reason, message: &str| Life::CannotStart { reason, message: message.to_owned() };
    let crashing = |message: &str| Life::CrashLooping { exit_code: 1, message: message.to_owned() };
    let server = |life| (life, Container::Server);
    [
        server(Life::ConfigError(
            "failed to sync secret cache: timed out waiting for the condition".to_owned(),
        )),
        server(Life::ConfigError("couldn't find key LOCAL_LDAP_BIND_PW".to_owned())),
        server(cannot_start(
            "CreateContainerError",
            "failed to reserve container name \"wandb_0\": it is reserved",
        )),
        server(cannot_start("CreateContainerError", "context deadline exceeded")),
        server(cannot_start("RunContainerError", "context deadline exceeded")),
        server(crashing("mysql://wandb:pw@mysql:3306: connection refused")),
        (crashing("mysql://wandb:pw@mysql:3306: no route"), Container::SideCar),
    ]
}

/// How long Kubernetes waits for the pods of a rollout where the trouble is to outlast it, in seconds.
const DEADLINE: u32 = 12;

/// A workload of this name. The player plays the first container of a pod.
fn workload(name: &str, container: Container, deadline: Option<u32>) -> Result<String> {
    let workload = WandbWorkload::deployment(name).replicas(1);
    if container == Container::Server {
        return Ok(workload.manifest());
    }
    let workload = match deadline {
        Some(seconds) => workload.progress_deadline(seconds),
        None => workload,
    };
    let mut manifest: Value = serde_json::from_str(&workload.manifest())?;
    let containers = manifest.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    containers.context("containers")?.insert(0, json!({"name": "proxy", "image": "envoy"}));
    Ok(manifest.to_string())
}

/// Every kind of trouble by the name of its workload, which is that of its resource.
struct Scene {
    stage: Stage,
    troubles: BTreeMap<String, (Life, Container)>,
}

impl Scene {
    /// All run with their first revision, and the second is in trouble.
    async fn open(patience: &str) -> Result<Self> {
        let mut stage = Stage::quiet(&WandbWorkload::deployment("wandb").replicas(0)).await?;
        let troubles = troubles().into_iter().enumerate();
        let troubles: BTreeMap<_, _> =
            troubles.map(|(number, trouble)| (format!("server-{number}"), trouble)).collect();
        for (name, (_, container)) in &troubles {
            stage.workspace.apply(&workload(name, *container, None)?).await?;
        }
        stage.operator = Some(operator(&stage, patience)?);
        let scene = Self { stage, troubles };
        for name in scene.troubles.keys() {
            player_has_ready(&scene.stage.player, name, 1).await?;
            scene.apply(name, "").await?;
        }
        for name in scene.troubles.keys() {
            scene.stage.workspace.wait_until_ready("LdapConfig", name).await?;
        }
        // Only what fails is given so little time.
        for (name, (_, container)) in scene.troubles.iter().filter(|_| patience == SHORT) {
            scene.stage.workspace.apply(&workload(name, *container, Some(DEADLINE))?).await?;
        }
        let troubles = scene.troubles.clone();
        scene.stage.player.change_script(move |pod| {
            let trouble = troubles.iter().find(|(name, _)| refers_to(pod, &format!("{name}-ldap-2")));
            trouble.map_or(Life::Ready, |(_, (life, _))| life.clone())
        });
        for name in scene.troubles.keys() {
            scene.apply(name, "attributes: {email: mail, group: gidNumber, name: cn}").await?;
        }
        Ok(scene)
    }

    async fn apply(&self, name: &str, more: &str) -> Result<()> {
        let target = format!("target: {{deployment: {{name: {name}, container: wandb}}}}");
        apply_ldap_config(&self.stage, name, &format!("{target}\n{more}")).await
    }

    /// The annotation that tells what became of the second revision.
    async fn mark(&self, name: &str) -> Result<String> {
        let secret = self.stage.workspace.secrets().get(&format!("{name}-ldap-2")).await?;
        let annotations = secret.metadata.annotations.unwrap_or_default();
        Ok(annotations.get("auth.wandb.com/rollout").cloned().unwrap_or_default())
    }

    async fn marks(&self) -> Result<Vec<String>> {
        let mut marks = Vec::new();
        for name in self.troubles.keys() {
            marks.push(self.mark(name).await?);
        }
        Ok(marks)
    }

    /// How often the operator listed such objects.
    async fn lists(&self, resource: &str) -> Result<usize> {
        let requests = super::deadlines::requests(&self.stage).await?;
        Ok(requests.iter().filter(|event| event.verb == "list" && event.resource == resource).count())
    }

    /// Fails where people were ever left without a pod.
    async fn expect_one_ready_always(&self) -> Result<()> {
        for name in self.troubles.keys() {
            let fewest = self.stage.player.fewest_ready(name, 1).await?;
            ensure!(fewest == Some(1), "{name}: {fewest:?}\n{}", self.stage.player.history());
        }
        self.stage.expect_no_broken_reference()
    }
}

fn operator(stage: &Stage, patience: &str) -> Result<Operator> {
    let arguments = ["--allow-egress", "127.0.0.0/8", "--failure-patience", patience];
    stage.workspace.start_operator(program(), &arguments)
}

fn reason(status: &Value) -> &str {
    condition(status, "RolledOut").and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn what_passes_undoes_nothing() -> Result<()> {
    let scene = Scene::open(LONG).await?;
    // Each trouble shows at once, and is called one that may end by itself.
    for (name, (trouble, _)) in &scene.troubles {
        let may_pass = |status: &Value| message_of(status, "RolledOut").contains("may end by itself");
        let waited = scene.stage.workspace.wait_for("LdapConfig", name, may_pass).await;
        waited.with_context(|| format!("{trouble:?}"))?;
    }
    let before = scene.lists("pods").await?;
    let enough = 4 * scene.troubles.len();
    eventually("looks enough", || async {
        Ok((scene.lists("pods").await? >= before + enough).then_some(()))
    })
    .await?;
    let marks = scene.marks().await?;
    ensure!(marks.iter().all(String::is_empty), "{marks:#?}");
    scene.stage.player.change_script(|_| Life::Ready);
    for name in scene.troubles.keys() {
        let status = scene.stage.workspace.wait_until_ready("LdapConfig", name).await?;
        ensure!(status["revision"] == 2 && scene.mark(name).await?.contains("rolledOut"), "{status:#}");
    }
    scene.expect_one_ready_always().await
}

#[tokio::test]
async fn what_lasts_undoes_the_rollout_once() -> Result<()> {
    let mut scene = Scene::open(SHORT).await?;
    let is_back = |status: &Value| reason(status) == "RolledBack";
    for (name, (trouble, container)) in &scene.troubles {
        let status = scene.stage.workspace.wait_for("LdapConfig", name, is_back).await;
        let status = status.with_context(|| format!("{trouble:?}"))?;
        ensure!(status["revision"] == 1, "{trouble:?}: {status:#}");
        let message = message_of(&status, "RolledOut");
        let container = if *container == Container::Server { "wandb" } else { "proxy" };
        ensure!(message.contains(&format!("container \"{container}\" of the pod {name}-")), "{message}");
        ensure!(!message.contains("mysql") && message.contains("`kubectl "), "{message}");
    }
    let marks = scene.marks().await?;
    ensure!(marks.iter().all(|mark| mark.contains("arrived")), "{marks:#?}");
    // Another process decides nothing again.
    scene.stage.operator = None;
    let before = scene.lists("ldapconfigs").await?;
    scene.stage.operator = Some(operator(&scene.stage, SHORT)?);
    eventually("a run of the next process", || async {
        Ok((scene.lists("ldapconfigs").await? > before).then_some(()))
    })
    .await?;
    super::silence(Duration::from_secs(3), || super::edits_by_others::written(&scene.stage)).await?;
    for name in scene.troubles.keys() {
        scene.stage.workspace.wait_for("LdapConfig", name, is_back).await?;
    }
    ensure!(scene.marks().await? == marks, "{marks:#?}");
    scene.expect_one_ready_always().await
}
