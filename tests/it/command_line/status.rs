//! `status`, `recheck`, `rotate` and `explain` on a real API server.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use test_support::{
    ChildProcess, ControlPlane, PodPlayer, Slapd, User, Workspace,
    pods::{Life, WandbWorkload},
};

use super::call::{Directory, Printed};
use crate::{
    service_account::{LONG_ROTATION, service_account},
    world::{PATIENCE, certificate, directory, ldap_config, operator, program, put_references, workspace},
};

const KIND: &str = "LdapConfig";

/// A directory of a person with a kubeconfig for the shared control plane.
async fn person() -> Result<Directory> {
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    Ok(Directory::with(&[])?.variable("KUBECONFIG", kubeconfig.display().to_string()))
}

/// Calls a command in the namespace.
fn call(person: &Directory, workspace: &Workspace, words: &str) -> Result<Printed> {
    let printed = person.call(&format!("{words} -n {}", workspace.namespace()))?;
    printed.assert_no_secret();
    Ok(printed)
}

/// Fails unless the output ends with this exit code and has each of the parts.
fn expect(printed: &Printed, code: i32, parts: &[&str]) -> Result<()> {
    ensure!(printed.code == code, "exit code {code} was expected\n{printed}");
    for part in parts {
        ensure!(
            printed.stdout.contains(part) || printed.stderr.contains(part),
            "{part} is not in\n{printed}"
        );
    }
    Ok(())
}

/// A namespace with a server, and an `LdapConfig` that is delivered to it; without an operator.
pub(super) struct Delivered {
    directory: Slapd,
    pub(super) workspace: Workspace,
    _player: PodPlayer,
}

impl Delivered {
    pub(super) async fn applied() -> Result<Self> {
        let certificate = certificate()?;
        let directory = directory(&certificate)?;
        let workspace = workspace().await?;
        let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
        put_references(&workspace, &certificate).await?;
        workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
        let more = "checkInterval: 1h\ntarget: {deployment: {name: wandb}}";
        workspace.apply(&ldap_config(&directory.ldaps_url()?, more)).await?;
        Ok(Self { directory, workspace, _player: player })
    }
}

#[tokio::test]
async fn a_namespace_is_one_tree() -> Result<()> {
    let stage = Delivered::applied().await?;
    let (workspace, person) = (&stage.workspace, person().await?);
    let before = call(&person, workspace, "status")?;
    expect(
        &before,
        1,
        &["LdapConfig/corp  not looked at yet", "No operator has looked at this resource yet"],
    )?;
    let _operator = operator(workspace)?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let namespace = workspace.namespace();
    let parts = [
        &format!("Namespace {namespace}"),
        "Deployment/wandb  2 of 2 pods ready",
        "✓ LdapConfig/corp  Ready",
        "Secret corp-ldap, revision 1; 2 pods run it",
        "1 Ready",
    ];
    expect(&call(&person, workspace, "status")?, 0, &parts)?;
    let all = person.call("status -A")?;
    ensure!(all.stdout.contains(&format!("Namespace {namespace}")), "{all}");

    let report = call(&person, workspace, "status -o json")?.json()?;
    assert_eq!(
        (&report["apiVersion"], &report["verdict"]),
        (&json!("cli.auth.wandb.com/v1"), &json!("Passed"))
    );
    let resource = &report["resources"][0];
    assert_eq!(resource["standing"], "Ready");
    assert_eq!(resource["targets"], json!(["Deployment/wandb"]));
    assert_eq!(resource["revisionsInPods"], json!([{"revision": 1, "pods": 2, "ready": 2}]));
    let yaml: Value = serde_yaml::from_str(&call(&person, workspace, "status -o yaml")?.stdout)?;
    assert_eq!(yaml["resources"][0]["name"], "corp");

    let one = call(&person, workspace, "status ldap/corp")?;
    expect(
        &one,
        0,
        &[
            "RolledOut: RolledOut, for",
            "✓ TlsVerifies",
            "read from ",
            "Secret/ldap-bind",
            "Last events",
            "pod wandb-",
        ],
    )?;

    // What is wrong stands there with what to do.
    workspace.put_secret("ldap-bind", &[("password", "not-the-password")]).await?;
    workspace.wait_for_reason(KIND, "corp", "Published", "HoldingLastVerified").await?;
    let wrong = [
        "✗ LdapConfig/corp  Verified: InvalidCredentials",
        "kubectl annotate ldap corp",
        "Published: HoldingLastVerified",
        "✗ Bind: InvalidCredentials",
        "1 not Ready",
    ];
    let shown = call(&person, workspace, "status")?;
    expect(&shown, 1, &wrong)?;
    let sentence = "Check spec.bind.dn, and the password.";
    assert_eq!(shown.stdout.matches(sentence).count(), 1, "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_ready_that_no_operator_keeps_true_is_not_believed() -> Result<()> {
    let stage = Delivered::applied().await?;
    let (workspace, person) = (&stage.workspace, person().await?);
    let operator = operator(workspace)?;
    workspace.wait_until_ready(KIND, "corp").await?;
    expect(&call(&person, workspace, "status")?, 0, &["✓ LdapConfig/corp  Ready"])?;
    drop(operator);
    let target: Api<Deployment> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    target.delete("wandb", &DeleteParams::default()).await?;
    let gone =
        ["! LdapConfig/corp  was Ready", "The status says Ready, but Deployment/wandb does not exist."];
    expect(&call(&person, workspace, "status")?, 1, &gone)?;
    expect(&call(&person, workspace, "status ldap/corp")?, 1, &gone)?;
    let report = call(&person, workspace, "status -o json")?.json()?;
    assert_eq!(
        (&report["verdict"], &report["resources"][0]["standing"]),
        (&json!("Failed"), &json!("Outdated"))
    );
    let secrets: Api<Secret> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    secrets.delete("ldap-bind", &DeleteParams::default()).await?;
    expect(
        &call(&person, workspace, "status")?,
        1,
        &["the Secret \"ldap-bind\", which it speaks of, does not"],
    )?;
    Ok(())
}

#[tokio::test]
async fn the_set_of_signs_is_that_of_the_locale() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://127.0.0.1:1", "")).await?;
    let utf8 = call(&person().await?, &workspace, "status")?;
    ensure!(utf8.stdout.contains("└─"), "{utf8}");
    let posix = call(&person().await?.variable("LC_ALL", "C"), &workspace, "status")?;
    ensure!(posix.stdout.is_ascii() && posix.stdout.contains("`-"), "{posix}");
    ensure!(!posix.stdout.contains('\u{1b}'), "a pipe gets no colours: {posix}");
    Ok(())
}

