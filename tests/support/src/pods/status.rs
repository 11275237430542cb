//! What the kubelet writes into the status of a pod.

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, Pod, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

/// The status of one pod as it develops.
pub(super) struct Sheet {
    started_at: Time,
    ip: String,
    ready_since: Time,
    ready: bool,
    /// Whether the pod waits for a condition that nobody sets here.
    is_gated: bool,
    /// Whether the pod's containers are not started again.
    is_final: bool,
    containers: Vec<ContainerStatus>,
}

/// What a container does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Ready,
    NotReady,
}

pub(super) fn now() -> Time {
    Time(Timestamp::now())
}

impl Sheet {
    /// A pod whose containers are still to be made.
    pub(super) fn new(pod: &Pod, ip: String) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        Self {
            started_at: now(),
            ip,
            ready_since: now(),
            ready: false,
            is_gated: pod.spec.as_ref().is_some_and(|spec| spec.readiness_gates.is_some()),
            is_final: pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("Never")),
            containers: containers.map(creating).collect(),
        }
    }

    /// The container waits.
    pub(super) fn waits(&mut self, container: &str, reason: &str, message: &str) {
        let message = (!message.is_empty()).then(|| message.to_owned());
        let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
        self.set(container, ContainerState { waiting: Some(waiting), ..ContainerState::default() }, false);
    }

    /// The container runs, since now or since it was last shown to run.
    pub(super) fn runs(&mut self, container: &str, running: Running) {
        let current = self.containers.iter().find(|status| status.name == container);
        let since = current.and_then(|status| status.state.as_ref()?.running.clone());
        let state = since.unwrap_or_else(|| ContainerStateRunning { started_at: Some(now()) });
        let state = ContainerState { running: Some(state), ..ContainerState::default() };
        self.set(container, state, running == Running::Ready);
    }

    /// The container has ended, and its end is remembered over the next start.
    pub(super) fn ends(&mut self, container: &str, exit_code: i32, message: &str) {
        let Some(status) = self.containers.iter_mut().find(|status| status.name == container) else { return };
        let running = status.state.take().and_then(|state| state.running);
        let terminated = ContainerStateTerminated {
            exit_code,
            reason: Some(if exit_code == 0 { "Completed" } else { "Error" }.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
            started_at: running.and_then(|running| running.started_at),
            finished_at: Some(now()),
            container_id: status.container_id.clone(),
            signal: None,
        };
        let state = ContainerState { terminated: Some(terminated), ..ContainerState::default() };
        self.set(container, state, false);
    }

    /// The container is started once more.
    pub(super) fn restarts(&mut self, container: &str) {
        if let Some(status) = self.containers.iter_mut().find(|status| status.name == container) {
            status.restart_count += 1;
        }
    }

    fn set(&mut self, container: &str, state: ContainerState, ready: bool) {
        if let Some(status) = self.containers.iter_mut().find(|status| status.name == container) {
            let ended = status.state.take().filter(|state| state.terminated.is_some());
            if let Some(ended) = ended {
                status.last_state = Some(ended);
            }
            if state.running.is_some() && status.container_id.is_none() {
                status.container_id = Some(format!("containerd://{container}"));
            }
            status.started = Some(state.running.is_some());
            status.state = Some(state);
            status.ready = ready;
        }
        let ready = !self.is_gated && self.containers.iter().all(|status| status.ready);
        if ready != self.ready {
            self.ready = ready;
            self.ready_since = now();
        }
    }

    /// The whole status.
    pub(super) fn status(&self) -> PodStatus {
        let unready: Vec<_> = self
            .containers
            .iter()
            .filter(|status| !status.ready)
            .map(|status| status.name.as_str())
            .collect();
        let condition = |type_: &str, since: &Time| PodCondition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(since.clone()),
            ..PodCondition::default()
        };
        let readiness = |type_: &str| {
            let condition = condition(type_, &self.ready_since);
            if self.ready {
                return condition;
            }
            PodCondition {
                status: "False".to_owned(),
                reason: Some("ContainersNotReady".to_owned()),
                message: Some(format!("containers with unready status: [{}]", unready.join(" "))),
                ..condition
            }
        };
        PodStatus {
            phase: Some(self.phase().to_owned()),
            conditions: Some(vec![
                condition("PodScheduled", &self.started_at),
                condition("Initialized", &self.started_at),
                readiness("ContainersReady"),
                readiness("Ready"),
            ]),
            container_statuses: Some(self.containers.clone()),
            start_time: Some(self.started_at.clone()),
            pod_ip: Some(self.ip.clone()),
            pod_ips: Some(vec![PodIP { ip: self.ip.clone() }]),
            ..PodStatus::default()
        }
    }

    /// A pod is pending until each of its containers has run once.
    fn phase(&self) -> &'static str {
        let never_ran = |status: &ContainerStatus| {
            let waiting = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
            waiting && status.last_state.is_none()
        };
        let ended =
            |status: &ContainerStatus| status.state.as_ref()?.terminated.as_ref().map(|end| end.exit_code);
        let ends: Option<Vec<_>> = self.containers.iter().map(ended).collect();
        match ends {
            Some(ends) if self.is_final => {
                if ends.iter().all(|code| *code == 0) {
                    "Succeeded"
                } else {
                    "Failed"
                }
            }
            _ if self.containers.iter().any(never_ran) => "Pending",
            _ => "Running",
        }
    }
}

fn creating(container: &Container) -> ContainerStatus {
    let waiting = ContainerStateWaiting { reason: Some("ContainerCreating".to_owned()), message: None };
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
        started: Some(false),
        ..ContainerStatus::default()
    }
}

/// Whether a pod's status says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
