//! A Kubernetes API without nodes: etcd, kube-apiserver and kube-controller-manager.

mod audit;
mod backup;
mod components;
mod credentials;
mod faults;
mod outage;
mod proxy;

pub use audit::AuditEvent;
pub use components::API_AUDIENCE;
pub use credentials::User;
pub use faults::Fault;
pub use proxy::{ApiProxy, Mutation, REFUSED, Refusal};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use self::audit::AuditLog;
use self::credentials::Credentials;
use crate::certificates::client_config;
use crate::free_port;
use crate::http_client::HttpClient;
use crate::process::{ChildProcess, PATIENCE, wait_until};
use crate::run_directory::RunDirectory;
use crate::tools::{self, KubernetesBinaries};

/// A running control plane; its processes end and its data go when it is dropped.
///
/// Tests share one and take a namespace each. Deployments, garbage collection, namespace deletion
/// and service accounts work; no pod ever runs. The garbage collector learns of new custom resource
/// definitions every 30 seconds only, so what waits for it may take so long.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: each component before what it depends on.
    _controller_manager: Option<ChildProcess>,
    api_server: ChildProcess,
    etcd: ChildProcess,
    etcd_port: u16,
    binaries: KubernetesBinaries,
    /// What is served beside Kubernetes' own choice.
    versions: &'static [&'static str],
    credentials: Credentials,
    client: HttpClient,
    audit_log: AuditLog,
    directory: RunDirectory,
}

impl ControlPlane {
    /// The control plane of this test process, started by the first test that asks.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A control plane of one's own, for a test that changes what all namespaces share.
    pub async fn start() -> Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same, which also serves these versions of API groups that Kubernetes does not serve by itself.
    pub async fn start_serving(versions: &'static [&'static str]) -> Result<Self> {
        let address = Ipv4Addr::LOCALHOST.into();
        tokio::task::spawn_blocking(move || Self::start_blocking(tools::kubernetes()?, address, versions))
            .await
            .context("starting the control plane panicked")?
    }

    /// One on another address of this machine, where pods of a node can reach it.
    pub(crate) async fn start_on(address: IpAddr) -> Result<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(tools::kubernetes()?, address, &[]))
            .await
            .context("starting the control plane panicked")?
    }

    /// An API with these programs, which serves and stores objects; where there is no controller manager among
    /// them, nothing more happens to the objects.
    pub async fn start_with(binaries: KubernetesBinaries) -> Result<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(binaries, Ipv4Addr::LOCALHOST.into(), &[]))
            .await
            .context("starting the control plane panicked")?
    }

    fn start_blocking(
        binaries: KubernetesBinaries,
        address: IpAddr,
        versions: &'static [&'static str],
    ) -> Result<Self> {
        let directory = RunDirectory::create("control-plane")?;
        let (etcd_port, address) = (free_port()?, SocketAddr::from((address, free_port()?)));
        let credentials = Credentials::create(&directory, address)?;

        // Both at once: the API server asks until etcd answers.
        let etcd = components::start_etcd(&binaries, &directory, etcd_port)?;
        let mut api_server =
            components::start_api_server(&binaries, &directory, &credentials, etcd_port, address, versions)?;
        let client = HttpClient { address, tls: Some(client_config(credentials.authority_pem())?) };
        api_server
            .wait_until_ready(PATIENCE, || {
                status_of(&client, &credentials, User::Admin, "/readyz").is_ok_and(|status| status == 200)
            })
            .with_context(|| format!("etcd is part of this; {}", etcd.log().tail()))?;

        let controller_manager = match &binaries.kube_controller_manager {
            None => None,
            Some(program) => {
                let mut process =
                    components::start_controller_manager(program, &directory, &credentials, address)?;
                // The first thing that it does in any namespace.
                let account = "/api/v1/namespaces/default/serviceaccounts/default";
                process.wait_until_ready(PATIENCE, || {
                    status_of(&client, &credentials, User::Admin, account).is_ok_and(|status| status == 200)
                })?;
                Some(process)
            }
        };

        Ok(Self {
            _controller_manager: controller_manager,
            api_server,
            etcd,
            etcd_port,
            audit_log: AuditLog::new(components::audit_log_path(&directory)),
            binaries,
            versions,
            credentials,
            client,
            directory,
        })
    }

    /// A kubeconfig for this user, which checks the server's certificate.
    pub fn kubeconfig(&self, user: User) -> &Path {
        self.credentials.kubeconfig(user)
    }

    /// The bearer token of this user.
    pub fn token(&self, user: User) -> &str {
        self.credentials.token(user)
    }

    /// The API server's address.
    pub fn address(&self) -> SocketAddr {
        self.client.address
    }

    /// The authority that signed the API server's certificate.
    pub fn authority_pem(&self) -> &str {
        self.credentials.authority_pem()
    }

    /// Every request that the API server has answered so far, in the order of its log, but for what the administrator
    /// and the components of Kubernetes get or list.
    ///
    /// A request is recorded once: when it has been answered, or, if it is a watch, when it began.
    pub fn audit(&self) -> Result<Vec<AuditEvent>> {
        self.audit_of(|_| true)
    }

    /// The requests of [`ControlPlane::audit`] that concern this namespace or objects in it.
    pub fn audit_in(&self, namespace: &str) -> Result<Vec<AuditEvent>> {
        self.audit_of(|event| event.namespace == namespace)
    }

    fn audit_of(&self, is_wanted: impl Fn(&AuditEvent) -> bool) -> Result<Vec<AuditEvent>> {
        // An answer can reach its client before the log has it. The log has it by the time a
        // later request went there and back.
        let (marker, path) = self.audit_log.next_marker();
        status_of(&self.client, &self.credentials, User::Admin, &path)?;
        wait_until(PATIENCE, "own request in the audit log", || self.audit_log.has(marker))?;
        self.audit_log.events(is_wanted)
    }
}

