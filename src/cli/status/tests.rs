//! What people see in every phase of a resource's life, at two widths and without colour.

mod phases;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::phases::{Draft, phases, ready};
use super::{
    observed::{Gap, GapCause, ObservedCluster, Surroundings},
    report::StatusReport,
    web::{PicturePlace, StatusPicture},
    *,
};

const NOW: &str = "2026-11-27T10:00:00Z";

fn layout(width: usize, glyphs: Glyphs) -> Layout {
    Layout { width: Some(width), detail: Detail::Complaints, glyphs }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// What a pod runs that has this revision.
fn template(revision: Option<u64>) -> Value {
    let source = revision.map(|number| json!({"secretRef": {"name": format!("corp-ldap-{number}")}}));
    json!({"containers": [{"name": "wandb", "envFrom": source.into_iter().collect::<Vec<_>>()}]})
}

/// A pod of the Deployment `wandb` with this revision.
fn pod(name: &str, revision: Option<u64>, ready: &str) -> k8s_openapi::api::core::v1::Pod {
    object(json!({
        "metadata": {"name": name, "labels": {"app": "wandb"}},
        "spec": template(revision),
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }))
}

/// The Deployment with three pods of revision 4, and every Secret that the phases name.
fn surroundings() -> Surroundings {
    let deployment = json!({
        "metadata": {"name": "wandb"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "wandb"}}, "template": {"spec": template(Some(4))}},
        "status": {"readyReplicas": 3},
    });
    let secrets = ["corp-ldap", "ci-wsa", "train-wsa"]
        .map(|name| json!({"metadata": {"name": name, "resourceVersion": "7"}}));
    Surroundings {
        deployments: Some(vec![object(deployment)]),
        pods: Some(["a", "b", "c"].map(|end| pod(&format!("wandb-7c9f-{end}"), Some(4), "True")).to_vec()),
        secrets: Some(secrets.map(object).to_vec()),
        ..Surroundings::default()
    }
}

fn observed(drafts: &[Draft], surroundings: Surroundings) -> ObservedCluster {
    ObservedCluster {
        now: NOW.parse().unwrap(),
        resources: drafts.iter().map(Draft::observed).collect(),
        surroundings: BTreeMap::from([("wandb".to_owned(), surroundings)]),
        gaps: Vec::new(),
    }
}

fn shown(observed: &ObservedCluster, width: usize, glyphs: Glyphs) -> String {
    let report = StatusReport::of(observed);
    let text = plain(&overview(&report, &report, observed.now, layout(width, glyphs)));
    for line in text.lines().filter(|line| line.chars().count() > width) {
        let whole = line.trim_start_matches(['│', '|', ' ']);
        assert!(whole.starts_with("kubectl ") || !whole.contains(' '), "longer than {width}: {line}");
    }
    text
}

#[test]
fn every_phase_is_read_at_a_glance() {
    for (name, draft) in phases() {
        let observed = observed(&[draft], surroundings());
        let verdict = StatusReport::of(&observed).verdict();
        let both = [80, 160].map(|width| shown(&observed, width, Glyphs::UNICODE));
        let [narrow, wide] = both;
        insta::assert_snapshot!(
            name,
            format!("--- 80 columns\n{narrow}\n--- 160 columns\n{wide}\n{verdict:?}")
        );
    }
}

#[test]
fn only_what_is_ready_ends_with_zero() {
    for (name, draft) in phases() {
        let expected = match name {
            "ready" | "a_key_with_its_next_rotation" | "a_token_with_its_end" | "yielding" => {
                CommandVerdict::Passed
            }
            "ready_with_warnings" | "a_recheck_failed" => CommandVerdict::PassedWithWarnings,
            _ => CommandVerdict::Failed,
        };
        assert_eq!(StatusReport::of(&observed(&[draft], surroundings())).verdict(), expected, "{name}");
    }
    let nothing = StatusReport::of(&observed(&[], surroundings()));
    assert_eq!(nothing.verdict(), CommandVerdict::NotUsable);
}

