//! Each metric, and what makes it count.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::{
    ApiProxy, ControlPlane, Fault, Operator, Workspace,
    pods::{Life, WandbWorkload},
    wait_until,
};

use crate::{
    delivery::{Stage, TARGET, refers_to},
    world::{
        ARGUMENTS, Corp, PASSWORD, PATIENCE, certificate, directory, ldap_config, program, put_references,
        workspace,
    },
};

const KIND: &str = "LdapConfig";

/// The value of a series; nothing where there is none.
fn value(operator: &Operator, series: &str) -> Result<Option<f64>> {
    let (_, text) = operator.get("/metrics")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(lines.next().and_then(|value| value.parse().ok()))
}

fn wait_for(operator: &Operator, series: &str, is_meant: impl Fn(f64) -> bool) -> Result<()> {
    wait_until(PATIENCE, series, || Ok(value(operator, series)?.is_some_and(&is_meant)))
}

/// Whether a count is this one.
fn is(expected: f64) -> impl Fn(f64) -> bool {
    move |value| (value - expected).abs() < 0.5
}

fn labels(workspace: &Workspace) -> String {
    format!("{{kind=\"{KIND}\",namespace=\"{}\",name=\"corp\"}}", workspace.namespace())
}

#[tokio::test]
async fn a_process_tells_of_itself_and_of_its_requests() -> Result<()> {
    let Corp { workspace, operator, directory: _directory, .. } = Corp::ready("checkInterval: 1h").await?;
    let version = format!("wandb_auth_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    wait_for(&operator, &version, is(1.0))?;
    for figure in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        wait_for(&operator, figure, |value| value > 0.0)?;
    }
    for request in ["list", "watch", "get", "create", "patch"] {
        let series = format!("wandb_auth_api_requests_total{{verb=\"{request}\",code=\"2xx\"}}");
        wait_for(&operator, &series, |value| value >= 1.0)?;
    }
    let labels = labels(&workspace);
    let expires = format!("wandb_auth_certificate_not_after_timestamp_seconds{labels}");
    wait_for(&operator, &expires, |value| value > 1.0e9)?;
    let old = value(&operator, &format!("wandb_auth_certificate_not_after_seconds{labels}"))?;
    assert_eq!(old, value(&operator, &expires)?, "the old name stays for a release");
    Ok(())
}

#[tokio::test]
async fn warnings_and_repairs_count() -> Result<()> {
    let Corp { workspace, operator, directory: _directory, .. } = Corp::ready("checkInterval: 1h").await?;
    let labels = labels(&workspace);
    let (warnings, repairs) =
        (format!("wandb_auth_resource_warnings{labels}"), format!("wandb_auth_repairs_total{labels}"));
    for series in [&warnings, &repairs] {
        wait_for(&operator, series, is(0.0))?;
    }
    let with_line_break = format!("{PASSWORD}\n");
    workspace.put_secret("ldap-bind", &[("password", &with_line_break)]).await?;
    wait_for(&operator, &warnings, is(1.0))?;
    workspace.secrets().delete("corp-ldap", &DeleteParams::default()).await?;
    wait_for(&operator, &repairs, is(1.0))?;
    workspace.resources(KIND)?.delete("corp", &DeleteParams::background()).await?;
    wait_until(PATIENCE, "the series to go", || Ok(!operator.get("/metrics")?.1.contains("name=\"corp\"")))
}

#[tokio::test]
async fn runs_that_end_with_an_error_count() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let operator = workspace.start_operator_through(&proxy, program(), &ARGUMENTS)?;
    operator.wait_until_ready()?;
    proxy.fail(|_, path| path.contains("/secrets/ldap-bind").then_some(Fault::Close));
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    let errors = format!("wandb_auth_reconcile_errors_total{{kind=\"{KIND}\"}}");
    wait_for(&operator, &errors, |value| value >= 1.0)?;
    wait_for(&operator, "wandb_auth_api_requests_total{verb=\"get\",code=\"none\"}", |value| value >= 1.0)?;
    proxy.heal();
    workspace.wait_until_ready(KIND, "corp").await?;
    let other = "wandb_auth_reconcile_errors_total{kind=\"OidcProvider\"}";
    ensure!(value(&operator, other)?.unwrap_or_default() == 0.0, "another kind had no error");
    Ok(())
}

#[tokio::test]
async fn a_way_back_counts() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    let Some(operator) = &stage.operator else { anyhow::bail!("no operator runs") };
    let rollbacks = format!("wandb_auth_rollbacks_total{}", labels(&stage.workspace));
    wait_for(operator, &rollbacks, is(0.0))?;
    stage.player.change_script(|pod| {
        if refers_to(pod, "corp-ldap-2") {
            Life::CrashLooping { exit_code: 3, message: "panic".to_owned() }
        } else {
            Life::Ready
        }
    });
    stage.workspace.patch(KIND, "corp", &json!({"spec": {"attributes": {"name": "cn"}}})).await?;
    stage.workspace.wait_for_reason(KIND, "corp", "RolledOut", "RolledBack").await?;
    wait_for(operator, &rollbacks, is(1.0))
}
