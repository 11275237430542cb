//! Taking over a running server: at no moment is a variable missing that somebody had set.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod brownfield;
mod crashes;
mod refusals;
mod tools;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, core::DynamicObject};
use serde_json::{Value, json};
use test_support::{
    Workspace,
    pods::{Life, WandbWorkload},
};

use super::{
    Stage, eventually,
    history::History,
    other_resources::{rolled_back, runs_with},
    refers_to,
    workloads::NAMES,
};

/// The target with a policy.
pub fn target(policy: &str) -> String {
    format!("target: {{adopt: {policy}, deployment: {{name: wandb}}}}")
}

fn set_target(policy: &str) -> String {
    format!("target: {{adopt: {policy}, statefulSet: {{name: wandb}}}}")
}

/// The values by name.
pub type Environment = BTreeMap<String, String>;

/// What the resource publishes under the names of the container.
pub async fn published(stage: &Stage) -> Result<Environment> {
    stage.ready("").await?;
    let secret: Secret = stage.api().get("corp-ldap").await?;
    let data = secret.data.context("data")?;
    let value =
        |name: &&str| Some((String::from(*name), String::from_utf8(data.get(*name)?.0.clone()).ok()?));
    Ok(NAMES.iter().filter_map(value).collect())
}

/// What a person had set by hand for another directory.
pub fn by_hand() -> Environment {
    let values = [
        ("LOCAL_LDAP_ADDRESS", "ldaps://old.example.com"),
        ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber"),
        ("LOCAL_LDAP_BASE_DN", "dc=old,dc=example,dc=com"),
        ("LOCAL_LDAP_BIND_DN", "cn=old,dc=example,dc=com"),
        ("LOCAL_LDAP_BIND_PW", "an-old-password"),
        ("LOCAL_LDAP_LOGIN", "true"),
    ];
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The workload with these variables, each in another one of the ways that there are.
pub async fn brownfield(
    workspace: &Workspace,
    workload: WandbWorkload,
    values: &Environment,
) -> Result<WandbWorkload> {
    let mut workload = workload;
    for (index, (name, value)) in values.iter().enumerate() {
        workload = match index % 4 {
            0 => workload.variable(name, value),
            1 => {
                let secret = format!("by-hand-{index}");
                workspace.put_secret(&secret, &[("value", value)]).await?;
                workload.secret_variable(name, &secret, "value")
            }
            2 => {
                let map = format!("by-hand-{index}");
                let manifest = json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map}, "data": {"value": value},
                });
                workspace.apply(&manifest.to_string()).await?;
                workload.map_variable(name, &map, "value")
            }
            _ => {
                let part = format!("PART_{index}");
                let (first, second) = value.split_at(value.len() / 2);
                workload.variable(&part, first).variable(name, &format!("$({part}){second}"))
            }
        };
    }
    // What needs its place in the list.
    Ok(workload.variable("MOTD", "Ask those who run $(LOCAL_LDAP_ADDRESS)."))
}

/// A running server whose variables somebody else has set, with everything that will be seen of it.
pub struct Running {
    pub stage: Stage,
    pub history: History,
    /// What was there before.
    pub before: Environment,
}

impl Running {
    /// With these variables; the operator has none of its own there yet.
    pub async fn start(stage: Stage, workload: WandbWorkload, before: Environment) -> Result<Self> {
        let workload = brownfield(&stage.workspace, workload, &before).await?;
        stage.workspace.apply(&workload.manifest()).await?;
        let history = if workload.manifest().contains("StatefulSet") {
            History::begin_of_set(&stage).await?
        } else {
            History::begin(&stage).await?
        };
        let running = Self { stage, history, before };
        running.until_pods_have(&running.before).await?;
        Ok(running)
    }

    /// A Deployment with what a person had set for another directory.
    pub async fn by_hand() -> Result<Self> {
        let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
        Self::start(stage, WandbWorkload::deployment("wandb"), by_hand()).await
    }

    pub fn names(&self) -> Vec<String> {
        self.before.keys().cloned().collect()
    }

    /// Waits until both pods are ready and have exactly these values, and all of these.
    pub async fn until_pods_have(&self, expected: &Environment) -> Result<()> {
        eventually("pods with these values", || async {
            let pods = self.stage.pods().await?;
            let has = |pod: &k8s_openapi::api::core::v1::Pod| {
                let inputs = self.stage.player.environment_of(&pod.name_any());
                super::is_ready(pod)
                    && inputs.is_some_and(|inputs| {
                        expected.iter().all(|(name, value)| inputs.environment.get(name) == Some(value))
                    })
            };
            Ok((pods.len() == 2 && pods.iter().all(has)).then_some(()))
        })
        .await
    }

    /// Fails where any version of the template, or any pod that ever started, was without a variable that was there.
    pub async fn expect_never_without(&self) -> Result<()> {
        self.history.expect_variables(&self.names()).await?;
        for pod in self.stage.player.pods() {
            for inputs in
                self.stage.player.starts_of(&pod).iter().filter(|inputs| is_of_now(&inputs.environment))
            {
                for name in self.names() {
                    ensure!(
                        inputs.environment.contains_key(&name),
                        "{pod} started without {name}: {inputs:#?}"
                    );
                }
            }
        }
        self.stage.expect_no_broken_reference()
    }
}

/// The pods of the stage's first manifest, before anybody had set anything, have no such variable.
fn is_of_now(environment: &Environment) -> bool {
    environment.contains_key("MOTD")
}

