//! What a platform team gives to many teams: the loop with Helm as documented, and Argo CD's `ApplicationSet`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{
    ControlPlane, GitOps, Helm, OpenIdClient, OpenIdProvider, User, WandbServer, Workspace, definitions,
    gitops::{ArgoApply, Comparison},
    tools,
};

use super::{documents, in_namespace, kubeconfig, shipped, shipped_text};
use crate::{
    documentation::Page,
    service_account::federated::{AUDIENCE, CLIENT_SECRET, claims},
    world::{certificate, eventually, program, put_authority, workspace},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The teams of the repository, by their namespaces.
const TEAMS: [&str; 2] = ["research", "vision"];

#[tokio::test]
async fn the_shipped_application_set_has_fields_that_exist() -> Result<()> {
    let known = [definitions::application_set()?];
    let workspace = Workspace::create(ControlPlane::shared().await?, &known).await?;
    let text = shipped_text("argo-cd/teams.yaml")?;
    let text = text.replace("namespace: argocd", &format!("namespace: {}", workspace.namespace()));
    assert_eq!(workspace.complaints(&text).await?, [""; 0]);
    let misspelt = workspace.complaints(&text.replace("valueFiles", "valuesFiles")).await?;
    ensure!(misspelt.len() == 1 && misspelt[0].contains("valuesFiles"), "{misspelt:?}");
    Ok(())
}

/// The applications that Argo CD makes of the set: it evaluates the template with the content of each file and with the
/// file's path, by the library that evaluates Helm's.
fn applications() -> Result<Vec<Value>> {
    let set = shipped("argo-cd/teams.yaml")?.pop().context("there is no set")?;
    assert_eq!(set["spec"]["generators"][0]["git"]["files"], json!([{"path": "teams/*/values.yaml"}]));
    let chart = TempDir::new()?;
    fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: application\nversion: 0.1.0\n")?;
    fs::create_dir(chart.path().join("templates"))?;
    let template = serde_yaml::to_string(&set["spec"]["template"])?;
    let template = format!("{{{{- with .Values.parameters }}}}\n{template}{{{{- end }}}}\n");
    fs::write(chart.path().join("templates/application.yaml"), template)?;
    let helm = Helm::with_chart(chart.path().to_owned())?;
    let mut applications = Vec::new();
    for team in TEAMS {
        let file = format!("teams/{team}/values.yaml");
        let mut parameters: Value = serde_yaml::from_str(&shipped_text(&file)?)?;
        parameters["path"] = json!({
            "path": format!("teams/{team}"), "basename": team, "filename": "values.yaml",
            "segments": ["teams", team], "basenameNormalized": team, "filenameNormalized": "values.yaml",
        });
        let made = helm.template(&json!({"parameters": parameters}))?;
        applications.push(documents(&made)?.pop().context("nothing is made")?);
    }
    Ok(applications)
}

/// What an application comes to: the chart at its path with its files of values.
fn manifests(application: &Value) -> Result<Vec<Value>> {
    let source = &application["spec"]["source"];
    let text =
        |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"));
    let chart = Path::new(ROOT).join("gitops").join(text(&source["path"])?);
    let namespace = text(&application["spec"]["destination"]["namespace"])?;
    let release = text(&source["helm"]["releaseName"])?;
    let helm = Helm::with_chart(chart.clone())?;
    let mut command = vec!["template".to_owned(), release, helm.chart()?.to_owned()];
    command.extend(["--namespace".to_owned(), namespace]);
    for file in source["helm"]["valueFiles"].as_array().context("no files of values")? {
        // A path is one from the chart's folder on.
        command.extend(["--values".to_owned(), chart.join(text(file)?).display().to_string()]);
    }
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    documents(&helm.run(&command)?)
}

#[tokio::test]
async fn each_team_has_an_application_whose_resources_are_in_sync() -> Result<()> {
    let tools = GitOps::install()?;
    let (kubeconfig, workspace) = (kubeconfig().await?, workspace().await?);
    let files = fs::read_dir(Path::new(ROOT).join("gitops/teams"))?.count();
    assert_eq!(files, TEAMS.len(), "each team of the repository is looked at");
    for (application, team) in applications()?.iter().zip(TEAMS) {
        assert_eq!(application["metadata"]["name"], format!("wandb-team-{team}"));
        assert_eq!(application["spec"]["destination"]["namespace"], team);
        let manifests: Vec<_> =
            manifests(application)?.into_iter().map(|manifest| in_namespace(manifest, &workspace)).collect();
        let account = manifests.iter().find(|manifest| manifest["kind"] == "ServiceAccount");
        assert_eq!(account.context("no account")?["spec"]["team"], team);
        assert_eq!(manifests.len(), 2, "the account and its issuer");
        tools.argo_apply(kubeconfig, &manifests, ArgoApply::ServerSide)?;
        for difference in tools.argo_diff(kubeconfig, &manifests, Comparison::StructuredMerge)? {
            ensure!(!difference.modified, "{difference:#?}");
        }
    }
    Ok(())
}

/// A clone of the repository whose team chart names these servers.
struct Clone {
    directory: TempDir,
    kubeconfig: PathBuf,
}

impl Clone {
    fn new(kubeconfig: &Path, server: &str, issuer: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        symlink(Path::new(ROOT).join("charts"), directory.path().join("charts"))?;
        fs::create_dir(directory.path().join("gitops"))?;
        let copied = Command::new("cp")
            .arg("-r")
            .args(["team-chart", "teams"].map(|folder| Path::new(ROOT).join("gitops").join(folder)))
            .arg(directory.path().join("gitops"))
            .status()?;
        ensure!(copied.success(), "the folders cannot be copied");
        let values = directory.path().join("gitops/team-chart/values.yaml");
        let mut text = fs::read_to_string(&values)?;
        for (theirs, ours) in [
            ("https://wandb.example.com", server),
            ("https://token.example.com", issuer),
            ("authority: \"\"", "authority: authority"),
        ] {
            ensure!(text.contains(theirs), "the chart's values do not say {theirs}");
            text = text.replace(theirs, ours);
        }
        fs::write(values, text)?;
        Ok(Self { directory, kubeconfig: kubeconfig.to_owned() })
    }

    /// Runs the documented commands as a person does, who stops where one fails.
    fn run(&self, commands: &str) -> Result<()> {
        let (helm, kubectl) = (tools::helm()?, tools::kubectl()?);
        let folders = [&helm, &kubectl].map(|tool| tool.parent().unwrap_or(tool).display().to_string());
        let output = Command::new("sh")
            .args(["-e", "-c", &format!("PATH={}:$PATH\n{commands}", folders.join(":"))])
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(
                ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"]
                    .map(|home| (home, self.directory.path().join(home))),
            )
            .current_dir(self.directory.path())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&said));
        Ok(())
    }
}

