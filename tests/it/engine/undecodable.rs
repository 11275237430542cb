//! Objects that this version cannot read.

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use test_support::{ControlPlane, Workspace, condition};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::{PATIENCE, certificate, directory, ldap_config, operator, put_references};

/// The definitions as a later version might have them: any spec is stored.
pub fn lax_definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = custom_resource_definitions();
    for definition in &mut definitions {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
            let spec = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec"));
            if let Some(spec) = spec {
                spec.properties = None;
                spec.required = None;
                spec.x_kubernetes_validations = None;
                spec.x_kubernetes_preserve_unknown_fields = Some(true);
            }
            if let Some(schema) =
                version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
            {
                schema.x_kubernetes_validations = None;
            }
        }
    }
    definitions
}

#[tokio::test]
async fn an_object_that_does_not_decode_is_reported_and_blocks_nothing() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let plane = ControlPlane::start().await?;
    let workspace = Workspace::create(&plane, &lax_definitions()).await?;
    let stranger = "apiVersion: auth.wandb.com/v1alpha1\nkind: LdapConfig\nmetadata: {name: stranger}\nspec: {address: 7}\n";
    workspace.apply(stranger).await?;
    let operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let status = workspace.wait_for_reason("LdapConfig", "stranger", "Accepted", "InvalidSpec").await?;
    let message = condition(&status, "Accepted").context("Accepted")?["message"].to_string();
    assert!(message.contains("integer `7`"), "{message}");
    operator.log().wait_for("cannot read the object", PATIENCE)?;
    let patches = |events: Vec<test_support::AuditEvent>| {
        events
            .iter()
            .filter(|event| event.name == "stranger" && event.verb == "patch" && event.user == "operator")
            .count()
    };
    assert_eq!(patches(plane.audit()?), 1, "reported once");
    // Corrected, it is like any other.
    let corrected = ldap_config(&directory.ldaps_url()?, "").replace("name: corp", "name: stranger");
    workspace.apply(&corrected).await?;
    workspace.wait_until_ready("LdapConfig", "stranger").await?;
    Ok(())
}
