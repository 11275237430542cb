//! The kubelet's part in one pod.

use std::{
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{
    BrokenReference, ContainerInputs, Life,
    inputs::{self, Blocked, ReferenceKind},
    playing::Stage,
    program,
    status::{Running, Sheet},
};
use crate::StandInServer;

/// How long a container that crashes runs.
const CRASHES_AFTER: Duration = Duration::from_millis(50);
/// The first pause before a restart; each one is twice as long. The kubelet's is ten seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How soon something is tried again that may succeed by itself.
const RETRY: Duration = Duration::from_millis(100);
/// How often it is looked whether a process runs.
const LOOK: Duration = Duration::from_millis(20);
/// Of a container that is killed.
const KILLED: i32 = 137;

/// The pod is no more.
struct Gone;

/// How a container ended.
struct Exit {
    code: i32,
    message: String,
}

impl Exit {
    fn killed() -> Self {
        Self { code: KILLED, message: String::new() }
    }
}

pub(super) struct Actor {
    stage: Stage,
    pod: Pod,
    /// The container whose life the script decides.
    container: Container,
    /// What it was started with.
    inputs: ContainerInputs,
    sheet: Sheet,
    restarts: usize,
    restarts_asked: usize,
}

impl Actor {
    pub(super) fn new(stage: Stage, pod: Pod) -> Option<Self> {
        static ADDRESSES: AtomicU16 = AtomicU16::new(1);
        let [high, low] = ADDRESSES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let container = pod.spec.as_ref()?.containers.first()?.clone();
        let sheet = Sheet::new(&pod, format!("10.244.{high}.{low}"));
        let restarts_asked = stage.record().restarts_asked(&pod.name_any());
        let inputs = ContainerInputs::default();
        Some(Self { stage, pod, container, inputs, sheet, restarts: 0, restarts_asked })
    }

    /// Starts the container over and over, until the pod is no more.
    pub(super) async fn live(mut self) {
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
                Life::CannotStart { reason, message } => (*reason, message),
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
                    sleep(RETRY).await;
                    return Box::pin(self.start_all()).await;
                }
                Err(Blocked::Broken(reference)) => {
                    self.show_broken(&reference).await?;
                    broken = Some(reference);
                }
            }
        }
        if broken.is_some() {
            self.show().await?;
        } else if let Some(inputs) = own {
            self.stage.record().container_started(&self.pod.name_any(), inputs.clone());
            self.inputs = inputs;
        }
        Ok(broken)
    }

    /// Shows that a container does not start because of a reference. What a deleted pod refers to may go as soon as the
    /// pod has, and before the watch tells of it here, so that the API server is asked for the pod first.
    async fn show_broken(&mut self, reference: &BrokenReference) -> Result<(), Gone> {
        let pod = self.current().await.ok_or(Gone)?;
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(Gone);
        }
        self.stage.record().reference_is_broken(reference.clone());
        match reference.kind {
            ReferenceKind::Variable => {
                self.sheet.waits(&reference.container, "CreateContainerConfigError", &reference.message);
            }
            // What is wrong with a volume is told by an event only.
            ReferenceKind::Volume => self.sheet.waits(&reference.container, "ContainerCreating", ""),
        }
        Ok(())
    }

    /// The container runs; returns when it ends.
    async fn run(&mut self, mut life: Life) -> Result<Exit, Gone> {
        loop {
            let is_ready = matches!(life, Life::Ready | Life::Program { .. });
            let readiness = if is_ready { Running::Ready } else { Running::NotReady };
            self.sheet.runs(&self.container.name, readiness);
            self.show().await?;
            match &life {
                Life::CrashLooping { exit_code, message } => {
                    sleep(CRASHES_AFTER).await;
                    return Ok(Exit { code: *exit_code, message: message.clone() });
                }
                // What keeps a container from starting is only seen when it ends for another reason.
                Life::ConfigError(_) | Life::CannotStart { .. } | Life::ImagePullBackOff(_) => {
                    return Ok(Exit::killed());
                }
                Life::ReadyAfter(delay) => {
                    let delay = *delay;
                    if timeout(delay, self.wait_for_another(&life)).await.is_err() {
                        self.sheet.runs(&self.container.name, Running::Ready);
                        self.show().await?;
                        self.wait_for_another(&life).await?;
                    }
                }
                Life::Serving => return self.serve(&life).await,
                Life::Program { program, place } => return Ok(self.execute(program, place).await),
                Life::Ready | Life::NeverReady => self.wait_for_another(&life).await?,
            }
            if self.is_restart_asked() {
                return Ok(Exit::killed());
            }
            life = self.ask_the_script();
        }
    }

    /// The container runs the stand-in server; returns when that ends, or is to.
    async fn serve(&mut self, life: &Life) -> Result<Exit, Gone> {
        let inputs = self.inputs.clone();
        // The first start may have to compile it.
        let started = tokio::task::spawn_blocking(move || StandInServer::start(&inputs)).await;
        let mut server = match started.map_err(anyhow::Error::from).flatten() {
            Ok(server) => server,
            Err(error) => {
                eprintln!("the stand-in server does not start: {error:#}");
                return Ok(Exit { code: 128, message: error.to_string() });
            }
        };
        let name = self.pod.name_any();
        let mut is_ready = false;
        let exit = loop {
            if let Ok(Some(code)) = server.exit_code() {
                break Exit { code, message: self.last_words(&server) };
            }
            if let (false, Some(address)) = (is_ready, server.address()) {
                is_ready = true;
                self.stage.record().serves(&name, address);
                self.sheet.runs(&self.container.name, Running::Ready);
                self.show().await?;
            }
            if let Ok(waited) = timeout(LOOK, self.wait_for_another(life)).await {
                waited?;
                self.is_restart_asked();
                break Exit::killed();
            }
        };
        self.stage.record().serves_no_more(&name);
        Ok(exit)
    }

    /// The container runs the program to its end.
    async fn execute(&self, program: &Path, place: &[(String, String)]) -> Exit {
        let mut inputs = self.inputs.clone();
        inputs.environment.extend(place.iter().cloned());
        let (program, pod, container) = (program.to_owned(), self.pod.clone(), self.container.clone());
        let execute = move || program::execute(&program, (&pod, &container), &inputs);
        let ended = tokio::task::spawn_blocking(execute).await;
        match ended.map_err(anyhow::Error::from).flatten() {
            Ok((code, message)) => Exit { code, message },
            Err(error) => {
                eprintln!("the program does not start: {error:#}");
                Exit { code: 128, message: String::new() }
            }
        }
    }

    /// The termination message of a program that writes none.
    fn last_words(&self, server: &StandInServer) -> String {
        let policy = self.container.termination_message_policy.as_deref();
        let log = server.log().read().unwrap_or_default();
        if policy == Some("FallbackToLogsOnError") { log } else { String::new() }
    }

    /// Shows that the container has ended, and pauses before the next start.
    async fn end(&mut self, exit: &Exit) -> Result<(), Gone> {
        let name = self.container.name.clone();
        self.sheet.ends(&name, exit.code, &exit.message);
        self.show().await?;
        if self.pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("Never")) {
            return Err(Gone);
        }
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

    /// The pod of this name, if that is still this one.
    async fn current(&self) -> Option<Pod> {
        let name = self.pod.name_any();
        loop {
            match self.stage.pods.get_opt(&name).await {
                Ok(found) => return found.filter(|found| found.uid() == self.pod.uid()),
                Err(error) => eprintln!("{name} cannot be read: {error}"),
            }
            sleep(RETRY).await;
        }
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
                Err(kube::Error::Api(status)) if status.is_conflict() && self.current().await.is_none() => {
                    return Err(Gone);
                }
                Err(error) => eprintln!("the status of {} is not written: {error}", self.pod.name_any()),
            }
            sleep(RETRY).await;
        }
    }
}