/// What a revision holds.
pub async fn revision(stage: &Stage, name: &str) -> Result<Environment> {
    let secret: Secret = stage.api().get(name).await?;
    let data = secret.data.unwrap_or_default();
    data.into_iter().map(|(name, value)| Ok((name, String::from_utf8(value.0)?))).collect()
}

/// Equal values become ours by one change of the template, and every pod has the very same as before.
async fn equal_values_are_taken_over(workload: WandbWorkload, spec: &str) -> Result<()> {
    let stage = Stage::open(&workload).await?;
    let before = published(&stage).await?;
    let running = Running::start(stage, workload, before).await?;
    let stage = &running.stage;
    let status = stage.ready(spec).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    running.until_pods_have(&running.before).await?;
    assert_eq!(running.history.templates().await?.len(), 2, "one patch");
    assert_eq!(revision(stage, "corp-ldap-1").await?, running.before);
    let pods = stage.pods().await?;
    ensure!(pods.iter().all(|pod| refers_to(pod, "corp-ldap-2")), "{pods:#?}");
    running.expect_never_without().await
}

#[tokio::test]
async fn equal_values_of_a_deployment_are_taken_over() -> Result<()> {
    equal_values_are_taken_over(WandbWorkload::deployment("wandb"), &target("Equal")).await
}

#[tokio::test]
async fn equal_values_of_a_deployment_that_is_recreated_are_taken_over() -> Result<()> {
    equal_values_are_taken_over(WandbWorkload::deployment("wandb").recreate(), &target("Equal")).await
}

#[tokio::test]
async fn equal_values_of_a_stateful_set_are_taken_over() -> Result<()> {
    equal_values_are_taken_over(WandbWorkload::stateful_set("wandb"), &set_target("Equal")).await
}

/// Other values take the place of what was there, and what was there comes back where they do not work.
async fn a_failed_takeover_goes_back(workload: WandbWorkload, spec: &str) -> Result<()> {
    let stage = Stage::open(&workload).await?;
    let running = Running::start(stage, workload, by_hand()).await?;
    let stage = &running.stage;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
    stage.apply(spec).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    ensure!(message.contains("revision 1, which has what was there before"), "{message}");
    ensure!(!message.contains("as before"), "{message}");
    assert_eq!(status["revision"], json!(1));
    running.until_pods_have(&running.before).await?;
    assert_eq!(revision(stage, "corp-ldap-1").await?, running.before);
    let template = running.history.templates().await?.pop().context("a template")?;
    let delivered = super::entries_of(&template);
    let own: Vec<_> = delivered.iter().filter(|(_, (secret, _))| secret == "corp-ldap-1").collect();
    assert_eq!(own.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), running.names());
    assert_eq!(running.history.templates().await?.len(), 3, "there and back");
    running.expect_never_without().await?;

    // What works comes from there.
    stage.apply(&format!("{spec}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let status = runs_with(&stage.workspace, 3).await?;
    assert_eq!(status["previousRevision"], json!(1));
    running.expect_never_without().await
}

#[tokio::test]
async fn what_a_deployment_had_comes_back_where_the_first_rollout_fails() -> Result<()> {
    a_failed_takeover_goes_back(WandbWorkload::deployment("wandb"), &target("Replace")).await
}

#[tokio::test]
async fn what_a_recreated_deployment_had_comes_back_where_the_first_rollout_fails() -> Result<()> {
    a_failed_takeover_goes_back(WandbWorkload::deployment("wandb").recreate(), &target("Replace")).await
}

#[tokio::test]
async fn what_a_stateful_set_had_comes_back_where_the_first_rollout_fails() -> Result<()> {
    a_failed_takeover_goes_back(WandbWorkload::stateful_set("wandb"), &set_target("Replace")).await
}

#[tokio::test]
async fn what_a_later_setting_takes_over_comes_back_beside_the_rest() -> Result<()> {
    const LIST: &str = "LOCAL_LDAP_GROUP_ALLOW_LIST";
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let mut before = by_hand();
    before.insert(LIST.to_owned(), "cn=wandb,ou=groups,dc=old".to_owned());
    let running = Running::start(stage, WandbWorkload::deployment("wandb"), before).await?;
    let stage = &running.stage;
    stage.ready(&target("Replace")).await?;
    ensure!(
        !revision(stage, "corp-ldap-1").await?.contains_key(LIST),
        "what is not delivered is not touched"
    );
    let first = revision(stage, "corp-ldap-2").await?;

    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-4") {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
    let spec = format!("{}\ngroupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org']", target("Replace"));
    stage.apply(&spec).await?;
    let (status, _) = rolled_back(&stage.workspace).await?;
    assert_eq!(status["revision"], json!(3));
    let mut expected = first;
    expected.insert(LIST.to_owned(), "cn=wandb,ou=groups,dc=old".to_owned());
    assert_eq!(revision(stage, "corp-ldap-3").await?, expected);
    expected.retain(|name, _| NAMES.contains(&name.as_str()) || name == LIST);
    running.until_pods_have(&expected).await?;
    running.expect_never_without().await
}

/// The target as it is now.
pub async fn live(stage: &Stage, kind: &str) -> Result<Value> {
    let resource = match kind {
        "StatefulSet" => kube::core::ApiResource::erase::<k8s_openapi::api::apps::v1::StatefulSet>(&()),
        _ => kube::core::ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&()),
    };
    let workspace = &stage.workspace;
    let api: Api<DynamicObject> =
        Api::namespaced_with(workspace.client().clone(), workspace.namespace(), &resource);
    Ok(serde_json::to_value(api.get("wandb").await?)?)
}
