//! The installations that people take over, one story for each: the directory is down, then the first rollout fails
//! (while it is down again, save for one of them), then everything works. A recorder sees every version of the template
//! and every pod.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{
    ApiProxy, ControlPlane, Mutation, Slapd, WandbOperator, condition,
    pods::{Life, WandbWorkload},
};

use super::{Environment, brownfield};
use crate::{
    delivery::{
        REPLICAS, Stage,
        crashes::start,
        eventually,
        history::History,
        is_ready,
        other_resources::message_of,
        refers_to,
        weights_and_biases::{first_version, second_version},
    },
    world::{PASSWORD, row},
};

/// What people have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installation {
    Deployment,
    Recreated,
    StatefulSet,
    /// The W&B operator's resource in its first version, with values in every place that the chart reads.
    FirstVersion,
    /// The same in its second version.
    SecondVersion,
}

/// How long an operator lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lives {
    Undisturbed,
    /// It is killed after its next write, before it gets the answer; and so is the one after it.
    OfOneWrite,
}

struct Scene {
    stage: Stage,
    proxy: ApiProxy,
    history: History,
    before: Environment,
    lives: Lives,
    deaths: Vec<String>,
    // Killed when dropped.
    _vendor: Option<WandbOperator>,
}

impl Installation {
    async fn open(self, lives: Lives) -> Result<Scene> {
        let shared = ControlPlane::shared().await?;
        let (stage, plane, vendor) = match self {
            Self::FirstVersion => {
                let (stage, vendor) = first_version::stage(REPLICAS).await?;
                (stage, first_version::plane().await?, Some(vendor))
            }
            Self::SecondVersion => {
                let (stage, vendor) = second_version::stage(REPLICAS).await?;
                (stage, shared, Some(vendor))
            }
            _ => (Stage::quiet(&self.sample()).await?, shared, None),
        };
        let before = self.before(&stage)?;
        let manifest = match self {
            Self::FirstVersion => first_resource(&before),
            Self::SecondVersion => second_resource(&before),
            _ => brownfield(&stage.workspace, self.sample(), &before).await?.manifest(),
        };
        stage.workspace.apply(&manifest).await?;
        until_pods_have(&stage, &before).await?;
        let history = match self {
            Self::StatefulSet => History::begin_of_set(&stage).await?,
            Self::FirstVersion => History::begin_of(&stage, "wandb-app-bc").await?,
            Self::SecondVersion => History::begin_of(&stage, "wandb-api").await?,
            Self::Deployment | Self::Recreated => History::begin(&stage).await?,
        };
        let proxy = ApiProxy::start(plane)?;
        Ok(Scene { stage, proxy, history, before, lives, deaths: Vec::new(), _vendor: vendor })
    }

    fn sample(self) -> WandbWorkload {
        match self {
            Self::StatefulSet => WandbWorkload::stateful_set("wandb"),
            Self::Recreated => WandbWorkload::deployment("wandb").recreate(),
            _ => WandbWorkload::deployment("wandb"),
        }
    }

    /// What a person had set by hand, for the same directory. Its authority stands elsewhere in the server.
    fn before(self, stage: &Stage) -> Result<Environment> {
        let prefix = match self {
            Self::FirstVersion | Self::SecondVersion => "LDAP",
            _ => "LOCAL_LDAP",
        };
        let address = stage.directory.ldaps_url()?;
        let values = [
            ("ADDRESS", address.as_str()),
            ("ATTRIBUTES", "email=mail,group=gidNumber"),
            ("BASE_DN", Slapd::SUFFIX),
            ("BIND_DN", Slapd::SERVICE_DN),
            ("BIND_PW", PASSWORD),
            ("LOGIN", "true"),
            ("TLS_ENABLE", "true"),
        ];
        Ok(values.iter().map(|(name, value)| (format!("{prefix}_{name}"), (*value).to_owned())).collect())
    }

    /// The lines of a spec that says something else.
    fn spec(self) -> String {
        let target = match self {
            Self::Deployment | Self::Recreated => "deployment",
            Self::StatefulSet => "statefulSet",
            Self::FirstVersion | Self::SecondVersion => "weightsAndBiases",
        };
        format!(
            "target: {{adopt: Replace, {target}: {{name: wandb}}}}\nattributes: {{email: mail, group: gidNumber, name: cn}}"
        )
    }
}

fn password() -> Value {
    json!({"secretKeyRef": {"name": "ldap-bind", "key": "password"}})
}