#[tokio::test]
async fn nothing_to_show_is_said() -> Result<()> {
    let workspace = workspace().await?;
    let person = person().await?;
    expect(&call(&person, &workspace, "status")?, 2, &["there is no LdapConfig", "name another with -n"])?;
    expect(&call(&person, &workspace, "status ldap/corp")?, 2, &["there is no LdapConfig \"corp\""])?;
    expect(&call(&person, &workspace, "status pods/corp")?, 2, &["expected ldap/NAME"])?;
    expect(&call(&person, &workspace, "status --context nowhere")?, 2, &["the context \"nowhere\""])?;
    Ok(())
}

/// The kubeconfig of somebody with the rights of this Role alone.
pub(super) async fn limited(workspace: &Workspace, rules: Value) -> Result<NamedTempFile> {
    let (api, name) = ("rbac.authorization.k8s.io", format!("viewer-{}", workspace.namespace()));
    let role = json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": {"name": "viewer"}, "rules": rules});
    workspace.apply(&role.to_string()).await?;
    let binding = json!({
        "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "viewer"},
        "subjects": [{"apiGroup": api, "kind": "User", "name": name}],
    });
    workspace.apply(&binding.to_string()).await?;
    let admin = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let mut kubeconfig: Value = serde_yaml::from_str(&fs::read_to_string(admin)?)?;
    let user = kubeconfig.pointer_mut("/users/0/user").and_then(Value::as_object_mut);
    user.context("the kubeconfig has a user")?.insert("as".to_owned(), json!(name));
    let file = NamedTempFile::new()?;
    fs::write(file.path(), kubeconfig.to_string())?;
    Ok(file)
}

