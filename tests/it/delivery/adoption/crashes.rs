//! An operator that is killed after any of its writes while the entries of a running server change hands, and
//! started again: from somebody else to a resource, back where that fails, and from one resource to another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::DeleteParams;
use test_support::{
    ApiProxy, ControlPlane,
    pods::{Life, WandbWorkload},
};

use super::{Running, by_hand, target};
use crate::{
    delivery::{
        Stage, TARGET,
        crashes::{
            AT_A_TIME, Outcome, Reported, Workload, Write, has_sprung, no_more_writes, outcome, reported,
            settled, start, title,
        },
        eventually,
        history::History,
        other_resources::{apply_ldap_config, outlive},
        player_has_ready, refers_to,
        workloads::NAMES,
    },
    world::row,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// Other values take the place of those that somebody had set.
    Takeover,
    /// They do not work, and what was there comes back.
    WayBack,
    /// The next resource takes the place of one that is deleted.
    Handover,
    /// The same, where it was deleted while no operator was there.
    HandoverAfterAbsence,
}

/// What a story leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    outcome: Outcome,
    rival: Option<Reported>,
}

/// A running server before the story, and the operator behind the proxy.
struct Scene {
    stage: Stage,
    history: History,
    /// The variables that must never be missing.
    names: Vec<String>,
    proxy: ApiProxy,
}

impl Story {
    async fn prepare(self) -> Result<Scene> {
        let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
        let stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
        player_has_ready(&stage.player, "wandb", 2).await?;
        if matches!(self, Self::Handover | Self::HandoverAfterAbsence) {
            return Self::with_two_resources(stage, proxy).await;
        }
        let running = Running::start(stage, WandbWorkload::deployment("wandb"), by_hand()).await?;
        let names = running.names();
        let Running { mut stage, history, .. } = running;
        if self == Self::WayBack {
            stage.player.change_script(|pod| {
                if refers_to(pod, "corp-ldap-2") {
                    Life::CrashLooping { exit_code: 3, message: String::new() }
                } else {
                    Life::Ready
                }
            });
        }
        start(&mut stage, &proxy)?;
        Ok(Scene { stage, history, names, proxy })
    }

    async fn with_two_resources(mut stage: Stage, proxy: ApiProxy) -> Result<Scene> {
        start(&mut stage, &proxy)?;
        stage.ready(TARGET).await?;
        outlive(&stage, "LdapConfig", "corp").await?;
        apply_ldap_config(&stage, "rival", TARGET).await?;
        stage.workspace.wait_for_reason("LdapConfig", "rival", "Accepted", "Superseded").await?;
        no_more_writes(&proxy).await?;
        let history = History::begin(&stage).await?;
        let names = NAMES.map(str::to_owned).to_vec();
        Ok(Scene { stage, history, names, proxy })
    }

    async fn begin(self, scene: &mut Scene) -> Result<()> {
        let Scene { stage, proxy, .. } = scene;
        if self == Self::HandoverAfterAbsence {
            stage.operator = None;
        }
        match self {
            Self::Takeover | Self::WayBack => stage.apply(&target("Replace")).await?,
            Self::Handover | Self::HandoverAfterAbsence => {
                stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
            }
        }
        if self == Self::HandoverAfterAbsence { start(stage, proxy) } else { Ok(()) }
    }

    /// Whether that is how the story is meant to end.
    fn is_over(self, end: &End) -> bool {
        let (secret, count) = match self {
            Self::Takeover => ("corp-ldap-2", NAMES.len()),
            Self::WayBack => ("corp-ldap-1", by_hand().len()),
            Self::Handover | Self::HandoverAfterAbsence => ("rival-ldap-1", NAMES.len()),
        };
        let says = |reported: &Option<Reported>, words: &str| {
            reported.as_ref().is_some_and(|reported| reported.conditions.contains(words))
        };
        let is_told = match self {
            Self::Takeover => says(&end.outcome.resource, "Ready=True Ready"),
            Self::WayBack => says(&end.outcome.resource, "RolledOut=False RolledBack"),
            Self::Handover | Self::HandoverAfterAbsence => {
                end.outcome.resource.is_none() && says(&end.rival, "Ready=True Ready")
            }
        };
        let secrets: BTreeSet<String> = [secret.to_owned()].into();
        is_told
            && end.outcome.entries.len() == count
            && end.outcome.entries.values().all(|(other, _)| other == secret)
            && end.outcome.pods == [secrets.clone(), secrets]
    }
}

async fn end(stage: &Stage) -> Result<End> {
    Ok(End { outcome: outcome(stage, Workload::Deployment).await?, rival: reported(stage, "rival").await? })
}

/// Whether this is the end. The resources come last, so nothing else is asked for before they are as expected.
async fn has(stage: &Stage, expected: &End) -> Result<bool> {
    Ok(reported(stage, "corp").await? == expected.outcome.resource
        && reported(stage, "rival").await? == expected.rival
        && end(stage).await? == *expected)
}

