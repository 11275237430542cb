//! Resources beside the `LdapConfig` of the stage.

use std::fmt::Debug;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        core::v1::{Pod, Secret},
    },
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::{OpenIdProvider, Slapd, Workspace, condition};

use super::{Stage, eventually};
use crate::world;

/// An OpenID Provider whose certificate [`oidc_provider`] and [`jwt_issuer`] trust by this name.
pub async fn provider(stage: &Stage, authority: &str) -> Result<OpenIdProvider> {
    let certificate = world::certificate()?;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": authority},
        "data": {"ca.crt": certificate.authority_pem},
    });
    stage.workspace.apply(&map.to_string()).await?;
    world::provider(&certificate)
}

/// The `LdapConfig` of the stage under another name.
pub async fn apply_ldap_config(stage: &Stage, name: &str, more: &str) -> Result<()> {
    let config = world::ldap_config(&stage.directory.ldaps_url()?, more);
    stage.workspace.apply(&config.replace("{name: corp}", &format!("{{name: {name}}}"))).await
}

/// An `OidcProvider` named `main`.
pub fn oidc_provider(provider: &OpenIdProvider, authority: &str, more: &str) -> String {
    world::oidc_provider(provider.issuer(), more).replace("name: authority", &format!("name: {authority}"))
}

/// A `JwtIssuer` of this name.
pub fn jwt_issuer(provider: &OpenIdProvider, authority: &str, name: &str, more: &str) -> String {
    world::jwt_issuer(provider.issuer(), more)
        .replace("name: authority", &format!("name: {authority}"))
        .replace("{name: ci}", &format!("{{name: {name}}}"))
}

/// Waits until what is created now is younger than this: times of creation are whole seconds.
pub async fn outlive(stage: &Stage, kind: &str, name: &str) -> Result<()> {
    let created = stage.workspace.resources(kind)?.get(name).await?.metadata.creation_timestamp;
    let created = created.map(|time| time.0.as_second());
    eventually("another second", || async {
        Ok((Some(Timestamp::now().as_second()) > created).then_some(()))
    })
    .await
}

/// Waits until the resource is gone.
pub async fn is_gone(workspace: &Workspace, kind: &str, name: &str) -> Result<()> {
    let resources = workspace.resources(kind)?;
    let ended = eventually("the end of the resource", || async {
        Ok(resources.get_opt(name).await?.is_none().then_some(()))
    })
    .await;
    let Err(error) = ended else { return Ok(()) };
    Err(error.context(seen(workspace, kind, name).await?))
}

/// All that is seen of a resource and of what may hold it, for the output of a test that waited in vain.
pub async fn seen(workspace: &Workspace, kind: &str, name: &str) -> Result<String> {
    let mut seen = vec![format!("{:#?}", workspace.resources(kind)?.get_opt(name).await?)];
    seen.push(all::<Deployment>(workspace).await?);
    seen.push(all::<StatefulSet>(workspace).await?);
    seen.push(all::<ReplicaSet>(workspace).await?);
    seen.push(all::<Pod>(workspace).await?);
    let secrets: Api<Secret> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let secrets = secrets.list_metadata(&ListParams::default()).await?.items;
    seen.push(format!("{:?}", secrets.iter().map(ResourceExt::name_any).collect::<Vec<_>>()));
    seen.push(workspace.events().await?);
    Ok(seen.join("\n"))
}

/// All objects of a kind, as text.
async fn all<K>(workspace: &Workspace) -> Result<String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    Ok(format!("{:#?}", api.list(&ListParams::default()).await?.items))
}

/// The message of a condition.
pub fn message_of(status: &Value, type_: &str) -> String {
    let message = condition(status, type_).and_then(|condition| condition["message"].as_str());
    message.unwrap_or_default().to_owned()
}

/// Waits until the target of the `LdapConfig` is back, and returns what is told of it.
pub async fn rolled_back(workspace: &Workspace) -> Result<(Value, String)> {
    let status = workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "RolledBack").await?;
    let message = message_of(&status, "RolledOut");
    Ok((status, message))
}

/// Waits until pods run with this revision of the `LdapConfig`.
pub async fn runs_with(workspace: &Workspace, revision: u64) -> Result<Value> {
    let is_there = |status: &Value| {
        status["revision"] == revision
            && condition(status, "Ready").is_some_and(|condition| condition["status"] == "True")
    };
    workspace.wait_for("LdapConfig", "corp", is_there).await
}

/// Gives the directory's service account another password, and puts it where resources refer to.
pub async fn rotate_password(workspace: &Workspace, directory: &Slapd, password: &str) -> Result<()> {
    directory.set_password(Slapd::SERVICE_DN, password)?;
    workspace.put_secret("ldap-bind", &[("password", password)]).await
}

/// The finding of a check, as the status has it.
pub fn check_of<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["checks"].as_array()?.iter().find(|check| check["name"] == name)
}

/// The finalizers of a resource.
pub async fn finalizers(stage: &Stage, kind: &str, name: &str) -> Result<Vec<String>> {
    let object = stage.workspace.resources(kind)?.get(name).await?;
    Ok(object.metadata.finalizers.unwrap_or_default())
}
