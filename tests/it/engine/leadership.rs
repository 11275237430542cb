//! Several replicas, and how a process ends.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::api::{coordination::v1::Lease, rbac::v1::RoleBinding};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use test_support::{Operator, Workspace, wait_until};

use super::stopping::end;
use crate::world::{
    PATIENCE, certificate, directory, ldap_config, operator, program, put_references, workspace,
};

const LEADER: &str = "became the leader";

#[tokio::test]
async fn one_leads_and_another_takes_over() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    let replica =
        || workspace.start_operator(program(), &["--allow-egress", "127.0.0.0/8", "--leader-elect"]);
    let mut first: Operator = replica()?;
    first.log().wait_for(LEADER, PATIENCE)?;
    let second = replica()?;
    second.log().wait_for("waiting to become the leader", PATIENCE)?;
    wait_until(PATIENCE, "a replica that stands by to be ready", || Ok(second.get("/readyz")?.0 == 200))?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let published = workspace.secrets().get("corp-ldap").await?.metadata.resource_version;
    ensure!(!second.log().contains(LEADER)?, "two lead at once");
    // A leader that stops gives the Lease up, so that nobody has to wait for it to expire.
    let mut holders = holders(&workspace);
    let leader = holders.try_next().await?.context("nobody leads")?;
    let stopped = first.process().terminate(PATIENCE)?;
    ensure!(stopped.success(), "SIGTERM is an orderly end: {stopped}");
    second.log().wait_for(LEADER, PATIENCE)?;
    let mut after = holders.try_skip_while(|holder| future::ok(*holder == leader));
    // It tries to give the Lease up for a second, which a busy API server may take.
    let given_up = after.try_next().await?.as_deref() == Some("");
    ensure!(given_up || first.log().contains("the Lease was not released")?, "it was not given up first");
    // A leader that is killed is replaced once its Lease has expired.
    let third = replica()?;
    third.log().wait_for("waiting to become the leader", PATIENCE)?;
    drop(second);
    third.log().wait_for(LEADER, PATIENCE)?;
    third.wait_until_ready()?;
    workspace.recheck("LdapConfig", "corp", "third").await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    ensure!(
        workspace.secrets().get("corp-ldap").await?.metadata.resource_version == published,
        "no Secret changed"
    );
    Ok(())
}

/// Who holds the Lease, and whoever does after each of its changes; nobody is an empty name.
fn holders(workspace: &Workspace) -> BoxStream<'static, Result<String, watcher::Error>> {
    let leases: Api<Lease> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let only = watcher::Config::default().fields("metadata.name=wandb-auth-operator");
    let holder = |lease: Lease| lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    watcher(leases, only).applied_objects().map_ok(holder).boxed()
}

#[tokio::test]
async fn nobody_is_ready_who_cannot_look_at_the_lease() -> Result<()> {
    let workspace = workspace().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(workspace.client().clone(), workspace.namespace());
    let name = "wandb-auth-operator-leader-election";
    let mut binding = bindings.get(name).await?;
    bindings.delete(name, &DeleteParams::default()).await?;
    // Without a right nothing is answered but that.
    let operator = workspace.start_operator(program(), &["--leader-elect"])?;
    wait_until(PATIENCE, "/readyz to say what is missing", || {
        let (code, why) = operator.get("/readyz")?;
        ensure!(code == 503, "ready without a look at the Lease: {code} {why}");
        Ok(why.contains("Lease wandb-auth-operator") && why.contains("forbidden"))
    })?;
    let warnings = operator.log().read()?.matches("could not be read or written").count();
    ensure!(warnings == 1, "it is told once, not {warnings} times");
    binding.metadata.resource_version = None;
    bindings.create(&PostParams::default(), &binding).await?;
    wait_until(PATIENCE, "the operator to be ready", || Ok(operator.get("/readyz")?.0 == 200))?;
    operator.log().wait_for(LEADER, PATIENCE)
}

/// The right to one more Lease, as another release brings it.
async fn grant_lease(workspace: &Workspace, name: &str) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
        "rules": [{
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [name],
            "verbs": ["get", "update"],
        }],
    });
    workspace.apply(&role.to_string()).await?;
    workspace.bind_role(name).await
}

#[tokio::test]
async fn releases_in_one_namespace_have_leases_of_their_own() -> Result<()> {
    let workspace = workspace().await?;
    let first = workspace.start_operator(program(), &["--leader-elect"])?;
    first.log().wait_for(LEADER, PATIENCE)?;
    let second = workspace.start_operator(program(), &["--leader-elect", "--lease-name", "second"])?;
    // The rights are those of the first release alone.
    wait_until(PATIENCE, "the other Lease to be asked for", || {
        Ok(second.get("/readyz")?.1.contains("Lease second"))
    })?;
    grant_lease(&workspace, "second").await?;
    second.log().wait_for(LEADER, PATIENCE)?;
    for operator in [&first, &second] {
        wait_until(PATIENCE, "the metric to say who leads", || {
            Ok(operator.get("/metrics")?.1.contains("\nwandb_auth_leading 1\n"))
        })?;
    }
    Ok(())
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_hung_server() -> Result<()> {
    let black_hole = test_support::hostile::TcpServer::black_hole()?;
    let workspace = workspace().await?;
    let mut operator = operator(&workspace)?;
    put_references(&workspace, &certificate()?).await?;
    // The check would hang for longer than the end of the process is waited for.
    workspace.apply(&ldap_config(&format!("ldaps://{}", black_hole.address()), "checkTimeout: 5m")).await?;
    wait_until(PATIENCE, "the probe to hang", || Ok(black_hole.connections() >= 1))?;
    end(operator.process())
}
