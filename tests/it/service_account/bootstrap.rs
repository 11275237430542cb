//! The key that a person copied: what of it is published, and whom it must belong to.

use anyhow::{Result, ensure};
use test_support::{WandbServer, condition};

use super::{KIND, Robot, content, finding, service_account};
use crate::world::{certificate, operator, put_authority, workspace};

#[tokio::test]
async fn a_copied_key_becomes_ready_and_is_published() -> Result<()> {
    let robot = Robot::new().await?;
    robot.server.user("alice", "research")?;
    robot.apply("", "attribution: {username: alice}").await?;
    let status = robot.workspace.wait_until_ready(KIND, "ci").await?;
    let secret = robot.workspace.secrets().get("ci-wsa").await?;
    let expected = [
        ("WANDB_API_KEY", robot.bootstrap.clone()),
        ("WANDB_BASE_URL", robot.server.base_url()),
        ("WANDB_ENTITY", "research".to_owned()),
        ("WANDB_USERNAME", "alice".to_owned()),
    ];
    assert_eq!(content(&secret), expected.map(|(name, value)| (name.to_owned(), value)).into());
    assert_eq!(status["account"]["username"], "ci");
    assert!(status["keySince"].is_string());
    assert_eq!(
        (&status["keyID"], &status["nextRotation"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(robot.server.requests("viewer"), 1);
    let object = robot.workspace.resources(KIND)?.get("ci").await?;
    assert_eq!(object.metadata.finalizers, None, "nothing was made at the server");
    // Another key of the same account is followed at once.
    let other = robot.server.add_key("ci", "another one")?;
    robot.workspace.put_secret("sa-key", &[("key", &other.secret)]).await?;
    let followed = robot.wait_for_rotation(&robot.bootstrap).await?;
    assert_eq!(followed, other);
    Ok(())
}

#[tokio::test]
async fn a_private_authority_is_published_for_the_client() -> Result<()> {
    let certificate = certificate()?;
    let server = WandbServer::builder().certificate(&certificate).start()?;
    let key = server.service_account("ci", "research")?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_authority(&workspace, &certificate).await?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    let more = "organization: {name: acme, defaultTeam: research}
tls: {caBundle: {configMapKeyRef: {name: authority, key: ca.crt}}}";
    let resource = service_account("ci", &server.base_url(), "", more).replace("  team: research\n", "");
    workspace.apply(&resource).await?;
    workspace.wait_until_ready(KIND, "ci").await?;
    let content = content(&workspace.secrets().get("ci-wsa").await?);
    assert_eq!(content["SSL_CERT_FILE"], "/var/run/secrets/auth.wandb.com/ca.crt");
    assert_eq!(content["ca.crt"].trim(), certificate.authority_pem.trim());
    Ok(())
}

#[tokio::test]
async fn a_key_must_be_the_accounts_and_the_account_in_the_team() -> Result<()> {
    let robot = Robot::new().await?;
    let alice = robot.server.user("alice", "research")?;
    robot.server.team("elsewhere");
    for (name, key) in [("alices", alice.as_str()), ("cut", "local-0123"), ("unknown", &"0".repeat(40))] {
        robot.workspace.put_secret(name, &[("key", key)]).await?;
    }
    let resource = |name: &str, change: (&str, &str)| {
        // Each is another account, as far as the operator knows.
        let url = format!("{}/", robot.server.base_url());
        let resource = service_account(name, &url, "", "").replace(change.0, change.1);
        resource.replace(
            "accountName: ci",
            &format!("accountName: {}", if name == "alice" { "bob" } else { "ci" }),
        )
    };
    // One after the other: resources for the same account would supersede each other.
    for (name, change, check, reason, words) in [
        (
            "alice",
            ("name: sa-key", "name: alices"),
            "KeyAccepted",
            "AccountMismatch",
            "set spec.accountName to \"alice\"",
        ),
        (
            "cut",
            ("name: sa-key", "name: cut"),
            "KeyShape",
            "KeyMalformed",
            "has 4 characters after its first dash",
        ),
        (
            "unknown",
            ("name: sa-key", "name: unknown"),
            "KeyAccepted",
            "Unauthorized",
            "The credentials come from the key \"key\" of the Secret \"unknown\" (spec.",
        ),
        ("lonely", ("team: research", "team: elsewhere"), "Membership", "NotAMember", "it is in research"),
    ] {
        robot.workspace.apply(&resource(name, change)).await?;
        let status = robot.workspace.wait_for_reason(KIND, name, "Verified", reason).await?;
        let found = finding(&status, check)?;
        assert_eq!((&found["result"], &found["reason"]), (&"Failed".into(), &reason.into()));
        let message = found["message"].to_string();
        ensure!(message.replace("\\\"", "\"").contains(words), "{words} is not in {message}");
        assert_eq!(condition(&status, "Stalled").map(|stalled| &stalled["status"]), Some(&"True".into()));
        assert!(robot.workspace.secrets().get_opt(&format!("{name}-wsa")).await?.is_none());
        robot.workspace.resources(KIND)?.delete(name, &kube::api::DeleteParams::background()).await?;
    }
    // Runs cannot be attributed to a stranger, which harms nobody.
    robot.apply("", "attribution: {userEmail: bob@example.org}").await?;
    let status = robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(finding(&status, "Membership")?["reason"], "NotAMember");
    Ok(())
}

#[tokio::test]
async fn an_account_is_looked_after_by_one_resource() -> Result<()> {
    let robot = Robot::new().await?;
    robot.apply("", "").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    // Creation times are whole seconds, and names decide between equal ones.
    let url = format!("{}/", robot.server.base_url());
    robot.workspace.apply(&service_account("later", &url, "", "")).await?;
    let status = robot.workspace.wait_for_reason(KIND, "later", "Accepted", "Superseded").await?;
    let message = condition(&status, "Accepted").map(|accepted| accepted["message"].to_string());
    assert!(message.is_some_and(|message| message.contains("\\\"ci\\\" has the account \\\"ci\\\" at http")));
    assert!(robot.workspace.secrets().get_opt("later-wsa").await?.is_none());
    robot.workspace.resources(KIND)?.delete("ci", &kube::api::DeleteParams::background()).await?;
    robot.workspace.wait_until_ready(KIND, "later").await?;
    Ok(())
}
