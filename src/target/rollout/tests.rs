use std::fmt::Write;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;

fn object(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

fn controller(kind: &str, spec: &str, status: &str) -> Controller {
    let mut spec = object(&format!("{{{spec}}}"));
    spec["selector"] = json!({});
    spec["template"] = json!({});
    spec["serviceName"] = json!("wandb");
    let mut status = object(&format!("{{{status}}}"));
    if status["replicas"].is_null() {
        status["replicas"] = json!(0);
    }
    let fields = json!({"metadata": {"name": "wandb", "generation": 2}, "spec": spec, "status": status});
    match kind {
        "Deployment" => Controller::Deployment(serde_json::from_value(fields).unwrap()),
        _ => Controller::StatefulSet(serde_json::from_value(fields).unwrap()),
    }
}

/// A pod whose container has this status.
fn pod(name: &str, container: &str) -> Pod {
    let container =
        object(&format!("{{name: wandb, image: i, imageID: i, ready: false, restartCount: 0, {container}}}"));
    let revision = json!({"controller-revision-hash": "new"});
    let created = patience(0).since.unwrap();
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": revision, "creationTimestamp": created}, "status": {"containerStatuses": [container]},
    }))
    .unwrap()
}

/// A pod that was made this long after our last change, and says nothing more.
fn made(minutes: i64) -> Pod {
    let mut pod = pod("wandb-a", "state: {running: {}}");
    let since = patience(0).since.unwrap();
    pod.metadata.creation_timestamp = Some(Time(since + jiff::SignedDuration::from_mins(minutes)));
    pod
}

fn patience(minutes: i64) -> Patience {
    let since: Timestamp = "2026-11-01T10:00:00.5Z".parse().unwrap();
    let now = since + Duration::from_mins(minutes.unsigned_abs());
    Patience { limit: Duration::from_mins(10), since: Some(since), now }
}

fn told(rollout: &Rollout) -> String {
    match rollout {
        Rollout::Complete => "complete".to_owned(),
        Rollout::Progressing(what) => format!("progressing: {what}"),
        Rollout::Failed(what) => format!("failed: {what}"),
    }
}

const SEEN: &str = "observedGeneration: 2";

