//! What the operator asks of the API server: no write without a reason, and no right without a use.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde::Deserialize;
use serde_json::{Value, json};
use test_support::{
    ApiProxy, AuditEvent, ControlPlane, OpenIdProvider, PodPlayer, Slapd, WandbServer, Workspace,
    definitions::{StoredVersion, weights_and_biases},
    pods::{Life, WandbWorkload},
    wait_until,
};

use super::undecodable::lax_definitions;
use crate::delivery::{player_has_ready, refers_to};
use crate::service_account::{LONG_ROTATION, publish_long_ago, service_account};
use crate::world::{
    ARGUMENTS, PATIENCE, certificate, directory, events_are_written, eventually, jwt_issuer, ldap_config,
    oidc_provider, program, provider, put_references, silence, workspace,
};

pub(super) fn is_write(event: &AuditEvent) -> bool {
    ["create", "update", "patch", "delete", "deletecollection"].contains(&event.verb.as_str())
        && event.resource != "leases"
}

#[tokio::test]
async fn nothing_is_written_in_a_minute_apart_from_the_lease() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let plane = ControlPlane::shared().await?;
    let workspace = workspace().await?;
    let _operator = workspace.start_operator(program(), &[&ARGUMENTS[..], &["--leader-elect"]].concat())?;
    put_references(&workspace, &certificate).await?;
    let _player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    let delivered = "checkInterval: 10s\ntarget: {deployment: {name: wandb}}";
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")).await?;
    workspace.apply(&oidc_provider(provider.issuer(), delivered)).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), "checkInterval: 10s")).await?;
    let broken = ldap_config(&directory.ldaps_url()?, "checkInterval: 10s")
        .replace("dc=example,dc=org\n", "dc=nowhere\n");
    workspace.apply(&broken.replace("name: corp", "name: broken")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_until_ready("JwtIssuer", "ci").await?;
    workspace.wait_for_reason("LdapConfig", "broken", "Verified", "BaseDnNotFound").await?;
    let namespace = workspace.namespace().to_owned();
    let by_operator = move || -> Result<Vec<AuditEvent>> {
        Ok(plane.audit_in(&namespace)?.into_iter().filter(|event| event.user == "operator").collect())
    };
    // Events are written after the status that tests wait for.
    events_are_written(&workspace).await?;
    let settled = Instant::now();
    let writes = |events: &[AuditEvent]| events.iter().filter(|event| is_write(event)).count();
    silence(Duration::from_secs(2), || async { Ok(writes(&by_operator()?)) }).await?;
    let before = by_operator()?;
    let binds = directory.bind_attempts(test_support::Slapd::SERVICE_DN)?;
    eventually("a minute with checks", || async {
        let rechecks = directory.bind_attempts(test_support::Slapd::SERVICE_DN)? - binds;
        Ok((settled.elapsed() > Duration::from_mins(1) && rechecks >= 8).then_some(()))
    })
    .await?;
    let after = by_operator()?;
    let new: Vec<_> = after.iter().skip(before.len()).filter(|event| is_write(event)).collect();
    ensure!(writes(&before) == writes(&after), "written although nothing changed: {new:#?}");
    ensure!(after.iter().all(|event| event.code != 403), "every right that is used is granted");
    Ok(())
}

/// API group, resource with its subresource, and verb.
type Right = (String, String, String);

/// What an installation grants in the namespace.
fn granted() -> Result<BTreeSet<Right>> {
    let manifest = include_str!("../../../deploy/operator.yaml");
    let documents: Vec<_> =
        serde_yaml::Deserializer::from_str(manifest).map(Value::deserialize).collect::<Result<_, _>>()?;
    let mut rights = BTreeSet::new();
    for role in documents.into_iter().filter(|document| document["kind"] == "Role") {
        for rule in serde_json::from_value::<Role>(role)?.rules.context("no rules")? {
            rights.extend(rights_of(&rule));
        }
    }
    Ok(rights)
}

fn rights_of(rule: &PolicyRule) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            rights.extend(rule.verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
        }
    }
    rights
}

/// A namespace may hold thousands of Secrets of other programs, whose values are none of the operator's business.
#[tokio::test]
async fn secrets_and_config_maps_are_watched_as_metadata_and_read_by_name() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    proxy.fail_requests(move |request| {
        let collection = request.path.split('?').next().unwrap_or_default();
        if request.method == "GET" && ["/secrets", "/configmaps"].iter().any(|end| collection.ends_with(end))
        {
            let accept = request.headers.iter().find(|(name, _)| name == "accept");
            let accept = accept.map(|(_, value)| value.clone()).unwrap_or_default();
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((request.path.clone(), accept));
        }
        None
    });
    let _operator =
        workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in ["/secrets?", "/configmaps?"] {
        ensure!(asked.iter().any(|(path, _)| path.contains(kind)), "{kind}: {asked:#?}");
    }
    for (path, accept) in asked.iter() {
        ensure!(accept.contains("as=PartialObjectMetadata"), "{path}: {accept}");
    }
    Ok(())
}

