//! Somebody else edits or deletes the Secret while a generated key is in use.

use anyhow::{Context, Result};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{KIND, Robot, content, eventually};

#[tokio::test]
async fn a_generated_key_survives_whatever_is_done_to_the_secret() -> Result<()> {
    let robot = Robot::rotated("").await?;
    let secrets = robot.workspace.secrets();
    let right = secrets.get("ci-wsa").await?;
    let keys = robot.server.keys_of("ci");
    let edits = [
        json!({ "stringData": { "WANDB_API_KEY": "0".repeat(40) } }),
        json!({ "stringData": { "WANDB_API_KEY": "nonsense" } }),
        json!({ "metadata": { "annotations": { "auth.wandb.com/record": "nonsense" } } }),
        json!({ "metadata": { "annotations": { "auth.wandb.com/record": "{\"rotation\":9,\"keyID\":\"ApiKey-1\"}" } } }),
        json!({ "metadata": { "annotations": { "auth.wandb.com/record": null } }, "data": null }),
    ];
    for (number, edit) in edits.iter().enumerate() {
        secrets.patch("ci-wsa", &PatchParams::default(), &Patch::Merge(edit)).await?;
        // A check at the same time finds the edited Secret.
        robot.workspace.recheck(KIND, "ci", &number.to_string()).await?;
        restored(&robot, &content(&right)).await.with_context(|| edit.to_string())?;
    }
    secrets.delete("ci-wsa", &DeleteParams::default()).await?;
    robot.workspace.recheck(KIND, "ci", "deleted").await?;
    restored(&robot, &content(&right)).await.context("deleted")?;
    robot.workspace.wait_until_ready(KIND, "ci").await?;
    assert_eq!(robot.server.keys_of("ci"), keys, "no key was made or revoked");
    let now = secrets.get("ci-wsa").await?;
    let record = |secret: &k8s_openapi::api::core::v1::Secret| {
        secret.metadata.annotations.clone().and_then(|mut all| all.remove("auth.wandb.com/record"))
    };
    assert_eq!(record(&now), record(&right));
    Ok(())
}

async fn restored(robot: &Robot, right: &std::collections::BTreeMap<String, String>) -> Result<()> {
    eventually("the Secret as it was", || async {
        let secret = robot.workspace.secrets().get_opt("ci-wsa").await?;
        Ok(secret.is_some_and(|secret| content(&secret) == *right).then_some(()))
    })
    .await
}
