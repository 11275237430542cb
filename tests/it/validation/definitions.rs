//! The API server takes the definitions themselves, with nothing in them that it would drop.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::workspace;

#[tokio::test]
async fn the_api_server_knows_every_field_of_the_definitions() -> Result<()> {
    let workspace = workspace().await?;
    let api: Api<CustomResourceDefinition> = Api::all(workspace.client().clone());
    let how = PatchParams { dry_run: true, ..PatchParams::apply("strict").force() }.validation_strict();
    for definition in custom_resource_definitions() {
        let stored = api.patch(&definition.name_any(), &how, &Patch::Apply(&definition)).await?;
        // A structural schema is what pruning, defaults and rules rest on.
        let conditions = stored.status.and_then(|status| status.conditions).unwrap_or_default();
        assert!(!conditions.iter().any(|condition| condition.type_ == "NonStructuralSchema"));
    }
    Ok(())
}