/// A namespace with several of all, where pods run with two revisions and one with none.
fn everything() -> ObservedCluster {
    let mut around = surroundings();
    around.pods = Some(vec![
        pod("wandb-1", Some(5), "False"),
        pod("wandb-2", Some(4), "True"),
        pod("wandb-3", Some(4), "True"),
        pod("wandb-4", None, "True"),
    ]);
    let all = phases();
    let of = |name: &str| {
        all.iter().find(|(phase, _)| *phase == name).map(|(_, draft)| Draft(draft.0.clone())).unwrap()
    };
    let mut observed = observed(
        &[
            of("rolled_back"),
            of("superseded"),
            of("a_key_with_its_next_rotation"),
            of("a_token_with_its_end"),
        ],
        around,
    );
    let elsewhere = of("no_operator").set("/metadata/namespace", json!("research"));
    let elsewhere = elsewhere.set("/metadata/name", json!("lab"));
    observed.resources.push(elsewhere.observed());
    observed
}

#[test]
fn all_namespaces_are_one_page() {
    insta::assert_snapshot!(shown(&everything(), 80, Glyphs::UNICODE));
    let ascii = shown(&everything(), 80, Glyphs::ASCII);
    assert!(ascii.is_ascii(), "{ascii}");
    insta::assert_snapshot!("in_ascii", ascii);
}

#[test]
fn a_quiet_page_leaves_out_what_is_ready() {
    let observed = everything();
    let report = StatusReport::of(&observed);
    let text = overview(&report.clone().without_ready(), &report, observed.now, layout(80, Glyphs::UNICODE));
    let text = plain(&text);
    assert!(text.contains("LdapConfig/other") && !text.contains("ServiceAccount/ci"), "{text}");
    // What is left out is still counted.
    assert!(text.ends_with("2 Ready\n"), "{text}");
}

#[test]
fn one_resource_that_is_ready_is_a_quiet_line() {
    let view = StatusView {
        named: Some(NamedResource::parse("ldap/corp").unwrap()),
        output: StatusOutput::Tree,
        quiet: true,
    };
    let scope = StatusScope { namespace: Some("wandb".to_owned()), events: EventScope::Nothing };
    let text = |draft| {
        let observed = observed(&[draft], surroundings());
        let report = view.report(&observed, &scope).unwrap();
        plain(&view.text(&report, observed.now, layout(80, Glyphs::UNICODE)).unwrap())
    };
    assert_eq!(text(ready("corp")), "1 Ready\n");
    let unseen = text(ready("corp").set("/metadata/generation", json!(4)));
    assert!(unseen.contains("LdapConfig/corp  not looked at yet"), "{unseen}");
}

#[test]
fn the_events_of_another_api_are_not_shown() {
    let mut observed = everything();
    let event = |api_version: &str| {
        object(json!({
            "metadata": {}, "reason": api_version,
            "involvedObject": {"apiVersion": api_version, "kind": "ServiceAccount", "name": "ci"},
        }))
    };
    let events = ["v1", "auth.wandb.com/v1alpha1", "auth.wandb.company/v1"].map(event);
    observed.surroundings.get_mut("wandb").unwrap().events = Some(events.to_vec());
    let report = StatusReport::of(&observed).only("ServiceAccount", "ci");
    let shown = report.resources[0].events.iter().flatten();
    let reasons: Vec<_> = shown.map(|event| event.reason.as_str()).collect();
    assert_eq!(reasons, ["auth.wandb.com/v1alpha1"]);
}

#[test]
fn a_hint_leads_to_the_same_cluster() {
    for (context, expected) in [
        (None, "-n wandb"),
        (Some("arn:aws:eks:eu-west-1:1:cluster/a"), "-n wandb --context arn:aws:eks:eu-west-1:1:cluster/a"),
        (Some("my cluster's"), r"-n wandb --context 'my cluster'\''s'"),
    ] {
        let place = PlaceArgs { namespace: None, context: context.map(str::to_owned) };
        assert_eq!(place.arguments("wandb"), expected);
    }
}

#[test]
fn programs_get_a_shape_with_a_version() {
    let all = StatusReport::of(&everything());
    insta::assert_json_snapshot!(all.only("LdapConfig", "corp"));
}

