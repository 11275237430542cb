//! An unchanged world leads to no write and to no new token.

use std::time::Duration;

use anyhow::{Result, ensure};
use test_support::ControlPlane;

use super::{FROM_ISSUER, Federation};
use crate::world::{events_are_written, eventually, operator, silence};

/// How long nothing is written once what follows a status is written.
const SETTLED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn nothing_is_made_or_written_while_nothing_changes() -> Result<()> {
    let mut federation = Federation::new(Duration::from_mins(30)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 10s").await?;
    federation.ready().await?;
    let plane = ControlPlane::shared().await?;
    let namespace = federation.workspace.namespace().to_owned();
    let writes = || -> Result<Vec<String>> {
        let events = plane.audit_in(&namespace)?.into_iter().filter(|event| event.user == "operator");
        let writes =
            events.filter(|event| ["create", "update", "patch", "delete"].contains(&event.verb.as_str()));
        Ok(writes.map(|event| format!("{} {} {}", event.verb, event.resource, event.name)).collect())
    };
    // Events are written after the status that was waited for.
    events_are_written(&federation.workspace).await?;
    silence(SETTLED, || async { Ok(writes()?.len()) }).await?;
    let secret = federation.workspace.secrets().get("ci-wsa").await?;
    let (before, exchanges) = (writes()?, federation.server.requests("/oidc/token"));
    eventually("three more checks", || async {
        Ok((federation.server.requests("/oidc/token") >= exchanges + 3).then_some(()))
    })
    .await?;
    ensure!(writes()? == before, "written although nothing changed: {:#?}", writes()?);
    assert_eq!(federation.token_requests()?, 1);

    // A restart knows no token but the one that the Secret holds.
    federation.operator = operator(&federation.workspace)?;
    federation.operator.wait_until_ready()?;
    let exchanges = federation.server.requests("/oidc/token");
    eventually("two more checks", || async {
        Ok((federation.server.requests("/oidc/token") >= exchanges + 2).then_some(()))
    })
    .await?;
    ensure!(writes()? == before, "written after a restart: {:#?}", writes()?);
    assert_eq!(federation.token_requests()?, 1);
    let after = federation.workspace.secrets().get("ci-wsa").await?;
    assert_eq!(after.metadata.resource_version, secret.metadata.resource_version);
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_does_to_the_secret_is_undone_without_a_new_token() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let before = federation.published().await?;
    federation.workspace.secrets().delete("ci-wsa", &kube::api::DeleteParams::default()).await?;
    eventually("the Secret", || async {
        federation.workspace.secrets().get_opt("ci-wsa").await.map_err(Into::into)
    })
    .await?;
    assert_eq!(federation.published().await?, before);
    assert_eq!(federation.token_requests()?, 1);
    Ok(())
}
