//! What the tests of the whole operator share.

use std::{
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use k8s_openapi::{
    api::core::v1::Event, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use test_support::{
    Certificate, CertificateAuthority, ControlPlane, Leaf, OpenIdClient, OpenIdProvider, Operator, Slapd,
    Workspace,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use wandb_auth_operator::api::custom_resource_definitions;

/// How long anything may take that is expected to happen.
pub use test_support::process::PATIENCE;

/// The operator's program, as cargo built it for these tests.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wandb-auth-operator"))
}

/// A namespace of one's own on the shared control plane.
pub async fn workspace() -> Result<Workspace> {
    // Made once for all tests: nearly every one asks for a namespace, and the schemas are derived from the Rust types.
    static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(custom_resource_definitions);
    Workspace::create(ControlPlane::shared().await?, &DEFINITIONS).await
}

/// What operators of the tests are started with: they may connect to the servers of these tests, and do not wait a
/// minute for what fails in a pod.
pub const ARGUMENTS: [&str; 4] = ["--allow-egress", "127.0.0.0/8", "--failure-patience", "2s"];

/// An operator for the namespace.
pub fn operator(workspace: &Workspace) -> Result<Operator> {
    workspace.start_operator(program(), &ARGUMENTS)
}

/// The password of the directory's service account.
pub const PASSWORD: &str = "correct-horse-battery";

/// A certificate for 127.0.0.1.
pub fn certificate() -> Result<Certificate> {
    CertificateAuthority::new("test authority")?.issue(&Leaf::loopback())
}

/// A directory with LDAPS.
pub fn directory(certificate: &Certificate) -> Result<Slapd> {
    Slapd::builder(PASSWORD).certificate(certificate).start()
}

/// A provider over https with one confidential and one public client.
pub fn provider(certificate: &Certificate) -> Result<OpenIdProvider> {
    OpenIdProvider::builder()
        .certificate(certificate)
        .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
        .client(OpenIdClient::public("wandb-public", REDIRECT_URI))
        .start()
}

/// The secret of the provider's confidential client.
pub const CLIENT_SECRET: &str = "a-client-secret-of-the-tests";

/// A namespace with an operator, a directory, and an `LdapConfig` named `corp` for it.
pub struct Corp {
    pub certificate: Certificate,
    pub directory: Slapd,
    pub workspace: Workspace,
    /// Killed when dropped.
    pub operator: Operator,
}

impl Corp {
    /// The resource with these further lines in its spec, just applied.
    pub async fn applied(more: &str) -> Result<Self> {
        let certificate = certificate()?;
        let directory = directory(&certificate)?;
        let workspace = workspace().await?;
        let operator = operator(&workspace)?;
        put_references(&workspace, &certificate).await?;
        workspace.apply(&ldap_config(&directory.ldaps_url()?, more)).await?;
        Ok(Self { certificate, directory, workspace, operator })
    }

    /// The resource with these further lines in its spec, Ready.
    pub async fn ready(more: &str) -> Result<Self> {
        let corp = Self::applied(more).await?;
        corp.workspace.wait_until_ready("LdapConfig", "corp").await?;
        Ok(corp)
    }
}

/// Where the tests' W&B would be.
pub const HOST: &str = "https://wandb.example.com";

/// The redirect URI that derives from [`HOST`].
pub const REDIRECT_URI: &str = "https://wandb.example.com/oidc/callback";

/// Puts the CA bundle and both passwords where [`ldap_config`] and [`oidc_provider`] refer to.
pub async fn put_references(workspace: &Workspace, certificate: &Certificate) -> Result<()> {
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    workspace.put_secret("oidc-client", &[("secret", CLIENT_SECRET)]).await?;
    put_authority(workspace, certificate).await
}

/// Puts the CA bundle where the resources refer to.
pub async fn put_authority(workspace: &Workspace, certificate: &Certificate) -> Result<()> {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"},
        "data": {"ca.crt": certificate.authority_pem},
    });
    workspace.apply(&map.to_string()).await
}

/// An `LdapConfig` named `corp` that the directory satisfies; `more` are further lines of its spec.
pub fn ldap_config(address: &str, more: &str) -> String {
    let (suffix, service) = (Slapd::SUFFIX, Slapd::SERVICE_DN);
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {{name: corp}}
spec:
  address: {address}
  baseDN: {suffix}
  bind: {{dn: '{service}', passwordSecretRef: {{name: ldap-bind, key: password}}}}
  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}
{}",
        indented(more)
    )
}

