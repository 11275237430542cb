//! `createWith`: the operator makes the account, and a person its first key.

use anyhow::{Context, Result};
use test_support::{WandbServer, Workspace, wandb_server::Fault};

use super::{KIND, finding, service_account};
use crate::world::{operator, workspace};

const CREATE: &str = "createWith: {adminKeySecretRef: {name: admin-key, key: key}}";

/// A server with the team `research` and its administrator's key in the Secret `admin-key`.
async fn place() -> Result<(WandbServer, Workspace)> {
    let server = WandbServer::builder().start()?;
    server.team("research");
    let workspace = workspace().await?;
    workspace.put_secret("admin-key", &[("key", &server.admin("root")?)]).await?;
    Ok((server, workspace))
}

#[tokio::test]
async fn an_account_is_made_once_and_waits_for_a_persons_key() -> Result<()> {
    let (server, workspace) = place().await?;
    let first = operator(&workspace)?;
    workspace.apply(&service_account("ci", &server.base_url(), CREATE, "")).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "ManualStepRequired").await?;
    assert_eq!(server.members("research"), ["ci"]);
    assert_eq!(status["account"]["username"], "ci");
    assert_eq!(finding(&status, "Membership")?["result"], "Passed");
    let message = finding(&status, "ManualStepRequired")?["message"].to_string();
    for words in ["Team settings, Service accounts", "\\\"key\\\" of the Secret \\\"sa-key\\\""] {
        assert!(message.contains(words), "{message}");
    }
    drop(first);
    let _second = operator(&workspace)?;
    workspace.recheck(KIND, "ci", "again").await?;
    workspace
        .wait_for(KIND, "ci", |status| {
            status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains("recheck=again"))
        })
        .await?;
    assert_eq!(server.requests("createServiceAccount"), 1);
    let key = server.add_key("ci", "a person's")?;
    workspace.put_secret("sa-key", &[("key", &key.secret)]).await?;
    let status = workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(finding(&status, "ManualStepRequired")?["result"], "Passed");
    let asked = server.calls().into_iter().filter(|call| call.operation == "entity").count();
    workspace.recheck(KIND, "ci", "and again").await?;
    workspace
        .wait_for(KIND, "ci", |status| {
            status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains("recheck=and again"))
        })
        .await?;
    assert_eq!(server.requests("entity"), asked, "the administrator's key is not used any more");
    Ok(())
}

#[tokio::test]
async fn an_account_of_that_name_is_adopted() -> Result<()> {
    let (server, workspace) = place().await?;
    let key = server.service_account("ci", "research")?;
    let _operator = operator(&workspace)?;
    workspace.apply(&service_account("ci", &server.base_url(), CREATE, "")).await?;
    workspace.wait_for_reason(KIND, "ci", "Verified", "ManualStepRequired").await?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(server.requests("createServiceAccount"), 0);
    Ok(())
}

#[tokio::test]
async fn a_person_of_that_name_is_not_adopted() -> Result<()> {
    let (server, workspace) = place().await?;
    server.user("ci", "research")?;
    let _operator = operator(&workspace)?;
    workspace.apply(&service_account("ci", &server.base_url(), CREATE, "")).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "AccountMismatch").await?;
    let message = finding(&status, "Membership")?["message"].to_string();
    assert!(message.contains("is not a service account"), "{message}");
    assert_eq!(server.requests("createServiceAccount"), 0);
    Ok(())
}

#[tokio::test]
async fn a_creation_that_was_not_answered_makes_no_second_account() -> Result<()> {
    let (server, workspace) = place().await?;
    server.fail("createServiceAccount", Fault::Status(502));
    let _operator = operator(&workspace)?;
    workspace.apply(&service_account("ci", &server.base_url(), CREATE, "checkInterval: 10s")).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "QueryFailed").await?;
    let message = finding(&status, "Membership")?["message"].to_string();
    assert!(message.contains("asked for again after an hour"), "{message}");
    let asked = server.requests("entity");
    super::eventually("two more checks", || async {
        Ok((server.requests("entity") >= asked + 2).then_some(()))
    })
    .await?;
    assert_eq!(server.requests("createServiceAccount"), 1);
    // An answer that is lost after the deed leaves an account that is found.
    server.heal();
    server.fail_next(1, "createServiceAccount", Fault::CloseAfterPerforming);
    workspace.recheck(KIND, "ci", "again").await?;
    workspace.wait_for_reason(KIND, "ci", "Verified", "ManualStepRequired").await?;
    assert_eq!(server.requests("createServiceAccount"), 2);
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_an_administrator_is_asked_once() -> Result<()> {
    let (server, workspace) = place().await?;
    server.forbid_service_account_creation(true);
    let first = operator(&workspace)?;
    workspace.apply(&service_account("ci", &server.base_url(), CREATE, "checkInterval: 10s")).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "QueryFailed").await?;
    let message = finding(&status, "Membership")?["message"].to_string();
    assert!(message.contains("adminKeySecretRef") && message.contains("is disabled"), "{message}");
    drop(first);
    let second = operator(&workspace)?;
    second.wait_until_ready()?;
    // Two more checks, and a restart.
    super::eventually("two more checks", || async { Ok((server.requests("entity") >= 3).then_some(())) })
        .await?;
    assert_eq!(server.requests("createServiceAccount"), 1);
    server.forbid_service_account_creation(false);
    workspace.recheck(KIND, "ci", "now").await?;
    workspace.wait_for_reason(KIND, "ci", "Verified", "ManualStepRequired").await?;
    // An administrator's key that is refused is told from the account's own.
    workspace.put_secret("admin-key", &[("key", &"0".repeat(40))]).await?;
    let status = workspace.wait_for_reason(KIND, "ci", "Verified", "Unauthorized").await?;
    let message = finding(&status, "Membership")?["message"].as_str().context("a message")?.to_owned();
    assert!(message.starts_with("With the key of spec.credentials.apiKey.createWith"), "{message}");
    Ok(())
}

#[tokio::test]
async fn checking_on_the_command_line_makes_nothing() -> Result<()> {
    let server = WandbServer::builder().start()?;
    server.team("research");
    let admin = server.admin("root")?;
    let resource = service_account("ci", &server.base_url(), CREATE, "");
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: admin-key}}\nstringData: {{key: {admin}}}\n"
    );
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ci.yaml");
    std::fs::write(&file, resource + &secret)?;
    let output =
        std::process::Command::new(crate::world::program()).args(["check", "-f"]).arg(&file).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("only the running operator does it") && printed.contains("ManualStepRequired"));
    assert_eq!((server.requests("createServiceAccount"), server.requests("generateApiKey")), (0, 0));
    assert!(server.requests("entity") == 1 && !printed.contains(&admin));
    Ok(())
}
