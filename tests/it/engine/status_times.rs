//! What a status says beside the findings: times, warnings, and that a resource is suspended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use test_support::{ControlPlane, condition};

use super::requests::is_write;
use crate::world::{Corp, PASSWORD, events_are_written, eventually, silence};

const KIND: &str = "LdapConfig";

#[tokio::test]
async fn says_when_it_was_checked_and_published_and_of_which_secrets() -> Result<()> {
    let Corp { workspace, operator: _operator, directory, .. } = Corp::ready("checkInterval: 10s").await?;
    let status = workspace.status(KIND, "corp").await?;
    for time in ["lastCheckTime", "lastPublishedTime"] {
        ensure!(status[time].is_string(), "{time}: {status:#}");
    }
    assert_eq!((&status["warnings"], &status["lastHandledRecheck"]), (&json!(0), &Value::Null));
    let secret = workspace.secrets().get("ldap-bind").await?;
    let references = status["observedReferences"].as_array().context("observedReferences")?;
    let named = |name: &str| references.iter().find(|reference| reference["name"] == name);
    let bind = named("ldap-bind").context("ldap-bind")?;
    assert_eq!(
        (&bind["kind"], &bind["resourceVersion"]),
        (&json!("Secret"), &json!(secret.resource_version()))
    );
    assert_eq!(named("authority").context("authority")?["kind"], "ConfigMap");
    // Checks that find the same write nothing within the hour.
    let plane = ControlPlane::shared().await?;
    let writes = || -> Result<usize> {
        let events = plane.audit_in(workspace.namespace())?;
        Ok(events.iter().filter(|event| event.user == "operator" && is_write(event)).count())
    };
    // Events are written after the status.
    events_are_written(&workspace).await?;
    silence(Duration::from_secs(2), || async { writes() }).await?;
    let (before, binds) = (writes()?, directory.bind_attempts(test_support::Slapd::SERVICE_DN)?);
    eventually("another check", || async {
        Ok((directory.bind_attempts(test_support::Slapd::SERVICE_DN)? > binds).then_some(()))
    })
    .await?;
    silence(Duration::from_secs(2), || async { writes() }).await?;
    assert_eq!(writes()?, before);
    // Whatever is written anyway tells of the last check, too.
    workspace.recheck(KIND, "corp", "now").await?;
    let later = workspace.wait_for(KIND, "corp", |status| status["lastHandledRecheck"] == "now").await?;
    ensure!(later["lastCheckTime"].as_str() > status["lastCheckTime"].as_str(), "{later:#}");
    assert_eq!(later["lastPublishedTime"], status["lastPublishedTime"], "nothing new was published");
    Ok(())
}

#[tokio::test]
async fn a_warning_is_counted_named_and_told_once() -> Result<()> {
    let Corp { workspace, operator, directory: _directory, .. } = Corp::ready("checkInterval: 1h").await?;
    let with_line_break = format!("{PASSWORD}\n");
    workspace.put_secret("ldap-bind", &[("password", &with_line_break)]).await?;
    let status = workspace.wait_for(KIND, "corp", |status| status["warnings"] == 1).await?;
    let ready = condition(&status, "Ready").context("Ready")?;
    assert_eq!(ready["message"], "Verified and published; 1 warning: SecretValues.");
    eventually("the event", || async {
        Ok(workspace.events().await?.contains("\"CheckWarned\"").then_some(()))
    })
    .await?;
    workspace.recheck(KIND, "corp", "now").await?;
    workspace.wait_for(KIND, "corp", |status| status["lastHandledRecheck"] == "now").await?;
    let log = operator.log().read()?;
    assert_eq!(log.matches("\"reason\":\"CheckWarned\"").count(), 1, "{log}");
    Ok(())
}

/// While the directory is down, the checks that warned before do not run. That they warn again is no news.
#[tokio::test]
async fn a_warning_that_stays_over_an_outage_is_told_once() -> Result<()> {
    let more =
        "checkInterval: 1h\nfailureThreshold: 1\ngroupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org']";
    let Corp { workspace, operator, mut directory, .. } = Corp::ready(more).await?;
    let warnings = |status: &Value| status["warnings"].as_u64().unwrap_or_default();
    let before = workspace.wait_for(KIND, "corp", |status| warnings(status) > 0).await?;
    let told =
        || -> Result<usize> { Ok(operator.log().read()?.matches("\"reason\":\"CheckWarned\"").count()) };
    eventually("the first event", || async { Ok((told()? == 1).then_some(())) }).await?;

    directory.stop()?;
    workspace.recheck(KIND, "corp", "down").await?;
    let down = workspace.wait_for_reason(KIND, "corp", "Verified", "ConnectionRefused").await?;
    assert_eq!(warnings(&down), 0, "what warned before is skipped: {down:#}");
    directory.start()?;
    workspace.recheck(KIND, "corp", "up").await?;
    let up = workspace.wait_for(KIND, "corp", |status| status["lastHandledRecheck"] == "up").await?;
    assert_eq!((warnings(&up), &up["checks"]), (warnings(&before), &before["checks"]));

    // One that is new is told, so that the first one would have been told by now, too.
    workspace.put_secret("ldap-bind", &[("password", &format!("{PASSWORD}\n"))]).await?;
    workspace.wait_for(KIND, "corp", |status| warnings(status) > warnings(&before)).await?;
    eventually("the event of the new warning", || async { Ok((told()? >= 2).then_some(())) }).await?;
    assert_eq!(told()?, 2, "{}", operator.log().read()?);
    Ok(())
}

#[tokio::test]
async fn a_suspended_resource_keeps_its_verdict() -> Result<()> {
    let Corp { workspace, operator: _operator, directory: _directory, .. } =
        Corp::ready("checkInterval: 1h").await?;
    let before = workspace.status(KIND, "corp").await?;
    workspace.patch(KIND, "corp", &json!({"spec": {"suspend": true}})).await?;
    let suspended = workspace.wait_for_reason(KIND, "corp", "Ready", "Suspended").await?;
    for type_ in ["Accepted", "ResolvedRefs", "Verified", "Published"] {
        assert_eq!(condition(&suspended, type_), condition(&before, type_), "{type_}");
    }
    assert_eq!(condition(&suspended, "Ready").context("Ready")?["status"], "Unknown");
    assert_eq!(suspended["checks"], before["checks"]);
    workspace.patch(KIND, "corp", &json!({"spec": {"suspend": false}})).await?;
    let resumed = workspace.wait_until_ready(KIND, "corp").await?;
    assert_eq!(
        condition(&resumed, "Verified").context("Verified")?["lastTransitionTime"],
        condition(&before, "Verified").context("Verified")?["lastTransitionTime"],
    );
    eventually("both events", || async {
        let events = workspace.events().await?;
        Ok((events.contains("\"Suspended\"") && events.contains("\"Resumed\"")).then_some(()))
    })
    .await
}
