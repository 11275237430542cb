//! An API server that goes away, hangs, or has forgotten what it was asked for.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::{ApiProxy, ControlPlane, Fault, Operator, Slapd, Workspace, condition, wait_until};

use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::{certificate, directory, eventually, ldap_config, program, put_references, workspace};

const PATIENCE: Duration = Duration::from_mins(1);

/// A directory, a namespace with what resources refer to, and a proxy in front of the API server.
struct Scene {
    directory: Slapd,
    workspace: Workspace,
    proxy: ApiProxy,
}

impl Scene {
    async fn open() -> Result<Self> {
        let certificate = certificate()?;
        let workspace = workspace().await?;
        put_references(&workspace, &certificate).await?;
        let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
        Ok(Self { directory: directory(&certificate)?, workspace, proxy })
    }
}

fn operator_behind(workspace: &Workspace, proxy: &ApiProxy) -> Result<Operator> {
    workspace.start_operator_through(proxy, program(), &["--allow-egress", "127.0.0.0/8"])
}

async fn is_suspended(workspace: &Workspace) -> Result<bool> {
    let status = workspace.status("LdapConfig", "corp").await?;
    Ok(condition(&status, "Ready").is_some_and(|ready| ready["reason"] == "Suspended"))
}

#[tokio::test]
async fn what_changed_during_an_outage_is_seen_within_seconds_of_its_end() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let operator = operator_behind(&workspace, &proxy)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    for suspend in [true, false] {
        let before = proxy.connections();
        proxy.go_down();
        workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": suspend}})).await?;
        // Every watch has failed several times in a row by then.
        wait_until(
            PATIENCE,
            "the operator to try again and again",
            || Ok(proxy.connections() > before + 90),
        )?;
        proxy.heal();
        let healed = Instant::now();
        eventually("the change to be seen", || async {
            Ok((is_suspended(&workspace).await? == suspend).then_some(()))
        })
        .await?;
        ensure!(healed.elapsed() < Duration::from_secs(5), "it took {:?}", healed.elapsed());
    }
    let log = operator.log().read()?;
    let told =
        log.lines().filter(|line| line.contains("\"WARN\"") && line.contains("does not answer")).count();
    ensure!(told <= 6, "an outage is told once for each of its causes, not {told} times:\n{log}");
    Ok(())
}

#[tokio::test]
async fn a_watch_of_a_version_that_is_gone_lists_anew() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    proxy.fail(move |_, path| {
        if !path.contains("/ldapconfigs?") {
            return None;
        }
        let mut asked = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let what = if path.contains("watch=true") { "watch" } else { "list" };
        asked.push(what);
        (what == "watch" && asked.iter().filter(|other| **other == "watch").count() <= 2)
            .then_some(Fault::Refuse(410))
    });
    let _operator = operator_behind(&workspace, &proxy)?;
    wait_until(PATIENCE, "a third watch", || {
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(asked.len() >= 6)
    })?;
    let first: Vec<_> =
        asked.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().take(6).collect();
    assert_eq!(first, ["list", "watch", "list", "watch", "list", "watch"]);
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_forgets_every_version_is_told_once() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    proxy.fail(move |_, path| {
        let is_meant = path.contains("/ldapconfigs?") && path.contains("watch=true");
        counted.fetch_add(usize::from(is_meant), Ordering::SeqCst);
        is_meant.then_some(Fault::Refuse(410))
    });
    let operator = operator_behind(&workspace, &proxy)?;
    wait_until(PATIENCE, "watches to be refused", || Ok(refused.load(Ordering::SeqCst) >= 6))?;
    let words = "is too old (410)";
    let told =
        |log: &str| log.lines().filter(|line| line.contains("\"WARN\"") && line.contains(words)).count();
    let log = operator.log().read()?;
    assert_eq!(told(&log), 1, "it is told once, although the lists between succeed:\n{log}");
    // What is listed is worked on all the same.
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    proxy.heal();
    eventually("a change to be seen by a watch", || async {
        workspace.recheck("LdapConfig", "corp", &format!("{:?}", Instant::now())).await?;
        Ok(operator.log().contains("this is over: The API server says again and again")?.then_some(()))
    })
    .await
}