#[tokio::test]
async fn the_documented_loop_gives_each_team_its_credentials() -> Result<()> {
    let certificate = certificate()?;
    let mut provider = OpenIdProvider::builder()
        .certificate(&certificate)
        .audience(AUDIENCE)
        .token_lifetime(Duration::from_mins(10));
    for team in TEAMS {
        provider = provider.client(OpenIdClient::machine(&format!("{team}-programs"), CLIENT_SECRET));
    }
    let provider = provider.start()?;
    let server = WandbServer::builder().certificate(&certificate).start()?;
    server.accept_audience(AUDIENCE);
    server.register_issuer(provider.issuer(), &provider.jwks()?)?;
    for team in TEAMS {
        server.federated_account(&format!("{team}-programs"), team);
    }

    // The chart brings its definitions, and a policy for every namespace.
    let plane = ControlPlane::start().await?;
    let admin = plane.kubeconfig(User::Admin);
    let clone = Clone::new(admin, &server.base_url(), provider.issuer())?;
    let page = Page::read("docs/guides/fifty-teams.md")?;
    let mut blocks = page.blocks("sh");
    let (operator, teams) = (blocks.next().context("no commands")?, blocks.next().context("one block")?);
    clone.run(&operator)?;
    // No pod runs here, so the operator is a process, with the rights of the release.
    let release = Workspace::on(admin, plane.kubeconfig(User::Operator), "wandb-auth", &[]).await?;
    let mut flags = vec!["--allow-egress", "127.0.0.0/8"];
    flags.extend(TEAMS.iter().flat_map(|team| ["--namespace", team]));
    let _operator = release.start_operator_inside(program(), &flags).await?;
    let config = Kubeconfig::read_from(admin)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let mut namespaces = Vec::new();
    for team in TEAMS {
        let namespace = Workspace::of_person(config.clone(), team, &[]).await?;
        put_authority(&namespace, &certificate).await?;
        namespace.put_secret("wandb-client", &[("secret", CLIENT_SECRET)]).await?;
        namespaces.push(namespace);
    }

    // It waits until all is Ready.
    clone.run(&teams)?;
    for (namespace, team) in namespaces.iter().zip(TEAMS) {
        let data = namespace.secrets().get("wandb-wsa").await?.data.unwrap_or_default();
        let text =
            |key: &str| String::from_utf8_lossy(data.get(key).map_or(&[], |value| &value.0)).into_owned();
        assert_eq!(text("WANDB_ENTITY"), team);
        assert_eq!(claims(&text("identity-token"))?["sub"], format!("{team}-programs"));
        let pod = json!({
            "metadata": {"name": "train", "labels": {"auth.wandb.com/credentials": "wandb-wsa"}},
            "spec": {"containers": [{"name": "train", "image": "train"}]},
        });
        let pods: Api<Pod> = Api::namespaced(namespace.client().clone(), team);
        let pod = eventually("an account for pods", || async {
            Ok(pods.create(&PostParams::default(), &serde_json::from_value(pod.clone())?).await.ok())
        });
        let pod = serde_json::to_value(pod.await?)?;
        let source = &pod["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"];
        ensure!(source == "wandb-wsa", "{pod:#}");
    }
    // A second time there is nothing to do, and nothing in the way.
    clone.run(&operator)?;
    clone.run(&teams)
}
