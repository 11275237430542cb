//! The kubelet's part in a namespace: a watch, and a task for each pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::AbortHandle};

use super::{actor::Actor, player::Script, record::Record};

/// Plays all pods of the config's namespace.
pub(super) async fn play(config: Config, cues: watch::Receiver<Script>, record: Arc<Mutex<Record>>) {
    let namespace = config.default_namespace.clone();
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(error) => return eprintln!("the pods are not played: {error}"),
    };
    let stage = Stage { pods: Api::namespaced(client.clone(), &namespace), client, cues, record };
    let mut actors = Actors::default();
    let mut listed = None;
    let mut events = watcher(stage.pods.clone(), watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Err(error) => eprintln!("the watch of pods is interrupted: {error}"),
            Ok(watcher::Event::Init) => listed = Some(BTreeSet::new()),
            Ok(watcher::Event::InitApply(pod)) => {
                if let Some(names) = &mut listed {
                    names.insert(pod.name_any());
                }
                stage.record().pod_is_seen(&pod);
                actors.play(&stage, pod);
            }
            Ok(watcher::Event::InitDone) => {
                stage.record().pods_are(&listed.take().unwrap_or_default());
            }
            Ok(watcher::Event::Apply(pod)) => {
                stage.record().pod_is_seen(&pod);
                actors.play(&stage, pod);
            }
            Ok(watcher::Event::Delete(pod)) => {
                stage.record().pod_is_gone(&pod.name_any());
                actors.end(&pod);
            }
        }
    }
}

/// What all pods share.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) pods: Api<Pod>,
    pub(super) cues: watch::Receiver<Script>,
    record: Arc<Mutex<Record>>,
}

impl Stage {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks of pods by the pods' ids.
#[derive(Default)]
struct Actors(BTreeMap<String, AbortHandle>);

impl Actors {
    fn play(&mut self, stage: &Stage, pod: Pod) {
        let id = pod.uid().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() || self.0.contains_key(&id) {
            return;
        }
        let Some(actor) = Actor::new(stage.clone(), pod) else { return };
        self.0.insert(id, tokio::spawn(actor.live()).abort_handle());
    }

    fn end(&mut self, pod: &Pod) {
        // Its process ends with it.
        if let Some(task) = self.0.remove(&pod.uid().unwrap_or_default()) {
            task.abort();
        }
    }
}
