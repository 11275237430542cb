//! What `check` and `render` say of federated accounts, without a cluster.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{CLIENT_SECRET, FROM_ISSUER, Federation, jwt_issuer};
use crate::command_line::call::Directory;

/// The files of an account whose tokens come from there.
fn files(federation: &Federation, token: &str) -> Result<Directory> {
    let authority = &federation.certificate.authority_pem;
    let references = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": authority}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client"}, "stringData": {"secret": CLIENT_SECRET}}),
    ];
    let references = references.map(|object| object.to_string()).join("\n---\n");
    Directory::with(&[
        ("issuer.yaml", &jwt_issuer(federation.provider.issuer(), "")),
        ("account.yaml", &federation.account(token, "")),
        ("references.yaml", &references),
    ])
}

#[tokio::test]
async fn an_account_is_checked_with_the_issuer_of_a_file() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    let printed = files(&federation, FROM_ISSUER)?.call("check -f .")?;
    assert_eq!(printed.code, 0, "{printed}");
    for words in ["its own checks tell", "✓ TokenObtained", "✓ TokenClaims", "✓ TokenExchange"] {
        assert!(printed.stdout.contains(words), "{words} is not in {printed}");
    }
    assert!(!printed.stdout.contains(CLIENT_SECRET) && !printed.stdout.contains("eyJ"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn without_a_cluster_nobody_makes_tokens_of_kubernetes() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    let printed = files(&federation, "serviceAccount: {name: trainer}")?.call("check -f .")?;
    assert_eq!(printed.code, 0, "{printed}");
    for check in ["- TokenObtained", "- TokenClaims", "- TokenExchange"] {
        assert!(printed.stdout.contains(check), "{check} is not in {printed}");
    }
    assert!(printed.stdout.contains("no cluster"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn values_are_rendered_with_words_for_the_token() -> Result<()> {
    let federation = Federation::new(Duration::from_mins(10)).await?;
    let printed = files(&federation, FROM_ISSUER)?
        .call("render -f account.yaml -f issuer.yaml -f references.yaml --reveal")?;
    assert_eq!(printed.code, 0, "{printed}");
    for words in [
        "identity-token: a token that the operator obtains",
        "WANDB_IDENTITY_TOKEN_FILE",
        "WANDB_CREDENTIALS_FILE",
    ] {
        assert!(printed.stdout.contains(words), "{words} is not in {printed}");
    }
    assert_eq!(federation.token_requests()?, 0);
    Ok(())
}
