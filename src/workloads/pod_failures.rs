//! Describes why pods do not become available: container, reason and exit code.
//!
//! What a program wrote is not repeated, since it may contain secrets. Messages name the command that shows it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod};

use crate::problem::quote;

/// Why a container waits if its configuration refers to something that the kubelet does not find, or not yet.
const CONFIG_ERROR: &str = "CreateContainerConfigError";

/// The reasons of waiting containers that cannot be created or started.
const UNABLE: [&str; 3] = [CONFIG_ERROR, "CreateContainerError", "RunContainerError"];

/// Why a container waits that has ended repeatedly.
const CRASHES: &str = "CrashLoopBackOff";

/// After this number of restarts, a container has ended three times.
const ENOUGH_RESTARTS: i32 = 2;

/// The first of these containers that cannot start or has ended.
pub(super) fn failing<'a>(pod: &'a Pod, containers: &BTreeSet<&str>) -> Option<&'a ContainerStatus> {
    let mut own = of_containers(pod).filter(|status| containers.contains(status.name.as_str()));
    own.find(|status| !status.ready && (is_unable(status) || has_crashed(status)))
}

/// Whether each of these containers is ready.
pub(super) fn are_ready(pod: &Pod, containers: &BTreeSet<&str>) -> bool {
    let ready = of_containers(pod).filter(|status| status.ready).map(|status| status.name.as_str());
    ready.collect::<BTreeSet<_>>().is_superset(containers)
}

/// Whether a lasting failure will not pass by itself. A container that ends must have done so three times.
pub(super) fn is_conclusive(status: &ContainerStatus) -> bool {
    is_unable(status) || status.restart_count >= ENOUGH_RESTARTS
}

/// Describes a container that fails.
pub(super) fn of_failure(pod: &Pod, status: &ContainerStatus) -> String {
    let seen = match waiting(status) {
        Some(waiting) => format!("waits ({})", reason(waiting)),
        None => "is not ready".to_owned(),
    };
    let end = ended(status).map(|end| format!("; it ended with {}", exit(end))).unwrap_or_default();
    let text = format!("{} {seen}, restarts: {}{end}", title(pod, status), status.restart_count);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if ended(status).is_some() {
        return format!(
            "{text}. What it wrote is shown by `kubectl logs --previous -n {namespace} {} -c {}` while that pod is there.",
            name(pod),
            status.name
        );
    }
    // In this case the kubelet's message contains only names of objects and keys. Its messages for other failures
    // may repeat the command of a container.
    let said = waiting(status).filter(|waiting| reason(waiting) == CONFIG_ERROR);
    let said = said.and_then(|waiting| waiting.message.as_deref()).map(quote).filter(|said| !said.is_empty());
    let said = said.map(|said| format!(": {}", said.trim_end_matches('.'))).unwrap_or_default();
    format!(
        "{text}{said}. `kubectl describe pod -n {namespace} {}` shows more while that pod is there.",
        name(pod)
    )
}

/// Describes the pods during the wait. The words do not change between runs, so that the status stays the same.
pub(super) fn so_far(pods: &[&Pod]) -> Option<String> {
    let (pod, status) = first_telling(pods)?;
    let seen = match (ended(status), waiting(status)) {
        (Some(end), _) => format!("ended with {}", exit(end)),
        (None, Some(waiting)) => format!("waits ({})", reason(waiting)),
        (None, None) => return None,
    };
    Some(format!("{} {seen}, which may end by itself.", title(pod, status)))
}

/// Describes the pods after the deadline. `what` is what the operator was waiting for.
pub(super) fn of_delay(pods: &[&Pod], what: &str, since: Option<Timestamp>) -> String {
    let waited = since.map(|since| format!(" The wait began at {since:.0}.")).unwrap_or_default();
    let explanation = pods.iter().find_map(|pod| unschedulable(pod));
    let explanation =
        explanation.or_else(|| first_telling(pods).map(|(pod, status)| of_failure(pod, status)));
    let explanation = explanation.map(|explanation| format!(" {explanation}")).unwrap_or_default();
    format!("{what}{waited}{explanation}")
}

/// The first container whose state says more than that it is starting. Init containers come first, because the
/// others wait for them.
fn first_telling<'a>(pods: &[&'a Pod]) -> Option<(&'a Pod, &'a ContainerStatus)> {
    pods.iter().find_map(|pod| {
        let first = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
        let status = first.chain(of_containers(pod)).find(|status| !status.ready && is_telling(status))?;
        Some((*pod, status))
    })
}

fn is_telling(status: &ContainerStatus) -> bool {
    let begins = ["ContainerCreating", "PodInitializing"];
    ended(status).is_some()
        || waiting(status).is_some_and(|waiting| !begins.contains(&reason(waiting).as_str()))
}

/// The regular containers of the pod, without init containers.
fn of_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten())
}

fn waiting(status: &ContainerStatus) -> Option<&ContainerStateWaiting> {
    status.state.as_ref()?.waiting.as_ref()
}

fn reason(waiting: &ContainerStateWaiting) -> String {
    quote(waiting.reason.as_deref().unwrap_or_default())
}

fn is_unable(status: &ContainerStatus) -> bool {
    waiting(status).is_some_and(|waiting| UNABLE.contains(&reason(waiting).as_str()))
}

/// Whether the container has ended and is not running again yet.
fn has_crashed(status: &ContainerStatus) -> bool {
    let has_ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    has_ended || waiting(status).is_some_and(|waiting| reason(waiting) == CRASHES)
}

/// How the container ended, now or the last time.
fn ended(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now_and_before = [&status.state, &status.last_state];
    let mut ends = now_and_before.into_iter().filter_map(|state| state.as_ref()?.terminated.as_ref());
    // An init container that has completed successfully does not explain a failure.
    ends.find(|end| end.exit_code != 0 || !status.ready)
}

fn exit(end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().map(|reason| format!(" ({})", quote(reason))).unwrap_or_default();
    format!("exit code {}{reason}", end.exit_code)
}

fn title(pod: &Pod, status: &ContainerStatus) -> String {
    format!("The container \"{}\" of the pod {}", status.name, name(pod))
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let said = quote(condition.message.as_deref().unwrap_or_default());
    Some(format!("No node takes the pod {}: {said}", name(pod)))
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
