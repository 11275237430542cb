//! The real client works with exactly what published Secrets give.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{WandbAction, WandbClient, WandbServer};

use super::{CLIENT, FROM_ISSUER, Federation, published};
use crate::documentation::documented_mount;
use crate::world::{certificate, operator, put_authority, workspace};

/// Where it has the client keep its access tokens.
const CREDENTIALS: &str = "/tmp/wandb-credentials.json";

/// A pod that mounts the Secret and takes its variables from it, as the documentation has it.
struct Pod {
    client: WandbClient,
    mounted: TempDir,
    variables: Vec<(String, String)>,
}

impl Pod {
    /// Mounted, every key is a file; as `envFrom`, every key that can be a name is a variable.
    fn new(secret: BTreeMap<String, String>) -> Result<Self> {
        let mounted = tempfile::tempdir()?;
        let mount = documented_mount()?;
        let at = mounted.path().to_string_lossy().into_owned();
        let mut variables = Vec::new();
        for (name, value) in secret {
            fs::write(mounted.path().join(&name), &value)?;
            if !name.contains(['.', '-']) {
                variables.push((
                    name,
                    value.replace(&mount, &at).replace(CREDENTIALS, &format!("{at}/credentials.json")),
                ));
            }
        }
        Ok(Self { client: WandbClient::install()?, mounted, variables })
    }

    /// What the client answers, or its own words for an error.
    fn run(&self, action: WandbAction) -> Result<std::result::Result<Value, String>> {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.client.run(&variables, action)
    }
}

#[tokio::test]
async fn the_real_client_works_with_an_identity_token() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    let pod = Pod::new(federation.published().await?)?;
    assert_eq!(pod.run(WandbAction::Login)?, Ok(json!({"loggedIn": true})));
    let viewer = pod.run(WandbAction::Viewer)?;
    assert!(viewer.as_ref().is_ok_and(|viewer| viewer["username"] == CLIENT), "{viewer:?}");
    // What the server says when it no longer trusts the issuer's keys is what the person reads.
    federation.server.register_issuer(federation.provider.issuer(), r#"{"keys": []}"#)?;
    federation.server.revoke_access_tokens();
    fs::remove_file(pod.mounted.path().join("credentials.json"))?;
    let refused = pod.run(WandbAction::Viewer)?;
    assert!(refused.as_ref().is_err_and(|words| words.contains("no key of the issuer")), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_real_client_works_with_an_api_key_until_that_is_revoked() -> Result<()> {
    let certificate = certificate()?;
    let server = WandbServer::builder().certificate(&certificate).start()?;
    let key = server.service_account("ci", "research")?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    let account = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "ServiceAccount", "metadata": {"name": "ci"},
        "spec": {
            "instance": {"baseURL": server.base_url()}, "team": "research",
            "credentials": {"apiKey": {"bootstrapSecretRef": {"name": "sa-key", "key": "key"}}},
            "tls": {"caBundle": {"configMapKeyRef": {"name": "authority", "key": "ca.crt"}}},
        },
    });
    workspace.apply(&account.to_string()).await?;
    workspace.wait_until_ready("ServiceAccount", "ci").await?;
    let pod = Pod::new(published(&workspace).await?)?;
    assert_eq!(pod.run(WandbAction::Login)?, Ok(json!({"loggedIn": true})));
    let viewer = pod.run(WandbAction::Viewer)?;
    assert!(viewer.as_ref().is_ok_and(|viewer| viewer["username"] == "ci"), "{viewer:?}");
    for key in server.keys_of("ci") {
        server.revoke(&key.id)?;
    }
    let refused = pod.run(WandbAction::Viewer)?;
    assert!(refused.as_ref().is_err_and(|words| words.contains("invalid API key")), "{refused:?}");
    Ok(())
}
