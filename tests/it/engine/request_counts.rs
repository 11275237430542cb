//! What a resource costs at the API server: every request is listed, and a change leads to runs of those whom it
//! concerns.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{api::PostParams, core::DynamicObject};
use serde_json::json;
use test_support::{AuditEvent, ControlPlane, Operator, WandbServer, Workspace};

use crate::service_account::service_account;
use crate::world::{
    certificate, directory, events_are_written, eventually, jwt_issuer, ldap_config, oidc_provider, operator,
    provider, put_references, silence, workspace,
};

/// How often each request was made, such as `get secrets`.
type Requests = BTreeMap<String, usize>;

/// What the operator asked of the API server in the namespace, in the order of the answers, without its watches.
fn asked(workspace: &Workspace, plane: &ControlPlane) -> Result<Vec<AuditEvent>> {
    let events = plane.audit_in(workspace.namespace())?;
    // The operator asks from time to time whether the API server answers at all.
    let is_sign_of_life = |event: &AuditEvent| {
        event.verb == "list" && event.request_uri.split(['?', '&']).any(|part| part == "limit=1")
    };
    let asks =
        |event: &AuditEvent| event.user == "operator" && event.verb != "watch" && !is_sign_of_life(event);
    Ok(events.into_iter().filter(asks).collect())
}

fn counted(events: &[AuditEvent]) -> Requests {
    let mut requests = Requests::new();
    for AuditEvent { verb, resource, subresource, .. } in events {
        let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        *requests.entry(format!("{verb} {resource}{subresource}")).or_default() += 1;
    }
    requests
}

const KINDS: [&str; 4] = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];

/// What the documentation says that a resource of the kind costs.
fn listed(kind: &str) -> Result<Requests> {
    let page = include_str!("../../../docs/operate/capacity.md");
    let (_, section) =
        page.split_once("## Requests to the API server").context("the page has no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let column = KINDS.iter().position(|own| *own == kind).context("no such kind")?;
    let mut requests = Requests::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [request, times @ .., why] = cells.as_slice() else { anyhow::bail!("not a row: {row}") };
        ensure!(times.len() == KINDS.len() && !why.is_empty(), "{row}");
        let times: usize = times.get(column).context("no column")?.parse().context(row.to_owned())?;
        let resource = format!("{}s", kind.to_lowercase());
        let request = request.trim_matches('`').replace("<kind>", &resource);
        if times > 0 {
            requests.insert(request, times);
        }
    }
    ensure!(!requests.is_empty(), "nothing is listed for {kind}");
    Ok(requests)
}

#[tokio::test]
async fn every_kind_becomes_ready_with_the_requests_that_are_listed() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let server = WandbServer::builder().start()?;
    let key = server.service_account("ci", "research")?;
    let (plane, workspace) = (ControlPlane::shared().await?, workspace().await?);
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("sa-key", &[("key", &key)]).await?;
    let operator = operator(&workspace)?;
    operator.wait_until_ready()?;
    for (kind, name, manifest) in [
        ("LdapConfig", "corp", ldap_config(&directory.ldaps_url()?, "")),
        ("OidcProvider", "main", oidc_provider(provider.issuer(), "")),
        ("JwtIssuer", "ci", jwt_issuer(provider.issuer(), "")),
        ("ServiceAccount", "ci", service_account("ci", &server.base_url(), "", "")),
    ] {
        let before = asked(&workspace, plane)?.len();
        let runs_before = runs(&operator, kind)?;
        workspace.apply(&manifest).await?;
        workspace.wait_until_ready(kind, name).await?;
        let mut expected = listed(kind)?;
        // Only some servers lead to a warning, which is an event of its own.
        if workspace.status(kind, name).await?["warnings"].as_u64() > Some(0) {
            *expected.entry("create events".to_owned()).or_default() += 1;
        }
        // Events are written after the status, one after another.
        let new = || -> Result<Vec<AuditEvent>> { Ok(asked(&workspace, plane)?.split_off(before)) };
        let count: usize = expected.values().sum();
        let came = eventually("the requests that are listed", || async {
            Ok((new()?.len() >= count && runs(&operator, kind)? > runs_before).then_some(()))
        });
        came.await.with_context(|| format!("{kind}: {:#?}", new()))?;
        silence(Duration::from_secs(1), || async { Ok(new()?.len()) }).await?;
        let requests = new()?;
        assert_eq!(counted(&requests), expected, "{kind}: {requests:#?}");
        assert_eq!(runs(&operator, kind)? - runs_before, 1, "what {kind} wrote itself is no reason to run");
    }
    Ok(())
}

