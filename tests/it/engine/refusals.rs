//! What the API server does not take: every kind of write, refused in every way.

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::Value;
use test_support::{
    ApiProxy, ControlPlane, Mutation, REFUSED, Refusal, Slapd, condition, pods::WandbWorkload,
};

use crate::{
    delivery::{Stage, TARGET, eventually, other_resources::finalizers},
    world::{ARGUMENTS, ldap_config, program},
};

const KIND: &str = "LdapConfig";

/// Answers of the API server itself, of webhooks and policies, of what stands in between, and none.
const REFUSALS: [Refusal; 15] = [
    Refusal::Answer(400),
    Refusal::Answer(403),
    Refusal::Answer(404),
    Refusal::Answer(409),
    Refusal::Answer(410),
    Refusal::Answer(413),
    Refusal::Answer(422),
    Refusal::Answer(429),
    Refusal::Answer(500),
    Refusal::Answer(503),
    Refusal::Answer(504),
    Refusal::AnswerAfter(504),
    Refusal::AnswerAfter(500),
    Refusal::Lost,
    Refusal::LostAfter,
];

/// More writes than these within the time that a condition takes to come are a storm.
const STORM: usize = 12;

/// A kind of write, and what leads to it.
struct Case {
    is_meant: fn(&Mutation) -> bool,
    /// The condition that tells of its refusal.
    condition: &'static str,
    target: &'static str,
    /// What is done beside changing the spec.
    disturb: Disturbance,
}

#[derive(Clone, Copy, PartialEq)]
enum Disturbance {
    None,
    /// The published Secret is deleted.
    SecretDeleted,
    /// The spec had no target before.
    TargetNew,
}

fn path(mutation: &Mutation) -> &str {
    mutation.path.split('?').next().unwrap_or_default()
}

fn spec(case: &Case, number: usize) -> String {
    format!("{}\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}", case.target)
}

async fn refused_in_every_way(case: Case) -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    for (number, refusal) in REFUSALS.into_iter().enumerate() {
        let without = if case.disturb == Disturbance::TargetNew { "" } else { case.target };
        stage
            .ready(&format!("{without}\nattributes: {{email: mail, group: gidNumber, name{number}: sn}}"))
            .await?;
        if case.target != without {
            eventually("the end of the finalizer", || async {
                Ok(finalizers(&stage, KIND, "corp").await?.is_empty().then_some(()))
            })
            .await?;
        }
        one(&stage, &proxy, &case, number, refusal).await.with_context(|| {
            format!("{refusal:?}, {:?}", stage.operator.as_ref().map(|it| it.log().tail()))
        })?;
    }
    Ok(())
}

async fn one(stage: &Stage, proxy: &ApiProxy, case: &Case, number: usize, refusal: Refusal) -> Result<()> {
    proxy.refuse(refusal, case.is_meant);
    stage.apply(&spec(case, number)).await?;
    if case.disturb == Disturbance::SecretDeleted {
        stage.workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    }
    let status = eventually("a condition that tells of it", || async {
        let status = stage.workspace.status(KIND, "corp").await?;
        let is_told = condition(&status, case.condition).is_some_and(|told| is_told(told, refusal));
        Ok((is_told && proxy.refused() > 0).then_some(status))
    })
    .await?;
    let ready = condition(&status, "Ready").context("Ready")?;
    ensure!(ready["status"] == "False", "{status:#}");
    let refused = proxy.refused();
    ensure!(refused <= STORM, "{refused} writes");
    proxy.relent();
    stage.workspace.wait_until_ready(KIND, "corp").await?;
    Ok(())
}

/// Whether the condition has the right reason and the API server's words, where it said any.
fn is_told(condition: &Value, refusal: Refusal) -> bool {
    let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
    let words = text("message").contains(REFUSED);
    match refusal {
        Refusal::Answer(403) => ["Forbidden", "TargetRefused"].contains(&text("reason")) && words,
        Refusal::Answer(400 | 422) => ["WriteRejected", "TargetRefused"].contains(&text("reason")) && words,
        Refusal::Answer(_) | Refusal::AnswerAfter(_) => text("reason") == "WriteRejected" && words,
        Refusal::Lost | Refusal::LostAfter => text("reason") == "WriteRejected",
    }
}

#[tokio::test]
async fn a_secret_that_is_not_created() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "POST" && path(write).ends_with("/secrets"),
        condition: "Published",
        target: "",
        disturb: Disturbance::SecretDeleted,
    })
    .await
}

#[tokio::test]
async fn a_secret_that_is_not_changed() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "PUT" && path(write).ends_with("/secrets/corp-ldap"),
        condition: "Published",
        target: "",
        disturb: Disturbance::None,
    })
    .await
}

#[tokio::test]
async fn a_revision_that_is_not_created() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "POST" && path(write).ends_with("/secrets"),
        condition: "RolledOut",
        target: TARGET,
        disturb: Disturbance::None,
    })
    .await
}

#[tokio::test]
async fn a_target_that_is_not_changed() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "PATCH" && path(write).ends_with("/deployments/wandb"),
        condition: "RolledOut",
        target: TARGET,
        disturb: Disturbance::None,
    })
    .await
}