/// Fails where anything was missing at any moment.
async fn expect_never_without(scene: &Scene) -> Result<()> {
    scene.history.expect_variables(&scene.names).await?;
    let player = &scene.stage.player;
    for pod in player.pods() {
        // The pods of the stage's first manifest had nothing yet.
        let starts = player.starts_of(&pod);
        let starts = starts.iter().map(|inputs| &inputs.environment);
        for environment in starts.filter(|each| each.contains_key("LOCAL_LDAP_ADDRESS")) {
            let missing: Vec<_> =
                scene.names.iter().filter(|name| !environment.contains_key(*name)).collect();
            ensure!(missing.is_empty(), "{pod} started without {missing:?}");
        }
    }
    scene.stage.expect_no_broken_reference()
}

/// The story as nothing disturbs it: its writes and its end.
async fn undisturbed(story: Story) -> Result<(Vec<Write>, End)> {
    let mut scene = story.prepare().await?;
    // What was written before the story is no part of it.
    settled(&scene.proxy, || async { Ok(()) }).await?;
    let before = scene.proxy.mutations().len();
    story.begin(&mut scene).await?;
    let reached = eventually("the end of the story", || async {
        let end = end(&scene.stage).await?;
        Ok(story.is_over(&end).then_some(end))
    })
    .await;
    if let Err(error) = reached {
        let (seen, log) = (end(&scene.stage).await?, log(&scene.stage));
        return Err(error.context(format!("{seen:#?}\n{log}")));
    }
    let end = settled(&scene.proxy, || end(&scene.stage)).await?;
    ensure!(story.is_over(&end), "it was not over: {end:#?}");
    expect_never_without(&scene).await?;
    let writes = Write::all(scene.proxy.mutations().get(before..).unwrap_or_default());
    ensure!(writes.len() >= 5, "{writes:#?}");
    Ok((writes, end))
}

/// The same, where the operator is killed after this write; whether it was reached.
async fn killed_after(story: Story, write: &Write, expected: &End) -> Result<bool> {
    let mut scene = story.prepare().await?;
    let reached = Arc::new(Mutex::new(false));
    // The operator of the story may start with it.
    let (sender, killing) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let (title_of_it, was_reached) = (write.title.clone(), Arc::clone(&reached));
    let is_meant = move |mutation: &_| title(mutation) == title_of_it;
    scene.proxy.lose_answer_to(is_meant, write.times, move |_| {
        if let Ok(kill) = killing.recv() {
            kill();
            *was_reached.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    });
    story.begin(&mut scene).await?;
    let switch = scene.stage.operator.as_ref().context("no operator")?.kill_switch()?;
    // Nobody takes it where the write does not come any more.
    let _ = sender.send(Box::new(move || switch.kill()));
    eventually("a death, or the end", || async {
        Ok((!scene.proxy.is_armed() || has(&scene.stage, expected).await?).then_some(()))
    })
    .await?;
    if has_sprung(&scene.proxy, write.is_certain()).await? {
        start(&mut scene.stage, &scene.proxy)?;
    }
    let waiting =
        eventually("the same end", || async { Ok(has(&scene.stage, expected).await?.then_some(())) }).await;
    if let Err(error) = waiting {
        let (seen, log) = (end(&scene.stage).await?, log(&scene.stage));
        return Err(
            error.context(format!("expected {expected:#?} and saw {seen:#?}; of the operator, {log}"))
        );
    }
    no_more_writes(&scene.proxy).await?;
    assert_eq!(&end(&scene.stage).await?, expected, "it did not stay so");
    expect_never_without(&scene).await?;
    let reached = *reached.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(reached)
}

fn log(stage: &Stage) -> String {
    stage.operator.as_ref().map(|operator| operator.log().tail()).unwrap_or_default()
}

async fn whatever_write_is_the_last(story: Story) -> Result<()> {
    let (writes, expected) = Box::pin(undisturbed(story)).await.context("undisturbed")?;
    let expected = Arc::new(expected);
    let rows = stream::iter(writes.into_iter().enumerate())
        .map(|(number, write)| {
            let expected = Arc::clone(&expected);
            async move {
                let _row = row().await?;
                let reached = Box::pin(killed_after(story, &write, &expected))
                    .await
                    .with_context(|| format!("write {number}: {write:?}"))?;
                anyhow::Ok((number, (write, reached)))
            }
        })
        .buffer_unordered(AT_A_TIME);
    let rows: BTreeMap<_, _> = rows.try_collect().await?;
    let missed: Vec<_> = rows
        .values()
        .filter(|(write, reached)| write.is_certain() && !reached)
        .map(|(write, _)| write)
        .collect();
    ensure!(missed.is_empty(), "it was never killed after {missed:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_ends_the_same_whatever_write_is_the_last() -> Result<()> {
    whatever_write_is_the_last(Story::Takeover).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_fails_ends_the_same_whatever_write_is_the_last() -> Result<()> {
    whatever_write_is_the_last(Story::WayBack).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_ends_the_same_whatever_write_is_the_last() -> Result<()> {
    whatever_write_is_the_last(Story::Handover).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_after_an_absence_ends_the_same_whatever_write_is_the_last() -> Result<()> {
    whatever_write_is_the_last(Story::HandoverAfterAbsence).await
}
