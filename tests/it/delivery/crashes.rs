//! An operator that is killed after any of its writes, and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Pod, PodTemplateSpec, Secret},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::Value;
use test_support::{
    ApiProxy, ControlPlane, Mutation, WandbOperator,
    pods::{Life, WandbWorkload},
};

use super::{
    REPLICAS, Stage, entries_of, eventually, player_has_ready,
    weights_and_biases::{first_version, second_version},
};
use crate::world::{ARGUMENTS, program, row};

/// Few at a time, for every one runs a directory and an operator.
pub(super) const AT_A_TIME: usize = 8;

/// How long nothing is written at the end of a story in which the operator is killed. A write that comes later is not
/// awaited.
const SILENCE: Duration = Duration::from_millis(700);

/// The same for stories that nothing disturbs, of which every write counts for all others: longer than the operator
/// waits between two looks at pods.
const LONG_SILENCE: Duration = Duration::from_secs(5);

/// Pods that refer to a later revision crash.
const LAST_GOOD: u64 = 2;

/// What a person does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    FirstDelivery,
    Roll,
    Rollback,
    Deletion,
}

const STORIES: [Story; 4] = [Story::FirstDelivery, Story::Roll, Story::Rollback, Story::Deletion];

/// What the values are delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    Deployment,
    StatefulSet,
    /// The W&B operator's resource in its first version, of which that operator makes a Deployment.
    FirstVersion,
    /// The same in its second version.
    SecondVersion,
}

impl Workload {
    /// A namespace with the workload in it, and whoever manages that.
    async fn stage(self) -> Result<(Stage, ApiProxy, Option<WandbOperator>)> {
        let sample = match self {
            Self::Deployment => WandbWorkload::deployment("wandb"),
            Self::StatefulSet => WandbWorkload::stateful_set("wandb"),
            Self::FirstVersion => {
                let (stage, vendor) = first_version::stage(REPLICAS).await?;
                return Ok((stage, ApiProxy::start(first_version::plane().await?)?, Some(vendor)));
            }
            Self::SecondVersion => {
                let (stage, vendor) = second_version::stage(REPLICAS).await?;
                return Ok((stage, ApiProxy::start(ControlPlane::shared().await?)?, Some(vendor)));
            }
        };
        Ok((Stage::quiet(&sample).await?, ApiProxy::start(ControlPlane::shared().await?)?, None))
    }

    fn target(self) -> &'static str {
        match self {
            Self::Deployment => "target: {deployment: {name: wandb}}",
            Self::StatefulSet => "target: {statefulSet: {name: wandb}}",
            Self::FirstVersion | Self::SecondVersion => "target: {weightsAndBiases: {name: wandb}}",
        }
    }

    async fn template(self, stage: &Stage) -> Result<PodTemplateSpec> {
        let template = match self {
            Self::Deployment => stage.api::<Deployment>().get("wandb").await?.spec.map(|spec| spec.template),
            Self::FirstVersion => {
                stage.api::<Deployment>().get("wandb-app-bc").await?.spec.map(|spec| spec.template)
            }
            Self::SecondVersion => {
                stage.api::<Deployment>().get("wandb-api").await?.spec.map(|spec| spec.template)
            }
            Self::StatefulSet => {
                stage.api::<StatefulSet>().get("wandb").await?.spec.map(|spec| spec.template)
            }
        };
        template.context("spec")
    }

    /// Fails where people were left with fewer pods than a rollout of it takes.
    async fn expect_ready_always(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Deployment | Self::FirstVersion | Self::SecondVersion => {
                stage.expect_two_ready_always().await
            }
            // Each is replaced in its turn.
            Self::StatefulSet => stage.expect_one_ready_always().await,
        }
    }
}

/// What a story leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Secret and key by the entry's name.
    pub(super) entries: BTreeMap<String, (String, String)>,
    /// The marks of the revisions by number.
    pub(super) revisions: BTreeMap<String, String>,
    /// The Secrets that each pod refers to.
    pub(super) pods: Vec<BTreeSet<String>>,
    /// Nothing where the resource is gone.
    pub(super) resource: Option<Reported>,
}

