//! Several workloads, or several containers of one, as one target: an installation by Helm alone, where `api` and
//! `app` both read the variables.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, PodSpec, Secret},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{
    ApiProxy, ControlPlane, condition,
    pods::{Life, WandbWorkload},
};

use super::{
    Stage, TARGET, entries_of, eventually,
    other_resources::{is_gone, jwt_issuer, message_of, outlive, provider, rolled_back},
    player_has_ready, refers_to, silence,
};
use crate::world::{ARGUMENTS, operator, program, row};

/// Both Deployments as one target.
const BOTH: &str = "target: {deployment: {name: wandb}, additionalContainers: [{deployment: {name: api}}]}";

/// Values that differ from those of other numbers.
fn spec(target: &str, number: u32) -> String {
    format!("{target}\nattributes: {{email: mail, group: gidNumber, name: attribute{number}}}")
}

/// With the Deployment `api` beside `wandb`.
async fn open() -> Result<Stage> {
    let mut stage = quiet().await?;
    stage.operator = Some(operator(&stage.workspace)?);
    Ok(stage)
}

async fn quiet() -> Result<Stage> {
    let stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    stage.workspace.apply(&WandbWorkload::deployment("api").manifest()).await?;
    player_has_ready(&stage.player, "wandb", 2).await?;
    player_has_ready(&stage.player, "api", 2).await?;
    Ok(stage)
}

async fn pod_spec(stage: &Stage, name: &str) -> Result<PodSpec> {
    let deployment: Deployment = stage.api().get(name).await?;
    deployment.spec.and_then(|spec| spec.template.spec).context("a pod")
}

/// The Secrets that the Deployment's entries come from.
async fn secrets_of(stage: &Stage, name: &str) -> Result<BTreeSet<String>> {
    Ok(entries_of(&pod_spec(stage, name).await?).into_values().map(|(secret, _)| secret).collect())
}

/// Shows which revision each of the two Deployments has.
async fn expect(stage: &Stage, wandb: Option<&str>, api: Option<&str>) -> Result<()> {
    for (name, secret) in [("wandb", wandb), ("api", api)] {
        let expected: BTreeSet<String> = secret.map(str::to_owned).into_iter().collect();
        let seen = secrets_of(stage, name).await?;
        ensure!(seen == expected, "{name} has {seen:?} in the place of {expected:?}");
    }
    Ok(())
}

fn is_of_api(pod: &Pod) -> bool {
    pod.name_any().starts_with("api-")
}

fn crash() -> Life {
    Life::CrashLooping { exit_code: 3, message: "panic: no such attribute".to_owned() }
}