/// An `OidcProvider` named `main` that the provider satisfies; `more` are further lines of its spec.
pub fn oidc_provider(issuer: &str, more: &str) -> String {
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: OidcProvider
metadata: {{name: main}}
spec:
  issuer: {issuer}
  clientID: wandb
  clientSecretRef: {{name: oidc-client, key: secret}}
  host: {HOST}
  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}
{}",
        indented(more)
    )
}

/// A `JwtIssuer` named `ci` that the provider satisfies; `more` are further lines of its spec.
pub fn jwt_issuer(issuer: &str, more: &str) -> String {
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: JwtIssuer
metadata: {{name: ci}}
spec:
  issuer: {issuer}
  audiences: [my-org, research]
  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}
{}",
        indented(more)
    )
}

/// A row of one of the tables in which operators are killed: each has servers, pods and an operator of its own, so
/// that few of all tables run at a time.
pub async fn row() -> Result<SemaphorePermit<'static>> {
    static ROWS: Semaphore = Semaphore::const_new(6);
    Ok(ROWS.acquire().await?)
}

/// Asks until there is an answer, ever more seldom: twelve tests that ask without a pause would have the API server do
/// little else.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        let pause = (started.elapsed() / 8).clamp(Duration::from_millis(50), Duration::from_millis(250));
        tokio::time::sleep(pause).await;
    }
    bail!("waited in vain for {what}")
}

/// How long it may take until nothing is written any more: of thousands of resources, one after another is written.
const LAST_WRITE: Duration = Duration::from_mins(10);

/// Waits until so much time went by without another write; `count` tells how many there were.
pub async fn silence<F: Future<Output = Result<usize>>>(
    length: Duration,
    count: impl Fn() -> F,
) -> Result<()> {
    let started = Instant::now();
    let mut last = (count().await?, started);
    while started.elapsed() < LAST_WRITE {
        if last.1.elapsed() > length {
            return Ok(());
        }
        tokio::time::sleep(length / 8).await;
        let now = count().await?;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    bail!("waited in vain for silence")
}

/// Waits until every event is written that the operator had to tell by now. It writes one after another, so the event of
/// a resource that is made now is the last of them; the resource goes again.
pub async fn events_are_written(workspace: &Workspace) -> Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("last-event-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let last = ldap_config("ldaps://127.0.0.1:1", "suspend: true");
    workspace.apply(&last.replace("name: corp", &format!("name: {name}"))).await?;
    let events: Api<Event> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let of_last = ListParams::default().fields(&format!("involvedObject.name={name}"));
    eventually("the last event", || async {
        Ok((!events.list(&of_last).await?.items.is_empty()).then_some(()))
    })
    .await?;
    workspace.resources("LdapConfig")?.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until the garbage collector knows the kind `LdapConfig`. It looks for new definitions every half minute only, and
/// owners of a kind that it does not know come and go unseen.
///
/// It shows by a resource in a namespace that no operator watches: a deletion that takes the dependents first ends only
/// when the collector has seen the resource.
pub async fn garbage_collector_knows_ldap_configs(workspace: &Workspace) -> Result<()> {
    let namespace = format!("{}-collected", workspace.namespace());
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    workspace.apply(&made.to_string()).await?;
    let manifest = serde_yaml::from_str::<Value>(&ldap_config("ldaps://127.0.0.1:1", ""))?;
    let owner: DynamicObject = serde_json::from_value(manifest)?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("auth.wandb.com", "v1alpha1", "LdapConfig"));
    let owners: Api<DynamicObject> = Api::namespaced_with(workspace.client().clone(), &namespace, &resource);
    owners.create(&PostParams::default(), &owner).await?;
    let name = owner.name_any();
    owners.delete(&name, &DeleteParams::foreground()).await?;
    eventually("the garbage collector to know the kind", || async {
        Ok(owners.get_opt(&name).await?.is_none().then_some(()))
    })
    .await
}

/// Lines of a spec.
pub fn indented(lines: &str) -> String {
    lines.lines().fold(String::new(), |text, line| text + "  " + line + "\n")
}