/// How many runs of a kind the process has ended.
fn runs(operator: &Operator, kind: &str) -> Result<usize> {
    let (_, metrics) = operator.get("/metrics")?;
    let name = format!("wandb_auth_reconcile_duration_seconds_count{{kind=\"{kind}\"}}");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(Ok(0), |count| count.trim().parse().context("the count of runs"))
}

const MANY: usize = 2000;

/// How many of them refer to the same Secret.
const SHARED: usize = 500;

/// Resources that look at nothing outside: what a change leads to shows all the same.
async fn create_many(workspace: &Workspace) -> Result<()> {
    let (resources, parameters) = (workspace.resources("LdapConfig")?, PostParams::default());
    let create = |number: usize| {
        let secret = match number {
            0 => "of-one",
            1..=SHARED => "shared",
            _ => "of-the-others",
        };
        let object = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": format!("number-{number}")},
            "spec": {
                "address": "ldaps://127.0.0.1:1", "baseDN": "dc=example,dc=org", "suspend": true,
                "bind": {"dn": "cn=w,dc=example,dc=org", "passwordSecretRef": {"name": secret, "key": "password"}},
            },
        });
        let (resources, parameters) = (&resources, &parameters);
        async move { Ok(resources.create(parameters, &serde_json::from_value::<DynamicObject>(object)?).await?) }
    };
    stream::iter((0..MANY).map(create)).buffer_unordered(32).try_for_each(|_| async { anyhow::Ok(()) }).await
}

#[tokio::test]
async fn a_change_has_those_run_whom_it_concerns_and_nobody_else() -> Result<()> {
    let (plane, workspace) = (ControlPlane::shared().await?, workspace().await?);
    for name in ["of-one", "shared", "of-the-others"] {
        workspace.put_secret(name, &[("password", "first")]).await?;
    }
    create_many(&workspace).await?;
    let operator = operator(&workspace)?;
    let runs = || runs(&operator, "LdapConfig");
    for quarter in 1..=4 {
        let so_many = MANY * quarter / 4;
        eventually("a run of each", || async { Ok((runs()? >= so_many).then_some(())) }).await?;
    }
    // The events of so many resources are written after their runs.
    silence(Duration::from_secs(2), || async { Ok(runs()? + asked(&workspace, plane)?.len()) }).await?;
    events_are_written(&workspace).await?;
    silence(Duration::from_secs(2), || async { Ok(runs()? + asked(&workspace, plane)?.len()) }).await?;

    // What concerns nobody comes first, so that it was seen when the only resource runs that the last change concerns.
    let (runs_before, before) = (runs()?, asked(&workspace, plane)?.len());
    for value in ["first", "second", "third"] {
        workspace.put_secret("unrelated", &[("password", value)]).await?;
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"password": value},
        });
        workspace.apply(&map.to_string()).await?;
    }
    workspace.put_secret("of-one", &[("password", "second")]).await?;
    eventually("the run of one", || async { Ok((runs()? > runs_before).then_some(())) }).await?;
    silence(Duration::from_secs(1), || async { runs() }).await?;
    assert_eq!(runs()? - runs_before, 1);
    let requests = counted(&asked(&workspace, plane)?.split_off(before));
    assert_eq!(requests, Requests::from([("get secrets".to_owned(), 1)]), "its own Secret");

    let (runs_before, before) = (runs()?, asked(&workspace, plane)?.len());
    workspace.patch("LdapConfig", "number-7", &json!({"spec": {"checkInterval": "1h"}})).await?;
    workspace.wait_for("LdapConfig", "number-7", |status| status["observedGeneration"] == 2).await?;
    // A run ends after its status was written.
    eventually("the run of one", || async { Ok((runs()? > runs_before).then_some(())) }).await?;
    silence(Duration::from_secs(1), || async { runs() }).await?;
    assert_eq!(runs()? - runs_before, 1);
    let requests = counted(&asked(&workspace, plane)?.split_off(before));
    let expected = [("get secrets".to_owned(), 1), ("patch ldapconfigs/status".to_owned(), 1)];
    assert_eq!(requests, Requests::from(expected));

    let (runs_before, before) = (runs()?, asked(&workspace, plane)?.len());
    workspace.put_secret("shared", &[("password", "second")]).await?;
    eventually("a run of each that shares it", || async {
        Ok((runs()? - runs_before >= SHARED).then_some(()))
    })
    .await?;
    silence(Duration::from_secs(1), || async { runs() }).await?;
    assert_eq!(runs()? - runs_before, SHARED);
    let requests = counted(&asked(&workspace, plane)?.split_off(before));
    assert_eq!(requests, Requests::from([("get secrets".to_owned(), SHARED)]), "nothing is written");
    Ok(())
}
