//! What the page shows of a resource in each phase of its life, with the statuses that an operator writes.

use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::Workspace;

use super::{ServedPage, wait_for_state};
use crate::world::{ldap_config, workspace};

/// A Deployment that makes no pods, with the values of revision 4.
pub(super) const PAUSED: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: wandb}
spec:
  paused: true
  replicas: 3
  selector: {matchLabels: {app: wandb}}
  template:
    metadata: {labels: {app: wandb}}
    spec:
      containers:
      - name: wandb
        image: wandb/local
        env:
        - {name: LDAP_ADDRESS, valueFrom: {secretKeyRef: {name: corp-ldap-4, key: LDAP_ADDRESS}}}
";

/// A condition that became so long ago.
pub(super) fn condition([type_, status, reason, message]: [&str; 4]) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2020-01-15T09:00:00Z"})
}

/// Writes a status in the operator's place, at once.
pub(super) async fn write_status(
    workspace: &Workspace,
    [kind, name]: [&str; 2],
    conditions: &[[&str; 4]],
    checks: &Value,
    more: &Value,
) -> Result<()> {
    let api = workspace.resources(kind)?;
    let generation = api.get(name).await?.metadata.generation;
    let mut status = json!({
        "observedGeneration": generation,
        "conditions": conditions.iter().copied().map(condition).collect::<Vec<_>>(),
        "checks": checks,
        "lastCheckTime": Timestamp::now(),
    });
    if let (Some(status), Some(more)) = (status.as_object_mut(), more.as_object()) {
        status.extend(more.clone());
    }
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

pub(super) const VALID: [&str; 4] = ["Accepted", "True", "Valid", "The spec is valid."];
pub(super) const RESOLVED: [&str; 4] = ["ResolvedRefs", "True", "Resolved", "Every referenced key exists."];
pub(super) const VERIFIED: [&str; 4] = ["Verified", "True", "ChecksPassed", "No check failed."];
pub(super) const PUBLISHED: [&str; 4] = ["Published", "True", "Published", "The Secret holds the values."];
pub(super) const ROLLED_OUT: [&str; 4] = ["RolledOut", "True", "RolledOut", "The pods run with revision 4."];
pub(super) const READY: [&str; 4] = ["Ready", "True", "Ready", "Verified, published and rolled out."];
pub(super) const REFUSED: &str = "The directory refused the service account or its password (code 49).";
pub(super) const HELD: [&str; 4] =
    ["Published", "False", "HoldingLastVerified", "The Secret keeps the last verified values."];

fn check(name: &str, result: &str, reason: &str, message: &str) -> Value {
    json!({"name": name, "result": result, "reason": reason, "message": message})
}

/// What is written, and the states of source, resource, Secret and revision that the page shows of it.
struct Phase {
    conditions: Vec<[&'static str; 4]>,
    checks: Value,
    more: Value,
    states: [&'static str; 4],
}

fn phases() -> Vec<Phase> {
    let delivered = || json!({"secretRef": {"name": "corp-ldap"}, "revision": 4, "previousRevision": 3});
    let phase = |conditions: &[[&'static str; 4]], checks: Value, more: Value, states| Phase {
        conditions: conditions.to_vec(),
        checks,
        more,
        states,
    };
    let passed = json!([check("Bind", "Passed", "Passed", "The directory accepts the service account.")]);
    let not_ready = |reason: &'static str| ["Ready", "False", reason, "See the other conditions."];
    vec![
        phase(
            &[
                VALID,
                RESOLVED,
                ["Verified", "False", "InvalidCredentials", "The check Bind failed."],
                ["Published", "False", "NotYetVerified", "The Secret is not written."],
                ["RolledOut", "Unknown", "NotChecked", "Nothing was delivered."],
                not_ready("InvalidCredentials"),
            ],
            json!([check("Bind", "Failed", "InvalidCredentials", REFUSED)]),
            json!({}),
            ["✗InvalidCredentials", "✗Verified: InvalidCredentials", "✗NotYetVerified", "–not delivered"],
        ),
        phase(
            &[
                VALID,
                RESOLVED,
                VERIFIED,
                PUBLISHED,
                ["RolledOut", "False", "Progressing", "Pods of Deployment/wandb: 3 wanted, 1 new."],
                not_ready("Progressing"),
            ],
            passed.clone(),
            delivered(),
            ["✓verified", "~RolledOut: Progressing", "✓holds the current values", "~Progressing"],
        ),
        phase(
            &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY],
            passed.clone(),
            delivered(),
            ["✓verified", "✓Ready", "✓holds the current values", "✓all pods run with it"],
        ),
        phase(
            &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY],
            json!([check("TlsVerifies", "Warning", "CertificateExpiresSoon", "Renew it.")]),
            delivered(),
            [
                "!verified, with warnings",
                "!Ready, 1 warning",
                "✓holds the current values",
                "✓all pods run with it",
            ],
        ),
        phase(
            &[
                VALID,
                RESOLVED,
                ["Verified", "False", "InvalidCredentials", "The check Bind failed."],
                HELD,
                ROLLED_OUT,
                not_ready("InvalidCredentials"),
            ],
            json!([check("Bind", "Failed", "InvalidCredentials", REFUSED)]),
            delivered(),
            [
                "✗InvalidCredentials",
                "✗Verified: InvalidCredentials",
                "!HoldingLastVerified",
                "✓all pods run with it",
            ],
        ),
        phase(
            &[
                VALID,
                RESOLVED,
                VERIFIED,
                PUBLISHED,
                ["RolledOut", "False", "RolledBack", "Deployment/wandb went back to revision 3."],
                not_ready("RolledBack"),
            ],
            passed.clone(),
            delivered(),
            ["✓verified", "✗RolledOut: RolledBack", "✓holds the current values", "✗RolledBack"],
        ),
        phase(
            &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, ["Ready", "Unknown", "Suspended", "Off."]],
            passed.clone(),
            delivered(),
            ["–not looked at", "–suspended", "–not looked at", "–not looked at"],
        ),
        // The Secret that it names is not there.
        phase(
            &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY],
            passed,
            json!({"secretRef": {"name": "gone"}, "revision": 4}),
            ["–not looked at", "!was Ready", "✗does not exist", "–not looked at"],
        ),
    ]
}

