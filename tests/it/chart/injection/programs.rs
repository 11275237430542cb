//! What a pod gets is what the real client works with. On a real node it does so in `tests/e2e`.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{WandbAction, WandbClient, Workspace};

use super::{LABEL, Stage};
use crate::{
    service_account::federated::{CLIENT, FROM_ISSUER, Federation},
    world::eventually,
};

/// A container as the kubelet would start it: its directories are elsewhere, and so are the paths in its variables.
struct Program {
    variables: Vec<(String, String)>,
    directories: BTreeMap<String, TempDir>,
}

impl Program {
    async fn of(workspace: &Workspace, pod: &Value) -> Result<Self> {
        let container = &pod["spec"]["containers"][0];
        let mut directories = BTreeMap::new();
        for mount in list(&container["volumeMounts"]) {
            let directory = tempfile::tempdir()?;
            let volume = list(&pod["spec"]["volumes"])
                .find(|volume| volume["name"] == mount["name"])
                .with_context(|| format!("no volume for {mount}"))?;
            if let Some(secret) = volume["secret"]["secretName"].as_str() {
                for (name, value) in contents(workspace, secret).await? {
                    fs::write(directory.path().join(name), value)?;
                }
            }
            directories.insert(mount["mountPath"].as_str().context("no path")?.to_owned(), directory);
        }
        let mut variables = BTreeMap::new();
        for source in list(&container["envFrom"]) {
            let Some(secret) = source["secretRef"]["name"].as_str() else { bail!("{source} is of nobody") };
            variables.extend(contents(workspace, secret).await?);
        }
        for variable in list(&container["env"]) {
            let text = |field: &str| variable[field].as_str().unwrap_or_default().to_owned();
            variables.insert(text("name"), text("value"));
        }
        for value in variables.values_mut() {
            for (path, directory) in &directories {
                if let Some(file) = value.strip_prefix(path.as_str()) {
                    *value = format!("{}{file}", directory.path().display());
                    break;
                }
            }
        }
        Ok(Self { variables: variables.into_iter().collect(), directories })
    }

    fn run(&self, action: WandbAction) -> Result<Value> {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        WandbClient::install()?.run(&variables, action)?.map_err(anyhow::Error::msg)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

async fn contents(workspace: &Workspace, secret: &str) -> Result<BTreeMap<String, String>> {
    let api: Api<Secret> = workspace.secrets();
    let data = api.get(secret).await?.data.unwrap_or_default();
    data.into_iter().map(|(name, value)| Ok((name, String::from_utf8(value.0)?))).collect()
}

/// The pod that Kubernetes makes of a Job whose template has nothing but the label and this container.
async fn pod_of_job(stage: &Stage, name: &str, container: &Value) -> Result<Value> {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {
            "metadata": {"labels": {LABEL: "ci-wsa"}},
            "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false, "containers": [container]},
        }},
    });
    stage.workspace.apply(&job.to_string()).await?;
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let pod = eventually("the Job's pod", || async { Ok(stage.pods().list(&of_job).await?.items.pop()) });
    Ok(serde_json::to_value(pod.await?)?)
}

#[tokio::test]
async fn a_job_with_nothing_but_the_label_logs_in() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    let Federation { certificate: _certificate, provider: _provider, server, workspace, operator: _operator } =
        federation;
    let stage = Stage::of(workspace).await?;

    let read_only = json!({"readOnlyRootFilesystem": true});
    let container = json!({"name": "train", "image": "train", "securityContext": read_only});
    let pod = pod_of_job(&stage, "train", &container).await?;
    let program = Program::of(&stage.workspace, &pod).await?;
    assert_eq!(program.run(WandbAction::Login)?, json!({"loggedIn": true}));
    assert_eq!(program.run(WandbAction::Viewer)?["username"], CLIENT);
    // With a file system that can only be read, the client's own file is in the directory for it.
    let scratch = program.directories.get("/tmp").context("there is none")?;
    ensure!(fs::read_dir(scratch.path())?.count() == 1, "the client keeps its access tokens elsewhere");

    // A key of the container's own counts, although the client refuses to work with a key and a token.
    let key = server.service_account("robot", "research")?;
    let container =
        json!({"name": "train", "image": "train", "env": [{"name": "WANDB_API_KEY", "value": key}]});
    let pod = pod_of_job(&stage, "robot", &container).await?;
    let program = Program::of(&stage.workspace, &pod).await?;
    assert_eq!(program.run(WandbAction::Login)?, json!({"loggedIn": true}));
    assert_eq!(program.run(WandbAction::Viewer)?["username"], "robot");
    Ok(())
}
