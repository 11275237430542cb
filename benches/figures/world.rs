//! What is measured against: a Kubernetes API, a directory and a provider, all on loopback.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_support::{
    Certificate, CertificateAuthority, ControlPlane, Leaf, OpenIdClient, OpenIdProvider, Operator, Slapd,
    Workspace,
};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::program;

const PASSWORD: &str = "a-password";
const CLIENT_SECRET: &str = "a-client-secret";

/// The servers, each of which ends when this is dropped.
pub struct World {
    control_plane: ControlPlane,
    directory: Slapd,
    provider: OpenIdProvider,
    certificate: Certificate,
}

impl World {
    /// Starts all of them.
    pub async fn start() -> Result<Self> {
        let certificate = CertificateAuthority::new("authority of the figures")?.issue(&Leaf::loopback())?;
        let directory = Slapd::builder(PASSWORD).certificate(&certificate).start()?;
        let client =
            OpenIdClient::confidential("wandb", CLIENT_SECRET, "https://wandb.example.com/oidc/callback");
        let provider = OpenIdProvider::builder().certificate(&certificate).client(client).start()?;
        Ok(Self { control_plane: ControlPlane::start().await?, directory, provider, certificate })
    }

    /// A namespace with everything that [`World::ldap_config`] and [`World::oidc_provider`] refer to.
    pub async fn workspace(&self) -> Result<Workspace> {
        let workspace = Workspace::create(&self.control_plane, &custom_resource_definitions()).await?;
        workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
        workspace.put_secret("oidc-client", &[("secret", CLIENT_SECRET)]).await?;
        workspace.put_secret("authority", &[("ca.crt", &self.certificate.authority_pem)]).await?;
        Ok(workspace)
    }

    /// An `LdapConfig` that the directory satisfies.
    pub fn ldap_config(&self, name: &str) -> Result<Value> {
        Ok(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "metadata": {"name": name},
            "spec": {
                "address": self.directory.ldaps_url()?,
                "baseDN": Slapd::SUFFIX,
                "bind": {
                    "dn": Slapd::SERVICE_DN,
                    "passwordSecretRef": {"name": "ldap-bind", "key": "password"},
                },
                "tls": {"caBundle": {"secretKeyRef": {"name": "authority", "key": "ca.crt"}}},
            },
        }))
    }

    /// An `OidcProvider` that the provider satisfies.
    pub fn oidc_provider(&self, name: &str) -> Value {
        json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "OidcProvider", "metadata": {"name": name},
            "spec": {
                "issuer": self.provider.issuer(),
                "clientID": "wandb",
                "clientSecretRef": {"name": "oidc-client", "key": "secret"},
                "host": "https://wandb.example.com",
                "tls": {"caBundle": {"secretKeyRef": {"name": "authority", "key": "ca.crt"}}},
            },
        })
    }
}

/// An operator that may connect to the servers.
pub fn start_operator(workspace: &Workspace) -> Result<Operator> {
    workspace
        .start_operator(program(), &["--allow-egress", "127.0.0.0/8"])
        .context("the operator does not start")
}

/// The same for several namespaces, in each of which it has its rights.
pub fn start_operator_for(workspace: &Workspace, namespaces: &[&str]) -> Result<Operator> {
    let namespaces = namespaces.join(",");
    workspace
        .start_operator(program(), &["--allow-egress", "127.0.0.0/8", "--namespace", &namespaces])
        .context("the operator does not start")
}

/// Whether the status says Ready for this generation or a later one.
pub fn is_ready(status: &Value, generation: i64) -> bool {
    let observed = status.get("observedGeneration").and_then(Value::as_i64).unwrap_or(-1);
    let ready = test_support::condition(status, "Ready");
    observed >= generation && ready.and_then(|ready| ready.get("status")?.as_str()) == Some("True")
}