#[test]
fn everything_of_one_resource() {
    let mut observed = everything();
    let event = |time: &str, type_: &str, reason: &str, message: &str| {
        object(json!({
            "metadata": {},
            "involvedObject": {"apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "name": "corp"},
            "eventTime": time, "type": type_, "reason": reason, "message": message,
        }))
    };
    observed.surroundings.get_mut("wandb").unwrap().events = Some(vec![
        event(
            "2026-11-27T09:30:00.000000Z",
            "Warning",
            "RolledBack",
            "RolledOut is False: RolledBack. The condition Ready says what was seen and what to do.",
        ),
        event(
            "2026-11-27T09:00:00.000000Z",
            "Normal",
            "Published",
            "Wrote the current values to the Secret \"corp-ldap\".",
        ),
    ]);
    let report = StatusReport::of(&observed).only("LdapConfig", "corp");
    insta::assert_snapshot!(plain(&details(&report, &report, observed.now, layout(80, Glyphs::UNICODE))));
}

#[test]
fn who_may_not_read_pods_and_secrets_still_gets_the_tree() {
    let gap = |what: &str| Gap {
        what: what.to_owned(),
        namespace: Some("wandb".to_owned()),
        cause: GapCause::Forbidden,
    };
    let mut observed = observed(
        &[ready("corp")],
        Surroundings { deployments: surroundings().deployments, ..Surroundings::default() },
    );
    observed.gaps = vec![gap("Secrets"), gap("pods")];
    insta::assert_snapshot!(shown(&observed, 80, Glyphs::UNICODE));
    assert_eq!(StatusReport::of(&observed).verdict(), CommandVerdict::Passed);
    // Resources that cannot be read may be in any state.
    observed.gaps.push(gap("OidcProviders"));
    assert_eq!(StatusReport::of(&observed).verdict(), CommandVerdict::NotUsable);
}

/// What is said of a Ready resource with this status in these surroundings.
fn judged(draft: Draft, around: Surroundings) -> (CommandVerdict, String) {
    let observed = observed(&[draft], around);
    let report = StatusReport::of(&observed);
    let text = shown(&observed, 160, Glyphs::UNICODE);
    let is_green = text.contains("✓ LdapConfig/corp");
    assert_eq!(is_green, report.verdict() == CommandVerdict::Passed, "{text}");
    (report.verdict(), report.resources[0].message.clone())
}

fn named<K: serde::de::DeserializeOwned>(objects: &[(&str, &str)]) -> Vec<K> {
    let object = |(name, version): &(&str, &str)| {
        object(json!({"metadata": {"name": name, "resourceVersion": version}}))
    };
    objects.iter().map(object).collect()
}

#[test]
fn a_ready_of_objects_that_changed_or_are_gone_is_none() {
    let references = json!([
        {"kind": "Secret", "name": "ldap-bind", "resourceVersion": "6"},
        {"kind": "ConfigMap", "name": "authority", "resourceVersion": "8"},
    ]);
    let with = |secrets: &[(&str, &str)], config_maps: &[(&str, &str)]| {
        let around = Surroundings {
            secrets: Some(named(secrets)),
            config_maps: Some(named(config_maps)),
            ..surroundings()
        };
        judged(ready("corp").set("/status/observedReferences", references.clone()), around)
    };
    let (secrets, config_maps) = ([("corp-ldap", "1"), ("ldap-bind", "6")], [("authority", "8")]);
    assert_eq!(with(&secrets, &config_maps).0, CommandVerdict::Passed);
    for (secrets, config_maps, part) in [
        (
            &[("corp-ldap", "1"), ("ldap-bind", "7")][..],
            &config_maps[..],
            "an earlier version of the Secret \"ldap-bind\"",
        ),
        (&[("ldap-bind", "6")], &config_maps, "the Secret \"corp-ldap\" does not exist"),
        (
            &[("corp-ldap", "1")],
            &config_maps,
            "the Secret \"ldap-bind\", which it speaks of, does not exist any more",
        ),
        (&secrets, &[], "the ConfigMap \"authority\", which it speaks of, does not exist any more"),
        (&secrets, &[("authority", "9")], "an earlier version of the ConfigMap \"authority\""),
    ] {
        let (verdict, message) = with(secrets, config_maps);
        assert!(verdict == CommandVerdict::Failed && message.contains(part), "{message}");
        assert!(message.ends_with("Check that an operator runs and manages this namespace."), "{message}");
    }
}

/// Surroundings in which the Deployment has this template and status, and pods run these revisions.
fn rolled(template_of: Option<u64>, spec: Value, status: Value, pods: &[Option<u64>]) -> Surroundings {
    let mut deployment = json!({
        "metadata": {"name": "wandb", "generation": 2},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "wandb"}}, "template": {"spec": template(template_of)}},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
    });
    for (field, more) in [("spec", spec), ("status", status)] {
        deployment[field].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    let pods = (0..).zip(pods).map(|(number, revision)| pod(&format!("wandb-{number}"), *revision, "True"));
    Surroundings { deployments: Some(vec![object(deployment)]), pods: Some(pods.collect()), ..surroundings() }
}

