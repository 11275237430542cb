use serde_json::{Value, json};

use super::*;

fn owner() -> Owner {
    Owner::new("OidcProvider", "oidc", "manager", "main", "main-oidc".to_owned())
}

fn workload(name: &str, labels: &Value, containers: &Value, replicas: i32) -> WorkloadController {
    WorkloadController::Deployment(
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "managedFields": [
                {"manager": "helm", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "scaler", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": replicas, "selector": {}, "template": {"spec": {"containers": containers}}},
        }))
        .unwrap(),
    )
}

fn of_chart(name: &str) -> Value {
    json!({RELEASE: "wandb", APPLICATION: name})
}

fn containers(name: &str, entries: &[(&str, &str)]) -> Value {
    let entries = entries.iter().map(
        |(name, secret)| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}),
    );
    json!([
        {"name": "side-car", "env": []},
        {"name": name, "env": entries.collect::<Vec<_>>()},
    ])
}

const WANTED: [(&str, &str); 2] = [("A", "main-oidc-2"), ("B", "main-oidc-2")];

#[test]
fn the_server_of_another_release_is_not_taken_for_this_one() {
    let of = |release: Option<&str>, name: &str, entries: &[(&str, &str)]| {
        let labels = release.map_or_else(|| json!({}), |release| json!({RELEASE: release}));
        workload(name, &labels, &containers("api", entries), 1)
    };
    let own = of(Some("wandb"), "own", &[]);
    let other = of(Some("other"), "other", &[]);
    let plain = of(None, "plain", &[]);
    let referring = of(Some("other"), "referring", &WANTED);
    for (all, expected) in [
        (vec![other.clone(), own.clone()], Some("own")),
        (vec![other.clone(), plain.clone(), referring.clone()], Some("referring")),
        (vec![other.clone(), plain], Some("plain")),
        (vec![other], None),
    ] {
        let found = serving(&all, "wandb", &owner()).map(|(found, _)| found);
        assert_eq!(found.as_ref().and_then(|found| found.metadata().name.as_deref()), expected);
    }
}

#[test]
fn only_two_applications_answer_logins() {
    let plain = |name: &str| containers(name, &[]);
    let table = [
        (workload("wandb-app-bc", &of_chart("app"), &plain("app"), 1), true),
        (workload("wandb-api", &of_chart("api"), &plain("api"), 1), true),
        // The container, the label or the name alone is enough.
        (workload("x", &of_chart("renamed"), &plain("app"), 1), true),
        (workload("x", &of_chart("app"), &plain("renamed"), 1), true),
        (workload("wandb-app-bc", &json!({RELEASE: "wandb"}), &plain("app-bc"), 1), true),
        (workload("wandb-console", &of_chart("console"), &plain("console"), 1), false),
        (workload("wandb-weave", &of_chart("weave"), &plain("weave"), 1), false),
        (workload("wandb-parquet", &of_chart("parquet"), &plain("parquet"), 1), false),
        // These belong to another release, or to none.
        (workload("other-api", &json!({RELEASE: "other", APPLICATION: "api"}), &plain("api"), 1), false),
        (workload("api", &json!({APPLICATION: "api"}), &plain("api"), 1), false),
    ];
    for (workload, expected) in table {
        assert_eq!(of_release(vec![workload.clone()], "wandb").len() == 1, expected, "{}", workload.title());
    }
    assert_eq!(
        release_answering_logins(workload("n", &of_chart("api"), &json!([]), 1).metadata()),
        Some("wandb")
    );
    assert_eq!(release_answering_logins(workload("n", &of_chart("weave"), &json!([]), 1).metadata()), None);
}

#[test]
fn what_a_workload_has_instead_is_known() {
    for (entries, replicas, expected) in [
        (&[("A", "main-oidc-2"), ("B", "main-oidc-2")][..], 1, None),
        (&[("A", "main-oidc-1"), ("B", "main-oidc-1")], 1, Some([1].into())),
        (&[("A", "main-oidc-2"), ("B", "main-oidc-1")], 1, Some([1].into())),
        (&[("A", "main-oidc-2")], 1, Some([].into())),
        (&[("A", "main-oidc-2"), ("B", "theirs")], 1, Some([].into())),
        (&[], 1, Some([].into())),
        // If a name occurs several times, the last entry counts.
        (&[("A", "theirs"), ("A", "main-oidc-2"), ("B", "main-oidc-2")], 1, None),
        // A workload that is scaled to zero and has no entries is a leftover.
        (&[], 0, None),
        (&[("A", "main-oidc-1")], 0, Some([1].into())),
    ] {
        let found = workload("wandb-app-bc", &of_chart("app"), &containers("app", entries), replicas);
        assert_eq!(difference(&found, &WANTED, &owner()), expected, "{entries:?}");
        assert_eq!(difference(&found, &[], &owner()), None);
    }
}

#[test]
fn the_last_change_is_that_of_the_template() {
    let change = last_change(&workload("wandb-api", &of_chart("api"), &json!([]), 1));
    assert_eq!(change.by, "kubectl");
    assert_eq!(change.at.map(|at| at.to_string()).as_deref(), Some("2026-01-02T00:00:00Z"));
}

#[test]
fn where_the_applications_are_known_others_do_not_count() {
    let entries = [("A", "main-oidc-2")];
    let api = || workload("wandb-api", &json!({}), &containers("api", &entries), 1);
    let weave = || workload("wandb-weave", &json!({}), &containers("weave", &entries), 1);
    let other = || workload("other-api", &json!({}), &containers("api", &[]), 1);
    let titles =
        |workloads| among(workloads, &owner()).iter().map(WorkloadController::title).collect::<Vec<_>>();
    assert_eq!(titles(vec![api(), weave(), other()]), ["Deployment/wandb-api"]);
    assert_eq!(titles(vec![weave(), other()]), ["Deployment/wandb-weave"]);
}
