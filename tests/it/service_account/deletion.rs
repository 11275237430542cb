//! What becomes of generated keys when the resource is deleted.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::wandb_server::Fault;

use super::{KIND, Robot, eventually};
use crate::world::{PATIENCE, operator, program};

async fn delete(robot: &Robot) -> Result<()> {
    robot.workspace.resources(KIND)?.delete("ci", &DeleteParams::background()).await?;
    eventually("the end of the resource", || async {
        Ok(robot.workspace.resources(KIND)?.get_opt("ci").await?.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn generated_keys_are_revoked_and_copied_ones_stay() -> Result<()> {
    let robot = Robot::rotated("").await?;
    assert_eq!(robot.server.keys_of("ci").len(), 2);
    // What the spec refers to is gone already.
    robot.workspace.secrets().delete("sa-key", &DeleteParams::default()).await?;
    delete(&robot).await?;
    let left: Vec<_> = robot.server.keys_of("ci").into_iter().map(|key| key.secret).collect();
    assert_eq!(left, std::slice::from_ref(&robot.bootstrap));
    Ok(())
}

#[tokio::test]
async fn generated_keys_stay_where_the_spec_says_so() -> Result<()> {
    for (api_key, more) in [("\ndeletionPolicy: Orphan", ""), ("", "deletionPolicy: Retain")] {
        let robot = Robot::new().await?;
        robot.publish_long_ago().await?;
        robot.apply(&format!("{}{api_key}", super::LONG_ROTATION), more).await?;
        let new = robot.wait_for_rotation(&robot.bootstrap).await?;
        robot.workspace.wait_until_ready(KIND, "ci").await?;
        let object = robot.workspace.resources(KIND)?.get("ci").await?;
        assert_eq!(object.metadata.finalizers, None, "nothing to wait for");
        delete(&robot).await?;
        ensure!(robot.server.is_valid(&new.secret), "{api_key}{more}");
        assert_eq!(robot.server.requests("deleteApiKey"), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_retained_secret_is_taken_up_by_the_next_resource_of_the_name() -> Result<()> {
    let robot = Robot::rotated("deletionPolicy: Retain").await?;
    let generated = robot.published().await?;
    delete(&robot).await?;
    // The copied key may be revoked by now.
    let copied = robot.server.keys_of("ci").into_iter().find(|key| key.secret == robot.bootstrap);
    robot.server.revoke(&copied.context("the copied key")?.id)?;
    robot.apply(super::LONG_ROTATION, "").await?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(robot.published().await?, generated);
    delete(&robot).await?;
    assert_eq!(robot.server.keys_of("ci"), [], "now nothing is retained");
    Ok(())
}

#[tokio::test]
async fn a_revocation_ends_with_the_process_and_goes_on_with_the_next_one() -> Result<()> {
    // Far longer than anybody waits here for the end of the process.
    let mut robot = Robot::rotated("checkTimeout: 5m").await?;
    let mut asked = robot.server.requests("viewer");
    robot.server.fail("viewer", Fault::Hang);
    let resources = robot.workspace.resources(KIND)?;
    resources.delete("ci", &DeleteParams::background()).await?;
    // A revocation that does not end by itself is cut short each time; on a machine that stands still for a second, any
    // other may be cut short as well.
    for tries_left in (0..3).rev() {
        eventually("a request to revoke", || async {
            Ok((robot.server.requests("viewer") > asked).then_some(()))
        })
        .await?;
        let ended = robot.operator.process().terminate(PATIENCE)?;
        ensure!(ended.success(), "{ended}");
        if !robot.operator.log().contains("cut short")? {
            break;
        }
        ensure!(tries_left > 0, "{}", robot.operator.log().tail());
        asked = robot.server.requests("viewer");
        robot.operator = operator(&robot.workspace)?;
    }
    robot.server.heal();
    robot.operator = operator(&robot.workspace)?;
    eventually("the end of the resource", || async {
        Ok(resources.get_opt("ci").await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(robot.server.keys_of("ci").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_somebody_took_away_comes_back() -> Result<()> {
    let robot = Robot::rotated("").await?;
    for suspend in [false, true] {
        robot.workspace.patch(KIND, "ci", &json!({"spec": {"suspend": suspend}})).await?;
        robot.workspace.patch(KIND, "ci", &json!({"metadata": {"finalizers": null}})).await?;
        eventually("the finalizer", || async {
            let object = robot.workspace.resources(KIND)?.get("ci").await?;
            let finalizers = object.metadata.finalizers.unwrap_or_default();
            Ok((finalizers == ["auth.wandb.com/remote-credentials"]).then_some(()))
        })
        .await?;
    }
    delete(&robot).await?;
    assert_eq!(robot.server.keys_of("ci").len(), 1, "the generated key is revoked");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_holds_a_deletion_for_a_while_only() -> Result<()> {
    let mut robot = Robot::rotated("").await?;
    // Long enough that the first try, which is told, comes before the end of it.
    let arguments = ["--allow-egress", "127.0.0.0/8", "--deletion-patience", "10s"];
    robot.operator = robot.workspace.start_operator(program(), &arguments)?;
    robot.operator.wait_until_ready()?;
    let Robot { server, workspace, operator: _operator, .. } = robot;
    drop(Arc::into_inner(server).context("nobody else has the server")?);
    workspace.resources(KIND)?.delete("ci", &DeleteParams::background()).await?;
    eventually("the end of the resource", || async {
        Ok(workspace.resources(KIND)?.get_opt("ci").await?.is_none().then_some(()))
    })
    .await?;
    let events = eventually("the events", || async {
        let events = workspace.events().await?;
        Ok((events.contains("DeletionWaits") && events.contains("CredentialsOrphaned")).then_some(events))
    })
    .await?;
    ensure!(events.contains("remove it by hand"), "{events}");
    Ok(())
}
