//! Providers that do not work now, which passes by itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use serde_json::json;
use test_support::{condition, hostile::Response};
use wandb_auth_operator::api::{CheckName, Reason};

use super::{
    assert_failure, assert_not_reached, examine, finding,
    scripted_provider::{Provider, WELL_KNOWN, refusal, strong_key},
    spec,
};
use crate::world::{operator, workspace};

#[tokio::test]
async fn every_endpoint_may_be_unavailable() {
    for (path, check) in [
        (WELL_KNOWN, CheckName::Discovery),
        ("/jwks", CheckName::SigningKeys),
        ("/token", CheckName::ClientCredentials),
        ("/authorize", CheckName::RedirectUri),
    ] {
        for status in [429, 500, 503] {
            // Some say so in the form of an OAuth error.
            let server = Provider::with(json!({}))
                .answering(path, move |_| refusal(status, "temporarily_unavailable"))
                .start();
            let redirect_uri = json!({ "checks": { "redirectURI": true } });
            let findings = examine(&spec(&server.url(""), &redirect_uri), &[]).await;
            let found = finding(&findings, &check);
            assert_eq!(found.reason, Reason::ServerUnavailable, "{path} {status}: {}", found.message);
            assert!(found.message.contains(&status.to_string()), "{}", found.message);
        }
    }
}

#[tokio::test]
async fn nothing_else_is_asked_of_a_provider_that_is_starting() {
    let server = Provider::with(json!({})).answering(WELL_KNOWN, |_| Response::status(503, "")).start();
    let findings = examine(&spec(&server.url(""), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Discovery, Reason::ServerUnavailable, &["503", "tries again"]);
    assert_not_reached(&findings, &[CheckName::IssuerMatches, CheckName::SigningKeys]);
}

#[tokio::test]
async fn a_provider_that_is_starting_stalls_nothing() -> Result<()> {
    let started = Arc::new(AtomicBool::new(false));
    let is_started = Arc::clone(&started);
    let server = Provider::with(json!({}))
        .answering("/jwks", move |_| {
            if is_started.load(Ordering::SeqCst) {
                Response::json(&json!({ "keys": [strong_key()] }))
            } else {
                Response::status(503, "starting")
            }
        })
        .start();
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    let provider = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "OidcProvider", "metadata": { "name": "main" },
        "spec": spec(&server.url(""), &json!({})),
    });
    workspace.apply(&provider.to_string()).await?;
    let status = workspace.wait_for_reason("OidcProvider", "main", "Verified", "ServerUnavailable").await?;
    assert!(condition(&status, "Stalled").is_none(), "{status:#}");
    assert_eq!(condition(&status, "Reconciling").context("Reconciling")?["status"], "True");
    started.store(true, Ordering::SeqCst);
    workspace.recheck("OidcProvider", "main", "started").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    Ok(())
}
