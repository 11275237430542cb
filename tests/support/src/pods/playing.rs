//! The kubelet's part: one task for the namespace, and one for each pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    BrokenReference, Life,
    inputs::{self, Blocked, ReferenceKind},
    player::Script,
    record::Record,
    status::{Running, Sheet},
};

/// How long a container that crashes runs.
const CRASHES_AFTER: Duration = Duration::from_millis(50);
/// The first pause before a restart; each one is twice as long. The kubelet's is ten seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How soon something is tried again that may succeed by itself.
const RETRY: Duration = Duration::from_millis(100);

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
struct Stage {
    client: Client,
    pods: Api<Pod>,
    cues: watch::Receiver<Script>,
    record: Arc<Mutex<Record>>,
}

impl Stage {
    fn record(&self) -> MutexGuard<'_, Record> {
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
        if let Some(task) = self.0.remove(&pod.uid().unwrap_or_default()) {
            task.abort();
        }
    }
}

/// The pod is no more.
struct Gone;

/// How a container ended.
struct Exit {
    code: i32,
    message: String,
}

struct Actor {
    stage: Stage,
    pod: Pod,
    /// The container whose life the script decides.
    container: Container,
    sheet: Sheet,
    restarts: usize,
    restarts_asked: usize,
}

impl Actor {
    fn new(stage: Stage, pod: Pod) -> Option<Self> {
        static ADDRESSES: AtomicU16 = AtomicU16::new(1);
        let [high, low] = ADDRESSES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let container = pod.spec.as_ref()?.containers.first()?.clone();
        let sheet = Sheet::new(&pod, format!("10.244.{high}.{low}"));
        let restarts_asked = stage.record().restarts_asked(&pod.name_any());
        Some(Self { stage, pod, container, sheet, restarts: 0, restarts_asked })
    }

