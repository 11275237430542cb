//! What each tool thinks of a resource in each phase.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::{GitOps, condition, gitops::Verdict};

use super::{
    argo_settings, flux_expressions,
    phases::{Phase, of_ldap_config, of_the_others},
    shipped, shipped_text,
};

#[tokio::test]
async fn every_tool_reads_every_phase_rightly() -> Result<()> {
    let tools = GitOps::install()?;
    let mut phases = of_ldap_config().await?;
    let others = of_the_others().await?;
    expect_test_data(&phases)?;
    phases.extend(others);

    let objects: Vec<Value> = phases.iter().map(|phase| phase.object.clone()).collect();
    let by_kstatus = tools.kstatus(&objects)?;
    let by_flux = tools.flux_health(&flux_expressions()?, &objects)?;
    let by_argo = tools.argo_health(&argo_settings()?, &objects)?;
    let mut table = vec![row(["kind", "phase", "reason", "kstatus", "Flux", "Argo CD"])];
    for (index, Phase { name, object }) in phases.iter().enumerate() {
        let reason = condition(&object["status"], "Ready").map_or(&Value::Null, |ready| &ready["reason"]);
        let kind = object["kind"].as_str().context("kind")?;
        let verdicts = [&by_kstatus, &by_flux, &by_argo].map(|verdicts| verdicts[index].status.as_str());
        let [kstatus, flux, argo] = verdicts;
        table.push(row([kind, name, reason.as_str().unwrap_or("-"), kstatus, flux, argo]));
        expect_message(object, &by_kstatus[index], &by_argo[index])?;
    }
    insta::assert_snapshot!(table.join("\n"));
    Ok(())
}

#[test]
fn the_scripts_give_what_their_test_data_say() -> Result<()> {
    let tools = GitOps::install()?;
    let tests = shipped("argo-cd/health_test.yaml")?.pop().context("there are no tests")?;
    let tests = tests["tests"].as_array().context("tests")?.clone();
    ensure!(tests.len() >= 10, "every phase has a test");
    for test in tests {
        let path = test["inputPath"].as_str().context("inputPath")?;
        let object = shipped(&format!("argo-cd/{path}"))?.pop().context("there is no object")?;
        let found = tools.argo_health(&argo_settings()?, &[object])?.pop().context("no verdict")?;
        let status = &test["healthStatus"];
        assert_eq!(status["status"], found.status, "{path}");
        assert_eq!(status["message"], found.message, "{path}");
    }
    Ok(())
}

#[test]
fn the_settings_of_argo_cd_hold_the_script_for_every_kind() -> Result<()> {
    let script = shipped_text("argo-cd/health.lua")?;
    let settings = argo_settings()?;
    let settings = settings.as_object().context("data")?;
    let kinds = ["JwtIssuer", "LdapConfig", "OidcProvider", "ServiceAccount"];
    let keys = kinds.map(|kind| format!("resource.customizations.health.auth.wandb.com_{kind}"));
    assert_eq!(settings.keys().collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    for (key, value) in settings {
        ensure!(*value == script, "copy gitops/argo-cd/health.lua to {key} in gitops/argo-cd/argocd-cm.yaml");
    }
    Ok(())
}

fn row(cells: [&str; 6]) -> String {
    let [kind, phase, reason, kstatus, flux, argo] = cells;
    let row = format!("{kind:<15} {phase:<14} {reason:<18} {kstatus:<12} {flux:<12} {argo}");
    row.trim_end().to_owned()
}

/// What a person reads there says what is wrong, in the words of the condition.
fn expect_message(object: &Value, by_kstatus: &Verdict, by_argo: &Verdict) -> Result<()> {
    let message = |type_| condition(&object["status"], type_).map(|condition| &condition["message"]);
    if by_kstatus.status == "Failed" {
        assert_eq!(message("Stalled"), Some(&Value::from(by_kstatus.message.as_str())));
    }
    if ["Degraded", "Healthy", "Suspended"].contains(&by_argo.status.as_str()) {
        assert_eq!(message("Ready"), Some(&Value::from(by_argo.message.as_str())));
    }
    ensure!(!by_argo.message.is_empty(), "{object:#}");
    Ok(())
}

/// Fails where the test data of Argo CD's script have other conditions than the real objects.
fn expect_test_data(phases: &[Phase]) -> Result<()> {
    let mut stale = Vec::new();
    for Phase { name, object } in phases {
        let path = format!("argo-cd/testdata/{name}.yaml");
        let data = shipped(&path).ok().and_then(|mut documents| documents.pop()).unwrap_or_default();
        if outline(&data) != outline(object) {
            stale.push(format!("gitops/{path}:\n{}", serde_yaml::to_string(&trimmed(object))?));
        }
    }
    ensure!(stale.is_empty(), "the real objects are like this now; write so into\n{}", stale.join("\n"));
    Ok(())
}

/// The object without what no verdict depends on.
fn trimmed(object: &Value) -> Value {
    let some = |of: &Value, fields: &[&str]| {
        let of = of.as_object().into_iter().flatten();
        Value::Object(
            of.filter(|(name, _)| fields.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    };
    let metadata = ["name", "namespace", "generation", "finalizers", "deletionTimestamp"];
    serde_json::json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": some(&object["metadata"], &metadata),
        "spec": object["spec"],
        "status": some(&object["status"], &["observedGeneration", "conditions", "secretRef", "revision"]),
    })
}

/// All that a verdict may depend on, without messages and times.
fn outline(object: &Value) -> Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> = conditions
        .map(|condition| format!("{}={} {}", condition["type"], condition["status"], condition["reason"]))
        .collect();
    serde_json::json!({
        "kind": object["kind"],
        "isObserved": object["metadata"]["generation"] == object["status"]["observedGeneration"],
        "isDeleted": object["metadata"]["deletionTimestamp"].is_string(),
        "suspend": object["spec"]["suspend"],
        "conditions": conditions,
    })
}