fn status_of(client: &HttpClient, credentials: &Credentials, user: User, path: &str) -> Result<u16> {
    let headers = format!("Authorization: Bearer {}\r\n", credentials.token(user));
    Ok(client.send(&format!("GET {path}"), &headers, "")?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_users_reach_the_api_and_only_one_has_rights() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let status = |user, path| status_of(&control_plane.client, &control_plane.credentials, user, path);
        assert_eq!(status(User::Admin, "/readyz")?, 200);
        assert_eq!(status(User::Operator, "/readyz")?, 200);
        assert_eq!(status(User::Admin, "/api/v1/namespaces/default/secrets/none")?, 404);
        assert_eq!(status(User::Operator, "/api/v1/namespaces/default/secrets/none")?, 403);
        Ok(())
    }

    #[tokio::test]
    async fn every_request_of_the_operator_is_in_the_audit() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let path = "/api/v1/namespaces/audited/configmaps/some";
        for _ in 0..20 {
            status_of(&control_plane.client, &control_plane.credentials, User::Operator, path)?;
        }
        let events = control_plane.audit_in("audited")?;
        assert_eq!(events.len(), 20);
        let event = events.first().context("no event")?;
        assert_eq!(event.user, "operator");
        assert_eq!(event.verb, "get");
        assert_eq!(event.resource, "configmaps");
        assert_eq!(event.name, "some");
        assert_eq!(event.code, 403);
        assert_eq!(event.request_uri, path);
        Ok(())
    }

    #[tokio::test]
    async fn a_watch_is_in_the_audit_once() -> Result<()> {
        let control_plane = ControlPlane::shared().await?;
        let path = "/api/v1/namespaces/watched/configmaps?watch=true&timeoutSeconds=1";
        status_of(&control_plane.client, &control_plane.credentials, User::Admin, path)?;
        status_of(&control_plane.client, &control_plane.credentials, User::Operator, path)?;
        let events = control_plane.audit_in("watched")?;
        let codes: Vec<_> = events.iter().map(|event| (event.verb.as_str(), event.code)).collect();
        assert_eq!(codes, [("watch", 200), ("watch", 403)]);
        Ok(())
    }
}