#[tokio::test]
async fn one_revision_serves_all_and_leaves_all() -> Result<()> {
    let stage = open().await?;
    let bare = (pod_spec(&stage, "wandb").await?, pod_spec(&stage, "api").await?);
    let status = stage.ready(BOTH).await?;
    assert_eq!(status["revision"], 1);
    ensure!(message_of(&status, "RolledOut").contains("Deployment/wandb and Deployment/api"), "{status:#}");
    expect(&stage, Some("corp-ldap-1"), Some("corp-ldap-1")).await?;
    assert_eq!(entries_of(&pod_spec(&stage, "wandb").await?), entries_of(&pod_spec(&stage, "api").await?));

    let status = stage.ready(&spec(BOTH, 2)).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    expect(&stage, Some("corp-ldap-2"), Some("corp-ldap-2")).await?;
    let pods = stage.pods().await?;
    ensure!(pods.len() == 4 && pods.iter().all(|pod| refers_to(pod, "corp-ldap-2")), "{pods:#?}");

    // What somebody takes out of one comes back there.
    let empty = json!({"spec": {"template": {"spec": {"containers": [{"name": "wandb", "env": [
        {"name": "LOCAL_LDAP_LOGIN", "$patch": "delete"}
    ]}]}}}});
    stage.api::<Deployment>().patch("api", &PatchParams::default(), &Patch::Strategic(empty)).await?;
    eventually("the entry", || async {
        Ok(entries_of(&pod_spec(&stage, "api").await?).contains_key("LOCAL_LDAP_LOGIN").then_some(()))
    })
    .await?;

    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert_eq!((pod_spec(&stage, "wandb").await?, pod_spec(&stage, "api").await?), bare);
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn what_fails_in_one_is_taken_back_in_all() -> Result<()> {
    let stage = open().await?;
    stage.ready(BOTH).await?;
    stage.player.change_script(|pod| {
        if is_of_api(pod) && refers_to(pod, "corp-ldap-2") { crash() } else { Life::Ready }
    });
    stage.apply(&spec(BOTH, 2)).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    for part in ["Deployment/wandb and Deployment/api went back to revision 1", "exit code 3", "api-"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(status["revision"], 1);
    expect(&stage, Some("corp-ldap-1"), Some("corp-ldap-1")).await?;

    // A person who undoes one knows why, for all of them.
    stage.player.change_script(|_| Life::Ready);
    stage.ready(&spec(BOTH, 3)).await?;
    expect(&stage, Some("corp-ldap-3"), Some("corp-ldap-3")).await?;
    let entries: Vec<Value> = entries_of(&pod_spec(&stage, "api").await?)
        .into_iter()
        .map(|(name, (_, key))| {
            json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "corp-ldap-1", "key": key}}})
        })
        .collect();
    let undone = json!({"spec": {"template": {"spec": {"containers": [{"name": "wandb", "env": entries}]}}}});
    let parameters =
        PatchParams { field_manager: Some("kubectl-rollout".to_owned()), ..PatchParams::default() };
    let volumes = json!({"spec": {"template": {"spec": {"volumes": [
        {"name": "wandb-auth-ldap-corp", "secret": {"secretName": "corp-ldap-1"}}
    ]}}}});
    let deployments = stage.api::<Deployment>();
    let mut whole = undone;
    whole["spec"]["template"]["spec"]["volumes"] = volumes["spec"]["template"]["spec"]["volumes"].clone();
    deployments.patch("api", &parameters, &Patch::Strategic(whole)).await?;
    let (_, message) = rolled_back(&stage.workspace).await?;
    ensure!(message.contains("kubectl-rollout"), "{message}");
    eventually("both at revision 1", || async {
        Ok(expect(&stage, Some("corp-ldap-1"), Some("corp-ldap-1")).await.ok())
    })
    .await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn one_that_is_new_and_fails_goes_out_alone_and_one_that_leaves_changes_nobody_else() -> Result<()> {
    let stage = open().await?;
    stage.ready(TARGET).await?;
    stage.player.change_script(|pod| {
        let has_any = pod.spec.as_ref().is_some_and(|spec| !entries_of(spec).is_empty());
        if is_of_api(pod) && has_any { crash() } else { Life::Ready }
    });
    stage.apply(BOTH).await?;
    rolled_back(&stage.workspace).await?;
    expect(&stage, Some("corp-ldap-1"), None).await?;

    stage.player.change_script(|_| Life::Ready);
    stage.workspace.recheck("LdapConfig", "corp", "now").await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect(&stage, Some("corp-ldap-2"), Some("corp-ldap-2")).await?;

    let before: Deployment = stage.api().get("wandb").await?;
    stage.ready(TARGET).await?;
    eventually("the end of the entries", || async {
        Ok(secrets_of(&stage, "api").await?.is_empty().then_some(()))
    })
    .await?;
    let after: Deployment = stage.api().get("wandb").await?;
    assert_eq!(after.metadata.generation, before.metadata.generation, "nothing changed there");
    expect(&stage, Some("corp-ldap-2"), None).await?;
    // What was delivered to both is for the one from now on.
    eventually("the end of the revisions for both", || async {
        let secrets = stage.api::<Secret>().list(&ListParams::default()).await?;
        let mut places =
            secrets.iter().filter_map(|secret| secret.annotations().get("auth.wandb.com/target"));
        Ok(places.all(|place| place == "Deployment/wandb").then_some(()))
    })
    .await?;
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    expect(&stage, None, None).await?;
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn what_one_cannot_take_none_gets() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let bare: Deployment = stage.api().get("wandb").await?;
    stage.apply(BOTH).await?;
    let status = stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "TargetNotFound").await?;
    ensure!(message_of(&status, "RolledOut").contains("no Deployment \"api\""), "{status:#}");

    // Somebody else has set a variable in the second.
    let api = WandbWorkload::deployment("api").variable("LDAP_ADDRESS", "ldap://the-old-one.example.com");
    stage.workspace.apply(&api.manifest()).await?;
    let status = stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    ensure!(message_of(&status, "RolledOut").contains("Deployment/api"), "{status:#}");
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    let after: Deployment = stage.api().get("wandb").await?;
    assert_eq!(after.metadata.generation, bare.metadata.generation);

    stage.workspace.apply(&WandbWorkload::deployment("api").manifest()).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect(&stage, Some("corp-ldap-1"), Some("corp-ldap-1")).await
}