/// What the resource says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) conditions: BTreeSet<String>,
    revision: Value,
    previous: Value,
    finalizers: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_the_end_is_the_same() -> Result<()> {
    killed_after_every_write(Workload::Deployment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_the_end_is_the_same_for_a_stateful_set() -> Result<()> {
    killed_after_every_write(Workload::StatefulSet).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_the_end_is_the_same_for_the_first_version() -> Result<()> {
    killed_after_every_write(Workload::FirstVersion).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_is_the_last_the_end_is_the_same_for_the_second_version() -> Result<()> {
    killed_after_every_write(Workload::SecondVersion).await
}

async fn killed_after_every_write(workload: Workload) -> Result<()> {
    let undisturbed = Arc::new(Box::pin(undisturbed(workload)).await.context("undisturbed")?);
    let longest = undisturbed.iter().map(|told| told.writes.len()).max().unwrap_or_default();
    let rows = stream::iter(1..=longest)
        .map(|write| {
            let undisturbed = Arc::clone(&undisturbed);
            async move {
                let _row = row().await?;
                Box::pin(killed_at_write(workload, write, &undisturbed))
                    .await
                    .with_context(|| format!("write {write}"))
            }
        })
        .buffer_unordered(AT_A_TIME);
    let killed: Vec<(Story, Write)> = rows.try_collect::<Vec<_>>().await?.concat();
    for told in undisturbed.iter() {
        let was_reached = |write: &&Write| killed.contains(&(told.story, (*write).clone()));
        let certain = told.writes.iter().filter(|write| told.is_certain(write));
        let missed: Vec<_> = certain.filter(|write| !was_reached(write)).collect();
        ensure!(missed.is_empty(), "{:?}: it was never killed after {missed:#?}", told.story);
    }
    Ok(())
}

/// A write, without what is different at every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub title: String,
    /// How often the story has it until then.
    pub times: usize,
}

impl Write {
    pub fn all(mutations: &[Mutation]) -> Vec<Self> {
        let mut titles: Vec<String> = Vec::new();
        let mut next = |mutation| {
            let title = title(mutation);
            titles.push(title.clone());
            Self { times: titles.iter().filter(|earlier| **earlier == title).count(), title }
        };
        mutations.iter().map(&mut next).collect()
    }

    /// Whether every story has it: how often the pods on their way are told of depends on the machine.
    pub fn is_certain(&self) -> bool {
        self.times == 1 || !(self.title.ends_with("/status") || self.title.contains(" events"))
    }
}

/// A story that nothing disturbed.
struct Told {
    story: Story,
    writes: Vec<Write>,
    outcome: Outcome,
}

impl Told {
    /// Whether the story has this write however it goes.
    fn is_certain(&self, write: &Write) -> bool {
        // What was said last before it may come when the deletion has begun.
        write.is_certain() && (self.story != Story::Deletion || !write.title.ends_with("/status"))
    }
}

/// The stories one after the other, to know how each ends.
async fn undisturbed(workload: Workload) -> Result<Vec<Told>> {
    let (mut stage, proxy, _vendor) = prepared(workload).await?;
    start(&mut stage, &proxy)?;
    let mut all = Vec::new();
    for story in STORIES {
        let before = proxy.mutations().len();
        begin(&stage, workload, story).await?;
        eventually("the end of the story", || async {
            Ok(is_over(story, &outcome(&stage, workload).await?).then_some(()))
        })
        .await
        .with_context(|| format!("{story:?}"))?;
        let outcome = settled(&proxy, || outcome(&stage, workload)).await?;
        ensure!(is_over(story, &outcome), "{story:?} was not over: {outcome:#?}");
        let writes = Write::all(proxy.mutations().get(before..).unwrap_or_default());
        ensure!(writes.len() >= 3, "{story:?} takes writes: {writes:#?}");
        all.push(Told { story, writes, outcome });
    }
    stage.expect_no_broken_reference()?;
    Ok(all)
}

/// The stories one after the other, as far as there are so many writes; in each the operator is killed after
/// this one. Tells what each of its lives ended with.
async fn killed_at_write(
    workload: Workload,
    number: usize,
    undisturbed: &[Told],
) -> Result<Vec<(Story, Write)>> {
    let (mut stage, proxy, _vendor) = prepared(workload).await?;
    start(&mut stage, &proxy)?;
    let killed = Arc::new(Mutex::new(Vec::new()));
    let write_of = |told: &Told| told.writes.get(number - 1).cloned();
    let last = undisturbed.iter().rposition(|told| write_of(told).is_some()).context("no such write")?;
    for told in undisturbed.iter().take(last + 1) {
        let Told { story, outcome: expected, .. } = told;
        let write = write_of(told);
        if let Some(write) = write.clone() {
            let switch = stage.operator.as_ref().context("no operator")?.kill_switch()?;
            let (killed, story, title) = (Arc::clone(&killed), *story, write.title.clone());
            let is_meant = move |mutation: &Mutation| self::title(mutation) == title;
            proxy.lose_answer_to(is_meant, write.times, move |_| {
                switch.kill();
                killed.lock().unwrap_or_else(PoisonError::into_inner).push((story, write));
            });
        }
        begin(&stage, workload, *story).await?;
        if let Some(write) = &write {
            let is_certain = told.is_certain(write);
            let is_dead = is_dead(&stage, workload, &proxy, (expected, is_certain)).await;
            if is_dead.with_context(|| format!("{story:?}"))? {
                start(&mut stage, &proxy)?;
            }
        }
        expect(&stage, workload, expected).await.with_context(|| format!("{story:?}"))?;
        no_more_writes(&proxy).await?;
        assert_eq!(&outcome(&stage, workload).await?, expected, "{story:?}: it did not stay so");
        workload.expect_ready_always(&stage).await?;
    }
    stage.expect_no_broken_reference()?;
    Ok(std::mem::take(&mut *killed.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Waits for the operator's death, or for the end of a story that takes fewer writes this time.
async fn is_dead(
    stage: &Stage,
    workload: Workload,
    proxy: &ApiProxy,
    (expected, is_certain): (&Outcome, bool),
) -> Result<bool> {
    eventually("a death, or the end", || async {
        Ok((!proxy.is_armed() || has(stage, workload, expected).await?).then_some(()))
    })
    .await?;
    has_sprung(proxy, is_certain).await
}

/// Whether the operator was killed: asked when it is dead or its story is over. Events come after the status that ends a
/// story, and a write that is certain to come is waited for.
pub async fn has_sprung(proxy: &ApiProxy, is_certain: bool) -> Result<bool> {
    if is_certain {
        // A write that does not come is told for all rows together.
        let _ = eventually("the last write", || async { Ok((!proxy.is_armed()).then_some(())) }).await;
    } else if proxy.is_armed() {
        no_more_writes(proxy).await?;
    }
    Ok(!proxy.disarm())
}

/// A namespace without an operator yet, in which pods of a third revision crash.
async fn prepared(workload: Workload) -> Result<(Stage, ApiProxy, Option<WandbOperator>)> {
    let (stage, proxy, vendor) = workload.stage().await?;
    player_has_ready(&stage.player, "wandb", 2).await?;
    stage.player.change_script(|pod| {
        let is_bad = |secret: &String| {
            let number = secret.strip_prefix("corp-ldap-").and_then(|number| number.parse().ok());
            number.is_some_and(|number: u64| number > LAST_GOOD)
        };
        if secrets_of(pod).iter().any(is_bad) {
            Life::CrashLooping { exit_code: 3, message: "panic: no such attribute".to_owned() }
        } else {
            Life::Ready
        }
    });
    Ok((stage, proxy, vendor))
}

pub(super) fn start(stage: &mut Stage, proxy: &ApiProxy) -> Result<()> {
    let operator = stage.workspace.start_operator_through(proxy, program(), &ARGUMENTS)?;
    stage.operator = Some(operator);
    Ok(())
}

/// Does what the person does.
async fn begin(stage: &Stage, workload: Workload, story: Story) -> Result<()> {
    let target = workload.target();
    let more = match story {
        Story::FirstDelivery => target.to_owned(),
        Story::Roll => format!("{target}\nattributes: {{email: mail, group: gidNumber, name: cn}}"),
        Story::Rollback => format!("{target}\nattributes: {{email: mail, group: gidNumber, name: sn}}"),
        Story::Deletion => {
            stage.workspace.resources("LdapConfig")?.delete("corp", &DeleteParams::default()).await?;
            return Ok(());
        }
    };
    stage.apply(&more).await
}

/// Whether that is how the story is meant to end.
fn is_over(story: Story, outcome: &Outcome) -> bool {
    let marks: Vec<_> = outcome.revisions.values().map(String::as_str).collect();
    let marked = match story {
        Story::FirstDelivery => marks == ["rolledOut"],
        Story::Roll => marks == ["rolledOut", "rolledOut"],
        Story::Rollback => marks == ["rolledOut", "rolledOut", "rolledBack to 2, arrived"],
        Story::Deletion => marks.is_empty(),
    };
    let (secret, says) = match story {
        Story::FirstDelivery => (Some("corp-ldap-1"), Some("Ready=True Ready")),
        Story::Roll => (Some("corp-ldap-2"), Some("Ready=True Ready")),
        Story::Rollback => (Some("corp-ldap-2"), Some("RolledOut=False RolledBack")),
        Story::Deletion => (None, None),
    };
    let secrets: BTreeSet<String> = secret.map(str::to_owned).into_iter().collect();
    let has_entries = outcome.entries.is_empty() == secret.is_none()
        && outcome.entries.values().all(|(other, _)| Some(other.as_str()) == secret);
    let said = match (&outcome.resource, says) {
        (None, None) => true,
        (Some(reported), Some(says)) => reported.conditions.contains(says),
        _ => false,
    };
    marked && has_entries && said && outcome.pods == [secrets.clone(), secrets]
}

/// Waits until the story has this outcome.
async fn expect(stage: &Stage, workload: Workload, expected: &Outcome) -> Result<()> {
    let waiting =
        eventually("the same end", || async { Ok(has(stage, workload, expected).await?.then_some(())) })
            .await;
    if let Err(error) = waiting {
        let seen = outcome(stage, workload).await?;
        let log = stage.operator.as_ref().map(|operator| operator.log().tail()).unwrap_or_default();
        return Err(
            error.context(format!("expected {expected:#?} and saw {seen:#?}; of the operator, {log}"))
        );
    }
    Ok(())
}

/// Whether the story has this outcome. The resource comes last, so nothing else is asked for before that is as expected.
async fn has(stage: &Stage, workload: Workload, expected: &Outcome) -> Result<bool> {
    Ok(reported(stage, "corp").await? == expected.resource && outcome(stage, workload).await? == *expected)
}

/// What there is now.
pub(super) async fn outcome(stage: &Stage, workload: Workload) -> Result<Outcome> {
    let secrets = stage.api::<Secret>().list(&ListParams::default()).await?;
    let revisions = secrets.iter().filter(|secret| secret.name_any().starts_with("corp-ldap-"));
    let mut pods: Vec<_> = stage.pods().await?.iter().map(secrets_of).collect();
    pods.sort();
    let resource = reported(stage, "corp").await?;
    Ok(Outcome {
        entries: entries_of(&workload.template(stage).await?.spec.context("pod")?),
        revisions: revisions.map(|secret| (secret.name_any(), mark(secret))).collect(),
        pods,
        resource,
    })
}

/// What the resource says now; nothing where it is gone.
pub(super) async fn reported(stage: &Stage, name: &str) -> Result<Option<Reported>> {
    let resource = stage.workspace.resources("LdapConfig")?.get_opt(name).await?;
    Ok(resource.map(|resource| {
        let status = resource.data.get("status").cloned().unwrap_or_default();
        let field = |name: &str| status.get(name).cloned().unwrap_or_default();
        let conditions = field("conditions");
        let conditions = conditions.as_array().into_iter().flatten();
        let words = |condition: &Value| {
            let word =
                |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{}={} {}", word("type"), word("status"), word("reason"))
        };
        let is_current = field("observedGeneration").as_i64() == resource.metadata.generation;
        Reported {
            conditions: if is_current { conditions.map(words).collect() } else { BTreeSet::new() },
            revision: field("revision"),
            previous: field("previousRevision"),
            finalizers: resource.finalizers().to_vec(),
        }
    }))
}

/// What became of a revision, without times and texts.
fn mark(secret: &Secret) -> String {
    let text = secret.annotations().get("auth.wandb.com/rollout").map_or("\"pending\"", String::as_str);
    let mark: Value = serde_json::from_str(text).unwrap_or_default();
    let Some((name, fields)) = mark.as_object().and_then(|fields| fields.iter().next()) else {
        return mark.as_str().unwrap_or_default().to_owned();
    };
    let to = fields.get("to").map_or_else(String::new, |to| format!(" to {to}"));
    let arrived = if fields.get("arrived").is_some() { ", arrived" } else { "" };
    format!("{name}{to}{arrived}")
}

fn secrets_of(pod: &Pod) -> BTreeSet<String> {
    let entries = pod.spec.as_ref().map(entries_of).unwrap_or_default();
    entries.into_values().map(|(secret, _)| secret).collect()
}

/// The write, without what is different at every time.
pub fn title(write: &Mutation) -> String {
    let path = write.path.split('?').next().unwrap_or_default();
    let parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    format!("{} {}", write.method, parts.collect::<Vec<_>>().join("/"))
}

/// Waits until nothing has been written for a while.
pub(super) async fn no_more_writes(proxy: &ApiProxy) -> Result<()> {
    super::silence(SILENCE, || async { Ok(proxy.mutations().len()) }).await
}

/// What is seen once a story that nothing disturbs is over for good: neither that nor the writes change any more.
pub async fn settled<T: PartialEq, F: Future<Output = Result<T>>>(
    proxy: &ApiProxy,
    look: impl Fn() -> F,
) -> Result<T> {
    let last = Mutex::new((proxy.mutations().len(), look().await?, Instant::now()));
    eventually("the end of all writes", || async {
        let (count, seen) = (proxy.mutations().len(), look().await?);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if count != last.0 || seen != last.1 {
            *last = (count, seen, Instant::now());
        }
        Ok((last.2.elapsed() > LONG_SILENCE).then_some(()))
    })
    .await?;
    let (_, seen, _) = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(seen)
}
