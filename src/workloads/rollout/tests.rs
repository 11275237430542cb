mod failures;

use std::{fmt::Write, sync::LazyLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;

fn object(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

fn controller(kind: &str, spec: &str, status: &str) -> WorkloadController {
    let mut spec = object(&format!("{{{spec}}}"));
    spec["selector"] = json!({});
    spec["template"] = json!({});
    spec["serviceName"] = json!("wandb");
    let mut status = object(&format!("{{{status}}}"));
    if status["replicas"].is_null() {
        status["replicas"] = json!(0);
    }
    let fields = json!({
        "metadata": {"name": "wandb", "uid": "wandb-id", "generation": 2}, "spec": spec, "status": status,
    });
    match kind {
        "Deployment" => WorkloadController::Deployment(serde_json::from_value(fields).unwrap()),
        _ => WorkloadController::StatefulSet(serde_json::from_value(fields).unwrap()),
    }
}

/// The `ReplicaSet` of a template of the Deployment `wandb`, whose pods have this hash.
fn replica_set(number: u64, hash: &str) -> ReplicaSet {
    replica_set_of("wandb-id", number, hash)
}

fn replica_set_of(uid: &str, number: u64, hash: &str) -> ReplicaSet {
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "wandb", "uid": uid, "controller": true,
    });
    serde_json::from_value(json!({"metadata": {
        "labels": {"pod-template-hash": hash},
        "annotations": {"deployment.kubernetes.io/revision": number.to_string()},
        "ownerReferences": [owner],
    }}))
    .unwrap()
}

/// A pod of the newest template, with the entries of revision 2 and a container of this status.
fn pod(name: &str, container: &str) -> Pod {
    let container =
        object(&format!("{{name: wandb, image: i, imageID: i, ready: false, restartCount: 0, {container}}}"));
    let hashes = json!({"controller-revision-hash": "new", "pod-template-hash": "new"});
    let created = patience(0).since.unwrap();
    let containers = json!([
        {"name": "wandb", "envFrom": [{"secretRef": {"name": "corp-ldap-2"}}]}, {"name": "proxy"},
    ]);
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": name, "labels": hashes, "creationTimestamp": created,
        },
        "spec": {"containers": containers},
        "status": {"containerStatuses": [container]},
    }))
    .unwrap()
}

/// A pod that was created this many minutes after the operator's change, and has no other sign of its state.
fn made(minutes: i64) -> Pod {
    let mut pod = pod("wandb-a", "state: {running: {}}");
    let since = patience(0).since.unwrap();
    pod.metadata.creation_timestamp = Some(Time(since + jiff::SignedDuration::from_mins(minutes)));
    pod
}

fn patience(minutes: u64) -> RolloutDeadline {
    after(Duration::from_mins(minutes))
}

/// The deadline as it is this long after the operator's change.
fn after(time: Duration) -> RolloutDeadline {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since: Timestamp = "2026-11-01T10:00:00.5Z".parse().unwrap();
    RolloutDeadline {
        limit: Duration::from_mins(10),
        failure: Duration::from_mins(1),
        since: Some(since),
        now: since + time,
        instant: *BEGIN + time,
    }
}

fn owner() -> Owner {
    Owner::new("LdapConfig", "ldap", "manager", "corp", "corp-ldap".to_owned())
}

