//! Who has a place at a target beside its age: one that works is displaced only by one that works, what cannot be
//! read keeps what it has, and what a deleted resource leaves waits for who takes it over.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;
use kube::api::DeleteParams;
use serde_json::json;
use test_support::{
    ControlPlane, PodPlayer, Workspace, condition,
    pods::{Life, WandbWorkload},
};

use super::{
    Stage, TARGET, entries_of, eventually,
    history::History,
    other_resources::{
        apply_ldap_config, finalizers, is_gone, jwt_issuer, message_of, oidc_provider, outlive, provider,
        rotate_password, runs_with,
    },
    player_has_ready,
    precedence::{entries_come_from, expect_handed_over},
    shared_target::audiences_are,
};
use crate::{
    engine::undecodable::lax_definitions,
    world::{certificate, directory, operator, program, put_references},
};

const KIND: &str = "LdapConfig";

/// Longer than a successor that only has its checks to make needs.
const LONG_AWAY: i64 = 16;

/// The resources whose entries a pod has, by the names of their Secrets.
fn owners_in(pod: &PodSpec) -> BTreeSet<String> {
    let secrets = entries_of(pod).into_values().map(|(secret, _)| secret);
    secrets.filter_map(|secret| Some(secret.rsplit_once('-')?.0.to_owned())).collect()
}

/// Fails where a version of the template ever had entries of two resources, or of none.
async fn expect_one_at_a_time(history: &History) -> Result<()> {
    for pod in history.templates().await? {
        let owners = owners_in(&pod);
        ensure!(owners.len() == 1, "a version had the entries of {owners:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_older_provider_that_was_never_verified_takes_nothing() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let workspace = &stage.workspace;
    let mut login = provider(&stage, "login-authority").await?;
    login.stop()?;
    let older = |more: &str| oidc_provider(&login, "login-authority", &format!("checkInterval: 1h\n{more}"));
    workspace.apply(&older("")).await?;
    workspace.wait_for_reason("OidcProvider", "main", "Verified", "ConnectionRefused").await?;
    outlive(&stage, "OidcProvider", "main").await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;

    workspace.apply(&older(TARGET)).await?;
    let told = |status: &serde_json::Value| message_of(status, "Accepted").contains("OidcProvider \"main\"");
    let status = workspace.wait_for(KIND, "corp", told).await?;
    ensure!(message_of(&status, "Accepted").contains("the sign-in of Deployment/wandb"), "{status:#}");
    ensure!(condition(&status, "Ready").is_some_and(|ready| ready["status"] == "True"), "{status:#}");
    let status = workspace.wait_for_reason("OidcProvider", "main", "RolledOut", "NotChecked").await?;
    ensure!(message_of(&status, "Accepted").contains("younger LdapConfig \"corp\""), "{status:#}");
    // Who works goes on with all of it.
    rotate_password(workspace, &stage.directory, "another-correct-horse").await?;
    runs_with(workspace, 2).await?;
    entries_come_from(&stage, "corp-ldap-2").await?;
    ensure!(finalizers(&stage, "OidcProvider", "main").await?.is_empty());

    // Once it is verified, it has its place.
    login.start()?;
    workspace.recheck("OidcProvider", "main", "up").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_for_reason(KIND, "corp", "Accepted", "ConflictsWithOidc").await?;
    entries_come_from(&stage, "main-oidc-1").await?;
    expect_one_at_a_time(&history).await?;
    stage.expect_no_broken_reference()
}

/// What passed some time ago may have ended since, while nobody looked.
#[tokio::test]
async fn who_works_gives_way_only_to_what_passes_now() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let mut login = provider(&stage, "login-authority").await?;
    let [waiting, moved] = ["", TARGET]
        .map(|more| oidc_provider(&login, "login-authority", &format!("checkInterval: 1h\n{more}")));
    stage.workspace.apply(&waiting).await?;
    stage.workspace.wait_until_ready("OidcProvider", "main").await?;
    outlive(&stage, "OidcProvider", "main").await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;

    // The next process knows from the status that it passed.
    stage.operator = None;
    login.stop()?;
    stage.operator = Some(operator(&stage.workspace)?);
    let workspace = &stage.workspace;
    workspace.apply(&moved).await?;
    let is_told = |status: &serde_json::Value| {
        message_of(status, "RolledOut").contains("are replaced once every check has passed")
    };
    workspace.wait_for("OidcProvider", "main", is_told).await?;
    entries_come_from(&stage, "corp-ldap-1").await?;

    login.start()?;
    workspace.recheck("OidcProvider", "main", "up").await?;
    entries_come_from(&stage, "main-oidc-1").await?;
    expect_one_at_a_time(&history).await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn who_lost_goes_on_being_checked() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let workspace = &stage.workspace;
    stage.ready(TARGET).await?;
    outlive(&stage, KIND, "corp").await?;
    apply_ldap_config(&stage, "rival", &format!("{TARGET}\ncheckInterval: 1h")).await?;
    let status = workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    ensure!(
        condition(&status, "Verified").is_some_and(|verified| verified["status"] == "True"),
        "{status:#}"
    );
    workspace.patch(KIND, "rival", &json!({"spec": {"baseDN": "dc=nowhere"}})).await?;
    workspace.wait_for_reason(KIND, "rival", "Verified", "BaseDnNotFound").await?;
    let status = workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    let message = message_of(&status, "Accepted");
    ensure!(message.contains("once this one is verified"), "{message}");
    entries_come_from(&stage, "corp-ldap-1").await
}

#[tokio::test]
async fn a_deletion_while_nobody_was_there_waits_for_the_successor() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    outlive(&stage, KIND, "corp").await?;
    stage.operator = None;
    let history = History::begin(&stage).await?;
    // A successor that was never checked, and does not work yet.
    let config = crate::world::ldap_config("ldaps://127.0.0.1:1", &format!("{TARGET}\ncheckInterval: 1h"));
    stage.workspace.apply(&config.replace("{name: corp}", "{name: rival}")).await?;
    stage.workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    let deleted = Timestamp::now().as_second();
    eventually("a long time without an operator", || async {
        Ok((Timestamp::now().as_second() > deleted + LONG_AWAY).then_some(()))
    })
    .await?;

    stage.operator = Some(operator(&stage.workspace)?);
    let workspace = &stage.workspace;
    let status = workspace.wait_for_reason(KIND, "rival", "Verified", "ConnectionRefused").await?;
    let message = message_of(&status, "Accepted");
    ensure!(message.contains("LdapConfig \"corp\" leaves Deployment/wandb. Its entries stay"), "{message}");
    eventually("an event", || async {
        let events = workspace.events().await?;
        Ok(events.contains("until LdapConfig rival takes them over").then_some(()))
    })
    .await?;
    entries_come_from(&stage, "corp-ldap-1").await?;

    let address = json!({"spec": {"address": stage.directory.ldaps_url()?}});
    workspace.patch(KIND, "rival", &address).await?;
    workspace.wait_until_ready(KIND, "rival").await?;
    is_gone(workspace, KIND, "corp").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;
    ensure!(stage.revisions("corp-ldap").await?.is_empty());
    expect_one_at_a_time(&history).await?;
    assert_eq!(history.templates().await?.len(), 2, "one change of the template");
    expect_handed_over(&stage, &history).await
}

