//! Tests with containers that fail temporarily or permanently, at different times.

use super::*;

/// The statuses that the kubelet reports for a container in each kind of trouble.
const CONFIG: &str =
    "state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"corp-ldap-2\" not found'}}";
const CACHE: &str = "state: {waiting: {reason: CreateContainerConfigError, message: 'failed to sync secret cache: timed out waiting for the condition'}}";
const RESERVED: &str =
    "state: {waiting: {reason: CreateContainerError, message: 'failed to reserve container name wandb_0'}}";
const RUN: &str =
    "state: {waiting: {reason: RunContainerError, message: 'exec: mysql://wandb:hunter2@db: not found'}}";
const LOOP: &str = "restartCount: 2, state: {waiting: {reason: CrashLoopBackOff, message: back-off 20s}}, lastState: {terminated: {exitCode: 3, reason: Error, message: 'mysql://wandb:hunter2@db refused'}}";
const ENDED: &str = "restartCount: 2, state: {terminated: {exitCode: 3, reason: Error, message: 'mysql://wandb:hunter2@db refused'}}";
const RUNS: &str =
    "restartCount: 3, state: {running: {}}, lastState: {terminated: {exitCode: 3, reason: Error}}";
const READY: &str =
    "ready: true, restartCount: 3, state: {running: {}}, lastState: {terminated: {exitCode: 3}}";

/// A Deployment that waits for its new pod and has no deadline of its own.
fn waits() -> WorkloadController {
    controller("Deployment", "replicas: 1", &format!("{SEEN}, replicas: 2, updatedReplicas: 1"))
}

/// Judges a pod every three seconds, up to this number of seconds. The closure makes the pod for each second.
/// Returns the second of the first failure.
fn first_failure(controller: &WorkloadController, seconds: u64, pod: impl Fn(u64) -> Pod) -> Option<u64> {
    let mut sightings = Sightings::default();
    (0..=seconds).step_by(3).find(|second| {
        let patience = after(Duration::from_secs(*second));
        let rollout = look(controller, &[pod(*second)], Some(2), patience, &mut sightings);
        matches!(rollout, Rollout::Failed(_))
    })
}

#[test]
fn what_passes_within_half_a_minute_is_no_failure_and_what_lasts_is_one() {
    for trouble in [CONFIG, CACHE, RESERVED, RUN, LOOP, ENDED] {
        let passes = |second| pod("wandb-a", if second <= 30 { trouble } else { RUNS });
        assert_eq!(first_failure(&waits(), 590, passes), None, "{trouble}");
        assert_eq!(first_failure(&waits(), 300, |_| pod("wandb-a", trouble)), Some(60), "{trouble}");
    }
}

#[test]
fn a_container_that_runs_between_its_crashes_still_crashes() {
    let crashing = |second: u64| pod("wandb-a", if second.is_multiple_of(9) { ENDED } else { RUNS });
    assert_eq!(first_failure(&waits(), 300, crashing), Some(63));
    // The container ran for more than a minute in between, so the next crash is another failure.
    let seldom = |second: u64| pod("wandb-a", if second.is_multiple_of(66) { ENDED } else { RUNS });
    assert_eq!(first_failure(&waits(), 590, seldom), None);
    let recovers = |second: u64| pod("wandb-a", if second.is_multiple_of(30) { READY } else { LOOP });
    assert_eq!(first_failure(&waits(), 590, recovers), None);
    // The container has ended only twice.
    let twice = LOOP.replace("restartCount: 2", "restartCount: 1");
    assert_eq!(first_failure(&waits(), 590, |_| pod("wandb-a", &twice)), None);
}

#[test]
fn another_pod_is_another_failure() {
    let replaced = |second: u64| pod(&format!("wandb-{}", second / 45), LOOP);
    assert_eq!(first_failure(&waits(), 590, replaced), None);
}

/// A healthy pod, except that a container other than the one with the entries has this status.
fn beside(trouble: &str, field: &str) -> Pod {
    let mut pod = serde_json::to_value(pod("wandb-a", READY)).unwrap();
    let status =
        object(&format!("{{name: proxy, image: i, imageID: i, ready: false, restartCount: 0, {trouble}}}"));
    match &mut pod["status"][field] {
        Value::Array(statuses) => statuses.push(status),
        none => *none = json!([status]),
    }
    serde_json::from_value(pod).unwrap()
}

