//! What people see in every phase of a resource's life, at two widths and without colour.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    observed::{Gap, GapCause, Observed, ObservedResource, Surroundings},
    report::StatusReport,
    *,
};
use crate::cli::kinds::KnownKind;

const NOW: &str = "2026-11-27T10:00:00Z";

fn layout(width: usize, glyphs: Glyphs) -> Layout {
    Layout { width: Some(width), detail: Detail::Complaints, glyphs }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// A resource as the API server has it.
struct Draft(Value);

impl Draft {
    fn of(kind: &str, name: &str, spec: &Value) -> Self {
        let metadata = json!({"namespace": "wandb", "name": name, "generation": 3});
        Self(
            json!({"apiVersion": "auth.wandb.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}),
        )
    }

    /// An `LdapConfig` with a Deployment as its target.
    fn ldap(name: &str) -> Self {
        let target = json!({"deployment": {"name": "wandb"}});
        Self::of(
            "LdapConfig",
            name,
            &json!({"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "target": target}),
        )
    }

    fn account(name: &str, credentials: &Value) -> Self {
        let spec = json!({"instance": {"baseURL": "https://wandb.example.com"}, "team": "research", "credentials": credentials});
        Self::of("ServiceAccount", name, &spec)
    }

    fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
        self
    }

    /// With a status of these conditions and checks, which the operator wrote a while ago.
    fn told(self, conditions: &[[&str; 4]], checks: &[[&str; 4]], more: &Value) -> Self {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|[type_, status, reason, message]| {
                json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-24T09:00:00Z"})
            })
            .collect();
        let checks: Vec<_> = checks
            .iter()
            .map(|[name, result, reason, message]| json!({"name": name, "result": result, "reason": reason, "message": message}))
            .collect();
        let mut status = json!({
            "observedGeneration": 3,
            "conditions": conditions,
            "checks": checks,
            "lastCheckTime": "2026-11-27T09:40:00Z",
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.set("/status", status)
    }

    fn observed(&self) -> ObservedResource {
        let object = serde_json::from_value(self.0.clone()).unwrap();
        let kinds = KnownKind::all();
        let kind = kinds.iter().find(|kind| self.0["kind"] == kind.resource.kind).unwrap();
        ObservedResource::of(&object, &kind.resource.kind, kind.spec)
    }
}

const VALID: [&str; 4] =
    ["Accepted", "True", "Valid", "The spec makes sense by itself, and no older resource has its place."];
const RESOLVED: [&str; 4] = ["ResolvedRefs", "True", "Resolved", "Every referenced key exists and parses."];
const VERIFIED: [&str; 4] = ["Verified", "True", "ChecksPassed", "No check failed."];
const PUBLISHED: [&str; 4] =
    ["Published", "True", "Published", "The Secret \"corp-ldap\" holds the current values."];
const ROLLED_OUT: [&str; 4] =
    ["RolledOut", "True", "RolledOut", "The pods of Deployment/wandb run with revision 4."];
const READY: [&str; 4] = ["Ready", "True", "Ready", "Verified, published and rolled out."];
const RESOLVES: [&str; 4] = ["DnsResolves", "Passed", "Passed", "192.0.2.7 is an address."];
const BINDS: [&str; 4] =
    ["Bind", "Passed", "Passed", "The directory accepts cn=wandb,dc=example,dc=org and its password."];
const UNREACHED: [[&str; 4]; 2] = [
    ["BaseDnExists", "Skipped", "NotReached", "Not run, since Bind failed."],
    ["AttributesPresent", "Skipped", "NotReached", "Not run, since Bind failed."],
];
const NOT_DELIVERED: [&str; 4] =
    ["RolledOut", "Unknown", "NotChecked", "Nothing was delivered, since Accepted is not True."];
const HELD: [&str; 4] = [
    "Published",
    "False",
    "HoldingLastVerified",
    "The Secret \"corp-ldap\" keeps the last verified values until the current ones are verified; see the conditions before this one.",
];
const REFUSED: &str = "The directory refused cn=wandb,dc=example,dc=org or its password (code 49). Check spec.bind.dn, and the password. The credentials come from the key \"password\" of the Secret \"ldap-bind\" (spec.bind.passwordSecretRef). The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes.";
const WENT_BACK: &str = "Deployment/wandb went back to revision 4, and revision 5 is not tried again until the spec, an input or the annotation auth.wandb.com/recheck changes. The container \"wandb\" of the pod wandb-7c9f-x2x4p ended with exit code 3 (Error).";

fn delivered() -> Value {
    json!({"secretRef": {"name": "corp-ldap"}, "revision": 4, "previousRevision": 3})
}

fn ready(name: &str) -> Draft {
    let conditions = [VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY];
    Draft::ldap(name).told(&conditions, &[RESOLVES, BINDS], &delivered())
}

fn api_key() -> Value {
    json!({"apiKey": {"bootstrapSecretRef": {"name": "sa-key", "key": "key"}, "rotation": {"interval": "720h"}}})
}

fn rotating() -> Draft {
    let published = ["Published", "True", "Published", "The Secret \"ci-wsa\" holds the current values."];
    let ready = ["Ready", "True", "Ready", "Verified and published."];
    let more = json!({
        "secretRef": {"name": "ci-wsa"},
        "account": {"id": "VXNlcjo3", "username": "ci-bot"},
        "nextRotation": "2026-12-09T10:00:00Z",
    });
    Draft::account("ci", &api_key()).told(&[VALID, RESOLVED, VERIFIED, published, ready], &[], &more)
}

/// Every phase, by its name.
fn phases() -> Vec<(&'static str, Draft)> {
    let checked = [RESOLVES, ["Bind", "Failed", "InvalidCredentials", REFUSED], UNREACHED[0], UNREACHED[1]];
    let nobody = "No entry below dc=example,dc=org looks like a person. Expected entries with the attribute mail; correct spec.baseDN or spec.attributes.";
    let failed = format!("Verified is False: AttributesPresent: {nobody}");
    let refused = format!(
        "Verified is False: Bind: {REFUSED} Once the server has these credentials, have them tried once more: kubectl annotate ldap corp -n wandb auth.wandb.com/recheck=\"$(date)\" --overwrite"
    );
    let went_back = format!("RolledOut is False: {WENT_BACK}");
    let bad = |reason| {
        ["Verified", "False", reason, "The check Bind failed. The condition Ready and status.checks say why."]
    };
    let older = "The older LdapConfig \"corp\" has the LDAP settings of Deployment/wandb already. Delete or suspend one of the two, or change this one.";
    let superseded = format!("Accepted is False: {older}");
    let tolerated = "The same inputs passed before; re-check 1 of 3 that may fail in a row failed. Worth a look: TcpConnects: Nothing listens at 192.0.2.7:636.";
    let yields = "The spec makes sense by itself. It waits until the OidcProvider \"main\", whose sign-in works, leaves Deployment/wandb.";
    let unpublished =
        ["Published", "Unknown", "NotChecked", "The Secret was not written, since Accepted is not True."];
    let pods = "Pods of Deployment/wandb: 3 wanted, 1 new, 2 old, 3 available.";
    let progressing = format!("RolledOut is False: {pods}");
    let suspended = "Nothing is checked and no value is written while spec.suspend is true; the other conditions say what was so before. Set it to false to go on.";
    let ends_soon = "The certificate is valid until 2026-12-05 only. Renew it.";
    let warned = ["Ready", "True", "Ready", "Verified, published and rolled out; 1 warning: TlsVerifies."];
    vec![
        ("ready", ready("corp")),
        (
            "ready_with_warnings",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, warned],
                &[RESOLVES, ["TlsVerifies", "Warning", "CertificateExpiresSoon", ends_soon]],
                &delivered(),
            ),
        ),
        (
            "a_recheck_failed",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, ["Verified", "True", "ChecksPassed", tolerated], PUBLISHED, ROLLED_OUT, READY],
                &[RESOLVES, ["TcpConnects", "Failed", "ConnectionRefused", "Nothing listens at 192.0.2.7:636."]],
                &delivered(),
            ),
        ),
        (
            "a_check_failed",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, bad("NoUsersFound"), ["Published", "False", "NotYetVerified", "The Secret \"corp-ldap\" is not written before the values are verified; see Verified."], ["RolledOut", "Unknown", "NotChecked", "Nothing was delivered, since Published is not True."], ["Ready", "False", "NoUsersFound", &failed]],
                &[RESOLVES, BINDS, ["AttributesPresent", "Failed", "NoUsersFound", nobody]],
                &json!({}),
            ),
        ),
        (
            "held_after_a_refused_password",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, bad("InvalidCredentials"), HELD, ROLLED_OUT, ["Ready", "False", "InvalidCredentials", &refused]],
                &checked,
                &delivered(),
            ),
        ),
        (
            "waiting_for_a_rollout",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, VERIFIED, PUBLISHED, ["RolledOut", "False", "Progressing", pods], ["Ready", "False", "Progressing", &progressing]],
                &[RESOLVES, BINDS],
                &delivered(),
            ),
        ),
        (
            "rolled_back",
            Draft::ldap("corp").told(
                &[VALID, RESOLVED, VERIFIED, PUBLISHED, ["RolledOut", "False", "RolledBack", WENT_BACK], ["Ready", "False", "RolledBack", &went_back]],
                &[RESOLVES, BINDS],
                &delivered(),
            ),
        ),
        (
            "superseded",
            Draft::ldap("other").told(
                &[["Accepted", "False", "Superseded", older], RESOLVED, VERIFIED, unpublished, NOT_DELIVERED, ["Ready", "False", "Superseded", &superseded]],
                &[RESOLVES, BINDS],
                &json!({}),
            ),
        ),
        (
            "yielding",
            Draft::ldap("corp").told(
                &[["Accepted", "True", "Valid", yields], RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY],
                &[RESOLVES, BINDS],
                &delivered(),
            ),
        ),
        (
            "suspended",
            ready("corp").set("/spec/suspend", json!(true)).told(
                &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, ["Ready", "Unknown", "Suspended", suspended]],
                &[RESOLVES, BINDS],
                &delivered(),
            ),
        ),
        (
            "a_deletion_that_waits",
            rotating()
                .set("/metadata/deletionTimestamp", json!("2026-11-27T09:57:00Z"))
                .set("/metadata/finalizers", json!(["auth.wandb.com/remote-credentials"])),
        ),
        ("a_key_with_its_next_rotation", rotating()),
        (
            "a_token_with_its_end",
            Draft::account("train", &json!({"federated": {"issuerRef": {"name": "main"}, "subject": "s", "audience": "a", "token": {"serviceAccount": {"name": "train"}}}})).told(
                &[VALID, RESOLVED, VERIFIED, ["Ready", "True", "Ready", "Verified and published."]],
                &[],
                &json!({"secretRef": {"name": "train-wsa"}, "tokenExpiration": "2026-11-27T10:42:00Z"}),
            ),
        ),
        ("no_operator", Draft::ldap("corp").set("/status", json!({"observedGeneration": -1}))),
        ("a_spec_that_nobody_saw", ready("corp").set("/metadata/generation", json!(4))),
        ("an_operator_that_is_gone", ready("corp").set("/status/lastCheckTime", json!("2026-11-26T20:00:00Z"))),
        ("another_version", ready("corp").set("/spec/checkInterval", json!(7))),
    ]
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A pod of the Deployment `wandb` with this revision.
fn pod(name: &str, revision: Option<u64>, ready: &str) -> k8s_openapi::api::core::v1::Pod {
    let source = revision.map(|number| json!({"secretRef": {"name": format!("corp-ldap-{number}")}}));
    object(json!({
        "metadata": {"name": name, "labels": {"app": "wandb"}},
        "spec": {"containers": [{"name": "wandb", "envFrom": source.into_iter().collect::<Vec<_>>()}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }))
}

/// The Deployment with three pods of revision 4, and every Secret that the phases name.
fn surroundings() -> Surroundings {
    let deployment = json!({
        "metadata": {"name": "wandb"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "wandb"}}, "template": {}},
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

fn observed(drafts: &[Draft], surroundings: Surroundings) -> Observed {
    Observed {
        now: NOW.parse().unwrap(),
        resources: drafts.iter().map(Draft::observed).collect(),
        surroundings: BTreeMap::from([("wandb".to_owned(), surroundings)]),
        gaps: Vec::new(),
    }
}

fn shown(observed: &Observed, width: usize, glyphs: Glyphs) -> String {
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
fn everything() -> Observed {
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
fn programs_get_a_shape_with_a_version() {
    let all = StatusReport::of(&everything());
    insta::assert_json_snapshot!(all.only("LdapConfig", "corp"));
}

#[test]
fn everything_of_one_resource() {
    let mut observed = everything();
    let event = |time: &str, type_: &str, reason: &str, message: &str| {
        object(json!({
            "metadata": {}, "involvedObject": {"kind": "LdapConfig", "name": "corp"},
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
    insta::assert_snapshot!(plain(&details(&report, observed.now, layout(80, Glyphs::UNICODE))));
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

#[test]
fn a_ready_that_the_cluster_contradicts_is_none() {
    let reference = json!([{"kind": "Secret", "name": "ldap-bind", "resourceVersion": "6"}]);
    let with = |secrets: &[(&str, &str)]| {
        let secrets = secrets
            .iter()
            .map(|(name, version)| object(json!({"metadata": {"name": name, "resourceVersion": version}})));
        let around = Surroundings { secrets: Some(secrets.collect()), ..surroundings() };
        let draft = ready("corp").set("/status/observedReferences", reference.clone());
        let report = StatusReport::of(&observed(&[draft], around));
        let resource = &report.resources[0];
        (report.verdict(), resource.message.clone())
    };
    let (verdict, _) = with(&[("corp-ldap", "1"), ("ldap-bind", "6")]);
    assert_eq!(verdict, CommandVerdict::Passed);
    // A password that went after it was read is said by the next run.
    assert_eq!(with(&[("corp-ldap", "1")]).0, CommandVerdict::Passed);
    for (secrets, part) in [
        (&[("corp-ldap", "1"), ("ldap-bind", "7")][..], "an earlier version of the Secret \"ldap-bind\""),
        (&[("ldap-bind", "6")][..], "the Secret \"corp-ldap\" does not exist"),
    ] {
        let (verdict, message) = with(secrets);
        assert!(verdict == CommandVerdict::Failed && message.contains(part), "{message}");
    }
}
