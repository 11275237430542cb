//! Real resources in every phase of their life.

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use test_support::{
    WandbServer,
    pods::{Life, WandbWorkload},
};

use super::live;
use crate::{
    delivery::{Stage, TARGET, player_has_ready, refers_to},
    world::{
        PASSWORD, certificate, jwt_issuer, oidc_provider, operator, provider, put_references, workspace,
    },
};

const KIND: &str = "LdapConfig";

/// A resource in a phase.
pub struct Phase {
    /// In words, also the name of its file below `gitops/argo-cd/testdata/`.
    pub name: &'static str,
    /// The resource as the API server had it.
    pub object: Value,
}

/// An `LdapConfig` from its creation to its deletion.
pub async fn of_ldap_config() -> Result<Vec<Phase>> {
    let mut stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    player_has_ready(&stage.player, "wandb", 2).await?;
    let mut phases = Vec::new();

    stage.apply(&format!("{TARGET}\nfailureThreshold: 1\ncheckInterval: 1h")).await?;
    phases.push(now(&stage, "created").await?);

    stage.player.change_script(
        |pod| {
            if refers_to(pod, "corp-ldap-1") { Life::NeverReady } else { Life::Ready }
        },
    );
    stage.operator = Some(operator(&stage.workspace)?);
    stage.workspace.wait_for_reason(KIND, "corp", "RolledOut", "Progressing").await?;
    phases.push(now(&stage, "rolling-out").await?);

    stage.player.change_script(|_| Life::Ready);
    stage.workspace.wait_until_ready(KIND, "corp").await?;
    phases.push(now(&stage, "ready").await?);

    stage.directory.stop()?;
    stage.workspace.recheck(KIND, "corp", "during the outage").await?;
    stage.workspace.wait_for_reason(KIND, "corp", "Verified", "ConnectionRefused").await?;
    phases.push(now(&stage, "outage").await?);
    stage.directory.start()?;
    stage.workspace.recheck(KIND, "corp", "after the outage").await?;
    stage.workspace.wait_until_ready(KIND, "corp").await?;

    change(&stage, &json!({"suspend": true})).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "Ready", "Suspended").await?;
    phases.push(now(&stage, "suspended").await?);

    change(&stage, &json!({"suspend": false, "baseDN": "dc=nowhere"})).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "Published", "HoldingLastVerified").await?;
    phases.push(now(&stage, "held").await?);

    stage.workspace.secrets().delete("ldap-bind", &DeleteParams::default()).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "Ready", "SecretNotFound").await?;
    phases.push(now(&stage, "input-awaited").await?);
    stage.workspace.wait_for_reason(KIND, "corp", "Stalled", "SecretNotFound").await?;
    phases.push(now(&stage, "input-missing").await?);
    stage.workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;

    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic".to_owned() }
        } else {
            Life::Ready
        }
    });
    let attributes = json!({"email": "mail", "group": "gidNumber", "name": "cn"});
    change(&stage, &json!({"baseDN": test_support::Slapd::SUFFIX, "attributes": attributes})).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "RolledOut", "RolledBack").await?;
    phases.push(now(&stage, "rolled-back").await?);

    change(&stage, &json!({"attributes": {"name": null}})).await?;
    stage.workspace.wait_until_ready(KIND, "corp").await?;
    stage.operator = None;
    change(&stage, &json!({"baseDN": "dc=nowhere"})).await?;
    phases.push(now(&stage, "edited").await?);

    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    let deleting = now(&stage, "deleting").await?;
    ensure!(deleting.object["metadata"]["deletionTimestamp"].is_string(), "nothing holds it");
    phases.push(deleting);
    Ok(phases)
}

/// One of each other kind, Ready.
pub async fn of_the_others() -> Result<Vec<Phase>> {
    let certificate = certificate()?;
    let provider = provider(&certificate)?;
    let server = WandbServer::builder().key_prefix("local").start()?;
    let key = server.service_account("ci", "research")?;
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    workspace.apply(&oidc_provider(provider.issuer(), "")).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), "")).await?;
    let account = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "ServiceAccount", "metadata": {"name": "ci"},
        "spec": {
            "instance": {"baseURL": server.base_url(), "insecurePlaintext": true},
            "team": "research",
            "credentials": {"apiKey": {"bootstrapSecretRef": {"name": "sa-key", "key": "key"}}},
        },
    });
    workspace.apply(&account.to_string()).await?;
    let mut phases = Vec::new();
    for (kind, name) in [("OidcProvider", "main"), ("JwtIssuer", "ci"), ("ServiceAccount", "ci")] {
        workspace.wait_until_ready(kind, name).await?;
        phases.push(Phase { name: "ready", object: live(&workspace, kind, name).await? });
    }
    Ok(phases)
}

async fn now(stage: &Stage, name: &'static str) -> Result<Phase> {
    Ok(Phase { name, object: live(&stage.workspace, KIND, "corp").await.context(name)? })
}

async fn change(stage: &Stage, spec: &Value) -> Result<()> {
    stage.workspace.patch(KIND, "corp", &json!({"spec": spec})).await
}
