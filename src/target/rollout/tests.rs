use std::fmt::Write;

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
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": revision}, "status": {"containerStatuses": [container]},
    }))
    .unwrap()
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
        let rollout = judge(&controller("Deployment", spec, &status), &[], patience(minutes));
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
        let rollout = judge(&controller("StatefulSet", spec, &status), &[], patience(minutes));
        writeln!(found, "{spec}; {status}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
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
        let rollout = judge(&controller("Deployment", "replicas: 1", &status), &pods, patience(minutes));
        writeln!(found, "{container}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
}

#[test]
fn tells_that_no_node_takes_a_pod_and_that_an_init_container_fails() {
    let status = format!("{SEEN}, replicas: 1");
    let judged = |pod: Value| {
        let pods = [serde_json::from_value(pod).unwrap()];
        told(&judge(&controller("Deployment", "replicas: 1", &status), &pods, patience(11)))
    };
    insta::assert_snapshot!(
        "unschedulable",
        judged(json!({"metadata": {"name": "p"}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"
        }]}}))
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
    let failed = |pod: Pod| matches!(judge(&set, &[pod], patience(1)), Rollout::Failed(_));
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
        let rollout = judge_rendered(&workloads, &[], &owner, number, patience(minutes));
        writeln!(found, "{number:?}, {minutes} min: {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
    // Pods count for the workload that selects them.
    let mut crashing = pod("p", "restartCount: 9, state: {waiting: {reason: CrashLoopBackOff}}");
    crashing.metadata.labels.get_or_insert_default().insert("app".to_owned(), "app".to_owned());
    for (name, fails) in [("app", true), ("api", false)] {
        let workloads = [rendered(name, &["corp-ldap-2"], 0)];
        let pods = [crashing.clone()];
        let rollout = judge_rendered(&workloads, &pods, &owner, Some(2), patience(1));
        assert_eq!(matches!(rollout, Rollout::Failed(_)), fails, "{rollout:?}");
    }
}
