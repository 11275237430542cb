//! Pods that the policy has nothing to do with: byte for byte what they would be without it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{LABEL, Stage, labelled};

/// What the API server answers to the attempt to make a pod, word for word, but for what is new for each attempt.
async fn answer(stage: &Stage, pod: &Value) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", stage.workspace.namespace());
    let request = hyper::Request::post(path)
        .header("content-type", "application/json")
        .body(pod.to_string().into_bytes())?;
    let mut text = stage.workspace.client().request_text(request).await?;
    let made: Value = serde_json::from_str(&text)?;
    let token =
        made["spec"]["volumes"][0]["name"].as_str().filter(|name| name.starts_with("kube-api-access"));
    let fresh = ["/metadata/uid", "/metadata/creationTimestamp", "/metadata/managedFields/0/time"];
    let fresh = fresh.map(|place| made.pointer(place)?.as_str());
    for fresh in fresh.into_iter().flatten().chain(token) {
        text = text.replace(fresh, "…");
    }
    Ok(text)
}

/// A pod with much in it, and without the label.
fn unlabelled() -> Value {
    let mut pod = labelled("");
    pod["metadata"] = json!({
        "name": "train", "labels": {"auth.wandb.com/other": "ci-wsa"},
        "annotations": {LABEL: "ci-wsa", "auth.wandb.com/credentials-skip-containers": "train"},
    });
    pod["spec"]["initContainers"] = json!([{"name": "prepare", "image": "train", "restartPolicy": "Always"}]);
    pod["spec"]["containers"][0]["securityContext"] = json!({"readOnlyRootFilesystem": true});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "WANDB_API_KEY", "value": "own"}]);
    pod
}

#[tokio::test]
async fn pods_without_the_label_are_byte_for_byte_what_they_would_be() -> Result<()> {
    let stage = Stage::without_policy().await?;
    let before = answer(&stage, &unlabelled()).await?;
    let labelled_before = answer(&stage, &labelled("ci-wsa")).await?;
    stage.apply_policy(stage.policy(stage.workspace.namespace())?).await?;
    assert_eq!(answer(&stage, &unlabelled()).await?, before);
    ensure!(answer(&stage, &labelled("ci-wsa")).await? != labelled_before, "no difference would be seen");
    Ok(())
}

#[tokio::test]
async fn pods_of_other_namespaces_are_too() -> Result<()> {
    // Both policies are in force, each for the namespace of its own.
    let (stage, other) = (Stage::new().await?, Stage::without_policy().await?);
    let before = answer(&other, &labelled("ci-wsa")).await?;
    ensure!(!before.contains("envFrom"), "{before}");
    ensure!(answer(&stage, &labelled("ci-wsa")).await?.contains("envFrom"));
    Ok(())
}

/// Such a pod runs already, and must not refer to a Secret.
#[tokio::test]
async fn so_are_those_that_stand_for_static_pods() -> Result<()> {
    let stage = Stage::without_policy().await?;
    let mut pod = labelled("ci-wsa");
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "4242"});
    pod["spec"]["nodeName"] = json!("node");
    let before = answer(&stage, &pod).await?;
    stage.apply_policy(stage.policy(stage.workspace.namespace())?).await?;
    assert_eq!(answer(&stage, &pod).await?, before);
    Ok(())
}

/// Whatever is wrong with the policy: pods without the label are made, and none with it runs without credentials.
#[tokio::test]
async fn a_policy_that_fails_refuses_pods_with_the_label_only() -> Result<()> {
    let stage = Stage::without_policy().await?;
    let before = answer(&stage, &unlabelled()).await?;
    let broken = stage.policy(stage.workspace.namespace())?.replace("/envFrom/0", "/nowhere/0");
    stage.apply_policy(broken).await?;
    assert_eq!(answer(&stage, &unlabelled()).await?, before);
    let refusal = stage.create(&labelled("ci-wsa")).await?.err().context("it runs without credentials")?;
    let policy = format!("{}.wandb", stage.workspace.namespace());
    ensure!(refusal.contains(&policy) && refusal.contains("nowhere"), "{refusal}");
    Ok(())
}