#[tokio::test]
async fn who_waited_for_one_whose_deletion_was_missed_is_woken() -> Result<()> {
    let Scene { workspace, proxy, .. } = Scene::open().await?;
    let _operator = operator_behind(&workspace, &proxy)?;
    // Neither works, so that the older one has the place; nothing of them runs by itself within an hour.
    let more = "target: {deployment: {name: none}}\ncheckInterval: 1h\nfailureThreshold: 1";
    let config = ldap_config("ldaps://127.0.0.1:1", more);
    for name in ["a", "b"] {
        workspace.apply(&config.replace("name: corp", &format!("name: {name}"))).await?;
        workspace.wait_for_reason("LdapConfig", name, "Verified", "ConnectionRefused").await?;
    }
    workspace.wait_for_reason("LdapConfig", "b", "Accepted", "Superseded").await?;
    let before = proxy.connections();
    proxy.go_down();
    workspace.resources("LdapConfig")?.delete("a", &DeleteParams::default()).await?;
    wait_until(PATIENCE, "the watches to break", || Ok(proxy.connections() > before + 20))?;
    // The version that was seen last is gone, and with it the event of the deletion.
    let refused = Arc::new(AtomicUsize::new(0));
    proxy.fail(move |_, path| {
        let is_watch = path.contains("/ldapconfigs?") && path.contains("watch=true");
        (is_watch && refused.fetch_add(1, Ordering::SeqCst) == 0).then_some(Fault::Refuse(410))
    });
    let healed = Instant::now();
    workspace.wait_for_reason("LdapConfig", "b", "Accepted", "Valid").await?;
    ensure!(healed.elapsed() < Duration::from_secs(5), "it took {:?}", healed.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_list_that_hangs_is_given_up_and_told_to_the_kubelet() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    proxy.fail(|_, path| path.contains("/jwtissuers?").then_some(Fault::Hang));
    let operator = operator_behind(&workspace, &proxy)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    operator.log().wait_for("The API server does not answer: no answer within 20s", PATIENCE)?;
    assert_eq!(operator.get("/healthz")?, (200, "ok\n".to_owned()), "it is not given up yet");
    wait_until(PATIENCE * 3, "/healthz to fail", || {
        let (code, why) = operator.get("/healthz")?;
        Ok(code == 503 && why.contains("the watch of jwtissuers.auth.wandb.com in namespace"))
    })?;
    proxy.heal();
    wait_until(PATIENCE, "/healthz to be well again", || Ok(operator.get("/healthz")?.0 == 200))?;
    wait_until(PATIENCE, "the operator to be ready", || Ok(operator.get("/readyz")?.0 == 200))
}

#[tokio::test]
async fn reads_that_hang_hold_nobody_else_up() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let hanging = Arc::new(AtomicUsize::new(0));
    let counted = hanging.clone();
    proxy.fail(move |method, path| {
        let hangs = method == "GET" && path.contains("/secrets/hangs");
        counted.fetch_add(usize::from(hangs), Ordering::SeqCst);
        hangs.then_some(Fault::Hang)
    });
    let operator = operator_behind(&workspace, &proxy)?;
    let config = ldap_config(&directory.ldaps_url()?, "");
    for number in 0..10 {
        let named = config
            .replace("name: corp", &format!("name: hangs-{number}"))
            .replace("name: ldap-bind", "name: hangs");
        workspace.apply(&named).await?;
    }
    wait_until(PATIENCE, "the reads to hang", || Ok(hanging.load(Ordering::SeqCst) >= 8))?;
    workspace.apply(&config).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    assert!(!operator.log().contains("no answer within")?, "it had to wait until the others were given up");
    Ok(())
}

