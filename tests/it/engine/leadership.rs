//! Several replicas, and how a process ends.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use test_support::Operator;

use crate::world::{certificate, directory, ldap_config, operator, program, put_references, workspace};

const LEADER: &str = "became the leader";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_leads_and_another_takes_over() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let replica =
        || workspace.start_operator(program(), &["--allow-egress", "127.0.0.0/8", "--leader-elect"]);
    let mut first: Operator = replica()?;
    first.log().wait_for(LEADER, PATIENCE)?;
    let second = replica()?;
    second.log().wait_for("waiting to become the leader", PATIENCE)?;
    ensure!(second.get("/readyz")?.0 == 200, "a replica that stands by is ready");
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let published = workspace.secrets().get("corp-ldap").await?.metadata.resource_version;
    ensure!(!second.log().contains(LEADER)?, "two lead at once");
    // A leader that stops gives the Lease up.
    let stopped = first.process().terminate(Duration::from_secs(5))?;
    ensure!(stopped.success(), "SIGTERM is an orderly end: {stopped}");
    let asked = Instant::now();
    second.log().wait_for(LEADER, PATIENCE)?;
    ensure!(asked.elapsed() < Duration::from_secs(8), "it waited for the Lease to expire");
    // A leader that is killed is replaced once its Lease has expired.
    let third = replica()?;
    third.log().wait_for("waiting to become the leader", PATIENCE)?;
    drop(second);
    third.log().wait_for(LEADER, PATIENCE)?;
    third.wait_until_ready()?;
    workspace.recheck("LdapConfig", "corp", "third").await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    ensure!(
        workspace.secrets().get("corp-ldap").await?.metadata.resource_version == published,
        "no Secret changed"
    );
    Ok(())
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_hung_server() -> Result<()> {
    let black_hole = test_support::hostile::TcpServer::black_hole()?;
    let workspace = workspace().await?;
    let mut operator = operator(&workspace)?;
    put_references(&workspace, &certificate()?).await?;
    workspace.apply(&ldap_config(&format!("ldaps://{}", black_hole.address()), "checkTimeout: 1m")).await?;
    test_support::wait_until(PATIENCE, "the probe to hang", || Ok(black_hole.connections() >= 1))?;
    let ended = operator.process().terminate(Duration::from_secs(5))?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}
