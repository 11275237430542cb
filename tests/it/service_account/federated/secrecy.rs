//! Tokens stay in Secrets, also those that a run makes or is given.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::ListParams;
use serde_json::json;
use test_support::wandb_server::Fault;

use super::{AUDIENCE, CLIENT, CLIENT_SECRET, FROM_ISSUER, Federation, jwt_issuer};
use crate::world::program;

#[tokio::test]
async fn tokens_appear_nowhere_outside_secrets() -> Result<()> {
    let mut federation = Federation::new(Duration::from_mins(30)).await?;
    let arguments = ["--allow-egress", "127.0.0.0/8"];
    federation.operator =
        federation.workspace.start_operator_in(program(), &arguments, &[("RUST_LOG", "trace")])?;
    let workspace = &federation.workspace;
    let sample = federation.provider.issue(&json!({"sub": CLIENT, "aud": AUDIENCE}))?;
    workspace.put_secret("tokens", &[("ci", &sample)]).await?;
    let more = format!(
        "instance: {{baseURL: {}}}
samples: [{{name: ci, tokenSecretRef: {{name: tokens, key: ci}}, expect: {{valid: true}}}}]",
        federation.server.base_url()
    );
    workspace.apply(&jwt_issuer(federation.provider.issuer(), &more)).await?;
    let status = workspace.wait_until_ready("JwtIssuer", "main").await?;
    let exchanged = super::finding(&status, "TokenExchange")?;
    ensure!(exchanged["result"] == "Passed", "the sample was exchanged: {exchanged}");
    federation.apply(FROM_ISSUER, "failureThreshold: 1").await?;
    federation.ready().await?;
    let minted = federation.published().await?.remove("identity-token").context("no token")?;
    // A server that repeats what it was sent.
    federation.server.fail("viewer", Fault::Error(format!("no account for {minted}")));
    workspace.recheck("ServiceAccount", "ci", "repeated").await?;
    federation.failed("QueryFailed").await?;
    federation.server.heal();
    workspace.recheck("ServiceAccount", "ci", "healed").await?;
    federation.ready().await?;

    let given = federation.server.access_tokens();
    ensure!(given.len() >= 3, "one for the sample, and one for each run of the account: {}", given.len());
    let mut outputs = vec![
        ("log", federation.operator.log().read()?),
        ("events", workspace.events().await?),
        ("metrics", federation.operator.get("/metrics")?.1),
        ("annotations", serde_json::to_string(&workspace.secrets().get("ci-wsa").await?.metadata)?),
    ];
    for kind in ["JwtIssuer", "ServiceAccount"] {
        let list = workspace.resources(kind)?.list(&ListParams::default()).await?;
        outputs.push(("resources", serde_json::to_string(&list.items)?));
    }
    ensure!(outputs.iter().any(|(_, text)| text.contains("CheckFailed")), "the outputs hold what happened");
    // The signature is what makes a token of claims that everybody may know.
    let signature = |token: &str| token.rsplit('.').next().map(str::to_owned).context("no signature");
    let planted = [CLIENT_SECRET.to_owned(), signature(&sample)?, signature(&minted)?];
    for secret in planted.iter().chain(&given) {
        for (place, text) in &outputs {
            ensure!(!text.contains(secret), "{secret} stands in the {place}");
        }
    }
    Ok(())
}