    /// Starts the container over and over, until the pod is no more.
    async fn live(mut self) {
        while let Ok(exit) = self.run_once().await {
            if self.end(&exit).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the container can start, and then until it ends.
    async fn run_once(&mut self) -> Result<Exit, Gone> {
        loop {
            let life = self.ask_the_script();
            if self.start_all().await?.is_some() {
                // The kubelet looks again and again.
                let _ = timeout(RETRY, self.stage.cues.changed()).await;
                continue;
            }
            let (reason, message) = match &life {
                Life::ConfigError(message) => ("CreateContainerConfigError", message),
                Life::ImagePullBackOff(message) => ("ImagePullBackOff", message),
                _ => return self.run(life).await,
            };
            self.sheet.waits(&self.container.name, reason, message);
            self.show().await?;
            self.wait_for_another(&life).await?;
        }
    }

    /// Reads what the containers refer to, and shows those that do not start because of it.
    async fn start_all(&mut self) -> Result<Option<BrokenReference>, Gone> {
        let containers = self.pod.spec.iter().flat_map(|spec| spec.containers.clone()).collect::<Vec<_>>();
        let mut broken = None;
        let mut own = None;
        for container in containers {
            match inputs::resolve(&self.stage.client, &self.pod, &container).await {
                Ok(inputs) if container.name == self.container.name => own = Some(inputs),
                Ok(_) => self.sheet.runs(&container.name, Running::Ready),
                Err(Blocked::Api(error)) => {
                    eprintln!("{} cannot start yet: {error}", self.pod.name_any());
                    tokio::time::sleep(RETRY).await;
                    return Box::pin(self.start_all()).await;
                }
                Err(Blocked::Broken(reference)) => {
                    self.show_broken(&reference);
                    broken = Some(reference);
                }
            }
        }
        if broken.is_some() {
            self.show().await?;
        } else if let Some(inputs) = own {
            self.stage.record().container_started(&self.pod.name_any(), inputs);
        }
        Ok(broken)
    }

    fn show_broken(&mut self, reference: &BrokenReference) {
        self.stage.record().reference_is_broken(reference.clone());
        match reference.kind {
            ReferenceKind::Variable => {
                self.sheet.waits(&reference.container, "CreateContainerConfigError", &reference.message);
            }
            // What is wrong with a volume is told by an event only.
            ReferenceKind::Volume => self.sheet.waits(&reference.container, "ContainerCreating", ""),
        }
    }

    /// The container runs; returns when it ends.
    async fn run(&mut self, mut life: Life) -> Result<Exit, Gone> {
        loop {
            let readiness = if life == Life::Ready { Running::Ready } else { Running::NotReady };
            self.sheet.runs(&self.container.name, readiness);
            self.show().await?;
            match &life {
                Life::CrashLooping { exit_code, message } => {
                    tokio::time::sleep(CRASHES_AFTER).await;
                    return Ok(Exit { code: *exit_code, message: message.clone() });
                }
                // What keeps a container from starting is only seen when it ends for another reason.
                Life::ConfigError(_) | Life::ImagePullBackOff(_) => {
                    return Ok(Exit { code: 137, message: String::new() });
                }
                Life::ReadyAfter(delay) => {
                    let delay = *delay;
                    if timeout(delay, self.wait_for_another(&life)).await.is_err() {
                        self.sheet.runs(&self.container.name, Running::Ready);
                        self.show().await?;
                        self.wait_for_another(&life).await?;
                    }
                }
                Life::Ready | Life::NeverReady => self.wait_for_another(&life).await?,
            }
            if self.is_restart_asked() {
                return Ok(Exit { code: 137, message: String::new() });
            }
            life = self.ask_the_script();
        }
    }

    /// Shows that the container has ended, and pauses before the next start.
    async fn end(&mut self, exit: &Exit) -> Result<(), Gone> {
        let name = self.container.name.clone();
        self.sheet.ends(&name, exit.code, &exit.message);
        self.show().await?;
        let doublings = u32::try_from(self.restarts).unwrap_or(u32::MAX).min(10);
        let pause = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
        if self.restarts > 0 {
            let message = format!(
                "back-off {}s restarting failed container={name} pod={}",
                2_u32.pow(doublings) * 10,
                self.pod.name_any()
            );
            self.sheet.waits(&name, "CrashLoopBackOff", &message);
            self.show().await?;
        }
        let _ = timeout(pause, self.stage.cues.changed()).await;
        self.restarts += 1;
        self.sheet.restarts(&name);
        Ok(())
    }

    fn ask_the_script(&mut self) -> Life {
        let script = self.stage.cues.borrow_and_update().clone();
        script(&self.pod)
    }

    fn is_restart_asked(&mut self) -> bool {
        let asked = self.stage.record().restarts_asked(&self.pod.name_any());
        std::mem::replace(&mut self.restarts_asked, asked) < asked
    }

    /// Waits until the script has another life for the pod, or the test wants a restart.
    async fn wait_for_another(&mut self, life: &Life) -> Result<(), Gone> {
        loop {
            let asked = self.stage.record().restarts_asked(&self.pod.name_any());
            if asked > self.restarts_asked || self.ask_the_script() != *life {
                return Ok(());
            }
            // The player of the test is gone.
            self.stage.cues.changed().await.map_err(|_| Gone)?;
        }
    }

    /// Whether the pod of this name is still this one.
    async fn is_there(&self) -> bool {
        let found = self.stage.pods.get_opt(&self.pod.name_any()).await;
        found.is_ok_and(|found| found.is_some_and(|found| found.uid() == self.pod.uid()))
    }

    /// Writes the status as it is now.
    async fn show(&self) -> Result<(), Gone> {
        // The id keeps the status from a later pod of this name.
        let patch = json!({"metadata": {"uid": self.pod.uid()}, "status": self.sheet.status()});
        loop {
            let written = self
                .stage
                .pods
                .patch_status(&self.pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() => return Err(Gone),
                Err(kube::Error::Api(status)) if status.is_conflict() && !self.is_there().await => {
                    return Err(Gone);
                }
                Err(error) => eprintln!("the status of {} is not written: {error}", self.pod.name_any()),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