fn right(event: AuditEvent) -> Right {
    let resource = match event.subresource.as_str() {
        "" => event.resource,
        subresource => format!("{}/{subresource}", event.resource),
    };
    (event.group, resource, event.verb)
}

/// Takes the operator through everything that it ever does with the API server.
async fn exercise_everything(workspace: &Workspace) -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    put_references(workspace, &certificate).await?;
    // An object that does not decode is read once more, to know its status.
    for (kind, field) in [
        ("LdapConfig", "address"),
        ("OidcProvider", "issuer"),
        ("JwtIssuer", "issuer"),
        ("ServiceAccount", "instance"),
    ] {
        let stranger = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": kind, "metadata": {"name": "stranger"},
            "spec": {field: 7},
        });
        workspace.apply(&stranger.to_string()).await?;
        workspace.wait_for_reason(kind, "stranger", "Accepted", "InvalidSpec").await?;
    }
    // Defaults stand in the definitions, which these ones lack.
    let defaults = "attributes: {email: mail, group: gidNumber}";
    workspace.apply(&ldap_config(&directory.ldaps_url()?, defaults)).await?;
    workspace.apply(&oidc_provider(provider.issuer(), "")).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_until_ready("JwtIssuer", "ci").await?;
    // A key that is replaced must go with its resource, which takes a finalizer.
    let server = WandbServer::builder().start()?;
    let key = server.service_account("ci", "research")?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    publish_long_ago(workspace, &server, &key).await?;
    workspace.apply(&service_account("ci", &server.base_url(), LONG_ROTATION, "")).await?;
    workspace.wait_for("ServiceAccount", "ci", |status| status["keyID"].is_string()).await?;
    exercise_targets(workspace, &directory, &provider).await?;
    // The repair is told by an event that was there before.
    let edit = json!({"stringData": {"LDAP_ADDRESS": "ldap://elsewhere"}});
    workspace.secrets().patch("corp-ldap", &PatchParams::default(), &Patch::Merge(edit)).await?;
    Ok(())
}

/// Delivers to every kind of target; the first revision does not work in the pods of a StatefulSet.
async fn exercise_targets(workspace: &Workspace, directory: &Slapd, provider: &OpenIdProvider) -> Result<()> {
    let player = PodPlayer::start(workspace, |pod| {
        if refers_to(pod, "pods-ldap-1") {
            Life::CrashLooping { exit_code: 1, message: String::new() }
        } else {
            Life::Ready
        }
    })?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    workspace.apply(&WandbWorkload::stateful_set("wandb").manifest()).await?;
    workspace.apply(WEIGHTS_AND_BIASES).await?;
    player_has_ready(&player, "wandb", 4).await?;
    let pods = ldap_config(&directory.ldaps_url()?, "target: {statefulSet: {name: wandb}}");
    let pods = pods.replace("name: corp", "name: pods");
    workspace.apply(&(pods + "  attributes: {email: mail, group: gidNumber}\n")).await?;
    let to_deployment = oidc_provider(provider.issuer(), "target: {deployment: {name: wandb}}");
    workspace.apply(&to_deployment).await?;
    workspace.apply(&jwt_issuer(provider.issuer(), "target: {weightsAndBiases: {name: wandb}}")).await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_for_reason("JwtIssuer", "ci", "RolledOut", "Progressing").await?;
    workspace.wait_for_reason("LdapConfig", "pods", "RolledOut", "RolledBack").await?;
    workspace.resources("LdapConfig")?.delete("pods", &DeleteParams::default()).await?;
    Ok(())
}

const WEIGHTS_AND_BIASES: &str = "
apiVersion: apps.wandb.com/v2
kind: WeightsAndBiases
metadata: {name: wandb}
spec:
  retentionPolicy: {onDelete: detach}
  wandb: {hostname: https://wandb.example.com, version: 0.76.1, bucketProxy: false, features: {}}
";

#[tokio::test]
async fn every_right_is_used_and_every_use_is_granted() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let mut definitions = lax_definitions();
    definitions.push(weights_and_biases(StoredVersion::V2)?);
    let workspace = Workspace::create(&plane, &definitions).await?;
    let _operator = workspace.start_operator(program(), &[&ARGUMENTS[..], &["--leader-elect"]].concat())?;
    exercise_everything(&workspace).await?;
    let by_operator = || -> Result<Vec<AuditEvent>> {
        let events = plane.audit_in(workspace.namespace())?;
        Ok(events.into_iter().filter(|event| event.user == "operator").collect())
    };
    let granted = granted()?;
    let unused = || -> Result<Vec<Right>> {
        let used: BTreeSet<_> = by_operator()?.into_iter().map(right).collect();
        Ok(granted.difference(&used).cloned().collect())
    };
    // The Lease is renewed, and the Secret repaired, a little later.
    let all_used = wait_until(PATIENCE, "every right to be used", || Ok(unused()?.is_empty()));
    ensure!(all_used.is_ok(), "granted and never used: {:?}", unused()?);
    let refused: Vec<_> = by_operator()?.into_iter().filter(|event| event.code == 403).collect();
    ensure!(refused.is_empty(), "used and not granted: {refused:#?}");
    Ok(())
}