#[tokio::test]
async fn containers_of_one_pod_have_the_same_values() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let beside = json!({"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "i"}]}}}});
    let deployments = stage.api::<Deployment>();
    deployments.patch("wandb", &PatchParams::default(), &Patch::Strategic(beside)).await?;
    let bare = pod_spec(&stage, "wandb").await?;
    let container = |name: &str| format!("{{deployment: {{name: wandb, container: {name}}}}}");
    let main = "deployment: {name: wandb, container: wandb}";
    let both = format!("target: {{{main}, additionalContainers: [{}]}}", container("api"));
    let missing = format!("target: {{{main}, additionalContainers: [{}]}}", container("none"));
    stage.apply(&missing).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "ContainerNotFound").await?;
    assert_eq!(pod_spec(&stage, "wandb").await?, bare);

    stage.ready(&both).await?;
    let pod = pod_spec(&stage, "wandb").await?;
    let entries = |pod: &PodSpec, name: &str| {
        let containers = pod.containers.iter().filter(|container| container.name == name);
        entries_of(&PodSpec { containers: containers.cloned().collect(), ..PodSpec::default() })
    };
    assert_eq!(entries(&pod, "wandb"), entries(&pod, "api"));
    ensure!(!entries(&pod, "wandb").is_empty());

    // One of them leaves.
    stage.ready(&format!("target: {{{main}}}")).await?;
    let pod = pod_spec(&stage, "wandb").await?;
    ensure!(!entries(&pod, "wandb").is_empty() && entries(&pod, "api").is_empty(), "{pod:#?}");
    stage.ready(&both).await?;
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    assert_eq!(pod_spec(&stage, "wandb").await?, bare);
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn resources_contend_for_each_workload() -> Result<()> {
    let stage = open().await?;
    stage.ready(TARGET).await?;
    outlive(&stage, "LdapConfig", "corp").await?;
    super::other_resources::apply_ldap_config(&stage, "younger", BOTH).await?;
    let status = stage.workspace.wait_for_reason("LdapConfig", "younger", "Accepted", "Superseded").await?;
    ensure!(message_of(&status, "Accepted").contains("Deployment/wandb"), "{status:#}");
    expect(&stage, Some("corp-ldap-1"), None).await?;

    // Audiences are written together where the older one names every workload.
    let provider = provider(&stage, "login-authority").await?;
    stage.workspace.apply(&jwt_issuer(&provider, "login-authority", "older", TARGET)).await?;
    stage.workspace.wait_until_ready("JwtIssuer", "older").await?;
    outlive(&stage, "JwtIssuer", "older").await?;
    let second = jwt_issuer(&provider, "login-authority", "second", BOTH);
    stage.workspace.apply(&second).await?;
    let status = stage.workspace.wait_for_reason("JwtIssuer", "second", "RolledOut", "FieldConflict").await?;
    ensure!(message_of(&status, "RolledOut").contains("to Deployment/wandb only"), "{status:#}");
    stage.workspace.apply(&jwt_issuer(&provider, "login-authority", "older", BOTH)).await?;
    stage.workspace.wait_until_ready("JwtIssuer", "second").await?;
    ensure!(secrets_of(&stage, "api").await?.iter().all(|secret| secret.starts_with("older-jwt-")));
    Ok(())
}

/// What a person does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Grow,
    Break,
    Shrink,
    Delete,
}

const STORIES: [Story; 4] = [Story::Grow, Story::Break, Story::Shrink, Story::Delete];