fn first_resource(before: &Environment) -> String {
    let value = |name: &str| before.get(name).cloned().unwrap_or_default();
    let all = json!({
        "extraEnv": {
            "LDAP_BIND_PW": {"valueFrom": password()}, "LDAP_ATTRIBUTES": value("LDAP_ATTRIBUTES"),
            // It does not count: the application has another one.
            "LDAP_BASE_DN": "dc=nowhere",
        },
        "env": {"LDAP_BIND_DN": value("LDAP_BIND_DN")},
    });
    let app = json!({
        "env": {"LDAP_ADDRESS": value("LDAP_ADDRESS")},
        "extraEnv": {"LDAP_BASE_DN": value("LDAP_BASE_DN")},
        "containers": {"app": {"env": {"LDAP_LOGIN": "true", "LDAP_TLS_ENABLE": true}}},
    });
    resource("v1", &json!({"values": {"global": all, "app": app}}))
}

fn second_resource(before: &Environment) -> String {
    let entry = |(name, value): (&String, &String)| match name.as_str() {
        "LDAP_BIND_PW" => json!({"name": name, "valueFrom": password()}),
        _ => json!({"name": name, "value": value}),
    };
    let is_of_api = |name: &String| name.ends_with("BASE_DN") || name.ends_with("LOGIN");
    let (api, all): (Vec<_>, Vec<_>) = before.iter().partition(|(name, _)| is_of_api(name));
    let list = |entries: Vec<_>| entries.into_iter().map(entry).collect::<Value>();
    let mut spec = second_version::spec();
    spec["wandb"]["legacyOverrides"] = json!({"global": {"env": list(all)}, "api": {"env": list(api)}});
    resource("v2", &spec)
}

fn resource(version: &str, spec: &Value) -> String {
    json!({
        "apiVersion": format!("apps.wandb.com/{version}"), "kind": "WeightsAndBiases",
        "metadata": {"name": "wandb"}, "spec": spec,
    })
    .to_string()
}

/// Waits until every pod is ready and has exactly these values, and all of these.
async fn until_pods_have(stage: &Stage, expected: &Environment) -> Result<()> {
    eventually("pods with these values", || async {
        let pods = stage.pods().await?;
        let has = |pod: &k8s_openapi::api::core::v1::Pod| {
            let inputs = stage.player.environment_of(&pod.name_any());
            is_ready(pod)
                && inputs.is_some_and(|inputs| {
                    expected.iter().all(|(name, value)| inputs.environment.get(name) == Some(value))
                })
        };
        Ok((pods.len() == REPLICAS && pods.iter().all(has)).then_some(()))
    })
    .await
}

/// Writes by which the cluster holds more than before; what is said of it is not among them.
fn is_durable(mutation: &Mutation) -> bool {
    ["/events", "/status", "/leases"].iter().all(|part| !mutation.path.contains(part))
}

/// What a story waits for.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// A pod with the resource's own values.
    Pod,
    /// This reason in what the resource says of its rollout.
    Says(&'static str),
}

impl Goal {
    async fn is_reached(self, stage: &Stage) -> Result<bool> {
        match self {
            Self::Pod => Ok(stage.pods().await?.iter().any(|pod| refers_to(pod, "corp-ldap-2"))),
            Self::Says(reason) => {
                let status = stage.workspace.status("LdapConfig", "corp").await?;
                Ok(condition(&status, "RolledOut").is_some_and(|condition| condition["reason"] == reason))
            }
        }
    }
}

impl Scene {
    /// Waits until there is what the story waits for; meanwhile operators live as this scene's do.
    async fn until(&mut self, goal: Goal) -> Result<()> {
        for _ in 0..30 {
            if self.lives == Lives::OfOneWrite {
                let switch = self.stage.operator.as_ref().context("no operator")?.kill_switch()?;
                let last = Arc::new(Mutex::new(String::new()));
                self.proxy.lose_answer_to(is_durable, 1, {
                    let last = Arc::clone(&last);
                    move |mutation| {
                        switch.kill();
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = mutation.to_string();
                    }
                });
                self.deaths.push(String::new());
                self.until_dead_or(goal).await?;
                let is_dead = !self.proxy.disarm();
                self.deaths.pop();
                if is_dead {
                    self.deaths.push(last.lock().unwrap_or_else(PoisonError::into_inner).clone());
                    start(&mut self.stage, &self.proxy)?;
                    continue;
                }
            } else {
                self.until_dead_or(goal).await?;
            }
            return Ok(());
        }
        anyhow::bail!("it goes on for ever: {:#?}", self.deaths)
    }