#[test]
fn a_ready_of_a_target_that_is_gone_or_runs_something_else_is_none() {
    let (none, rolling) = (json!({}), json!({"updatedReplicas": 1}));
    let given_up = json!({"updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False"}]});
    let gone = Surroundings { deployments: Some(Vec::new()), ..surroundings() };
    for (around, part) in [
        (rolled(Some(4), none.clone(), none.clone(), &[Some(4), Some(4)]), ""),
        // A pod that the Deployment is about to replace.
        (rolled(Some(4), none.clone(), rolling.clone(), &[Some(3), Some(4)]), ""),
        (rolled(Some(4), none.clone(), json!({"observedGeneration": 1}), &[Some(3), Some(3)]), ""),
        (gone, "but Deployment/wandb does not exist."),
        (
            rolled(Some(3), none.clone(), none.clone(), &[Some(3), Some(3)]),
            "with revision 4, but Deployment/wandb refers to revision 3.",
        ),
        (
            rolled(None, none.clone(), none.clone(), &[None, None]),
            "but Deployment/wandb refers to no revision of it.",
        ),
        (
            rolled(Some(4), none.clone(), none.clone(), &[Some(3), Some(4)]),
            "but 1 pod of Deployment/wandb runs with revision 3, and nothing replaces it.",
        ),
        (
            rolled(Some(4), json!({"paused": true}), rolling, &[None, None]),
            "but 2 pods of Deployment/wandb run without one, and nothing replaces them.",
        ),
        (rolled(Some(4), none.clone(), given_up, &[Some(3), Some(4)]), "runs with revision 3"),
    ] {
        let (verdict, message) = judged(ready("corp"), around);
        let expected = if part.is_empty() { CommandVerdict::Passed } else { CommandVerdict::Failed };
        assert!(verdict == expected && message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_pod_that_makes_the_checks_is_none_of_the_server() {
    let around = || rolled(Some(4), json!({}), json!({}), &[Some(4), None]);
    let owner = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "name": "corp", "uid": "u", "controller": true,
    });
    assert_eq!(judged(ready("corp"), around()).0, CommandVerdict::Failed);
    let mut checked = around();
    checked.pods.as_mut().unwrap()[1].metadata.owner_references = Some(vec![object(owner)]);
    assert_eq!(judged(ready("corp"), checked).0, CommandVerdict::Passed);
}

#[test]
fn what_delivers_by_another_resource_has_no_revision_in_the_pods() {
    let follower = ready("corp").set("/status/revision", Value::Null);
    let around = rolled(None, json!({}), json!({}), &[None, None]);
    assert_eq!(judged(follower, around).0, CommandVerdict::Passed);
}

