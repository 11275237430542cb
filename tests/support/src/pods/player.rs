//! The player as a test sees it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tokio::sync::watch;

use super::{BrokenReference, ContainerInputs, Life, playing, record::Record};
use crate::{Workspace, background::Background, process::PATIENCE};

pub(super) type Script = Arc<dyn Fn(&Pod) -> Life + Send + Sync>;

/// Plays the kubelet in one namespace until it is dropped.
///
/// Pods that are deleted need nobody: the API server removes those without a node at once.
pub struct PodPlayer {
    // Dropped first, so that nothing plays on.
    _background: Background,
    pods: Api<Pod>,
    script: watch::Sender<Script>,
    record: Arc<Mutex<Record>>,
}

impl PodPlayer {
    /// Plays every pod of the namespace, now and later, as the script says.
    ///
    /// The script is asked when a pod appears, when its container is to be started again, and after each
    /// [change](Self::change_script).
    pub fn start(
        workspace: &Workspace,
        script: impl Fn(&Pod) -> Life + Send + Sync + 'static,
    ) -> Result<Self> {
        let script: Script = Arc::new(script);
        let (script, cues) = watch::channel(script);
        let record = Arc::new(Mutex::new(Record::default()));
        let (config, recorded) = (workspace.config().clone(), record.clone());
        let background = Background::start(move || playing::play(config, cues, recorded))?;
        let pods = Api::namespaced(workspace.client().clone(), workspace.namespace());
        Ok(Self { _background: background, pods, script, record })
    }

    /// Goes on with another script. A container that runs goes on running where both scripts let it.
    pub fn change_script(&self, script: impl Fn(&Pod) -> Life + Send + Sync + 'static) {
        let script: Script = Arc::new(script);
        self.script.send_replace(script);
    }

    /// Ends the first container of a pod, as a lack of memory would, so that it is started again.
    pub fn restart(&self, pod: &str) {
        self.record().ask_for_restart(pod);
        // The same script is a cue to look at the record.
        self.script.send_modify(|_| ());
    }

    /// The references to what did not exist, at any time.
    pub fn broken_references(&self) -> Vec<BrokenReference> {
        self.record().broken_references()
    }

    /// The smallest number of ready pods whose names have this prefix, at any moment until now since so many
    /// were ready for the first time; nothing where they never were.
    ///
    /// Every change that the API server has told is a moment.
    pub async fn fewest_ready(&self, prefix: &str, replicas: usize) -> Result<Option<usize>> {
        let now = self.pods.list(&ListParams::default()).await?;
        let started = Instant::now();
        while !self.record().has_seen(&now) {
            ensure!(started.elapsed() < PATIENCE, "the player did not see the pods' last changes");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(self.record().fewest_ready(prefix, replicas))
    }

    /// Whether so many pods whose names have this prefix were ready at the same time, as far as the player has seen.
    pub fn has_had_ready(&self, prefix: &str, replicas: usize) -> bool {
        self.record().fewest_ready(prefix, replicas).is_some()
    }

    /// What became of the pods, a line each in the order of the API's events.
    pub fn history(&self) -> String {
        self.record().history()
    }

    /// What the pod's first container got at its last start.
    pub fn environment_of(&self, pod: &str) -> Option<ContainerInputs> {
        self.starts_of(pod).pop()
    }

    /// What the pod's first container got at each of its starts; a StatefulSet's pods of one name count as one.
    pub fn starts_of(&self, pod: &str) -> Vec<ContainerInputs> {
        self.record().starts_of(pod)
    }

    /// Where the pod's stand-in server listens, if one [serves](Life::Serving).
    pub fn address_of(&self, pod: &str) -> Option<SocketAddr> {
        self.record().address_of(pod)
    }

    /// The names of all pods that have started.
    pub fn pods(&self) -> Vec<String> {
        self.record().pods()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
