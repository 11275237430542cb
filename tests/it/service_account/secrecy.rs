//! Keys stay in Secrets.

use anyhow::{Context, Result, ensure};
use kube::api::ListParams;
use test_support::wandb_server::Fault;

use super::{KIND, Robot, eventually, service_account};
use crate::world::program;

#[tokio::test]
async fn keys_appear_nowhere_outside_secrets() -> Result<()> {
    let mut robot = Robot::new().await?;
    let arguments = ["--allow-egress", "127.0.0.0/8"];
    robot.operator = robot.workspace.start_operator_in(program(), &arguments, &[("RUST_LOG", "trace")])?;
    robot.publish_long_ago().await?;
    robot.apply("rotation: {interval: 2h, overlap: 2s}", "failureThreshold: 1").await?;
    let generated = robot.wait_for_rotation(&robot.bootstrap).await?;
    eventually("the end of the copied key", || async {
        Ok((!robot.server.is_valid(&robot.bootstrap)).then_some(()))
    })
    .await?;
    // A server that repeats what it was sent, and a key that is refused.
    robot.server.fail("viewer", Fault::Error(format!("bad key {}", generated.secret)));
    robot.workspace.recheck(KIND, "ci", "repeated").await?;
    robot.workspace.wait_for_reason(KIND, "ci", "Verified", "QueryFailed").await?;
    robot.server.heal();
    let wrong = "planted0wrong0key0planted0wrong0key0planted";
    robot.workspace.put_secret("wrong", &[("key", wrong)]).await?;
    let url = format!("{}/", robot.server.base_url());
    let resource = service_account("wrong", &url, "", "").replace("accountName: ci", "accountName: other");
    robot.workspace.apply(&resource.replace("name: sa-key", "name: wrong")).await?;
    robot.workspace.wait_for_reason(KIND, "wrong", "Verified", "Unauthorized").await?;

    let list = robot.workspace.resources(KIND)?.list(&ListParams::default()).await?;
    let record = robot.workspace.secrets().get("ci-wsa").await?.metadata.annotations;
    let outputs = [
        ("log", robot.operator.log().read()?),
        ("events", robot.workspace.events().await?),
        ("metrics", robot.operator.get("/metrics")?.1),
        ("resources", serde_json::to_string(&list.items)?),
        ("annotations", serde_json::to_string(&record)?),
    ];
    ensure!(outputs.iter().any(|(_, text)| text.contains("KeyRotated")), "the outputs hold what happened");
    for secret in [robot.bootstrap.as_str(), &generated.secret, wrong] {
        let bare = secret.strip_prefix("local-").unwrap_or(secret);
        let beginning = bare.get(..12).context("a key is long")?;
        for (place, text) in &outputs {
            ensure!(!text.contains(beginning), "a key stands in the {place}");
        }
    }
    Ok(())
}
