//! Several `JwtIssuer`s on one target: the oldest writes the audiences of all.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use test_support::{condition, pods::WandbWorkload};

use super::{
    Stage, TARGET, eventually,
    history::History,
    other_resources::{is_gone, jwt_issuer, message_of, provider},
};
use crate::world::operator;

const KIND: &str = "JwtIssuer";
const AUDIENCES: &str = "FEDERATED_AUTH_AUDIENCES";

/// Waits until the pods' audiences are these, and come from a revision of this issuer.
pub async fn audiences_are(stage: &Stage, issuer: &str, expected: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(|audience| (*audience).to_owned()).collect();
    eventually(&format!("the audiences {expected:?} from {issuer}"), || async {
        let entries = stage.entries().await?;
        let Some((secret, key)) = entries.get(AUDIENCES).filter(|_| entries.len() == 1) else {
            return Ok(None);
        };
        if !secret.starts_with(&format!("{issuer}-jwt-")) {
            return Ok(None);
        }
        // A revision that was replaced meanwhile is none to look at.
        let Some(held) = stage.workspace.secrets().get_opt(secret).await? else { return Ok(None) };
        let value = held.data.as_ref().and_then(|data| data.get(key)).context("the key of the entry")?;
        let text = std::str::from_utf8(&value.0)?;
        let found: BTreeSet<String> = text.split(',').map(str::to_owned).collect();
        Ok((found == expected).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_oldest_issuer_writes_the_audiences_of_all() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let steady = provider(&stage, "steady-authority").await?;
    let mut shaky = provider(&stage, "shaky-authority").await?;
    shaky.stop()?;
    let more = format!("{TARGET}\ncheckInterval: 1h\nfailureThreshold: 1");
    // Created in the order of their names, so that those decide within a second.
    stage.workspace.apply(&jwt_issuer(&steady, "steady-authority", "a", &more)).await?;
    let b = jwt_issuer(&steady, "steady-authority", "b", &more)
        .replace("[my-org, research]", "[research, extra]");
    stage.workspace.apply(&b).await?;
    let c = jwt_issuer(&shaky, "shaky-authority", "c", &more).replace("[my-org, research]", "[late]");
    stage.workspace.apply(&c).await?;

    // What is not verified adds nothing.
    stage.workspace.wait_for_reason(KIND, "c", "Verified", "ConnectionRefused").await?;
    audiences_are(&stage, "a", &["my-org", "research", "extra"]).await?;
    stage.workspace.wait_until_ready(KIND, "a").await?;
    let status = stage.workspace.wait_until_ready(KIND, "b").await?;
    ensure!(message_of(&status, "RolledOut").contains("older JwtIssuer \"a\""), "{status:#}");
    let history = History::begin(&stage).await?;
    let status = stage.workspace.status(KIND, "c").await?;
    assert_eq!(condition(&status, "Accepted").map(|accepted| &accepted["status"]), Some(&json!("True")));

    // One joins later, and changes its audiences.
    shaky.start()?;
    stage.workspace.recheck(KIND, "c", "up").await?;
    stage.workspace.wait_until_ready(KIND, "c").await?;
    audiences_are(&stage, "a", &["my-org", "research", "extra", "late"]).await?;
    stage.workspace.patch(KIND, "c", &json!({"spec": {"audiences": ["later"]}})).await?;
    audiences_are(&stage, "a", &["my-org", "research", "extra", "later"]).await?;
    stage.workspace.wait_until_ready(KIND, "c").await?;
    let deployment: Deployment = stage.api().get("wandb").await?;
    for name in ["b", "c"] {
        let manager = format!("wandb-auth-operator/jwtissuer/{name}");
        ensure!(deployment.managed_fields().iter().all(|entry| entry.manager.as_ref() != Some(&manager)));
        ensure!(stage.revisions(&format!("{name}-jwt")).await?.is_empty());
    }
    history.expect_always(&[AUDIENCES]).await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn audiences_outlive_an_outage_and_the_oldest_issuer() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let steady = provider(&stage, "steady-authority").await?;
    let mut shaky = provider(&stage, "shaky-authority").await?;
    let more = format!("{TARGET}\ncheckInterval: 1h\nfailureThreshold: 1");
    for (name, audiences) in [("a", "[my-org, research]"), ("b", "[research]")] {
        let issuer = jwt_issuer(&steady, "steady-authority", name, &more);
        stage.workspace.apply(&issuer.replace("[my-org, research]", audiences)).await?;
    }
    let c = jwt_issuer(&shaky, "shaky-authority", "c", &more).replace("[my-org, research]", "[later]");
    stage.workspace.apply(&c).await?;
    audiences_are(&stage, "a", &["my-org", "research", "later"]).await?;
    for name in ["a", "b", "c"] {
        stage.workspace.wait_until_ready(KIND, name).await?;
    }
    let history = History::begin(&stage).await?;

    // An outage removes nothing, whatever else happens meanwhile.
    shaky.stop()?;
    stage.workspace.recheck(KIND, "c", "down").await?;
    stage.workspace.wait_for_reason(KIND, "c", "Verified", "ConnectionRefused").await?;
    stage.operator = None;
    stage.operator = Some(operator(&stage.workspace)?);
    stage.workspace.patch(KIND, "b", &json!({"spec": {"audiences": ["my-org", "research", "new"]}})).await?;
    audiences_are(&stage, "a", &["my-org", "research", "new", "later"]).await?;
    stage.workspace.wait_until_ready(KIND, "a").await?;

    // The next one takes over with what is left, here the same; and one that goes takes its own along.
    stage.workspace.resources(KIND)?.delete("a", &DeleteParams::default()).await?;
    audiences_are(&stage, "b", &["my-org", "research", "new", "later"]).await?;
    is_gone(&stage.workspace, KIND, "a").await?;
    ensure!(stage.revisions("a-jwt").await?.is_empty());
    stage.workspace.wait_until_ready(KIND, "b").await?;
    stage.workspace.resources(KIND)?.delete("c", &DeleteParams::default()).await?;
    audiences_are(&stage, "b", &["my-org", "research", "new"]).await?;
    is_gone(&stage.workspace, KIND, "c").await?;
    history.expect_always(&[AUDIENCES]).await?;
    stage.expect_no_broken_reference()
}
