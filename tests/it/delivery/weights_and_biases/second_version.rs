//! `apps.wandb.com/v2`: selectors of Secrets, a list of variables, and Deployments that nobody else may change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, WandbOperator, Workspace,
    definitions::{OidcFields, StoredVersion},
};

use super::{Scene, TARGET, entries_of, eventually};
use crate::{
    delivery::{
        Stage, is_ready,
        other_resources::{is_gone, message_of, rolled_back, rotate_password, runs_with},
        refers_to, silence,
    },
    world::jwt_issuer,
};

pub fn spec() -> Value {
    json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {
            "hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {},
            "security": {"hideUpgradeBanner": false},
            "legacyOverrides": {"global": {"env": [{"name": "FOREIGN", "value": "kept"}]}},
        },
    })
}

async fn open() -> Result<Scene> {
    Scene::open(ControlPlane::shared().await?, StoredVersion::V2, WandbOperator::v2, spec()).await
}

/// A namespace like that of other workloads, with a `WeightsAndBiases` of which the W&B operator makes one
/// Deployment of so many pods; without an operator of ours yet.
pub async fn stage(replicas: usize) -> Result<(Stage, WandbOperator)> {
    let vendor = |workspace: &Workspace| WandbOperator::v2_of(workspace, OidcFields::Selectors, replicas);
    super::stage(ControlPlane::shared().await?, StoredVersion::V2, &spec(), vendor).await
}

/// How long nothing is written where nothing changes.
const SILENCE: Duration = Duration::from_secs(2);

/// The variables of the list that all share: the literal, or the name of the Secret.
async fn variables(scene: &Scene) -> Result<BTreeMap<String, String>> {
    let spec = scene.spec().await?;
    let list = spec.pointer("/wandb/legacyOverrides/global/env").and_then(Value::as_array);
    let variables = list.into_iter().flatten().map(|entry| {
        let secret = entry.pointer("/valueFrom/secretKeyRef/name");
        let value = entry.get("value").or(secret).and_then(Value::as_str).unwrap_or_default();
        (entry["name"].as_str().unwrap_or_default().to_owned(), value.to_owned())
    });
    Ok(variables.collect())
}

/// Shows that the list and the pods have exactly these: a revision of the directory, one of the issuer.
async fn expect_both(scene: &Scene, directory: &str, issuer: Option<&str>) -> Result<()> {
    let mut expected: BTreeMap<String, String> =
        LDAP_NAMES.iter().map(|name| ((*name).to_owned(), directory.to_owned())).collect();
    expected.insert("FOREIGN".to_owned(), "kept".to_owned());
    expected.extend(issuer.map(|issuer| ("FEDERATED_AUTH_AUDIENCES".to_owned(), issuer.to_owned())));
    assert_eq!(variables(scene).await?, expected);
    let secrets: Vec<_> = [Some(directory), issuer].into_iter().flatten().collect();
    eventually("one pod with the entries", || async {
        let pods = scene.pods().await?;
        let is_there = |pod: &Pod| is_ready(pod) && secrets.iter().all(|secret| refers_to(pod, secret));
        Ok((pods.len() == 1 && pods.iter().all(is_there)).then_some(()))
    })
    .await
}

const LDAP_NAMES: [&str; 7] = [
    "LDAP_ADDRESS",
    "LDAP_ATTRIBUTES",
    "LDAP_BASE_DN",
    "LDAP_BIND_DN",
    "LDAP_BIND_PW",
    "LDAP_LOGIN",
    "LDAP_TLS_ENABLE",
];

/// How often the operator has written the resource; what somebody else's write refused does not count.
async fn written(scene: &Scene) -> Result<usize> {
    let events = ControlPlane::shared().await?.audit_in(scene.workspace.namespace())?;
    let by_operator =
        events.iter().filter(|event| event.user == "operator" && event.resource == "weightsandbiases");
    let reads = ["get", "list", "watch"];
    Ok(by_operator.filter(|event| !reads.contains(&event.verb.as_str()) && event.code < 300).count())
}

#[tokio::test]
async fn a_list_of_several_owners_keeps_the_entries_of_each() -> Result<()> {
    let scene = open().await?;
    scene.apply_ldap("").await?;
    scene.workspace.wait_until_ready("LdapConfig", "corp").await?;
    let issuer = jwt_issuer(scene.provider.issuer(), TARGET);
    scene.workspace.apply(&issuer).await?;
    scene.workspace.wait_until_ready("JwtIssuer", "ci").await?;
    expect_both(&scene, "corp-ldap-1", Some("ci-jwt-1")).await?;

    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: cn}").await?;
    runs_with(&scene.workspace, 2).await?;
    expect_both(&scene, "corp-ldap-2", Some("ci-jwt-1")).await?;
    scene.workspace.apply(&issuer.replace("[my-org, research]", "[my-org]")).await?;
    scene.workspace.wait_until_ready("JwtIssuer", "ci").await?;
    expect_both(&scene, "corp-ldap-2", Some("ci-jwt-2")).await?;
    scene.workspace.resources("JwtIssuer")?.delete("ci", &DeleteParams::default()).await?;
    is_gone(&scene.workspace, "JwtIssuer", "ci").await?;
    expect_both(&scene, "corp-ldap-2", None).await?;

    // A person sets one of the values by hand, and takes it out again.
    let list = scene.spec().await?["wandb"]["legacyOverrides"]["global"]["env"].take();
    let by_hand = list.as_array().into_iter().flatten().map(|entry| match entry["name"].as_str() {
        Some("LDAP_ADDRESS") => json!({"name": "LDAP_ADDRESS", "value": "ldap://by-hand"}),
        _ => entry.clone(),
    });
    let of_list = |list: &Value| json!({"spec": {"wandb": {"legacyOverrides": {"global": {"env": list}}}}});
    let before = written(&scene).await?;
    scene.merge(&of_list(&by_hand.collect())).await?;
    let status = scene.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    for part in ["LDAP_ADDRESS", "by kubectl-edit"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    ensure!(!message.contains("by-hand"), "{message}");
    silence(SILENCE, || written(&scene)).await?;
    assert_eq!(written(&scene).await?, before);
    assert_eq!(variables(&scene).await?["LDAP_ADDRESS"], "ldap://by-hand");
    let others = list.as_array().into_iter().flatten().filter(|entry| entry["name"] != "LDAP_ADDRESS");
    scene.merge(&of_list(&others.cloned().collect())).await?;
    scene.workspace.wait_until_ready("LdapConfig", "corp").await?;
    expect_both(&scene, "corp-ldap-2", None).await?;
    silence(SILENCE, || written(&scene)).await?;
    assert_eq!(written(&scene).await?, before + 1);
    scene.expect_no_broken_reference()
}

