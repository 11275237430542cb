//! What pods tell of why they do not become available.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use crate::problem::quote;

/// The reasons for which a container waits that no time mends: what it is made of is wrong.
const UNABLE: [&str; 4] =
    ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "InvalidImageName"];

/// The reason for which a container waits that ended again and again.
const CRASHES: &str = "CrashLoopBackOff";

/// The restarts after which a container that ends is taken for one that always will.
const ENOUGH_RESTARTS: i32 = 2;

/// What is seen of the first pod that cannot run, however long one waits.
pub(super) fn of_inability(pods: &[&Pod]) -> Option<String> {
    pods.iter().find_map(|pod| {
        let status = containers(pod).find(|status| is_unable(status))?;
        Some(sentence(pod, status))
    })
}

/// What is seen of the pods when the time is over; `what` was waited for.
pub(super) fn of_delay(pods: &[&Pod], what: &str, since: Option<Timestamp>) -> String {
    let waited = since.map(|since| format!(" The wait began at {since:.0}.")).unwrap_or_default();
    let told = pods.iter().find_map(|pod| unschedulable(pod)).or_else(|| {
        pods.iter().find_map(|pod| {
            let status = containers(pod).find(|status| !status.ready && is_telling(status))?;
            Some(sentence(pod, status))
        })
    });
    let told = told.map(|told| format!(" {told}")).unwrap_or_default();
    format!("{what}{waited}{told}")
}

/// Every container of the pod that has a status, in the order in which they start.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.init_container_statuses.as_ref());
    let then = status.and_then(|status| status.container_statuses.as_ref());
    first.into_iter().chain(then).flatten()
}

fn waiting(status: &ContainerStatus) -> Option<&str> {
    status.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn is_unable(status: &ContainerStatus) -> bool {
    waiting(status).is_some_and(|reason| {
        UNABLE.contains(&reason) || (reason == CRASHES && status.restart_count >= ENOUGH_RESTARTS)
    })
}

/// Whether the container tells more than that it starts.
fn is_telling(status: &ContainerStatus) -> bool {
    ended(status).is_some()
        || waiting(status).is_some_and(|reason| !["ContainerCreating", "PodInitializing"].contains(&reason))
}

/// How the container ended, now or the last time.
fn ended(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now_and_before = [&status.state, &status.last_state];
    let mut ends = now_and_before.into_iter().filter_map(|state| state.as_ref()?.terminated.as_ref());
    // An init container that has done its work is no evidence.
    ends.find(|end| end.exit_code != 0 || !status.ready)
}

fn sentence(pod: &Pod, status: &ContainerStatus) -> String {
    let state = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waits = match state.and_then(|state| state.reason.as_deref()) {
        Some(reason) => format!("waits ({})", quote(reason)),
        None => "is not ready".to_owned(),
    };
    let end = ended(status).map(|end| {
        let reason = end.reason.as_deref().map(|reason| format!(" ({})", quote(reason)));
        format!("; it ended with exit code {}{}", end.exit_code, reason.unwrap_or_default())
    });
    let text = format!(
        "The container \"{}\" of the pod {} {waits}, restarts: {}{}",
        status.name,
        name(pod),
        status.restart_count,
        end.unwrap_or_default()
    );
    // What the program wrote tells more than what the kubelet says of its own waiting.
    let said = ended(status)
        .and_then(|end| end.message.as_deref())
        .or_else(|| state.and_then(|state| state.message.as_deref()))
        .map(quote)
        .filter(|said| !said.is_empty());
    match said {
        Some(said) => format!("{text}: {said}"),
        None => format!("{text}."),
    }
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
