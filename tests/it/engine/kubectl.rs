//! What a person sees with the real kubectl in the situations of a resource's life.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use regex::Regex;
use serde_json::{Value, json};
use test_support::{
    Certificate, ControlPlane, PodPlayer, Slapd, User, WandbServer, Workspace, condition,
    pods::{Life, WandbWorkload},
    tools,
};

use crate::{
    delivery::refers_to,
    service_account::{LONG_ROTATION, publish_long_ago, service_account},
    world::{
        PASSWORD, PATIENCE, certificate, directory, events_are_written, eventually, ldap_config, operator,
        put_references, silence, workspace,
    },
};

const KIND: &str = "LdapConfig";

/// The program, and the namespace that it is used in.
struct Kubectl<'a> {
    program: PathBuf,
    kubeconfig: &'a Path,
    namespace: &'a str,
}

impl Kubectl<'_> {
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["--namespace", self.namespace])
            .args(arguments);
        // Nothing is remembered beside the test.
        let home = tempfile::tempdir()?;
        let output = command.env("HOME", home.path()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {told}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The text without what differs from one run to the next.
fn steady(text: &str, namespace: &str) -> Result<String> {
    let mut text = text.replace(namespace, "wandb");
    for (pattern, replacement) in [
        (r"127\.0\.0\.1:\d+", "ldap.example.com:636"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"(?m)^(\s*(?:Resource Version|UID|Checked Inputs|Account|Id|Key ID):\s+)\S.*$", "${1}…"),
        (r"wandb-[a-z]+-[0-9a-f]{6,10}-[a-z0-9]{5}", "POD"),
        (r"(of the pod POD) .*?(exit code)", "$1 … $2"),
        (r"[A-Za-z]{2,3} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d [A-Z]+ \d{4}", "TIME"),
        (r"(?m)\s+(?:\d+[dhms])+(\s|$)", "   AGE$1"),
        (r"Port \d+", "Port 636"),
        (r"until \d{4}-\d\d-\d\d", "until DATE"),
        (r"(?m)(\S) {2,}", "$1   "),
        (r"(?m) +$", ""),
    ] {
        text = Regex::new(pattern)?.replace_all(&text, replacement).into_owned();
    }
    Ok(text)
}

/// Fails where the same sentence of a message is shown more than twice. Each check that was not reached says so.
fn expect_no_echo(shown: &str, status: &Value) -> Result<()> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let checks = status["checks"].as_array().into_iter().flatten();
    let checks = checks.filter(|check| check["result"] != "Skipped");
    for message in conditions.chain(checks).filter_map(|one| one["message"].as_str()) {
        for sentence in message.split(". ").map(|sentence| sentence.trim_end_matches('.')) {
            let is_short = sentence.len() < 25;
            let count = shown.matches(sentence).count();
            ensure!(is_short || count <= 2, "{count} times: {sentence}\n{shown}");
        }
    }
    Ok(())
}

/// A resource that one of the directories satisfies, with these further lines and a password of its own.
async fn apply(workspace: &Workspace, name: &str, password: &str, address: &str, more: &str) -> Result<()> {
    workspace.put_secret(&format!("{name}-bind"), &[("password", password)]).await?;
    workspace.apply(&config(name, address, more)).await
}

fn config(name: &str, address: &str, more: &str) -> String {
    ldap_config(address, &format!("checkInterval: 1h\nfailureThreshold: 1\n{more}"))
        .replace("name: corp", &format!("name: {name}"))
        .replace("ldap-bind", &format!("{name}-bind"))
}

fn target(name: &str) -> String {
    format!("target: {{deployment: {{name: wandb-{name}}}}}")
}

/// The situations, each by the name of its resource.
const SITUATIONS: [&str; 12] = [
    "ready",
    "warning",
    "failed",
    "held",
    "suspended",
    "outage",
    "superseded",
    "rolling",
    "rolledback",
    "missing",
    "untargeted",
    "delivered",
];