#[test]
fn a_resource_of_the_wandb_operator_is_judged_by_its_pods() {
    let target = json!({"weightsAndBiases": {"name": "wandb"}});
    let with = |objects: &[(&str, &str)], pods: &[Option<u64>]| {
        let around = Surroundings {
            weights_and_biases: Some(
                objects
                    .iter()
                    .map(|(name, _)| {
                        object(json!({
                            "apiVersion": "apps.wandb.com/v2", "kind": "WeightsAndBiases", "metadata": {"name": name},
                        }))
                    })
                    .collect(),
            ),
            ..rolled(None, json!({}), json!({}), pods)
        };
        judged(ready("corp").set("/spec/target", target.clone()), around)
    };
    let there = [("wandb", "1")];
    for (objects, pods, part) in [
        (&there[..], &[Some(4), Some(3), None][..], ""),
        (&there, &[None], ""),
        (&there, &[Some(3), Some(2), None], "but the pods of WeightsAndBiases/wandb run with revision 3."),
        (&[], &[Some(4)], "but WeightsAndBiases/wandb does not exist."),
    ] {
        let (verdict, message) = with(objects, pods);
        let expected = if part.is_empty() { CommandVerdict::Passed } else { CommandVerdict::Failed };
        assert!(verdict == expected && message.contains(part), "{part}: {message}");
    }
}

/// The picture as the page's script gets it.
fn picture(observed: &ObservedCluster, place: &PicturePlace) -> Value {
    serde_json::to_value(StatusPicture::of(&StatusReport::of(observed), place)).unwrap()
}

/// Each place of the picture in a line, and what stands on the line of time.
fn pictured(observed: &ObservedCluster) -> String {
    let picture = picture(observed, &PicturePlace::Namespace("wandb".to_owned()));
    let mut lines = Vec::new();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    for group in picture["groups"].as_array().unwrap() {
        let ways = group["flows"].as_array().unwrap().iter().flat_map(|way| way.as_array().unwrap());
        for place in ways.chain(group["servers"].as_array().unwrap()).chain(group["pods"].as_array().unwrap())
        {
            let [mark, caption, title, state] =
                ["mark", "caption", "title", "state"].map(|field| word(&place[field]));
            lines.push(format!("{mark:<8} {caption} {title}: {state}"));
        }
    }
    for entry in picture["timeline"].as_array().unwrap() {
        let [time, mark, about, title] = ["time", "mark", "about", "title"].map(|field| word(&entry[field]));
        lines.push(format!("{time} {mark:<8} {about} {title}"));
    }
    lines.join("\n")
}

#[test]
fn every_phase_is_a_picture() {
    let all = phases()
        .into_iter()
        .map(|(name, draft)| format!("--- {name}\n{}\n", pictured(&observed(&[draft], surroundings()))));
    insta::assert_snapshot!(all.collect::<String>());
}

#[test]
fn the_page_decides_nothing_by_itself() {
    let mut observed = everything();
    observed.gaps.push(Gap {
        what: "events".to_owned(),
        namespace: Some("research".to_owned()),
        cause: GapCause::Forbidden,
    });
    insta::assert_yaml_snapshot!(picture(&observed, &PicturePlace::Everywhere));
}

#[test]
fn an_event_tells_of_its_change_alone() {
    let event = |seconds: u32, reason: &str| {
        object(json!({
            "metadata": {}, "involvedObject": {"apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "name": "corp"},
            "eventTime": format!("2026-11-24T09:00:{seconds:02}.000000Z"), "type": "Normal", "reason": reason, "message": "Done.",
        }))
    };
    // The conditions are of 09:00:00.
    let around =
        Surroundings { events: Some(vec![event(1, "Published"), event(30, "RolledOut")]), ..surroundings() };
    let picture = picture(&observed(&[ready("corp")], around), &PicturePlace::Namespace("wandb".to_owned()));
    let titles: Vec<_> =
        picture["timeline"].as_array().unwrap().iter().map(|entry| &entry["title"]).collect();
    assert_eq!(titles, ["RolledOut", "Published", "Accepted, ResolvedRefs, Verified, RolledOut"]);
}

#[test]
fn of_many_pods_those_that_are_not_ready_are_shown() {
    let mut around = surroundings();
    let pods = (0..20).map(|number| {
        pod(&format!("wandb-{number:02}"), Some(4), if number == 17 { "False" } else { "True" })
    });
    around.pods = Some(pods.collect());
    let picture = picture(&observed(&[ready("corp")], around), &PicturePlace::Namespace("wandb".to_owned()));
    let group = &picture["groups"][0];
    assert_eq!(group["pods"][0]["title"], "wandb-17");
    assert_eq!((group["pods"].as_array().unwrap().len(), &group["morePods"]), (6, &json!(14)));
}