#[test]
fn judges_the_status_of_a_deployment() {
    let exceeded = |at: &str| {
        format!(
            "{SEEN}, conditions: [{{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, lastUpdateTime: '{at}'}}]"
        )
    };
    let complete = format!(
        "{SEEN}, replicas: 1, conditions: [{{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}}]"
    );
    let table = [
        (
            "replicas: 1",
            "observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1".into(),
            60,
        ),
        ("replicas: 1", format!("{SEEN}, replicas: 1, updatedReplicas: 1, availableReplicas: 1"), 60),
        ("replicas: 1", format!("{SEEN}, replicas: 1"), 1),
        ("replicas: 1", format!("{SEEN}, replicas: 2, updatedReplicas: 1, availableReplicas: 2"), 1),
        ("replicas: 2", format!("{SEEN}, replicas: 2, updatedReplicas: 2, availableReplicas: 1"), 1),
        ("replicas: 0", format!("{SEEN}, replicas: 1"), 1),
        ("paused: true", format!("{SEEN}, replicas: 1"), 60),
        ("progressDeadlineSeconds: 600", format!("{SEEN}, replicas: 1"), 60),
        ("progressDeadlineSeconds: 2147483647", format!("{SEEN}, replicas: 1"), 9),
        ("progressDeadlineSeconds: 2147483647", format!("{SEEN}, replicas: 1"), 11),
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T10:00:00Z"), 1),
        // The condition of the rollout before this one.
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T09:59:59Z"), 9),
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T09:59:59Z"), 11),
        ("progressDeadlineSeconds: 600", complete.clone(), 9),
        ("progressDeadlineSeconds: 600", complete, 11),
    ];
    let mut found = String::new();
    for (spec, status, minutes) in table {
        let rollout = judge(&controller("Deployment", spec, &status), &[made(0)], Some(2), patience(minutes));
        writeln!(found, "{spec}; {status}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
}

#[test]
fn judges_the_status_of_a_stateful_set() {
    let (same, other) =
        ("currentRevision: new, updateRevision: new", "currentRevision: old, updateRevision: new");
    let by_hand = "replicas: 2, updateStrategy: {type: OnDelete}";
    let partition = "replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}";
    let table = [
        ("replicas: 1", format!("observedGeneration: 1, {same}"), 60),
        ("replicas: 1", format!("{SEEN}, {same}, updatedReplicas: 1, readyReplicas: 1"), 60),
        (
            "replicas: 1",
            format!("{SEEN}, {same}, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 0"),
            1,
        ),
        ("replicas: 2", format!("{SEEN}, {other}, updatedReplicas: 1, readyReplicas: 2"), 9),
        ("replicas: 2", format!("{SEEN}, {other}, updatedReplicas: 1, readyReplicas: 1"), 11),
        ("replicas: 2", format!("{SEEN}, {other}, updatedReplicas: 2, readyReplicas: 2"), 1),
        ("replicas: 0", format!("{SEEN}, {other}"), 60),
        (partition, format!("{SEEN}, {other}, updatedReplicas: 0, readyReplicas: 3"), 1),
        (partition, format!("{SEEN}, {other}, updatedReplicas: 1, readyReplicas: 3"), 60),
        (by_hand, format!("{SEEN}, {other}, updatedReplicas: 1, readyReplicas: 2"), 60),
        (by_hand, format!("{SEEN}, {other}, updatedReplicas: 2, readyReplicas: 2"), 1),
    ];
    let mut found = String::new();
    for (spec, status, minutes) in table {
        let rollout =
            judge(&controller("StatefulSet", spec, &status), &[made(0)], Some(2), patience(minutes));
        writeln!(found, "{spec}; {status}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
}

/// The revision that is delivered, if any.
fn revision(number: Option<u64>) -> String {
    number.map_or_else(|| "no revision".to_owned(), |number| format!("revision {number}"))
}

#[test]
fn no_pod_proves_no_revision() {
    let (seen, set) = (SEEN, "updateRevision: new, currentRevision: old");
    let partition = "replicas: 2, updateStrategy: {rollingUpdate: {partition: 2}}";
    let table = [
        ("Deployment", "replicas: 0", seen.to_owned()),
        (
            "Deployment",
            "replicas: 0",
            format!(
                "{seen}, conditions: [{{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}}]"
            ),
        ),
        ("Deployment", "replicas: 0, paused: true", seen.to_owned()),
        ("StatefulSet", "replicas: 0", format!("{seen}, {set}")),
        ("StatefulSet", partition, format!("{seen}, {set}, readyReplicas: 2")),
        ("StatefulSet", partition, format!("{seen}, {set}, readyReplicas: 0")),
        // The pods are of the present template anyway.
        ("StatefulSet", partition, format!("{seen}, {set}, updatedReplicas: 2, readyReplicas: 2")),
    ];
    let mut found = String::new();
    for (kind, spec, status) in table {
        writeln!(found, "{kind}, {spec}; {status}").unwrap();
        for number in [Some(2), None] {
            let rollout = judge(&controller(kind, spec, &status), &[], number, patience(60));
            writeln!(found, "  {}: {}", revision(number), told(&rollout)).unwrap();
        }
    }
    insta::assert_snapshot!(found);
}

#[test]
fn the_wait_begins_with_the_newest_pod() {
    let set = format!("{SEEN}, replicas: 1, currentRevision: old, updateRevision: new");
    let none = format!("{SEEN}, currentRevision: old, updateRevision: new");
    let condition = |text: &str| format!("{SEEN}, replicas: 1, updatedReplicas: 1, conditions: [{{{text}}}]");
    let scaled = condition("type: Progressing, status: 'True', reason: NewReplicaSetAvailable");
    let refused =
        condition("type: ReplicaFailure, status: 'True', lastTransitionTime: '2026-11-01T11:00:00Z'");
    let plain = condition("type: Available, status: 'False'");
    for (kind, spec, status, pods, minutes, fails) in [
        ("StatefulSet", "", &set, &[60][..], 69, false),
        ("StatefulSet", "", &set, &[60], 71, true),
        ("StatefulSet", "", &set, &[0, 60], 69, false),
        ("StatefulSet", "", &set, &[], 71, false),
        // It cannot make any.
        ("StatefulSet", "", &none, &[], 71, true),
        ("Deployment", "", &plain, &[60], 69, false),
        ("Deployment", "", &plain, &[60], 71, true),
        ("Deployment", "", &plain, &[], 71, false),
        ("Deployment", "", &refused, &[], 69, false),
        ("Deployment", "", &refused, &[], 71, true),
        // Kubernetes has a deadline for rollouts, and none for scaling.
        ("Deployment", "progressDeadlineSeconds: 600", &plain, &[60], 71, false),
        ("Deployment", "progressDeadlineSeconds: 600", &scaled, &[60], 69, false),
        ("Deployment", "progressDeadlineSeconds: 600", &scaled, &[60], 71, true),
        // Our change is what counts where it came later than the pods.
        ("StatefulSet", "", &set, &[-60], 9, false),
    ] {
        let pods: Vec<_> = pods.iter().map(|minutes| made(*minutes)).collect();
        let rollout = judge(&controller(kind, spec, status), &pods, Some(2), patience(minutes));
        let is_failed = matches!(rollout, Rollout::Failed(_));
        assert_eq!(
            is_failed,
            fails,
            "{kind} {spec} {status} {} pods, {minutes} min: {rollout:?}",
            pods.len()
        );
    }
}

#[test]
fn tells_what_is_seen_of_pods() {
    let table = [
        ("restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}", 1),
        ("restartCount: 2, state: {waiting: {reason: CrashLoopBackOff, message: back-off 20s}}", 1),
        (
            "restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, message: \"one\\ntwo\\e[0m\"}}",
            1,
        ),
        (
            "state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"corp-ldap-2\" not found'}}",
            1,
        ),
        ("state: {waiting: {reason: CreateContainerError}}", 1),
        ("state: {waiting: {reason: RunContainerError}}", 1),
        ("state: {waiting: {reason: InvalidImageName}}", 1),
        ("state: {waiting: {reason: ImagePullBackOff}}", 1),
        ("state: {waiting: {reason: ImagePullBackOff, message: no such image}}", 11),
        ("state: {waiting: {reason: ContainerCreating}}", 11),
        ("state: {running: {}}", 11),
        ("state: {running: {}}, restartCount: 1, lastState: {terminated: {exitCode: 1}}", 11),
    ];
    let mut found = String::new();
    for (container, minutes) in table {
        let status = format!("{SEEN}, replicas: 2, updatedReplicas: 1");
        let pods = [pod("wandb-a", container)];
        let rollout =
            judge(&controller("Deployment", "replicas: 1", &status), &pods, Some(2), patience(minutes));
        writeln!(found, "{container}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
}

#[test]
fn tells_that_no_node_takes_a_pod_and_that_an_init_container_fails() {
    let status = format!("{SEEN}, replicas: 1");
    let judged = |pod: Value| {
        let pods = [serde_json::from_value(pod).unwrap()];
        told(&judge(&controller("Deployment", "replicas: 1", &status), &pods, Some(2), patience(11)))
    };
    insta::assert_snapshot!(
        "unschedulable",
        judged(
            json!({"metadata": {"name": "p", "creationTimestamp": "2026-11-01T10:00:01Z"}, "status": {"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"
            }]}})
        )
    );
    insta::assert_snapshot!(
        "init_container",
        judged(json!({"metadata": {"name": "p"}, "status": {"initContainerStatuses": [{
            "name": "migrate", "image": "i", "imageID": "i", "ready": false, "restartCount": 5,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }]}}))
    );
}

#[test]
fn only_pods_that_are_to_stay_are_evidence() {
    let crashes = "restartCount: 9, state: {waiting: {reason: CrashLoopBackOff}}";
    let status = format!("{SEEN}, currentRevision: old, updateRevision: new");
    let set = controller("StatefulSet", "replicas: 1", &status);
    let failed = |pod: Pod| matches!(judge(&set, &[pod], Some(2), patience(1)), Rollout::Failed(_));
    assert!(failed(pod("wandb-0", crashes)));
    let mut old = pod("wandb-0", crashes);
    old.metadata
        .labels
        .get_or_insert_default()
        .insert("controller-revision-hash".to_owned(), "old".to_owned());
    assert!(!failed(old));
    let mut leaving = pod("wandb-0", crashes);
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-01T10:00:00Z")).unwrap();
    assert!(!failed(leaving));
}

#[test]
fn the_worst_of_several_counts() {
    let (waits, fails) = (|| Rollout::Progressing("a".into()), || Rollout::Failed("b".into()));
    assert_eq!(Rollout::worst([]), Rollout::Complete);
    assert_eq!(Rollout::worst([Rollout::Complete, waits(), Rollout::Complete]), waits());
    assert_eq!(Rollout::worst([waits(), fails(), Rollout::Complete, waits()]), fails());
}

/// A Deployment that is through or not, whose template refers to these Secrets.
fn rendered(name: &str, secrets: &[&str], updated: i32) -> Controller {
    let sources: Vec<_> = secrets.iter().map(|name| json!({"secretRef": {"name": name}})).collect();
    Controller::Deployment(
        serde_json::from_value(json!({
            "metadata": {"name": name, "generation": 2},
            "spec": {
                "replicas": 1,
                "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": [name]}]},
                "template": {"spec": {"containers": [{"name": "main", "envFrom": sources}]}},
            },
            "status": {
                "observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "availableReplicas": 1,
            },
        }))
        .unwrap(),
    )
}

#[test]
fn judges_what_the_operator_of_the_server_renders() {
    let owner = Owner::new("LdapConfig", "ldap", "manager", "corp", "corp-ldap".to_owned());
    let other = || rendered("other", &["theirs"], 0);
    let mut found = String::new();
    for (workloads, number, minutes) in [
        (vec![other()], Some(2), 1),
        (vec![other()], Some(2), 11),
        (vec![other(), rendered("api", &["corp-ldap-1"], 1)], Some(2), 1),
        (vec![rendered("api", &["corp-ldap-2"], 1), rendered("app", &["corp-ldap-1"], 1)], Some(2), 11),
        (vec![rendered("api", &["corp-ldap-1", "corp-ldap-2"], 1)], Some(2), 1),
        (vec![other(), rendered("api", &["corp-ldap-2"], 1)], Some(2), 1),
        (vec![rendered("api", &["corp-ldap-2"], 1), rendered("app", &["corp-ldap-2"], 0)], Some(2), 1),
        (vec![rendered("app", &["corp-ldap-1", "corp-ldap-2"], 1)], None, 1),
        (vec![other()], None, 1),
    ] {
        let rollout = judge_rendered(&workloads, &[], &owner, number, patience(minutes), None);
        writeln!(found, "{}, {minutes} min: {}", revision(number), told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
    // One that is scaled to zero neither proves a revision nor keeps others from doing so.
    let mut idle = rendered("idle", &["corp-ldap-2"], 0);
    if let Controller::Deployment(deployment) = &mut idle {
        deployment.spec.as_mut().unwrap().replicas = Some(0);
    }
    let runs = rendered("api", &["corp-ldap-2"], 1);
    for (workloads, completes) in [(vec![idle.clone()], false), (vec![idle, runs], true)] {
        let rollout = judge_rendered(&workloads, &[], &owner, Some(2), patience(60), None);
        assert_eq!(rollout == Rollout::Complete, completes, "{rollout:?}");
        assert!(!matches!(rollout, Rollout::Failed(_)));
    }
    // Pods count for the workload that selects them.
    let mut crashing = pod("p", "restartCount: 9, state: {waiting: {reason: CrashLoopBackOff}}");
    crashing.metadata.labels.get_or_insert_default().insert("app".to_owned(), "app".to_owned());
    for (name, fails) in [("app", true), ("api", false)] {
        let workloads = [rendered(name, &["corp-ldap-2"], 0)];
        let pods = [crashing.clone()];
        let rollout = judge_rendered(&workloads, &pods, &owner, Some(2), patience(1), None);
        assert_eq!(matches!(rollout, Rollout::Failed(_)), fails, "{rollout:?}");
    }
}