#[tokio::test]
async fn who_moves_to_another_target_or_to_none_leaves_no_gap() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let workspace = &stage.workspace;
    workspace.apply(&WandbWorkload::deployment("other").manifest()).await?;
    player_has_ready(&stage.player, "other", 2).await?;
    stage.ready(TARGET).await?;
    let history = History::begin(&stage).await?;
    outlive(&stage, KIND, "corp").await?;
    apply_ldap_config(&stage, "rival", TARGET).await?;
    workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    stage.ready("target: {deployment: {name: other}}").await?;
    workspace.wait_until_ready(KIND, "rival").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;

    // As the older one it may come back.
    stage.ready(TARGET).await?;
    workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    stage.ready("").await?;
    workspace.wait_until_ready(KIND, "rival").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;
    expect_one_at_a_time(&history).await?;
    eventually("the end of the finalizer", || async {
        Ok(finalizers(&stage, KIND, "corp").await?.is_empty().then_some(()))
    })
    .await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_successor_that_never_works_holds_no_deletion_for_ever() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.operator = None;
    let arguments = ["--allow-egress", "127.0.0.0/8", "--deletion-patience", "4s"];
    stage.operator = Some(stage.workspace.start_operator(program(), &arguments)?);
    let workspace = &stage.workspace;
    stage.ready(TARGET).await?;
    outlive(&stage, KIND, "corp").await?;
    apply_ldap_config(
        &stage,
        "rival",
        &format!("{TARGET}\nattributes: {{email: nobodyHasThis, group: gidNumber}}"),
    )
    .await?;
    workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    is_gone(workspace, KIND, "corp").await?;
    ensure!(stage.entries().await?.is_empty());
    stage.expect_no_broken_reference()
}