async fn without_a_target(workspace: &Workspace, certificate: &Certificate, directory: &Slapd) -> Result<()> {
    let address = directory.ldaps_url()?;
    apply(workspace, "ready", PASSWORD, &address, "").await?;
    apply(workspace, "warning", &format!("{PASSWORD}\n"), &address, "").await?;
    workspace.put_secret("failed-bind", &[("password", PASSWORD)]).await?;
    workspace.apply(&config("failed", &address, "").replace("dc=example,dc=org\n", "dc=nowhere\n")).await?;
    apply(workspace, "held", PASSWORD, &address, "").await?;
    apply(workspace, "suspended", PASSWORD, &address, "").await?;
    workspace.apply(&config("missing", &address, "")).await?;
    let mut other = Slapd::builder(PASSWORD).certificate(certificate).start()?;
    apply(workspace, "outage", PASSWORD, &other.ldaps_url()?, "").await?;
    for name in ["ready", "warning", "held", "suspended", "outage"] {
        workspace.wait_until_ready(KIND, name).await?;
    }
    other.stop()?;
    workspace.recheck(KIND, "outage", "now").await?;
    workspace.put_secret("held-bind", &[("password", "not-the-password")]).await?;
    workspace.patch(KIND, "suspended", &json!({"spec": {"suspend": true}})).await?;
    Ok(())
}

async fn with_a_target(workspace: &Workspace, directory: &Slapd) -> Result<PodPlayer> {
    let address = directory.ldaps_url()?;
    let player = PodPlayer::start(workspace, |pod| {
        if refers_to(pod, "rolling-ldap-1") {
            Life::NeverReady
        } else if refers_to(pod, "rolledback-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic".to_owned() }
        } else {
            Life::Ready
        }
    })?;
    for name in ["delivered", "rolling", "rolledback"] {
        workspace.apply(&WandbWorkload::deployment(&format!("wandb-{name}")).manifest()).await?;
        apply(workspace, name, PASSWORD, &address, &target(name)).await?;
    }
    apply(workspace, "untargeted", PASSWORD, &address, &target("nowhere")).await?;
    workspace.wait_until_ready(KIND, "delivered").await?;
    apply(workspace, "superseded", PASSWORD, &address, &target("delivered")).await?;
    workspace.wait_until_ready(KIND, "rolledback").await?;
    let attributes = json!({"spec": {"attributes": {"name": "cn"}}});
    workspace.patch(KIND, "rolledback", &attributes).await?;
    Ok(player)
}

/// Waits for the conditions that tell that a situation is there.
async fn wait_for_all(workspace: &Workspace) -> Result<()> {
    for (name, type_, reason) in [
        ("failed", "Ready", "BaseDnNotFound"),
        ("held", "Ready", "InvalidCredentials"),
        ("suspended", "Ready", "Suspended"),
        ("outage", "Ready", "ConnectionRefused"),
        ("superseded", "Ready", "Superseded"),
        ("rolling", "Ready", "Progressing"),
        ("rolledback", "Ready", "RolledBack"),
        // What is missing may arrive for some seconds yet, until a person must act.
        ("missing", "Stalled", "SecretNotFound"),
        ("untargeted", "Stalled", "TargetNotFound"),
    ] {
        workspace.wait_for_reason(KIND, name, type_, reason).await.with_context(|| name.to_owned())?;
    }
    let is_at_rest = |status: &Value| {
        let ready = condition(status, "Ready").and_then(|ready| ready["message"].as_str());
        ready.is_some_and(|message| message.contains("2 wanted, 1 new, 2 old, 2 available"))
    };
    workspace.wait_for(KIND, "rolling", is_at_rest).await?;
    // What goes back to the values of before is at rest when its pods are.
    silence(Duration::from_secs(4), || async { Ok(workspace.events().await?.len()) }).await?;
    events_are_written(workspace).await
}