#[tokio::test]
async fn who_may_read_the_resources_alone_gets_the_tree() -> Result<()> {
    let stage = Delivered::applied().await?;
    let workspace = &stage.workspace;
    let _operator = operator(workspace)?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let rules = json!([{"apiGroups": ["auth.wandb.com"], "resources": ["*"], "verbs": ["get", "list"]}]);
    let kubeconfig = limited(workspace, rules).await?;
    let person = Directory::with(&[])?.variable("KUBECONFIG", kubeconfig.path().display().to_string());
    let parts = [
        "✓ LdapConfig/corp  Ready",
        "Secret corp-ldap, revision 1",
        &format!(
            "Left out, since you have no right to list them in the namespace {}: ConfigMaps, Deployments, Secrets, pods.",
            workspace.namespace()
        ),
    ];
    expect(&call(&person, workspace, "status")?, 0, &parts)?;
    // Whether a resource is Ready that cannot be read is not known.
    let rules =
        json!([{"apiGroups": ["auth.wandb.com"], "resources": ["ldapconfigs"], "verbs": ["get", "list"]}]);
    let less = limited(workspace, rules).await?;
    let person = Directory::with(&[])?.variable("KUBECONFIG", less.path().display().to_string());
    expect(&call(&person, workspace, "status")?, 2, &["✓ LdapConfig/corp  Ready", "OidcProviders"])?;
    Ok(())
}

/// The rights that docs/security/rights.md names for `status`.
fn documented_rights() -> Result<Vec<Value>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security/rights.md"))?;
    let (_, section) = page.split_once("## What `status` reads").context("the page has a section")?;
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rules = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [resources, verb, _] = cells.as_slice() else { anyhow::bail!("not three cells: {row}") };
        let names: Vec<_> = resources.split('`').skip(1).step_by(2).collect();
        let (names, groups): (Vec<_>, Vec<_>) =
            names.into_iter().map(|name| name.split_once('.').unwrap_or((name, ""))).unzip();
        Ok(json!({"apiGroups": groups, "resources": names, "verbs": [verb]}))
    });
    rules.collect()
}

