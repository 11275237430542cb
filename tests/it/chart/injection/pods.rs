//! Pods with the label, and what becomes of them. The pods stand in `tests/cases/injection/`.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::{LABEL, Stage, labelled};
use crate::{documentation::documented_mount, world::eventually};

/// What is looked at of a container.
const FIELDS: [&str; 4] = ["name", "env", "envFrom", "volumeMounts"];

fn cases() -> Result<Vec<(String, Value)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/injection");
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
        cases.push((name, serde_yaml::from_str(&fs::read_to_string(path)?)?));
    }
    cases.sort_by(|(left, _): &(String, Value), (right, _)| left.cmp(right));
    Ok(cases)
}

/// The parts of a pod that may differ from what it was.
fn outline(pod: &Value) -> Value {
    let containers = |list: &str| -> Vec<Value> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .map(|container| {
                let some = FIELDS
                    .iter()
                    .filter_map(|field| Some(((*field).to_owned(), container.get(*field)?.clone())));
                Value::Object(some.collect::<Map<_, _>>())
            })
            .collect()
    };
    json!({
        "initContainers": containers("initContainers"),
        "containers": containers("containers"),
        "volumes": pod["spec"]["volumes"],
    })
}

#[tokio::test]
async fn pods_with_the_label_have_the_credentials() -> Result<()> {
    let stage = Stage::new().await?;
    for (name, pod) in cases()? {
        let made = stage.created(&pod).await?;
        insta::assert_snapshot!(name.clone(), serde_yaml::to_string(&outline(&made))?);

        // Nothing is left to do for a pod that comes with all of it, as the copy of one does.
        let mut copy = pod.clone();
        copy["spec"] = made["spec"].clone();
        let again = stage.created(&copy).await?;
        ensure!(again["spec"] == made["spec"], "{name}: {again:#} after {made:#}");
    }
    Ok(())
}

#[tokio::test]
async fn two_releases_do_no_more_than_one() -> Result<()> {
    let stage = Stage::new().await?;
    let mut once = Vec::new();
    for (_, pod) in cases()? {
        once.push(stage.created(&pod).await?["spec"].take());
    }
    // The second release has a mark at first, by which it is seen that the API server goes by it, too.
    let second = stage.policy(&format!("{}-second", stage.workspace.namespace()))?;
    for (policy, is_marked) in [(second.replace(&documented_mount()?, "/mark"), true), (second, false)] {
        stage.workspace.apply(&policy).await?;
        eventually("the second policy", || async {
            let made = stage.created(&labelled("ci-wsa")).await?.to_string();
            Ok((made.contains("/mark") == is_marked).then_some(()))
        })
        .await?;
    }
    for ((name, pod), once) in cases()?.into_iter().zip(once) {
        let twice = stage.created(&pod).await?;
        ensure!(twice["spec"] == once, "{name}: {twice:#}");
    }
    Ok(())
}

/// Kubernetes has its own volume and mount there by then.
#[tokio::test]
async fn a_token_of_kubernetes_stays_where_it_is() -> Result<()> {
    let stage = Stage::new().await?;
    let made = stage.create_as_it_is(&labelled("ci-wsa")).await?.map_err(anyhow::Error::msg)?;
    let mounts = made["spec"]["containers"][0]["volumeMounts"].as_array().context("no mounts")?;
    let paths: Vec<_> = mounts.iter().map(|mount| &mount["mountPath"]).collect();
    assert_eq!(paths, ["/var/run/secrets/kubernetes.io/serviceaccount", &documented_mount()?]);
    assert_eq!(made["spec"]["volumes"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn a_restricted_pod_stays_restricted() -> Result<()> {
    let stage = Stage::new().await?;
    let level = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": stage.workspace.namespace(),
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    });
    stage.workspace.apply(&level.to_string()).await?;
    let mut pod = labelled("ci-wsa");
    // The API server learns of a namespace's labels by its own watch, a moment later.
    let refusal = eventually("the level enforced", || async { Ok(stage.create(&pod).await?.err()) }).await?;
    ensure!(refusal.contains("violates PodSecurity"), "{refusal}");
    pod["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
    });
    let made = stage.created(&pod).await?;
    assert_eq!(made["spec"]["containers"][0]["volumeMounts"].as_array().map(Vec::len), Some(2), "{made:#}");
    Ok(())
}

#[tokio::test]
async fn names_that_no_secret_can_have_are_refused() -> Result<()> {
    let stage = Stage::new().await?;
    for (secret, words) in [("", "name: Required value"), ("CI_wsa", "name: Invalid value: \"CI_wsa\"")] {
        let refusal = stage.create(&labelled(secret)).await?.err().context("it is taken")?;
        ensure!(refusal.contains(words) && refusal.contains("secretRef"), "{refusal}");
    }
    Ok(())
}

/// An expression may cost only so much, and costs more for more containers.
#[tokio::test]
async fn a_large_pod_has_them_too() -> Result<()> {
    let stage = Stage::new().await?;
    let container = |number: usize| {
        let variable = |number: usize| json!({"name": format!("VARIABLE_{number}"), "value": "some value"});
        let mount = |number: usize| json!({"name": "data", "mountPath": format!("/data/{number}")});
        json!({
            "name": format!("container-{number}"), "image": "train",
            "securityContext": {"readOnlyRootFilesystem": true},
            "env": (0..100).map(variable).collect::<Vec<_>>(),
            "volumeMounts": (0..20).map(mount).collect::<Vec<_>>(),
        })
    };
    let containers: Vec<_> = (0..40).map(container).collect();
    let pod = json!({
        "metadata": {"name": "train", "labels": {LABEL: "ci-wsa"}},
        "spec": {"containers": containers, "volumes": [{"name": "data", "emptyDir": {}}]},
    });
    let made = stage.created(&pod).await?;
    for container in made["spec"]["containers"].as_array().context("no containers")? {
        ensure!(container["envFrom"][0]["secretRef"]["name"] == "ci-wsa", "{container}");
        assert_eq!(container["volumeMounts"].as_array().map(Vec::len), Some(22));
    }
    Ok(())
}
