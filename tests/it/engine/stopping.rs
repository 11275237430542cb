//! SIGTERM ends the process within five seconds, whatever it waits for.
//!
//! The seconds are the sum of the time limits in the program. On a machine with other work all of that takes longer, so
//! that these tests leave three times as much, and look at what the process waited for.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{coordination::v1::Lease, rbac::v1::RoleBinding};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use test_support::{
    ApiProxy, ChildProcess, ControlPlane, Fault, Operator, Workspace, free_port, hostile::TcpServer,
    wait_until,
};

use crate::world::{
    PATIENCE, certificate, directory, ldap_config, operator, program, put_references, workspace,
};

/// Longer than the end takes on a busy machine, and shorter than any request to the API server may take.
const END: Duration = Duration::from_secs(15);

/// Ends the process by SIGTERM. Fails where a request to the API server came to its own time limit after that.
pub(super) fn end(process: &mut ChildProcess) -> Result<()> {
    let ended = process.terminate(END)?;
    ensure!(ended.success(), "{ended}");
    let log = process.log().read()?;
    let (_, after) = log.rsplit_once("stopping").context("SIGTERM is not in the log")?;
    ensure!(!after.contains("no answer within"), "it waited for an answer: {log}");
    Ok(())
}

/// An operator of a cluster at that address.
fn operator_of(server: &str, directory: &Path) -> Result<ChildProcess> {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "none"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "wandb"}}],
    });
    let path = directory.join("kubeconfig");
    fs::write(&path, kubeconfig.to_string())?;
    let mut command = Command::new(program());
    command.args(["run", "--metrics-address", "127.0.0.1:0", "--log-format", "text"]);
    command.env("KUBECONFIG", path);
    let process = ChildProcess::spawn("wandb-auth-operator", &command, &directory.join("log"))?;
    process.log().wait_for("serving /metrics", PATIENCE)?;
    Ok(process)
}

/// Ends leaders until one has given the Lease up. A leader tries that for a second, which a busy API server may take, and
/// says where it did not succeed.
async fn gives_up_the_lease(workspace: &Workspace, leader: impl Fn() -> Result<Operator>) -> Result<()> {
    for _ in 0..3 {
        let mut leader = leader()?;
        end(leader.process())?;
        let holder = holder(workspace).await?;
        if holder.is_empty() {
            return Ok(());
        }
        ensure!(leader.log().contains("the Lease was not released")?, "{holder} still holds the Lease");
    }
    bail!("no leader gave the Lease up")
}

async fn holder(workspace: &Workspace) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let lease = leases.get("wandb-auth-operator").await?;
    Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
}

#[test]
fn without_an_api_server() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut process = operator_of(&format!("http://127.0.0.1:{}", free_port()?), directory.path())?;
    process.log().wait_for("The API server does not answer: Connection refused", PATIENCE)?;
    end(&mut process)?;
    let log = process.log().read()?;
    assert!(!log.contains('\u{1b}'), "a log that goes to a file has escape codes: {log}");
    assert_eq!(log.matches("does not answer").count(), 1, "{log}");
    Ok(())
}

#[test]
fn while_the_api_server_hangs() -> Result<()> {
    let black_hole = TcpServer::black_hole()?;
    let directory = tempfile::tempdir()?;
    let mut process = operator_of(&format!("http://{}", black_hole.address()), directory.path())?;
    wait_until(PATIENCE, "the API server to be asked", || Ok(black_hole.connections() > 4))?;
    end(&mut process)
}

#[tokio::test]
async fn without_any_definition() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let workspace = Workspace::create(&plane, &[]).await?;
    let leader = || -> Result<Operator> {
        let operator = workspace.start_operator(program(), &["--leader-elect"])?;
        operator.log().wait_for("kubectl apply -f crds/", PATIENCE)?;
        Ok(operator)
    };
    gives_up_the_lease(&workspace, leader).await
}

#[tokio::test]
async fn without_any_right() -> Result<()> {
    let workspace = workspace().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    bindings.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    let mut operator = operator(&workspace)?;
    operator.log().wait_for("is not allowed to list secrets in namespace", PATIENCE)?;
    end(operator.process())
}

#[tokio::test]
async fn while_one_list_hangs_the_lease_is_given_up() -> Result<()> {
    let workspace = workspace().await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    proxy.fail(|_, path| path.contains("/oidcproviders").then_some(Fault::Hang));
    let leader = || -> Result<Operator> {
        let operator = workspace.start_operator_through(&proxy, program(), &["--leader-elect"])?;
        operator.log().wait_for("became the leader", PATIENCE)?;
        Ok(operator)
    };
    gives_up_the_lease(&workspace, leader).await
}

#[tokio::test]
async fn while_a_write_hangs_the_lease_is_left_to_expire() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let (hangs, hung) = std::sync::mpsc::channel();
    let hangs = std::sync::Mutex::new(hangs);
    proxy.fail(move |method, path| {
        let is_status = method == "PATCH" && path.contains("/status");
        if is_status {
            let _ = hangs.lock().ok()?.send(());
        }
        is_status.then_some(Fault::Hang)
    });
    let arguments = ["--leader-elect", "--allow-egress", "127.0.0.0/8"];
    let mut operator = workspace.start_operator_through(&proxy, program(), &arguments)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    hung.recv_timeout(PATIENCE).context("no status was written")?;
    end(operator.process())?;
    // It may still be performed, so nobody else may lead yet.
    assert_ne!(holder(&workspace).await?, "");
    assert!(operator.log().contains("left to expire")?);
    Ok(())
}