#[tokio::test]
async fn the_documented_rights_are_enough() -> Result<()> {
    let stage = Delivered::applied().await?;
    let workspace = &stage.workspace;
    let _operator = operator(workspace)?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let kubeconfig = limited(workspace, json!(documented_rights()?)).await?;
    let person = Directory::with(&[])?.variable("KUBECONFIG", kubeconfig.path().display().to_string());
    for words in ["status", "status ldap/corp"] {
        let shown = call(&person, workspace, words)?;
        expect(&shown, 0, &["LdapConfig/corp  Ready", "2 of 2 pods ready", "2 pods run it"])?;
        ensure!(!shown.stdout.contains("Left out"), "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_shows_a_change() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let home = tempfile::tempdir()?;
    let mut command = Command::new(program());
    command.args(["status", "--watch", "-n", workspace.namespace()]).env("KUBECONFIG", kubeconfig);
    let watching = ChildProcess::spawn("status --watch", &command, &home.path().join("log"))?;
    watching.log().wait_for("not looked at yet", PATIENCE)?;
    let _operator = operator(&workspace)?;
    watching.log().wait_for("✓ LdapConfig/corp  Ready", PATIENCE)?;
    workspace.patch(KIND, "corp", &json!({"spec": {"suspend": true}})).await?;
    watching.log().wait_for("LdapConfig/corp  suspended", PATIENCE)?;
    let shown = watching.log().read()?;
    // Whole blocks follow each other, each with its time.
    let blocks: Vec<_> = shown.split("--- ").skip(1).collect();
    ensure!(blocks.len() >= 3 && blocks.iter().all(|block| block.contains("Namespace ")), "{shown}");
    ensure!(!shown.contains('\u{1b}'), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_recheck_is_waited_for() -> Result<()> {
    let stage = Delivered::applied().await?;
    let (workspace, person) = (&stage.workspace, person().await?);
    let nobody = call(&person, workspace, "recheck ldap/corp --wait --timeout 1s")?;
    expect(&nobody, 2, &["no operator has handled this within 1s"])?;
    let _operator = operator(workspace)?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let binds = stage.directory.bind_attempts(Slapd::SERVICE_DN)?;
    expect(&call(&person, workspace, "recheck ldap/corp --wait")?, 0, &["✓ LdapConfig/corp  Ready"])?;
    ensure!(stage.directory.bind_attempts(Slapd::SERVICE_DN)? > binds, "the directory was asked");

    // A refused password is tried once more, and its result is the command's.
    workspace.put_secret("ldap-bind", &[("password", "another-password")]).await?;
    workspace.wait_for_reason(KIND, "corp", "Ready", "InvalidCredentials").await?;
    let refused = call(&person, workspace, "recheck LdapConfig/corp --wait")?;
    expect(&refused, 1, &["✗ Bind: InvalidCredentials"])?;
    stage.directory.set_password(Slapd::SERVICE_DN, "another-password")?;
    // Without waiting, it says where the result will be.
    let asked = call(&person, workspace, "recheck ldap/corp")?;
    expect(&asked, 0, &["ldap/corp is asked for a check; status ldap/corp -n "])?;
    ensure!(!asked.stdout.contains("--context"), "{asked}");
    workspace.wait_until_ready(KIND, "corp").await?;

    workspace.patch(KIND, "corp", &json!({"spec": {"suspend": true}})).await?;
    expect(&call(&person, workspace, "recheck ldap/corp --wait")?, 2, &["ldap/corp is suspended"])?;
    Ok(())
}

#[tokio::test]
async fn a_rotation_is_asked_for_by_annotations() -> Result<()> {
    let workspace = workspace().await?;
    let person = person().await?;
    workspace.apply(&service_account("ci", "http://127.0.0.1:1", LONG_ROTATION, "")).await?;
    let annotations = || async {
        let object = workspace.resources("ServiceAccount")?.get("ci").await?;
        Ok::<_, anyhow::Error>(object.metadata.annotations.unwrap_or_default())
    };
    expect(&call(&person, &workspace, "rotate wsa/ci")?, 0, &["wsa/ci is asked for a new API key"])?;
    let first = annotations().await?;
    let rotate = "auth.wandb.com/rotate";
    ensure!(first.contains_key(rotate) && !first.contains_key("auth.wandb.com/revoke-previous"), "{first:?}");
    expect(
        &call(&person, &workspace, "rotate wsa/ci --revoke-previous")?,
        0,
        &["for the previous one to be revoked"],
    )?;
    let second = annotations().await?;
    ensure!(second.get(rotate) != first.get(rotate), "each call has a value of its own: {second:?}");
    assert_eq!(second.get("auth.wandb.com/revoke-previous"), second.get(rotate));

    let late = call(&person, &workspace, "rotate wsa/ci --wait --timeout 1s")?;
    expect(&late, 2, &["no operator has handled this within 1s"])?;
    expect(&call(&person, &workspace, "rotate ldap/ci")?, 2, &["only a ServiceAccount has an API key"])?;
    expect(&call(&person, &workspace, "rotate wsa/nobody")?, 2, &["there is no ServiceAccount \"nobody\""])?;
    workspace
        .apply(
            "apiVersion: auth.wandb.com/v1alpha1
kind: ServiceAccount
metadata: {name: train}
spec:
  instance: {baseURL: 'https://wandb.example.com'}
  team: research
  credentials:
    federated:
      issuerRef: {name: main}
      subject: train
      audience: wandb
      token: {serviceAccount: {name: train}}
",
        )
        .await?;
    expect(&call(&person, &workspace, "rotate wsa/train")?, 2, &["has no API key to rotate"])?;
    Ok(())
}

#[test]
fn a_word_is_explained() -> Result<()> {
    let files = Directory::with(&[])?;
    assert_snapshot!("explain_a_reason", files.call("explain holdinglastverified")?);
    assert_snapshot!("explain_a_check", files.call("explain TestUser/0")?);
    assert_snapshot!("explain_a_typo", files.call("explain InvalidCredential")?);
    Ok(())
}

#[tokio::test]
async fn a_terminal_gets_colours_and_its_width() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://127.0.0.1:1", "")).await?;
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let (program, namespace) = (program().display(), workspace.namespace());
    let on_a_terminal = |more: &[(&str, &str)]| -> Result<String> {
        let call = format!("stty rows 24 cols 70; {program} status -n {namespace}");
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &call, "/dev/null"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .env("KUBECONFIG", kubeconfig)
            .envs(more.iter().copied())
            .output()
            .context("script makes a terminal")?;
        Ok(String::from_utf8(output.stdout)?.replace('\r', ""))
    };
    let coloured = on_a_terminal(&[("LC_ALL", "C.UTF-8")])?;
    ensure!(coloured.contains("\u{1b}[") && coloured.contains("└─"), "{coloured}");
    let plain = on_a_terminal(&[("LC_ALL", "C"), ("NO_COLOR", "1")])?;
    ensure!(plain.is_ascii() && !plain.contains('\u{1b}'), "{plain}");
    let widest = plain.lines().map(str::len).max();
    ensure!(widest.is_some_and(|widest| widest <= 70), "{widest:?} columns in {plain}");
    Ok(())
}