#[tokio::test]
async fn a_revision_that_is_not_marked() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "PATCH" && path(write).contains("/secrets/corp-ldap-"),
        condition: "RolledOut",
        target: TARGET,
        disturb: Disturbance::None,
    })
    .await
}

#[tokio::test]
async fn a_finalizer_that_is_not_set() -> Result<()> {
    refused_in_every_way(Case {
        is_meant: |write| write.method == "PATCH" && path(write).ends_with("/ldapconfigs/corp"),
        condition: "RolledOut",
        target: TARGET,
        disturb: Disturbance::TargetNew,
    })
    .await
}

/// Nothing can be told in a status that is not taken: it is tried again with pauses, until it is.
#[tokio::test]
async fn a_status_that_is_not_written() -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    // Nothing is checked by itself while this goes on.
    let spec = |number: usize| {
        format!("checkInterval: 1h\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}")
    };
    stage.ready("checkInterval: 1h").await?;
    for (number, refusal) in REFUSALS.into_iter().enumerate() {
        proxy.refuse(refusal, |write| path(write).ends_with("/ldapconfigs/corp/status"));
        stage.apply(&spec(number)).await?;
        eventually("a status that is refused", || async { Ok((proxy.refused() > 0).then_some(())) }).await?;
        ensure!(proxy.refused() <= STORM, "{refusal:?}: {} writes", proxy.refused());
        proxy.relent();
        stage.workspace.wait_until_ready(KIND, "corp").await.with_context(|| format!("{refusal:?}"))?;
    }
    let log = stage.operator.as_ref().context("an operator")?.log().read()?;
    ensure!(log.contains(REFUSED), "{log}");
    // Credentials that passed are not sent again for that.
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 1 + REFUSALS.len());
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_not_written_holds_nothing_up() -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    stage.ready("").await?;
    for (number, refusal) in REFUSALS.into_iter().enumerate() {
        proxy.refuse(refusal, |write| path(write).ends_with("/events"));
        // Each of these is told by an event.
        let more = format!("attributes: {{email: mail, group: gidNumber, name{number}: cn}}");
        stage.workspace.apply(&ldap_config("ldaps://127.0.0.1:1", &more)).await?;
        stage.workspace.wait_for_reason(KIND, "corp", "Ready", "ConnectionRefused").await?;
        stage.ready(&more).await?;
        eventually("an event that is refused", || async { Ok((proxy.refused() > 0).then_some(())) }).await?;
        ensure!(proxy.refused() <= STORM, "{refusal:?}: {} writes", proxy.refused());
        proxy.relent();
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_that_was_written_is_told_although_no_status_is_taken() -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    proxy.refuse(Refusal::Answer(500), |write| path(write).ends_with("/ldapconfigs/corp/status"));
    stage.apply("").await?;
    let told = "Wrote the current values to the Secret";
    eventually("the event of the run that failed", || async {
        Ok(stage.workspace.events().await?.contains(told).then_some(()))
    })
    .await?;
    ensure!(proxy.refused() > 0, "the run of the event wrote a status");
    proxy.relent();
    stage.workspace.wait_until_ready(KIND, "corp").await?;
    eventually("the event of the run that succeeded", || async {
        Ok(stage.workspace.events().await?.contains("No check failed.").then_some(()))
    })
    .await?;
    let events = stage.workspace.events().await?;
    assert_eq!(events.matches(told).count(), 1, "{events}");
    Ok(())
}

/// A directory with an operator behind a proxy, whose resource is not applied yet.
async fn behind_a_proxy() -> Result<(Stage, ApiProxy)> {
    let mut stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    stage.operator = Some(stage.workspace.start_operator_through(&proxy, program(), &ARGUMENTS)?);
    Ok((stage, proxy))
}

#[tokio::test]
async fn credentials_that_were_refused_are_sent_once_although_no_status_is_taken() -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    stage.workspace.put_secret("ldap-bind", &[("password", "not-the-password")]).await?;
    proxy.refuse(Refusal::Answer(500), |write| path(write).ends_with("/ldapconfigs/corp/status"));
    stage.apply("").await?;
    eventually("tries to write the status", || async { Ok((proxy.refused() >= 4).then_some(())) }).await?;
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    proxy.relent();
    stage.workspace.wait_for_reason(KIND, "corp", "Verified", "InvalidCredentials").await?;
    assert_eq!(stage.directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    Ok(())
}

#[tokio::test]
async fn who_is_suspended_says_so_although_its_secret_cannot_be_written() -> Result<()> {
    let (stage, proxy) = behind_a_proxy().await?;
    stage.ready("").await?;
    for refusal in [Refusal::Answer(403), Refusal::Answer(500)] {
        proxy.refuse(refusal, |write| path(write).ends_with("/secrets/corp-ldap"));
        stage.apply("suspend: true\ndeletionPolicy: Retain").await?;
        stage.workspace.wait_for_reason(KIND, "corp", "Ready", "Suspended").await?;
        ensure!(proxy.refused() > 0, "{refusal:?}");
        proxy.relent();
        stage.apply("suspend: false\ndeletionPolicy: Remove").await?;
        stage.workspace.wait_until_ready(KIND, "corp").await?;
    }
    Ok(())
}
