//! An API server that goes away, hangs, or has forgotten what it was asked for.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::{ApiProxy, ControlPlane, Fault, Operator, Slapd, Workspace, condition, wait_until};
use wandb_auth_operator::{api::custom_resource_definitions, api_server::READ_LIMIT};

use super::stopping::end;
use crate::world::{
    PASSWORD, PATIENCE, certificate, directory, eventually, ldap_config, program, put_references, workspace,
};

/// What failed again and again for want of an answer is tried again by itself after this time at the earliest.
const LONG_PAUSE: Duration = Duration::from_secs(5);

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

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn operator_behind(workspace: &Workspace, proxy: &ApiProxy) -> Result<Operator> {
    workspace.start_operator_through(proxy, program(), &["--allow-egress", "127.0.0.0/8"])
}

async fn is_suspended(workspace: &Workspace) -> Result<bool> {
    let status = workspace.status("LdapConfig", "corp").await?;
    Ok(condition(&status, "Ready").is_some_and(|ready| ready["reason"] == "Suspended"))
}

#[tokio::test]
async fn what_changed_during_an_outage_is_seen_after_its_end() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let operator = operator_behind(&workspace, &proxy)?;
    // Nothing runs by itself within an hour, so that only a watch leads to what is waited for.
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "checkInterval: 1h")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    for suspend in [true, false] {
        let tries = Arc::new(AtomicUsize::new(0));
        proxy.go_down();
        let counted = Arc::clone(&tries);
        proxy.fail(move |_, path| {
            counted.fetch_add(usize::from(path.contains("/ldapconfigs?")), Ordering::SeqCst);
            Some(Fault::Close)
        });
        workspace.patch("LdapConfig", "corp", &json!({"spec": {"suspend": suspend}})).await?;
        // With pauses of a minute it would not come that far.
        let is_tried_often = || Ok(tries.load(Ordering::SeqCst) >= 12);
        wait_until(PATIENCE, "the watch to be tried again and again", is_tried_often)?;
        proxy.heal();
        eventually("the change to be seen", || async {
            Ok((is_suspended(&workspace).await? == suspend).then_some(()))
        })
        .await?;
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
        let mut asked = locked(&seen);
        let what = if path.contains("watch=true") { "watch" } else { "list" };
        asked.push(what);
        (what == "watch" && asked.iter().filter(|other| **other == "watch").count() <= 2)
            .then_some(Fault::Refuse(410))
    });
    let _operator = operator_behind(&workspace, &proxy)?;
    wait_until(PATIENCE, "a third watch", || Ok(locked(&asked).len() >= 6))?;
    let first: Vec<_> = locked(&asked).iter().copied().take(6).collect();
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
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    let _operator = operator_behind(&workspace, &proxy)?;
    // Neither works, so that the older one has the place; nothing of them runs by itself within an hour, as a password
    // that was refused is not sent again.
    workspace.put_secret("ldap-bind", &[("password", "not-the-password")]).await?;
    let more = "target: {deployment: {name: none}}\ncheckInterval: 1h\nfailureThreshold: 1";
    let config = ldap_config(&directory.ldaps_url()?, more);
    for name in ["a", "b"] {
        workspace.apply(&config.replace("name: corp", &format!("name: {name}"))).await?;
        workspace.wait_for_reason("LdapConfig", name, "Verified", "InvalidCredentials").await?;
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
    workspace.wait_for_reason("LdapConfig", "b", "Accepted", "Valid").await?;
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

/// What a proxy has seen while reads of the Secret `hangs` hang.
#[derive(Default)]
struct HangingReads {
    /// Whether they hang.
    is_on: bool,
    /// When each of them came.
    hanging: Vec<Instant>,
    /// When the status of `corp` was written first.
    written: Option<Instant>,
}

impl HangingReads {
    fn take_in(&mut self, method: &str, path: &str) -> Option<Fault> {
        if method == "PATCH" && path.contains("/ldapconfigs/corp/status") {
            self.written.get_or_insert_with(Instant::now);
        }
        let hangs = self.is_on && method == "GET" && path.ends_with("/secrets/hangs");
        if hangs {
            self.hanging.push(Instant::now());
        }
        hangs.then_some(Fault::Hang)
    }
}

#[tokio::test]
async fn reads_that_hang_hold_nobody_else_up() -> Result<()> {
    const HANGING: usize = 10;
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    workspace.put_secret("hangs", &[("password", PASSWORD)]).await?;
    let reads = Arc::new(Mutex::new(HangingReads::default()));
    let of_proxy = Arc::clone(&reads);
    proxy.fail(move |method, path| locked(&of_proxy).take_in(method, path));
    let _operator = operator_behind(&workspace, &proxy)?;
    let config = ldap_config(&directory.ldaps_url()?, "checkInterval: 1h");
    workspace.apply(&config).await?;
    let names: Vec<_> = (0..HANGING).map(|number| format!("hangs-{number}")).collect();
    for name in &names {
        let other =
            config.replace("name: corp", &format!("name: {name}")).replace("name: ldap-bind", "name: hangs");
        workspace.apply(&other).await?;
    }
    for name in names.iter().map(String::as_str).chain(["corp"]) {
        workspace.wait_until_ready("LdapConfig", name).await?;
    }
    // A busy machine may need so long for a run that the others were given up meanwhile, but not each time.
    for round in ["first", "second", "third"] {
        *locked(&reads) = HangingReads { is_on: true, ..HangingReads::default() };
        workspace.put_secret("hangs", &[("password", PASSWORD), ("round", round)]).await?;
        wait_until(PATIENCE, "the reads to hang", || Ok(locked(&reads).hanging.len() >= 8))?;
        workspace.recheck("LdapConfig", "corp", round).await?;
        let is_handled = |status: &serde_json::Value| status["lastHandledRecheck"] == round;
        workspace.wait_for("LdapConfig", "corp", is_handled).await?;
        let HangingReads { hanging, written, .. } = mem::take(&mut *locked(&reads));
        let (first, written) = hanging.first().zip(written).context("no status went through the proxy")?;
        if written < *first + READ_LIMIT {
            return Ok(());
        }
    }
    bail!("it had to wait until the others were given up")
}

/// What became of the reads of a Secret that a proxy refuses for a while.
#[derive(Default)]
struct RefusedReads {
    /// Whether they are refused.
    is_on: bool,
    /// How many were.
    count: usize,
    /// When the last one was.
    last: Option<Instant>,
    /// When the first one came that was not.
    passed: Option<Instant>,
}

impl RefusedReads {
    fn take_in(&mut self) -> Option<Fault> {
        if self.is_on {
            self.count += 1;
            self.last = Some(Instant::now());
        } else {
            self.passed.get_or_insert_with(Instant::now);
        }
        self.is_on.then_some(Fault::Refuse(503))
    }
}

#[tokio::test]
async fn who_was_not_answered_comes_back_with_the_first_success() -> Result<()> {
    let Scene { directory, workspace, proxy } = Scene::open().await?;
    workspace.put_secret("other-bind", &[("password", PASSWORD)]).await?;
    let reads = Arc::new(Mutex::new(RefusedReads::default()));
    let seen = Arc::clone(&reads);
    proxy.fail(move |method, path| {
        let is_meant = method == "GET" && path.ends_with("/secrets/ldap-bind");
        if is_meant { locked(&seen).take_in() } else { None }
    });
    let _operator = operator_behind(&workspace, &proxy)?;
    let address = directory.ldaps_url()?;
    workspace.apply(&ldap_config(&address, "checkInterval: 1h")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    // Each other one runs once, and reads another Secret.
    let other = ldap_config(&address, "suspend: true").replace("name: ldap-bind", "name: other-bind");
    // On a busy machine the other's run may end when the pause is over anyway, but not each time.
    for round in ["first", "second", "third", "fourth", "fifth"] {
        *locked(&reads) = RefusedReads { is_on: true, ..RefusedReads::default() };
        workspace.recheck("LdapConfig", "corp", round).await?;
        // The pause is at its longest by then.
        wait_until(PATIENCE, "runs to fail", || Ok(locked(&reads).count >= 6))?;
        locked(&reads).is_on = false;
        workspace.apply(&other.replace("name: corp", &format!("name: {round}"))).await?;
        wait_until(PATIENCE, "another run", || Ok(locked(&reads).passed.is_some()))?;
        let is_handled = |status: &serde_json::Value| status["lastHandledRecheck"] == round;
        workspace.wait_for("LdapConfig", "corp", is_handled).await?;
        let RefusedReads { last, passed, .. } = mem::take(&mut *locked(&reads));
        let (last, passed) = last.zip(passed).context("nothing went through the proxy")?;
        if passed < last + LONG_PAUSE {
            return Ok(());
        }
    }
    bail!("it came back no sooner than by itself")
}

#[tokio::test]
async fn events_that_hang_hold_nothing_up() -> Result<()> {
    // Each has an event, which is given up after five seconds. All of them take longer than this test.
    const RESOURCES: usize = 24;
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
    let names: Vec<_> = (0..RESOURCES).map(|number| format!("number-{number}")).collect();
    for name in &names {
        workspace.apply(&config.replace("name: corp", &format!("name: {name}"))).await?;
    }
    for name in &names {
        workspace.wait_until_ready("LdapConfig", name).await?;
    }
    wait_until(PATIENCE, "an event to hang", || Ok(hanging.load(Ordering::SeqCst) >= 1))?;
    assert!(!workspace.events().await?.contains("Verified"));
    end(operator.process())?;
    let tried = hanging.load(Ordering::SeqCst);
    ensure!(tried < RESOURCES, "the process ended when every event had been tried");
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