/// A namespace on an API server that stores any spec.
async fn lax_stage(plane: &ControlPlane) -> Result<Stage> {
    let workspace = Workspace::create(plane, &lax_definitions()).await?;
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let player = PodPlayer::start(&workspace, |_| Life::Ready)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    let mut stage = Stage { directory, player, workspace, operator: None };
    player_has_ready(&stage.player, "wandb", 2).await?;
    stage.operator = Some(operator(&stage.workspace)?);
    Ok(stage)
}

/// Has the resource say what this version cannot read.
async fn obscure(stage: &Stage, kind: &str, name: &str) -> Result<()> {
    stage.workspace.patch(kind, name, &json!({"spec": {"checkInterval": 7}})).await?;
    let status = stage.workspace.wait_for_reason(kind, name, "Accepted", "InvalidSpec").await?;
    ensure!(message_of(&status, "Accepted").contains("cannot read the object"), "{status:#}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_keeps_its_place_and_takes_none() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let mut stage = lax_stage(&plane).await?;
    // It never worked.
    let stranger = format!(
        "apiVersion: auth.wandb.com/v1alpha1\nkind: {KIND}\nmetadata: {{name: stranger}}\nspec: {{address: 7, {TARGET}}}\n"
    );
    stage.workspace.apply(&stranger).await?;
    stage.workspace.wait_for_reason(KIND, "stranger", "Accepted", "InvalidSpec").await?;
    outlive(&stage, KIND, "stranger").await?;
    let status = stage.ready(TARGET).await?;
    ensure!(message_of(&status, "Accepted").contains("older LdapConfig \"stranger\""), "{status:#}");
    outlive(&stage, KIND, "corp").await?;
    apply_ldap_config(&stage, "rival", TARGET).await?;
    stage.workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    let history = History::begin(&stage).await?;

    // It worked, and cannot be read any more.
    obscure(&stage, KIND, "corp").await?;
    let is_told = |status: &serde_json::Value| {
        message_of(status, "Accepted").contains("keeps it although this version")
    };
    stage.workspace.wait_for(KIND, "rival", is_told).await?;
    stage.operator = None;
    stage.operator = Some(operator(&stage.workspace)?);
    let workspace = &stage.workspace;
    let more = json!({"spec": {"attributes": {"email": "mail", "group": "gidNumber", "name": "cn"}}});
    workspace.patch(KIND, "rival", &more).await?;
    workspace.wait_for_reason(KIND, "rival", "Accepted", "Superseded").await?;
    entries_come_from(&stage, "corp-ldap-1").await?;
    workspace.patch(KIND, "corp", &json!({"spec": {"checkInterval": "1h"}})).await?;
    workspace.wait_until_ready(KIND, "corp").await?;
    assert_eq!(history.templates().await?.len(), 1, "nothing happened to the template");

    // On its way out it has no place any more, whether it can be read or not.
    obscure(&stage, KIND, "corp").await?;
    workspace.resources(KIND)?.delete("corp", &DeleteParams::default()).await?;
    workspace.wait_until_ready(KIND, "rival").await?;
    entries_come_from(&stage, "rival-ldap-1").await?;
    expect_one_at_a_time(&history).await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn audiences_of_an_issuer_that_cannot_be_read_stay() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let stage = lax_stage(&plane).await?;
    let workspace = &stage.workspace;
    let provider = provider(&stage, "login-authority").await?;
    for (name, audiences) in [("a", "[first]"), ("b", "[second]")] {
        let issuer = jwt_issuer(&provider, "login-authority", name, TARGET);
        workspace.apply(&issuer.replace("[my-org, research]", audiences)).await?;
    }
    audiences_are(&stage, "a", &["first", "second"]).await?;
    for name in ["a", "b"] {
        workspace.wait_until_ready("JwtIssuer", name).await?;
    }
    obscure(&stage, "JwtIssuer", "a").await?;
    workspace.patch("JwtIssuer", "b", &json!({"spec": {"audiences": ["third"]}})).await?;
    audiences_are(&stage, "b", &["first", "third"]).await?;
    workspace.wait_until_ready("JwtIssuer", "b").await?;
    // Where nothing tells whether its audiences belong there, nothing changes.
    workspace.patch("JwtIssuer", "a", &json!({"spec": {"target": 7}})).await?;
    workspace.patch("JwtIssuer", "b", &json!({"spec": {"audiences": ["fourth"]}})).await?;
    let status = workspace.wait_for_reason("JwtIssuer", "b", "RolledOut", "InvalidSpec").await?;
    ensure!(message_of(&status, "RolledOut").contains("JwtIssuer \"a\" cannot be read"), "{status:#}");
    audiences_are(&stage, "b", &["first", "third"]).await?;
    stage.expect_no_broken_reference()
}