#[test]
fn other_containers_count_when_the_time_is_over() {
    let crashes = LOOP.replace("restartCount: 2", "restartCount: 9");
    let crashes = crashes.trim_start_matches("restartCount: 9, ");
    for field in ["containerStatuses", "initContainerStatuses"] {
        for trouble in [crashes, CONFIG] {
            assert_eq!(first_failure(&waits(), 900, |_| beside(trouble, field)), Some(603), "{field}");
        }
    }
    let init = look(
        &waits(),
        &[beside(crashes, "initContainerStatuses")],
        Some(2),
        patience(11),
        &mut Sightings::default(),
    );
    insta::assert_snapshot!("init_container", told(&init));
}

#[test]
fn only_pods_of_the_newest_template_are_evidence() {
    let status =
        format!("{SEEN}, replicas: 1, updatedReplicas: 0, currentRevision: old, updateRevision: new");
    for (kind, label) in [("StatefulSet", "controller-revision-hash"), ("Deployment", "pod-template-hash")] {
        let controller = controller(kind, "replicas: 1", &status);
        let labelled = |hash: &str| {
            let mut pod = pod("wandb-0", LOOP);
            pod.metadata.labels.get_or_insert_default().insert(label.to_owned(), hash.to_owned());
            pod
        };
        assert_eq!(first_failure(&controller, 300, |_| labelled("new")), Some(60), "{kind}");
        assert_eq!(first_failure(&controller, 300, |_| labelled("old")), None, "{kind}");
        assert_eq!(first_failure(&controller, 300, |_| labelled("foreign")), None, "{kind}");
        let leaving = |_| {
            let mut pod = labelled("new");
            pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-01T10:00:00Z")).unwrap();
            pod
        };
        assert_eq!(first_failure(&controller, 300, leaving), None, "{kind}");
        let of_before = |_| {
            let mut pod = labelled("new");
            let container = pod.spec.as_mut().unwrap().containers.first_mut().unwrap();
            container.env_from =
                serde_json::from_value(json!([{"secretRef": {"name": "corp-ldap-1"}}])).unwrap();
            pod
        };
        assert_eq!(first_failure(&controller, 300, of_before), None, "{kind}");
    }
    // A ReplicaSet of another Deployment does not count, and without a ReplicaSet of its own the template is
    // unknown.
    let replica_sets =
        [replica_set(3, "old"), replica_set(12, "new"), replica_set_of("other", 99, "foreign")];
    let made = |sets: &[ReplicaSet]| newest::template(&waits(), sets).made(&pod("wandb-a", LOOP));
    assert!(made(&replica_sets) && !made(&replica_sets[..1]) && !made(&replica_sets[2..]) && !made(&[]));
}

/// The clock of the operator's machine is not involved: all times that are compared come from the API server.
#[test]
fn the_deadline_is_kept_to_the_second() {
    let running = |_| pod("wandb-a", "state: {running: {}}");
    assert_eq!(first_failure(&waits(), 900, running), Some(603));
    let set = format!("{SEEN}, replicas: 1, currentRevision: old, updateRevision: new");
    assert_eq!(first_failure(&controller("StatefulSet", "replicas: 1", &set), 900, running), Some(603));
}

#[test]
fn tells_container_reason_and_exit_code_and_nothing_that_a_program_wrote() {
    let mut found = String::new();
    for (trouble, minutes) in [
        (CONFIG, 1),
        (CACHE, 1),
        (RESERVED, 1),
        (RUN, 1),
        (LOOP, 1),
        (ENDED, 1),
        ("state: {waiting: {reason: InvalidImageName}}", 5),
        ("state: {waiting: {reason: ImagePullBackOff, message: no such image}}", 11),
        ("state: {waiting: {reason: ContainerCreating}}", 11),
        ("state: {running: {}}", 11),
        (RUNS, 11),
    ] {
        let pods = [pod("wandb-a", trouble)];
        let mut sightings = Sightings::default();
        let mut told_at = |second| {
            told(&look(&waits(), &pods, Some(2), after(Duration::from_secs(second)), &mut sightings))
        };
        let last = 60 * minutes;
        let (first, _, last) = (told_at(last - 60), told_at(last - 30), told_at(last));
        writeln!(found, "{trouble}; {minutes} min\n  first {first}\n  then {last}").unwrap();
    }
    assert!(
        !found.lines().filter(|line| line.starts_with("  ")).any(|line| line.contains("hunter2")),
        "{found}"
    );
    insta::assert_snapshot!(found);
}

#[test]
fn tells_that_no_node_takes_a_pod() {
    let mut pending = pod("wandb-a", "state: {waiting: {reason: ContainerCreating}}");
    pending.status = serde_json::from_value(json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"
    }]}))
    .unwrap();
    insta::assert_snapshot!("unschedulable", told(&judged(&waits(), &[pending], Some(2), patience(11))));
}
