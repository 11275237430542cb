//! The command lines of the components.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::audit;
use super::credentials::Credentials;
use crate::free_port;
use crate::process::ChildProcess;
use crate::run_directory::RunDirectory;
use crate::tools::KubernetesBinaries;

/// The controllers that tests rely on where there is no node; each other one would only take time.
const CONTROLLERS_WITHOUT_NODES: &str = "garbage-collector-controller,namespace-controller,\
    serviceaccount-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
    deployment-controller,replicaset-controller,statefulset-controller,job-controller,cronjob-controller";

/// An audience of tokens that the API server accepts for itself.
pub const API_AUDIENCE: &str = "an-audience-of-the-api-server";

pub(super) fn audit_log_path(directory: &RunDirectory) -> PathBuf {
    directory.path().join("audit.log")
}

pub(super) fn start_etcd(
    binaries: &KubernetesBinaries,
    directory: &RunDirectory,
    port: u16,
) -> Result<ChildProcess> {
    let client_url = format!("http://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Command::new(&binaries.etcd);
    command
        .arg("--data-dir")
        .arg(directory.path().join("etcd"))
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}")])
        // The data end with the test.
        .arg("--unsafe-no-fsync")
        .args(["--log-level", "warn"]);
    ChildProcess::spawn("etcd", &command, &directory.path().join("etcd.log"))
}

pub(super) fn start_api_server(
    binaries: &KubernetesBinaries,
    directory: &RunDirectory,
    credentials: &Credentials,
    etcd_port: u16,
    address: SocketAddr,
    versions: &[&str],
) -> Result<ChildProcess> {
    let audit_policy = directory.write("audit-policy.yaml", audit::POLICY)?;
    let mut command = Command::new(&binaries.kube_apiserver);
    command
        // A quarter of its time would be the collection of garbage, in a process that ends soon.
        .envs([("GOGC", "400"), ("GOMEMLIMIT", "1500MiB")])
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
        .arg(format!("--secure-port={}", address.port()))
        .arg(format!("--bind-address={}", address.ip()))
        .arg(format!("--advertise-address={}", address.ip()))
        .args(["--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC"])
        // Where its discovery document and its keys can really be had.
        .arg(format!("--service-account-issuer=https://{address}"))
        // The first is the usual one; the other has nothing to do with any name of the API server.
        .arg(format!("--api-audiences=https://{address},{API_AUDIENCE}"))
        .arg(format!("--service-account-jwks-uri=https://{address}/openid/v1/jwks"))
        // The names of nodes are in no name server.
        .arg("--kubelet-preferred-address-types=InternalIP")
        // Tests read the log as one file, which would begin anew after 100 MB (the default; 0 means that, too).
        .args(["--audit-log-format=json", "--audit-log-mode=blocking", "--audit-log-maxsize=100000"]);
    command.args(versions.iter().map(|version| format!("--runtime-config={version}=true")));
    if address.ip().is_loopback() {
        // None that a Service could point at.
        command.arg("--endpoint-reconciler-type=none");
    }
    for (flag, path) in [
        ("--cert-dir", &directory.path().join("certificates")),
        ("--tls-cert-file", &credentials.server_certificate),
        ("--tls-private-key-file", &credentials.server_key),
        ("--service-account-key-file", &credentials.service_account_public_key),
        ("--service-account-signing-key-file", &credentials.service_account_private_key),
        ("--token-auth-file", &credentials.token_file),
        ("--audit-policy-file", &audit_policy),
        ("--audit-log-path", &audit_log_path(directory)),
    ] {
        command.arg(flag).arg(path);
    }
    ChildProcess::spawn("kube-apiserver", &command, &directory.path().join("kube-apiserver.log"))
}

pub(super) fn start_controller_manager(
    program: &Path,
    directory: &RunDirectory,
    credentials: &Credentials,
    address: SocketAddr,
) -> Result<ChildProcess> {
    let controllers = if address.ip().is_loopback() { CONTROLLERS_WITHOUT_NODES } else { "*" };
    let mut command = Command::new(program);
    command
        .args(["--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0"])
        // One controller manager serves many tests at a time: by its usual 20 requests a second it would be seconds
        // behind in each of them.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .arg(format!("--controllers={controllers}"));
    for (flag, path) in [
        ("--kubeconfig", &credentials.controller_manager_kubeconfig),
        ("--root-ca-file", &credentials.authority),
        ("--service-account-private-key-file", &credentials.service_account_private_key),
    ] {
        command.arg(flag).arg(path);
    }
    ChildProcess::spawn("kube-controller-manager", &command, &directory.path().join("controller-manager.log"))
}
