//! The resources of a fleet.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::servers::{BIND_PASSWORD, Servers, TEAM};
use crate::{Slapd, Workspace};

/// The kinds of the operator.
pub const KINDS: [&str; 4] = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];

/// The Secret that all service accounts of a namespace share, with a key for each.
pub const SHARED_KEYS: &str = "sa-keys";

const CLIENT_SECRET: &str = "a-client-secret";

/// Puts what [`manifest`]s refer to into the namespace.
pub async fn put_references(workspace: &Workspace, servers: &Servers) -> Result<()> {
    workspace.put_secret("ldap-bind", &[("password", BIND_PASSWORD)]).await?;
    workspace.put_secret("oidc-client", &[("secret", CLIENT_SECRET)]).await?;
    workspace.put_secret("authority", &[("ca.crt", servers.authority_pem())]).await
}

/// A resource of the kind that the servers satisfy.
pub fn manifest(servers: &Servers, kind: &str, name: &str) -> Result<Value> {
    let mut spec = match kind {
        "LdapConfig" => json!({
            "address": servers.directory().ldaps_url()?,
            "baseDN": Slapd::SUFFIX,
            "bind": {"dn": Slapd::SERVICE_DN, "passwordSecretRef": {"name": "ldap-bind", "key": "password"}},
        }),
        "OidcProvider" => json!({
            "issuer": servers.issuer(),
            "clientID": "wandb",
            "clientSecretRef": {"name": "oidc-client", "key": "secret"},
            "host": "https://wandb.example.com",
        }),
        "JwtIssuer" => json!({ "issuer": servers.issuer(), "audiences": ["research"] }),
        "ServiceAccount" => json!({
            "instance": {"baseURL": servers.wandb().base_url()},
            "team": TEAM,
            "credentials": {"apiKey": {"bootstrapSecretRef": {"name": SHARED_KEYS, "key": name}}},
        }),
        _ => bail!("the fleet has no {kind}"),
    };
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(
            "tls".to_owned(),
            json!({"caBundle": {"secretKeyRef": {"name": "authority", "key": "ca.crt"}}}),
        );
    }
    Ok(json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    }))
}