#[tokio::test]
async fn each_place_shows_the_state_of_every_phase() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(PAUSED).await?;
    workspace.put_secret("corp-ldap", &[("GORILLA_LDAP_ADDRESS", "a-value-that-nobody-sees")]).await?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "target: {deployment: {name: wandb}}")).await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let browser = page.browser()?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    browser.evaluate("window.mark = 'as it was opened'")?;

    let mut longest = Duration::ZERO;
    for Phase { conditions, checks, more, states } in phases() {
        let started = Instant::now();
        write_status(&workspace, ["LdapConfig", "corp"], &conditions, &checks, &more).await?;
        let [source, resource, secret, revision] = states;
        wait_for_state(&browser, "LdapConfig", "corp", resource)?;
        longest = longest.max(started.elapsed());
        wait_for_state(&browser, "Directory", "ldaps://ldap.example.com", source)?;
        let names = (more["secretRef"]["name"].as_str(), more["revision"].as_u64());
        wait_for_state(&browser, "Secret", names.0.unwrap_or("none yet"), secret)?;
        let number = names.1.map_or_else(|| "none yet".to_owned(), |number| number.to_string());
        wait_for_state(&browser, "Revision", &number, revision)?;
        wait_for_state(&browser, "Deployment", "wandb", "!0 of 3 pods ready")?;
    }
    eprintln!("a status is on the page after {longest:?} at most");
    assert_eq!(browser.evaluate("return window.mark")?, "as it was opened");
    let feed = browser.evaluate("return shown")?.to_string();
    assert!(!feed.contains("a-value-that-nobody-sees"), "{feed}");
    Ok(())
}

#[tokio::test]
async fn what_a_message_has_is_text() -> Result<()> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let browser = page.browser()?;
    let hostile = "<img src=x onerror=\"window.hit = 1\"><script>window.hit = 1</script></p>";
    let verified = ["Verified", "False", "ProtocolError", hostile];
    let ready = ["Ready", "False", "ProtocolError", hostile];
    let checks = json!([check("Bind", "Failed", "ProtocolError", hostile)]);
    write_status(
        &workspace,
        ["LdapConfig", "corp"],
        &[VALID, RESOLVED, verified, ready],
        &checks,
        &json!({}),
    )
    .await?;
    wait_for_state(&browser, "LdapConfig", "corp", "✗Verified: ProtocolError")?;
    browser.evaluate("document.querySelector('.place[data-id$=resource]').click()")?;
    assert!(browser.find("#details")?.text()?.contains(hostile));
    assert_eq!(browser.find_all("img, main script, dialog script")?.len(), 0);
    assert_eq!(browser.evaluate("return window.hit ?? null")?, Value::Null);
    assert_eq!(browser.console()?, [""; 0]);
    Ok(())
}
