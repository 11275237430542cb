//! The real client works with exactly what the published Secret gives.

use std::{fs, time::Duration};

use anyhow::Result;
use serde_json::json;
use test_support::{WandbAction, WandbClient};

use super::{CLIENT, FROM_ISSUER, Federation};

/// Where the documentation has programs mount the Secret.
const MOUNT: &str = "/var/run/secrets/auth.wandb.com";

#[tokio::test]
async fn the_real_client_works_with_the_identity_token_of_the_secret() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    federation.apply(FROM_ISSUER, "").await?;
    federation.ready().await?;
    let client = WandbClient::install()?;
    let mounted = tempfile::tempdir()?;
    let at = mounted.path().to_string_lossy().into_owned();
    let mut environment = Vec::new();
    // Mounted, every key is a file; as envFrom, every key that can be a name is a variable.
    for (name, value) in federation.published().await? {
        fs::write(mounted.path().join(&name), &value)?;
        if !name.contains(['.', '-']) {
            let value = value
                .replace(MOUNT, &at)
                .replace("/tmp/wandb-credentials.json", &format!("{at}/credentials.json"));
            environment.push((name, value));
        }
    }
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(client.run(&environment, WandbAction::Login)?, Ok(json!({"loggedIn": true})));
    let viewer = client.run(&environment, WandbAction::Viewer)?;
    assert!(viewer.as_ref().is_ok_and(|viewer| viewer["username"] == CLIENT), "{viewer:?}");
    // What the server says when it no longer trusts the issuer's keys is what the person reads.
    federation.server.register_issuer(federation.provider.issuer(), r#"{"keys": []}"#)?;
    federation.server.revoke_access_tokens();
    fs::remove_file(mounted.path().join("credentials.json"))?;
    let refused = client.run(&environment, WandbAction::Viewer)?;
    assert!(refused.as_ref().is_err_and(|words| words.contains("no key of the issuer")), "{refused:?}");
    Ok(())
}
