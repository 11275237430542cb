//! Deployments: exactly our entries, and nobody else's.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use test_support::pods::WandbWorkload;

use super::{
    Stage, TARGET,
    other_resources::{is_gone, rotate_password, runs_with},
    refers_to,
};

/// The names of both dialects that the resource has values for, sorted.
pub const NAMES: [&str; 14] = [
    "LDAP_ADDRESS",
    "LDAP_ATTRIBUTES",
    "LDAP_BASE_DN",
    "LDAP_BIND_DN",
    "LDAP_BIND_PW",
    "LDAP_LOGIN",
    "LDAP_TLS_ENABLE",
    "LOCAL_LDAP_ADDRESS",
    "LOCAL_LDAP_ATTRIBUTES",
    "LOCAL_LDAP_BASE_DN",
    "LOCAL_LDAP_BIND_DN",
    "LOCAL_LDAP_BIND_PW",
    "LOCAL_LDAP_LOGIN",
    "LOCAL_LDAP_TLS_ENABLE",
];

#[tokio::test]
async fn values_come_to_a_deployment_and_go_with_their_resource() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let before: Deployment = stage.api().get("wandb").await?;
    let status = stage.ready(TARGET).await?;
    assert_eq!(status["revision"], 1);
    let entries = stage.entries().await?;
    let expected: Vec<_> = NAMES
        .iter()
        .map(|name| ((*name).to_owned(), ("corp-ldap-1".to_owned(), (*name).to_owned())))
        .collect();
    assert_eq!(entries.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(stage.revisions("corp-ldap").await?, [1]);
    let revision = stage.workspace.secrets().get("corp-ldap-1").await?;
    assert_eq!(revision.immutable, Some(true));
    assert_eq!(revision.data, stage.workspace.secrets().get("corp-ldap").await?.data);
    let pods = stage.pods().await?;
    assert!(pods.len() == 2 && pods.iter().all(|pod| refers_to(pod, "corp-ldap-1")));

    let status =
        stage.ready(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    assert_eq!((&status["revision"], &status["previousRevision"]), (&json!(2), &json!(1)));
    assert!(stage.entries().await?.values().all(|(secret, _)| secret == "corp-ldap-2"));
    stage.expect_two_ready_always().await?;

    // Another password, in the directory and in the Secret only.
    let resources = stage.workspace.resources("LdapConfig")?;
    let generation = resources.get("corp").await?.metadata.generation;
    rotate_password(&stage.workspace, &stage.directory, "the-next-password").await?;
    let status = runs_with(&stage.workspace, 3).await?;
    assert_eq!(status["previousRevision"], 2);
    assert_eq!(resources.get("corp").await?.metadata.generation, generation);
    let pods = stage.pods().await?;
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert!(refers_to(&pod, "corp-ldap-3"));
        let inputs = stage.player.environment_of(&pod.name_any()).context("it did not start")?;
        let password = inputs.environment.get("LOCAL_LDAP_BIND_PW").map(String::as_str);
        assert_eq!(password, Some("the-next-password"));
    }
    stage.expect_two_ready_always().await?;

    resources.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    let after: Deployment = stage.api().get("wandb").await?;
    let template = |deployment: &Deployment| Some(deployment.spec.as_ref()?.template.clone());
    assert_eq!(template(&after), template(&before), "nothing is left");
    assert!(stage.revisions("corp-ldap").await?.is_empty());
    assert!(stage.pods().await?.iter().all(|pod| !refers_to(pod, "corp-ldap-3")));
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_secret_that_is_named_like_a_revision_is_somebody_elses() -> Result<()> {
    let workload =
        WandbWorkload::deployment("wandb").secret_variable("PASSPHRASE", "corp-ldap-1", "passphrase");
    let stage = Stage::quiet(&workload).await?;
    stage.workspace.put_secret("corp-ldap-1", &[("passphrase", "a-person-put-this-here")]).await?;
    let _operator = crate::world::operator(&stage.workspace)?;
    let status = stage.ready(TARGET).await?;
    assert_eq!(status["revision"], 2, "the number is taken");
    let own = ("corp-ldap-1".to_owned(), "passphrase".to_owned());
    assert_eq!(stage.entries().await?.get("PASSPHRASE"), Some(&own));
    stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
    is_gone(&stage.workspace, "LdapConfig", "corp").await?;
    let entries: Vec<_> = stage.entries().await?.into_iter().collect();
    assert_eq!(entries, [("PASSPHRASE".to_owned(), own)]);
    assert_eq!(stage.revisions("corp-ldap").await?, [1]);
    stage.workspace.secrets().get("corp-ldap-1").await?;
    Ok(())
}
