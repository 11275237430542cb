//! How far a probe is, by the status of its pod. Pure.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::{ProbeVerdict, pod::PROBE_CONTAINER};
use crate::problem::quote;

/// How far a probe is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeProgress {
    /// It has not begun yet, or is not over.
    Running,
    /// It has not begun, and what keeps it from that may last.
    Waiting(String),
    /// It has answered.
    Answered(ProbeVerdict),
    /// It is over and has not answered.
    NoVerdict(String),
}

impl ProbeProgress {
    /// How far the probe in this pod is. Its own container decides: a side car may end later, or never.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let own = status.container_statuses.iter().flatten().find(|own| own.name == PROBE_CONTAINER);
        if let Some(state) = own.and_then(|ContainerStatus { state, .. }| state.clone()) {
            let progress = of_container(state);
            if progress != Self::Running {
                return progress;
            }
        }
        match (status.phase.as_deref(), status.reason.as_deref()) {
            (Some("Failed" | "Succeeded"), reason) => {
                let why = reason.map_or_else(String::new, |reason| format!(" ({})", quote(reason)));
                Self::NoVerdict(format!("The pod ended{why} before the check was over."))
            }
            _ => unscheduled(pod).map_or(Self::Running, Self::Waiting),
        }
    }
}

fn of_container(state: ContainerState) -> ProbeProgress {
    if let Some(ended) = state.terminated {
        return match ProbeVerdict::of_message(ended.message.as_deref().unwrap_or_default()) {
            Ok(verdict) => ProbeProgress::Answered(verdict),
            Err(_) => ProbeProgress::NoVerdict(format!(
                "The check ended with exit code {} and left no verdict. Look into the log of its container.",
                ended.exit_code
            )),
        };
    }
    // Until it starts, a container waits for these; other reasons say what is wrong.
    let usual = ["ContainerCreating", "PodInitializing"];
    let reason = state.waiting.and_then(|waiting| waiting.reason);
    let reason = reason.filter(|reason| !usual.contains(&reason.as_str()));
    reason.map_or(ProbeProgress::Running, |reason| {
        ProbeProgress::Waiting(format!("The container of the check cannot start: {}.", quote(&reason)))
    })
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let refused = conditions.iter().find(|each| each.type_ == "PodScheduled" && each.status == "False")?;
    let why = refused.message.as_deref().or(refused.reason.as_deref()).unwrap_or_default();
    Some(format!("No node takes the pod of the check: {}.", quote(why).trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::KindVerdict;

    fn progress(status: &str) -> ProbeProgress {
        ProbeProgress::of(&serde_yaml::from_str(&format!("{{status: {status}}}")).unwrap())
    }

    #[test]
    fn the_container_of_the_check_decides() {
        let verdict = ProbeVerdict { obstacle: None, kinds: vec![KindVerdict::new("LdapConfig", &[])] };
        let message = verdict.to_message();
        let ended = format!("{{name: check, state: {{terminated: {{exitCode: 0, message: '{message}'}}}}}}");
        let proxy = "{name: proxy, state: {running: {}}}";
        for (status, expected) in [
            ("{}".to_owned(), "Running"),
            ("{phase: Pending, containerStatuses: [{name: check, state: {waiting: {reason: ContainerCreating}}}]}".to_owned(), "Running"),
            (format!("{{phase: Running, containerStatuses: [{proxy}, {{name: check, state: {{running: {{}}}}}}]}}"), "Running"),
            (format!("{{phase: Running, containerStatuses: [{proxy}, {ended}]}}"), "Answered"),
            (format!("{{phase: Succeeded, containerStatuses: [{ended}]}}"), "Answered"),
            ("{containerStatuses: [{name: check, state: {terminated: {exitCode: 2}}}]}".to_owned(), "exit code 2"),
            ("{containerStatuses: [{name: check, state: {waiting: {reason: ImagePullBackOff}}}]}".to_owned(), "cannot start: ImagePullBackOff"),
            ("{phase: Failed, reason: DeadlineExceeded, containerStatuses: [{name: check, state: {waiting: {reason: PodInitializing}}}]}".to_owned(), "ended (DeadlineExceeded)"),
            ("{phase: Pending, conditions: [{type: PodScheduled, status: 'False', message: 0/3 nodes are available.}]}".to_owned(), "No node takes the pod of the check: 0/3 nodes are available."),
        ] {
            let told = match progress(&status) {
                ProbeProgress::Running => "Running".to_owned(),
                ProbeProgress::Answered(answer) => {
                    assert_eq!(answer, verdict);
                    "Answered".to_owned()
                }
                ProbeProgress::Waiting(why) | ProbeProgress::NoVerdict(why) => why,
            };
            assert!(told.contains(expected), "{status}: {told}");
        }
    }
}