/// The result of one run, after the failures that the sightings already hold.
fn look(
    controller: &WorkloadController,
    pods: &[Pod],
    number: Option<u64>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Rollout {
    let (owner, replica_sets) = (owner(), [replica_set(9, "old"), replica_set(10, "new")]);
    let watched = WatchedEntries { owner: &owner, number, containers: &["wandb"] };
    judge(controller, ListedObjects { pods, replica_sets: &replica_sets }, watched, patience, sightings)
}

/// The result of the first run.
fn judged(
    controller: &WorkloadController,
    pods: &[Pod],
    number: Option<u64>,
    patience: RolloutDeadline,
) -> Rollout {
    look(controller, pods, number, patience, &mut Sightings::default())
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
        ("progressDeadlineSeconds: 3", exceeded("2026-11-01T10:00:00Z"), 1),
        // The condition may have been written by another clock, so its time cannot say to which rollout it belongs.
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T09:50:00Z"), 9),
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T10:10:00Z"), 9),
        ("progressDeadlineSeconds: 600", exceeded("2026-11-01T09:50:00Z"), 10),
        ("progressDeadlineSeconds: 600", complete.clone(), 9),
        ("progressDeadlineSeconds: 600", complete, 11),
    ];
    let mut found = String::new();
    for (spec, status, minutes) in table {
        let rollout =
            judged(&controller("Deployment", spec, &status), &[made(0)], Some(2), patience(minutes));
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
            judged(&controller("StatefulSet", spec, &status), &[made(0)], Some(2), patience(minutes));
        writeln!(found, "{spec}; {status}; {minutes} min\n  {}", told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
}

/// The text for the revision that is delivered, or that there is none.
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
        // The pods are of the current template already.
        ("StatefulSet", partition, format!("{seen}, {set}, updatedReplicas: 2, readyReplicas: 2")),
    ];
    let mut found = String::new();
    for (kind, spec, status) in table {
        writeln!(found, "{kind}, {spec}; {status}").unwrap();
        for number in [Some(2), None] {
            let rollout = judged(&controller(kind, spec, &status), &[], number, patience(60));
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
    let refused = condition("type: ReplicaFailure, status: 'True'");
    let plain = condition("type: Available, status: 'False'");
    for (kind, spec, status, pods, minutes, fails) in [
        ("StatefulSet", "", &set, &[60][..], 69, false),
        ("StatefulSet", "", &set, &[60], 71, true),
        ("StatefulSet", "", &set, &[0, 60], 69, false),
        ("StatefulSet", "", &set, &[], 71, false),
        // The controller cannot make any pod.
        ("StatefulSet", "", &none, &[], 69, false),
        ("StatefulSet", "", &none, &[], 71, true),
        ("Deployment", "", &plain, &[60], 69, false),
        ("Deployment", "", &plain, &[60], 71, true),
        ("Deployment", "", &plain, &[], 71, false),
        ("Deployment", "", &refused, &[], 69, false),
        ("Deployment", "", &refused, &[], 71, true),
        // Kubernetes has a deadline for rollouts, but none for scaling.
        ("Deployment", "progressDeadlineSeconds: 600", &plain, &[60], 71, false),
        ("Deployment", "progressDeadlineSeconds: 600", &scaled, &[60], 69, false),
        ("Deployment", "progressDeadlineSeconds: 600", &scaled, &[60], 71, true),
        // The operator's change counts if it came later than the pods.
        ("StatefulSet", "", &set, &[-60], 9, false),
    ] {
        let pods: Vec<_> = pods.iter().map(|minutes| made(*minutes)).collect();
        let (controller, mut sightings) = (controller(kind, spec, status), Sightings::default());
        // If pods are refused, the wait begins when that is first observed, so several runs come before the last
        // one.
        for minute in 60..minutes {
            look(&controller, &pods, Some(2), after(Duration::from_secs(60 * minute + 1)), &mut sightings);
            look(&controller, &pods, Some(2), after(Duration::from_secs(60 * minute + 31)), &mut sightings);
        }
        let rollout = look(&controller, &pods, Some(2), patience(minutes), &mut sightings);
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
fn the_worst_of_several_counts() {
    let (waits, fails) = (|| Rollout::Progressing("a".into()), || Rollout::Failed("b".into()));
    assert_eq!(Rollout::worst([]), Rollout::Complete);
    assert_eq!(Rollout::worst([Rollout::Complete, waits(), Rollout::Complete]), waits());
    assert_eq!(Rollout::worst([waits(), fails(), Rollout::Complete, waits()]), fails());
}

/// A Deployment whose template refers to these Secrets, with this number of updated pods.
fn rendered(name: &str, secrets: &[&str], updated: i32) -> WorkloadController {
    let sources: Vec<_> = secrets.iter().map(|name| json!({"secretRef": {"name": name}})).collect();
    WorkloadController::Deployment(
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("{name}-id"), "generation": 2},
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

fn rendered_look(
    workloads: &[WorkloadController],
    pods: &[Pod],
    number: Option<u64>,
    patience: RolloutDeadline,
    sightings: &mut Sightings,
) -> Rollout {
    let (owner, replica_sets) = (owner(), [replica_set_of("app-id", 1, "new")]);
    let watched = WatchedEntries { owner: &owner, number, containers: &[] };
    judge_rendered(
        workloads,
        ListedObjects { pods, replica_sets: &replica_sets },
        watched,
        patience,
        sightings,
        None,
    )
}

#[test]
fn judges_what_the_operator_of_the_server_renders() {
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
        let rollout = rendered_look(&workloads, &[], number, patience(minutes), &mut Sightings::default());
        writeln!(found, "{}, {minutes} min: {}", revision(number), told(&rollout)).unwrap();
    }
    insta::assert_snapshot!(found);
    // A workload that is scaled to zero neither proves a revision nor keeps other workloads from doing so.
    let mut idle = rendered("idle", &["corp-ldap-2"], 0);
    if let WorkloadController::Deployment(deployment) = &mut idle {
        deployment.spec.as_mut().unwrap().replicas = Some(0);
    }
    let runs = rendered("api", &["corp-ldap-2"], 1);
    for (workloads, completes) in [(vec![idle.clone()], false), (vec![idle, runs], true)] {
        let rollout = rendered_look(&workloads, &[], Some(2), patience(60), &mut Sightings::default());
        assert_eq!(rollout == Rollout::Complete, completes, "{rollout:?}");
        assert!(!matches!(rollout, Rollout::Failed(_)));
    }
    // A pod counts for the workload whose selector matches it.
    let mut crashing = pod("p", "restartCount: 9, state: {waiting: {reason: CrashLoopBackOff}}");
    crashing.metadata.labels.get_or_insert_default().insert("app".to_owned(), "app".to_owned());
    for (name, fails) in [("app", true), ("api", false)] {
        let workloads = [rendered(name, &["corp-ldap-2"], 0)];
        let (pods, mut sightings) = ([crashing.clone()], Sightings::default());
        let looks = [0, 30, 60].map(|second| {
            let patience = after(Duration::from_secs(second));
            matches!(rendered_look(&workloads, &pods, Some(2), patience, &mut sightings), Rollout::Failed(_))
        });
        assert_eq!(looks, [false, false, fails], "{name}");
    }
}