#[tokio::test]
async fn who_was_not_answered_comes_back_with_the_first_success() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    proxy.fail(move |method, path| {
        let refuse = method == "GET" && path.contains("/secrets/ldap-bind");
        counted.fetch_add(usize::from(refuse), Ordering::SeqCst);
        refuse.then_some(Fault::Refuse(503))
    });
    let _operator = operator_behind(&workspace, &proxy)?;
    let config = ldap_config(&directory.ldaps_url()?, "");
    workspace.apply(&config).await?;
    // The pause is at its longest by then.
    wait_until(PATIENCE, "runs to fail", || Ok(refused.load(Ordering::SeqCst) >= 6))?;
    proxy.heal();
    let healed = Instant::now();
    let other = config.replace("name: corp", "name: other").replace("bind: {", "suspend: true\n  bind: {");
    workspace.apply(&other).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    ensure!(healed.elapsed() < Duration::from_secs(5), "it took {:?}", healed.elapsed());
    Ok(())
}

#[tokio::test]
async fn events_that_hang_hold_nothing_up() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let hanging = Arc::new(AtomicUsize::new(0));
    let counted = hanging.clone();
    proxy.fail(move |method, path| {
        let is_event = method == "POST" && path.contains("/events");
        counted.fetch_add(usize::from(is_event), Ordering::SeqCst);
        is_event.then_some(Fault::Hang)
    });
    let mut operator = operator_behind(&workspace, &proxy)?;
    let config = ldap_config(&directory.ldaps_url()?, "");
    for name in ["corp", "second", "third"] {
        workspace.apply(&config.replace("name: corp", &format!("name: {name}"))).await?;
        workspace.wait_until_ready("LdapConfig", name).await?;
    }
    wait_until(PATIENCE, "an event to hang", || Ok(hanging.load(Ordering::SeqCst) >= 1))?;
    assert!(workspace.events().await?.is_empty() || !workspace.events().await?.contains("Verified"));
    let ended = operator.process().terminate(Duration::from_secs(5))?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

#[tokio::test]
async fn a_resource_of_a_long_name_has_events() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = workspace.start_operator(program(), &[])?;
    let name = "a".repeat(240);
    let config = ldap_config("ldaps://127.0.0.1:1", "").replace("name: corp", &format!("name: {name}"));
    workspace.apply(&config).await?;
    workspace.wait_for_reason("LdapConfig", &name, "ResolvedRefs", "SecretNotFound").await?;
    eventually("its event", || async {
        let events: serde_json::Value = serde_json::from_str(&workspace.events().await?)?;
        let mut events = events.as_array().context("events")?.iter();
        Ok(events.any(|event| event["regarding"]["name"] == name.as_str()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_api_server_that_was_restored_from_a_backup_is_listed_anew() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let mut plane = ControlPlane::start().await?;
    let workspace = Workspace::create(&plane, &custom_resource_definitions()).await?;
    put_references(&workspace, &certificate).await?;
    let config = ldap_config(&directory.ldaps_url()?, "");
    workspace.apply(&config.replace("name: corp", "name: kept")).await?;
    plane.back_up()?;
    // More than the API server itself writes when it starts.
    for number in 0..500 {
        workspace.put_secret("forgotten", &[("number", &number.to_string())]).await?;
    }
    let operator = workspace.start_operator(program(), &["--allow-egress", "127.0.0.0/8"])?;
    workspace.apply(&config.replace("name: corp", "name: forgotten")).await?;
    workspace.wait_until_ready("LdapConfig", "kept").await?;
    workspace.wait_until_ready("LdapConfig", "forgotten").await?;
    plane.restore()?;
    workspace.apply(&config).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    // What it had published is gone with the rest.
    eventually("its Secret to be published again", || async {
        Ok(workspace.secrets().get_opt("kept-ldap").await?.map(drop))
    })
    .await?;
    operator.log().wait_for("stores an earlier state than before", PATIENCE)?;
    wait_until(PATIENCE, "the metrics of what is gone to go", || {
        Ok(!operator.get("/metrics")?.1.contains("name=\"forgotten\""))
    })?;

    // The same while no operator runs: the next one begins with what there is now.
    drop(operator);
    plane.restore()?;
    let _next = workspace.start_operator(program(), &["--allow-egress", "127.0.0.0/8"])?;
    workspace.wait_until_ready("LdapConfig", "kept").await?;
    ensure!(workspace.secrets().get_opt("corp-ldap").await?.is_none(), "published for what is gone");
    Ok(())
}
