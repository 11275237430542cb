//! The pods get into namespaces of the pod security level `restricted`, by the API server's own admission.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{Helm, Workspace};

use super::{documents, every_case};
use crate::world::workspace;

async fn restricted() -> Result<Workspace> {
    let workspace = workspace().await?;
    let name = workspace.namespace();
    let level = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    workspace.apply(&level.to_string()).await?;
    Ok(workspace)
}

/// The pod that the Deployment among these objects would make.
fn pod(rendered: &str) -> Result<Value> {
    let deployment = documents(rendered)?.into_iter().find(|object| object["kind"] == "Deployment");
    let template = deployment.context("no Deployment")?["spec"]["template"].take();
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"],
    }))
}

#[tokio::test]
async fn pods_of_all_values_are_let_in() -> Result<()> {
    let helm = Helm::new()?;
    let workspace = restricted().await?;
    for case in every_case()? {
        let pod = pod(&case.rendered(&helm)?)?;
        // Whatever the pod names must be there; the classes of the system are.
        for (field, mut class) in [
            (
                "runtimeClassName",
                json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "runc"}),
            ),
            (
                "priorityClassName",
                json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1}),
            ),
        ] {
            if let Some(name) = pod["spec"][field].as_str().filter(|name| !name.starts_with("system-")) {
                class["metadata"] = json!({"name": name});
                workspace.apply(&class.to_string()).await?;
            }
        }
        let account = pod["spec"]["serviceAccountName"].as_str().context("no service account")?;
        let account = format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: '{account}'}}");
        workspace.apply(&account).await?;
        let answer = workspace.try_create(&pod.to_string()).await?;
        ensure!(answer.is_ok(), "{}: {answer:?}", case.name);
    }
    Ok(())
}

#[tokio::test]
async fn pods_with_one_protection_less_are_not() -> Result<()> {
    let workspace = restricted().await?;
    let pod = pod(&Helm::new()?.template(&json!({}))?)?;
    workspace.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: wandb-auth-operator}").await?;
    for (path, field) in [
        ("/spec/securityContext", "runAsNonRoot"),
        ("/spec/securityContext", "seccompProfile"),
        ("/spec/containers/0/securityContext", "allowPrivilegeEscalation"),
        ("/spec/containers/0/securityContext", "capabilities"),
    ] {
        let mut weaker = pod.clone();
        let protections = weaker.pointer_mut(path).and_then(Value::as_object_mut).context(path)?;
        ensure!(protections.remove(field).is_some(), "there is no {field} in {path}");
        let answer = workspace.try_create(&weaker.to_string()).await?;
        let refusal = answer.err().with_context(|| format!("a pod without {field} is let in"))?;
        ensure!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
    }
    Ok(())
}

/// The level `restricted` says nothing about this one.
#[test]
fn the_root_file_system_cannot_be_written() -> Result<()> {
    let pod = pod(&Helm::new()?.template(&json!({}))?)?;
    let container = &pod["spec"]["containers"][0];
    ensure!(container["securityContext"]["readOnlyRootFilesystem"] == true, "{container}");
    Ok(())
}