#[tokio::test]
async fn every_situation_reads_well() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    without_a_target(&workspace, &certificate, &directory).await?;
    let _player = with_a_target(&workspace, &directory).await?;
    wait_for_all(&workspace).await?;
    let plane = ControlPlane::shared().await?;
    let namespace = workspace.namespace();
    let kubectl =
        Kubectl { program: tools::kubectl()?, kubeconfig: plane.kubeconfig(User::Admin), namespace };
    for (name, arguments) in [("get", &["get", "ldap"][..]), ("get-wide", &["get", "ldap", "--output=wide"])]
    {
        insta::assert_snapshot!(name, steady(&kubectl.run(arguments)?, namespace)?);
    }
    for name in SITUATIONS {
        let shown = kubectl.run(&["describe", "ldap", name])?;
        expect_no_echo(&shown, &workspace.status(KIND, name).await?).context(name)?;
        let status = shown.find("\nStatus:").map_or(shown.as_str(), |at| &shown[at..]);
        insta::assert_snapshot!(name, steady(status, namespace)?);
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_waits_says_for_what() -> Result<()> {
    let server = WandbServer::builder().key_prefix("local").start()?;
    let key = server.service_account("ci", "research")?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    publish_long_ago(&workspace, &server, &key).await?;
    workspace.apply(&service_account("ci", &server.base_url(), LONG_ROTATION, "")).await?;
    workspace.wait_for("ServiceAccount", "ci", |status| status["keyID"].is_string()).await?;
    drop(server);
    workspace.resources("ServiceAccount")?.delete("ci", &DeleteParams::background()).await?;
    eventually("the event", || async {
        Ok(workspace.events().await?.contains("DeletionWaits").then_some(()))
    })
    .await?;
    let plane = ControlPlane::shared().await?;
    let namespace = workspace.namespace();
    let kubectl =
        Kubectl { program: tools::kubectl()?, kubeconfig: plane.kubeconfig(User::Admin), namespace };
    let shown = kubectl.run(&["describe", "wsa", "ci"])?;
    for part in ["Deletion Timestamp:", "auth.wandb.com/remote-credentials", "DeletionWaits"] {
        ensure!(shown.contains(part), "{part} is not in\n{shown}");
    }
    expect_no_echo(&shown, &workspace.status("ServiceAccount", "ci").await?)
}

/// The documented way to wait for a Secret that was changed: nothing says Ready of it before it was looked at.
#[tokio::test]
async fn a_script_can_wait_for_a_changed_secret() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 1h")).await?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let plane = ControlPlane::shared().await?;
    let namespace = workspace.namespace();
    let kubectl =
        Kubectl { program: tools::kubectl()?, kubeconfig: plane.kubeconfig(User::Admin), namespace };
    workspace.put_secret("ldap-bind", &[("password", "another-password")]).await?;
    let version =
        kubectl.run(&["get", "secret", "ldap-bind", "--output=jsonpath={.metadata.resourceVersion}"])?;
    let seen = format!(
        "--for=jsonpath={{.status.observedReferences[?(@.name==\"ldap-bind\")].resourceVersion}}={version}"
    );
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    kubectl.run(&["wait", "ldap/corp", &seen, &timeout])?;
    let status = workspace.status(KIND, "corp").await?;
    let ready = condition(&status, "Ready").context("Ready")?;
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("InvalidCredentials")));
    // It is not tried again by itself once the directory has it; the condition says how.
    let command = format!("kubectl annotate ldap corp -n {namespace} auth.wandb.com/recheck=");
    ensure!(ready["message"].as_str().is_some_and(|message| message.contains(&command)), "{ready}");
    let binds = directory.bind_attempts(Slapd::SERVICE_DN)?;
    directory.set_password(Slapd::SERVICE_DN, "another-password")?;
    kubectl.run(&["annotate", "ldap", "corp", "auth.wandb.com/recheck=once", "--overwrite"])?;
    let handled = "--for=jsonpath={.status.lastHandledRecheck}=once";
    kubectl.run(&["wait", "ldap/corp", handled, &timeout])?;
    kubectl.run(&["wait", "ldap/corp", "--for=condition=Ready", &timeout])?;
    ensure!(directory.bind_attempts(Slapd::SERVICE_DN)? > binds, "the password was tried");
    Ok(())
}