    async fn until_dead_or(&self, goal: Goal) -> Result<()> {
        let is_mortal = self.lives == Lives::OfOneWrite;
        let waited = eventually("a death, or the goal", || async {
            let is_dead = is_mortal && !self.proxy.is_armed();
            Ok((is_dead || goal.is_reached(&self.stage).await?).then_some(()))
        })
        .await;
        let log = || self.stage.operator.as_ref().map(|operator| operator.log().tail()).unwrap_or_default();
        waited.with_context(|| format!("{goal:?} after {:#?}; {}", self.deaths, log()))
    }

    /// Fails where any version of the template, or any pod that ever started, was without a variable that was there.
    async fn expect_never_without(&self) -> Result<()> {
        let names: Vec<_> = self.before.keys().cloned().collect();
        self.history.expect_variables(&names).await?;
        let player = &self.stage.player;
        for pod in player.pods() {
            let starts = player.starts_of(&pod);
            // Those of the first manifest had nothing yet.
            let starts = starts.iter().map(|inputs| &inputs.environment);
            for environment in starts.filter(|each| names.iter().any(|name| each.contains_key(name))) {
                let missing: Vec<_> = names.iter().filter(|name| !environment.contains_key(*name)).collect();
                ensure!(missing.is_empty(), "{pod} started without {missing:?}");
            }
        }
        self.stage.expect_no_broken_reference()
    }
}

async fn never_without(installation: Installation, lives: Lives) -> Result<()> {
    let _row = row().await?;
    let mut scene = installation.open(lives).await?;
    // Pods of the resource's own values wait until the scene is set.
    scene
        .stage
        .player
        .change_script(|pod| if refers_to(pod, "corp-ldap-2") { Life::NeverReady } else { Life::Ready });

    // Nothing is taken over while the directory is down.
    scene.stage.directory.stop()?;
    start(&mut scene.stage, &scene.proxy)?;
    scene.stage.apply(&installation.spec()).await?;
    let workspace = &scene.stage.workspace;
    workspace.wait_for_reason("LdapConfig", "corp", "Verified", "ConnectionRefused").await?;
    assert_eq!(scene.history.templates().await?.len(), 1);
    ensure!(scene.stage.revisions("corp-ldap").await?.is_empty());

    // The first rollout fails. Where the directory can be asked, it knows the values of before; its authority is not
    // among them.
    scene.stage.directory.start()?;
    scene.stage.workspace.recheck("LdapConfig", "corp", "up").await?;
    scene.until(Goal::Pod).await?;
    let is_down = installation != Installation::Deployment;
    if is_down {
        scene.stage.directory.stop()?;
    }
    scene.stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
    scene.until(Goal::Says("RolledBack")).await?;
    let status = scene.stage.workspace.status("LdapConfig", "corp").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("revision 1, which has what was there before"), "{message}");
    ensure!(message.contains("was not checked") == is_down, "{message}");
    assert_eq!(super::revision(&scene.stage, "corp-ldap-1").await?, scene.before);
    until_pods_have(&scene.stage, &scene.before).await?;

    // It works now.
    if is_down {
        scene.stage.directory.start()?;
    }
    scene.stage.player.change_script(|_| Life::Ready);
    scene.stage.workspace.recheck("LdapConfig", "corp", "works").await?;
    scene.until(Goal::Says("RolledOut")).await?;
    let status = scene.stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    let mut after = scene.before.clone();
    after
        .values_mut()
        .filter(|value| value.starts_with("email="))
        .for_each(|value| value.push_str(",name=cn"));
    until_pods_have(&scene.stage, &after).await?;
    if lives == Lives::OfOneWrite {
        // Two revisions, three changes of the target and four marks at least.
        ensure!(scene.deaths.len() >= 9, "{:#?}", scene.deaths);
    }
    scene.expect_never_without().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_never_without_a_variable() -> Result<()> {
    Box::pin(never_without(Installation::Deployment, Lives::Undisturbed)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_recreated_is_never_without_a_variable() -> Result<()> {
    Box::pin(never_without(Installation::Recreated, Lives::OfOneWrite)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_is_never_without_a_variable() -> Result<()> {
    Box::pin(never_without(Installation::StatefulSet, Lives::OfOneWrite)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_is_never_without_a_variable() -> Result<()> {
    Box::pin(never_without(Installation::FirstVersion, Lives::OfOneWrite)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_version_is_never_without_a_variable() -> Result<()> {
    Box::pin(never_without(Installation::SecondVersion, Lives::OfOneWrite)).await
}