/// Few at a time, for every one runs a directory and an operator.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_all_end_the_same() -> Result<()> {
    for first in (1..).step_by(AT_A_TIME) {
        let writes = stream::iter(first..first + AT_A_TIME).map(|write| async move {
            let _row = row().await?;
            Box::pin(killed_at_write(write)).await.with_context(|| format!("write {write}"))
        });
        let deaths: Vec<usize> = writes.buffer_unordered(AT_A_TIME).try_collect().await?;
        if deaths.iter().all(|deaths| *deaths == 0) {
            ensure!(first > AT_A_TIME, "it was never killed");
            break;
        }
    }
    Ok(())
}

/// The stories one after the other; in each the operator is killed after this write, if there are so many.
/// Tells how often it was.
async fn killed_at_write(write: usize) -> Result<usize> {
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let mut stage = quiet().await?;
    start(&mut stage, &proxy)?;
    stage.ready(TARGET).await?;
    let mut deaths = 0;
    for story in STORIES {
        let before = stage.revisions("corp-ldap").await?.last().copied().unwrap_or_default();
        let bad = format!("corp-ldap-{}", before + 1);
        stage.player.change_script(move |pod| {
            let is_bad = story == Story::Break && is_of_api(pod) && refers_to(pod, &bad);
            if is_bad { crash() } else { Life::Ready }
        });
        let switch = stage.operator.as_ref().context("no operator")?.kill_switch()?;
        proxy.lose_answer_to(|_| true, write, move |_| switch.kill());
        begin(&stage, story).await?;
        eventually("a death, or the end", || async {
            Ok((!proxy.is_armed() || is_over(&stage, story, before).await?).then_some(()))
        })
        .await?;
        if proxy.is_armed() {
            // The last events come after the status.
            silence(Duration::from_millis(700), || async { Ok(proxy.mutations().len()) }).await?;
        }
        if !proxy.disarm() {
            deaths += 1;
            start(&mut stage, &proxy)?;
        }
        let ended =
            eventually("the end", || async { Ok(is_over(&stage, story, before).await?.then_some(())) }).await;
        if ended.is_err() {
            let seen = super::other_resources::seen(&stage.workspace, "LdapConfig", "corp").await?;
            ended.with_context(|| format!("{story:?}: {seen}"))?;
        }
    }
    stage.expect_no_broken_reference()?;
    Ok(deaths)
}

fn start(stage: &mut Stage, proxy: &ApiProxy) -> Result<()> {
    stage.operator = Some(stage.workspace.start_operator_through(proxy, program(), &ARGUMENTS)?);
    Ok(())
}

/// Does what the person does.
async fn begin(stage: &Stage, story: Story) -> Result<()> {
    match story {
        Story::Grow => stage.apply(&spec(BOTH, 1)).await,
        Story::Break => stage.apply(&spec(BOTH, 2)).await,
        Story::Shrink => stage.apply(&spec(TARGET, 3)).await,
        Story::Delete => {
            stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
            Ok(())
        }
    }
}

/// Whether the story ended as it is meant to; `before` is the newest revision from before it.
async fn is_over(stage: &Stage, story: Story, before: u64) -> Result<bool> {
    let resource = stage.workspace.resources("LdapConfig")?.get_opt("corp").await?;
    let status =
        resource.as_ref().and_then(|resource| resource.data.get("status")).cloned().unwrap_or_default();
    let is_current = resource.as_ref().is_some_and(|resource| {
        status.get("observedGeneration").and_then(Value::as_i64) == resource.metadata.generation
    });
    let says = |reason: &str| {
        let said = condition(&status, "RolledOut").and_then(|condition| condition.get("reason"));
        is_current && said.and_then(Value::as_str) == Some(reason)
    };
    let (old, new) = (format!("corp-ldap-{before}"), format!("corp-ldap-{}", before + 1));
    let (wandb, api, said) = match story {
        Story::Grow => (Some(new.as_str()), Some(new.as_str()), says("RolledOut")),
        Story::Break => (Some(old.as_str()), Some(old.as_str()), says("RolledBack")),
        Story::Shrink => (Some(new.as_str()), None, says("RolledOut")),
        Story::Delete => (None, None, resource.is_none() && stage.revisions("corp-ldap").await?.is_empty()),
    };
    Ok(said && expect(stage, wandb, api).await.is_ok())
}
