//! `status --watch`: shows the status again whenever it changes.

use std::{fmt::Debug, io::IsTerminal, time::Duration};

use anyhow::Result;
use futures::{FutureExt, StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Event, Pod, Secret},
    },
};
use kube::{
    Api, Client, Resource,
    core::{DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher, watcher::Config},
};

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    StatusOutput, StatusView,
    collect::{StatusScope, collect},
    report::StatusReport,
    terminal_layout,
};
use crate::cli::{
    CommandVerdict,
    kinds::KnownKind,
    terminal::{self, OutputReader},
};

/// After the first change, how long others are waited for: a rollout makes many at once.
const SETTLING: Duration = Duration::from_millis(200);

/// How long nobody is asked after a look, whatever changes: each look lists everything.
const REST: Duration = Duration::from_secs(1);

/// How often is looked without a change: what nobody may watch changes, too, and times pass.
const TICK: Duration = Duration::from_secs(10);

/// Shows the status until nobody reads it any more.
pub(super) async fn watch(client: &Client, scope: &StatusScope, view: &StatusView) -> Result<CommandVerdict> {
    let mut changes = changes(client, scope);
    let is_terminal = std::io::stdout().is_terminal();
    let mut last: Option<StatusReport> = None;
    let mut is_told = false;
    loop {
        let begun = Instant::now();
        let observed = collect(client, scope).await;
        let rested = rested(begun);
        match view.report(&observed, scope) {
            Ok(report) => {
                is_told = false;
                if is_terminal || last.as_ref() != Some(&report) {
                    let text = view.text(&report, observed.now, terminal_layout())?;
                    let place = if last.is_some() { Place::Later } else { Place::First };
                    let text = if is_terminal {
                        redrawn(&text)
                    } else {
                        appended(view.output, observed.now, &text, place)
                    };
                    if terminal::print(&text)? == OutputReader::Gone {
                        return Ok(report.verdict());
                    }
                    last = Some(report);
                }
            }
            // What was there may come back, and so may the API server.
            Err(error) if last.is_some() => {
                if !std::mem::replace(&mut is_told, true) {
                    eprintln!("error: {error:#}");
                }
            }
            Err(error) => return Err(error),
        }
        next_look(&mut changes, rested).await;
    }
}

/// Waits until there may be something new to see, and the API server has rested since the last look.
pub(super) async fn next_look(changes: &mut BoxStream<'static, ()>, rested: Instant) {
    let _ = tokio::time::timeout(TICK, changes.next()).await;
    tokio::time::sleep(SETTLING).await;
    tokio::time::sleep_until(rested).await;
    while let Some(Some(())) = changes.next().now_or_never() {}
}

/// When the API server has rested from a look that began then and is over now.
pub(super) fn rested(begun: Instant) -> Instant {
    Instant::now() + rest(begun.elapsed())
}

/// How long nothing is asked after a look that took this long: at least half of the time, in a large cluster as well.
fn rest(look: Duration) -> Duration {
    look.max(REST)
}

/// Something for each change of what the status is made of, by metadata alone. What may not be watched changes silently.
pub(super) fn changes(client: &Client, scope: &StatusScope) -> BoxStream<'static, ()> {
    let mut all: Vec<BoxStream<'static, ()>> = KnownKind::all()
        .into_iter()
        .map(|kind| {
            let api = match &scope.namespace {
                Some(namespace) => Api::<PartialObjectMeta<DynamicObject>>::namespaced_with(
                    client.clone(),
                    namespace,
                    &kind.resource,
                ),
                None => Api::all_with(client.clone(), &kind.resource),
            };
            of(api, Config::default())
        })
        .collect();
    all.push(of_kind::<PartialObjectMeta<Pod>>(client, scope));
    all.push(of_kind::<PartialObjectMeta<Secret>>(client, scope));
    all.push(of_kind::<PartialObjectMeta<Deployment>>(client, scope));
    all.push(of_kind::<PartialObjectMeta<StatefulSet>>(client, scope));
    if let Some(fields) = scope.events.fields() {
        let of_these = Config::default().fields(&fields);
        all.push(of(in_scope::<PartialObjectMeta<Event>>(client, scope), of_these));
    }
    stream::select_all(all).chain(stream::pending()).boxed()
}

fn of_kind<K>(client: &Client, scope: &StatusScope) -> BoxStream<'static, ()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    of(in_scope::<K>(client, scope), Config::default())
}

fn in_scope<K>(client: &Client, scope: &StatusScope) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The changes of these objects.
fn of<K>(api: Api<K>, which: Config) -> BoxStream<'static, ()>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, which).default_backoff();
    events.filter_map(|event| std::future::ready(event.ok().map(|_| ()))).boxed()
}

/// The text in the place of what the terminal shows.
fn redrawn(text: &str) -> String {
    // Each line is cleared after its end, so that nothing flickers.
    let lines = text.replace('\n', "\u{1b}[K\n");
    format!("\u{1b}[H{lines}\u{1b}[J")
}

/// The text as one of several: documents of YAML and JSON follow each other as their formats say.
fn appended(output: StatusOutput, now: Timestamp, text: &str, place: Place) -> String {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ");
    match (output, place) {
        (StatusOutput::Json, _) => text.to_owned(),
        (StatusOutput::Yaml, _) => format!("---\n{text}"),
        (StatusOutput::Tree, Place::First) => format!("--- {now}\n{text}"),
        (StatusOutput::Tree, Place::Later) => format!("\n--- {now}\n{text}"),
    }
}

/// Which one of several texts it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_in_which_something_always_changes_is_not_asked_all_the_time() {
        for (look, expected) in [(0, 1000), (40, 1000), (1000, 1000), (4000, 4000)] {
            assert_eq!(rest(Duration::from_millis(look)), Duration::from_millis(expected));
        }
    }
}