/// What the part that answers logins gets for itself wins: nothing is written until that is gone.
async fn expect_places_that_win(scene: &Scene) -> Result<()> {
    let before = scene.spec().await?;
    let of_api = |env: Value| json!({"spec": {"wandb": {"legacyOverrides": {"api": env}}}});
    let theirs = json!([{"name": "GORILLA_OIDC_ISSUER", "value": "https://theirs.example.com"}]);
    scene.merge(&of_api(json!({"env": theirs}))).await?;
    let status =
        scene.workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "FieldConflict").await?;
    let message = message_of(&status, "RolledOut");
    let place = "spec.wandb.legacyOverrides.api.env[GORILLA_OIDC_ISSUER] (by kubectl-edit)";
    ensure!(message.contains(place), "{message}");
    ensure!(!message.contains("theirs"), "{message}");
    let rendered = async || {
        let deployment: Deployment = scene.api().get("wandb-api").await?;
        anyhow::Ok(serde_json::to_string(&deployment.spec)?.contains("https://theirs.example.com"))
    };
    eventually("their value in the Deployment", || async { Ok(rendered().await?.then_some(())) }).await?;
    scene.merge(&of_api(Value::Null)).await?;
    eventually("a Deployment without it", || async { Ok((!rendered().await?).then_some(())) }).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;
    assert_eq!(scene.spec().await?, before);
    Ok(())
}

#[tokio::test]
async fn values_come_and_go_by_the_second_version() -> Result<()> {
    let scene = open().await?;
    scene.deliver_both().await?;
    let mut spec = scene.spec().await?;
    scene.take_authorities(&mut spec, "/global")?;
    insta::assert_yaml_snapshot!("spec", spec);
    insta::assert_yaml_snapshot!("owned", scene.owned().await?);
    let rendered = scene.entries("wandb-api").await?;
    insta::assert_yaml_snapshot!("rendered", rendered);
    scene.pods_run_with(1, &["corp-ldap-1", "main-oidc-1"]).await?;

    // An input changes, and no spec.
    rotate_password(&scene.workspace, &scene.directory, "the-next-password").await?;
    let status = runs_with(&scene.workspace, 2).await?;
    assert_eq!(status["previousRevision"], 1);
    scene.pods_run_with(1, &["corp-ldap-2", "main-oidc-1"]).await?;
    let working = scene.spec().await?;

    scene.crash_with("corp-ldap-3");
    scene.apply_ldap("attributes: {email: mail, group: gidNumber, name: sn}").await?;
    let (status, message) = rolled_back(&scene.workspace).await?;
    for part in ["went back to revision 2", "revision 3", "exit code 3", "kubectl logs --previous"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(2)));
    assert_eq!(scene.spec().await?, working);
    scene.pods_run_with(1, &["corp-ldap-2", "main-oidc-1"]).await?;
    scene.workspace.wait_until_ready("OidcProvider", "main").await?;

    let fewest = scene.player.fewest_ready("wandb-api", 1).await?;
    ensure!(fewest == Some(1), "{fewest:?}: {}", scene.player.history());

    // Whoever changes the Deployment loses, and that is nothing to this operator. Kubernetes may take one pod too many
    // where a template is changed back while pods are replaced.
    let rendered = scene.entries("wandb-api").await?;
    let entries =
        json!([{"name": "LDAP_ADDRESS", "$patch": "delete"}, {"name": "FOREIGN", "value": "edited"}]);
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "api", "env": entries}]}}}});
    let deployments = scene.api::<Deployment>();
    let edited = deployments.patch("wandb-api", &PatchParams::default(), &Patch::Strategic(edit)).await?;
    let pod = edited.spec.and_then(|spec| spec.template.spec).context("pod")?;
    ensure!(!entries_of(&pod).contains_key("LDAP_ADDRESS"));
    eventually("the Deployment as it was", || async {
        Ok((scene.entries("wandb-api").await? == rendered).then_some(()))
    })
    .await?;

    expect_places_that_win(&scene).await?;
    scene.delete_both().await?;
    // The list belongs to its last writer as a whole, and somebody else's entry is left in it.
    assert_eq!(scene.owned().await?, BTreeSet::from(["spec.wandb.legacyOverrides.global.env".to_owned()]));
    scene.expect_no_broken_reference()
}
