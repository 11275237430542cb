//! The workloads that answer logins decide, and a rollout of theirs that somebody undoes is answered.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{WandbOperator, definitions::StoredVersion, pods::Life};

use super::{plane, spec};
use crate::delivery::{
    eventually,
    other_resources::{message_of, rolled_back, runs_with},
    refers_to,
    weights_and_biases::Scene,
};

/// The next look at the target without an event is an hour away: what is answered sooner was seen by a watch.
const SELDOM: &str = "checkInterval: 1h";

/// Does what `kubectl rollout undo` does: the template of an earlier `ReplicaSet`, by JSON patch.
async fn undo(scene: &Scene, deployment: &str, is_meant: impl Fn(&Value) -> bool) -> Result<()> {
    let sets = scene.api::<ReplicaSet>().list(&ListParams::default()).await?;
    let templates = sets.iter().filter(|set| set.name_any().starts_with(deployment)).filter_map(|set| {
        let mut template = serde_json::to_value(set.spec.as_ref()?.template.as_ref()?).ok()?;
        template.pointer_mut("/metadata/labels")?.as_object_mut()?.remove("pod-template-hash");
        is_meant(&template).then_some(template)
    });
    let template = templates.last().context("no such template")?;
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    let patch: Patch<Deployment> = Patch::Json(serde_json::from_value(patch)?);
    let how = PatchParams { field_manager: Some("kubectl-rollout".to_owned()), ..PatchParams::default() };
    scene.api::<Deployment>().patch(deployment, &how, &patch).await?;
    Ok(())
}

fn mentions(template: &Value, secret: &str) -> bool {
    template.to_string().contains(&format!("\"{secret}\""))
}

async fn all_run_with(scene: &Scene, secret: &str) -> Result<()> {
    eventually("pods with the revision", || async {
        let pods = scene.pods().await?;
        Ok((pods.len() == 2 && pods.iter().all(|pod| refers_to(pod, secret))).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_rollout_that_a_person_undoes_is_answered_by_an_event() -> Result<()> {
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, WandbOperator::v1, spec()).await?;
    scene.apply_ldap(SELDOM).await?;
    runs_with(&scene.workspace, 1).await?;
    scene.apply_ldap(&format!("{SELDOM}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    runs_with(&scene.workspace, 2).await?;

    // To an earlier revision: a wish, and the resource says so from then on.
    undo(&scene, "wandb-app-bc", |template| mentions(template, "corp-ldap-1")).await?;
    let (status, message) = rolled_back(&scene.workspace).await?;
    for part in ["kubectl-rollout", "Deployment/wandb-app-bc", "revision 1", "revision 2 is not tried again"]
    {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(status["revision"], 1);
    all_run_with(&scene, "corp-ldap-1").await?;
    let variable = ["values", "global", "extraEnv", "LDAP_ADDRESS", "valueFrom", "secretKeyRef", "name"];
    let spec = scene.spec().await?;
    assert_eq!(variable.iter().fold(&spec, |value, key| &value[key]), "corp-ldap-1");

    // Forward again.
    undo(&scene, "wandb-app-bc", |template| mentions(template, "corp-ldap-2")).await?;
    runs_with(&scene.workspace, 2).await?;
    all_run_with(&scene, "corp-ldap-2").await?;

    // To before the first delivery: nobody could log in as the resource says.
    let generation =
        || async { Ok::<_, anyhow::Error>(scene.resources.get("wandb").await?.metadata.generation) };
    let before = generation().await?;
    undo(&scene, "wandb-app-bc", |template| !template.to_string().contains("corp-ldap-")).await?;
    eventually("the repair", || async {
        let entries = scene.entries("wandb-app-bc").await?;
        let is_there = entries.get("LDAP_ADDRESS").is_some_and(|(secret, _)| secret == "corp-ldap-2");
        Ok((is_there && generation().await? > before).then_some(()))
    })
    .await?;
    runs_with(&scene.workspace, 2).await?;
    all_run_with(&scene, "corp-ldap-2").await?;
    scene.expect_no_broken_reference()
}

/// One variable that a person sets on the Deployment, which nobody else corrects.
#[tokio::test]
async fn an_edit_of_one_variable_is_taken_back() -> Result<()> {
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, WandbOperator::v1, spec()).await?;
    scene.apply_ldap("").await?;
    runs_with(&scene.workspace, 1).await?;
    let entry = json!([{"name": "LDAP_ADDRESS", "value": "ldap://theirs", "valueFrom": null}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "api", "env": entry}]}}}});
    let how = PatchParams { field_manager: Some("kubectl-set".to_owned()), ..PatchParams::default() };
    scene.api::<Deployment>().patch("wandb-api", &how, &Patch::Strategic(patch)).await?;
    let reported = scene
        .workspace
        .wait_for("LdapConfig", "corp", |status| {
            message_of(status, "RolledOut").contains("Deployment/wandb-api")
        })
        .await?;
    let message = message_of(&reported, "RolledOut");
    ensure!(message.contains("kubectl-set") && !message.contains("theirs"), "{message}");
    all_run_with(&scene, "corp-ldap-1").await?;
    runs_with(&scene.workspace, 1).await?;
    scene.expect_no_broken_reference()
}

#[tokio::test]
async fn only_the_applications_that_answer_logins_decide() -> Result<()> {
    let console = json!({"console": {"install": true}});
    let vendor = |workspace: &_| WandbOperator::v1_with(workspace, console);
    let scene = Scene::open(plane().await?, StoredVersion::OnlyV1, vendor, spec()).await?;
    let is_of = |pod: &k8s_openapi::api::core::v1::Pod, part: &str| {
        pod.name_any().starts_with(&format!("wandb-{part}-"))
    };
    // The console has the variables, too, and does not come up: logins do not need it.
    scene.player.change_script(move |pod| {
        if is_of(pod, "console") && refers_to(pod, "corp-ldap-1") {
            Life::CrashLooping { exit_code: 1, message: "panic: of the console".to_owned() }
        } else {
            Life::Ready
        }
    });
    scene.apply_ldap("").await?;
    runs_with(&scene.workspace, 1).await?;
    // The application itself does not come up, while all others do.
    scene.player.change_script(move |pod| {
        if is_of(pod, "app-bc") && refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic: of the server".to_owned() }
        } else {
            Life::Ready
        }
    });
    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: cn}").await?;
    let (status, message) = rolled_back(&scene.workspace).await?;
    ensure!(message.contains("exit code 3") && message.contains("wandb-app-bc-"), "{message}");
    assert_eq!(status["revision"], 1);
    scene.expect_no_broken_reference()
}
