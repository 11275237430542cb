//! A resource in every phase of its life, as the API server has it.

use serde_json::{Value, json};

use crate::cli::{kinds::KnownKind, status::observed::ObservedResource};

/// A resource as the API server has it.
pub(super) struct Draft(pub(super) Value);

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

    pub(super) fn set(mut self, pointer: &str, value: Value) -> Self {
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

    pub(super) fn observed(&self) -> ObservedResource {
        let object = serde_json::from_value(self.0.clone()).unwrap();
        let kinds = KnownKind::all();
        let kind = kinds.iter().find(|kind| self.0["kind"] == kind.resource.kind).unwrap();
        ObservedResource::of(&object, &kind.resource.kind, kind.spec)
    }
}

const VALID: [&str; 4] =
    ["Accepted", "True", "Valid", "The spec is valid, and no older resource has its place."];
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

pub(super) fn ready(name: &str) -> Draft {
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

const NOBODY: &str = "No entry below dc=example,dc=org looks like a person. Expected entries with the attribute mail; correct spec.baseDN or spec.attributes.";
const FAILED: &str = "The check Bind failed. The condition Ready and status.checks say why.";
const WITHHELD: [&str; 4] = [
    "Published",
    "False",
    "NotYetVerified",
    "The Secret \"corp-ldap\" is not written before the values are verified; see Verified.",
];
const ADVICE: &str = "Once the server has these credentials, have them tried once more: kubectl annotate ldap corp -n wandb auth.wandb.com/recheck=\"$(date)\" --overwrite";
const OLDER: &str = "The older LdapConfig \"corp\" has the LDAP settings of Deployment/wandb already. Delete or suspend one of the two, or change this one.";
const TOLERATED: &str = "The same inputs passed before; re-check 1 of 3 that may fail in a row failed. Worth a look: TcpConnects: Nothing listens at 192.0.2.7:636.";
const YIELDS: &str = "The spec is valid. It waits until the OidcProvider \"main\", whose sign-in works, leaves Deployment/wandb.";
const SUSPENDED: &str = "Nothing is checked and no value is written while spec.suspend is true; the other conditions say what was so before. Set it to false to go on.";
const ROLLING: &str = "Pods of Deployment/wandb: 3 wanted, 1 new, 2 old, 3 available.";

/// Every phase, by its name.
pub(super) fn phases() -> Vec<(&'static str, Draft)> {
    [working(), unverified(), undelivered(), halted(), unseen()].into_iter().flatten().collect()
}

/// What is Ready.
fn working() -> Vec<(&'static str, Draft)> {
    let warned = ["Ready", "True", "Ready", "Verified, published and rolled out; 1 warning: TlsVerifies."];
    let ends_soon = "The certificate is valid until 2026-12-05 only. Renew it.";
    let with_warning = Draft::ldap("corp").told(
        &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, warned],
        &[RESOLVES, ["TlsVerifies", "Warning", "CertificateExpiresSoon", ends_soon]],
        &delivered(),
    );
    let tolerated = ["Verified", "True", "ChecksPassed", TOLERATED];
    let down = ["TcpConnects", "Failed", "ConnectionRefused", "Nothing listens at 192.0.2.7:636."];
    let with_failure = Draft::ldap("corp").told(
        &[VALID, RESOLVED, tolerated, PUBLISHED, ROLLED_OUT, READY],
        &[RESOLVES, down],
        &delivered(),
    );
    let yields = ["Accepted", "True", "Valid", YIELDS];
    let yielding = Draft::ldap("corp").told(
        &[yields, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, READY],
        &[RESOLVES, BINDS],
        &delivered(),
    );
    let federated = json!({"federated": {
        "issuerRef": {"name": "main"}, "subject": "s", "audience": "a",
        "token": {"serviceAccount": {"name": "train"}},
    }});
    let with_token = Draft::account("train", &federated).told(
        &[VALID, RESOLVED, VERIFIED, ["Ready", "True", "Ready", "Verified and published."]],
        &[],
        &json!({"secretRef": {"name": "train-wsa"}, "tokenExpiration": "2026-11-27T10:42:00Z"}),
    );
    vec![
        ("ready", ready("corp")),
        ("ready_with_warnings", with_warning),
        ("a_recheck_failed", with_failure),
        ("yielding", yielding),
        ("a_key_with_its_next_rotation", rotating()),
        ("a_token_with_its_end", with_token),
    ]
}

/// What did not pass the checks.
fn unverified() -> Vec<(&'static str, Draft)> {
    let verified = |reason| ["Verified", "False", reason, FAILED];
    let nobody = format!("Verified is False: AttributesPresent: {NOBODY}");
    let undelivered = "Nothing was delivered, since Published is not True.";
    let undelivered = ["RolledOut", "Unknown", "NotChecked", undelivered];
    let failed = Draft::ldap("corp").told(
        &[
            VALID,
            RESOLVED,
            verified("NoUsersFound"),
            WITHHELD,
            undelivered,
            ["Ready", "False", "NoUsersFound", &nobody],
        ],
        &[RESOLVES, BINDS, ["AttributesPresent", "Failed", "NoUsersFound", NOBODY]],
        &json!({}),
    );
    let refused = format!("Verified is False: Bind: {REFUSED} {ADVICE}");
    let held = Draft::ldap("corp").told(
        &[
            VALID,
            RESOLVED,
            verified("InvalidCredentials"),
            HELD,
            ROLLED_OUT,
            ["Ready", "False", "InvalidCredentials", &refused],
        ],
        &[RESOLVES, ["Bind", "Failed", "InvalidCredentials", REFUSED], UNREACHED[0], UNREACHED[1]],
        &delivered(),
    );
    vec![("a_check_failed", failed), ("held_after_a_refused_password", held)]
}

/// What is verified and not in the pods.
fn undelivered() -> Vec<(&'static str, Draft)> {
    let rolling = format!("RolledOut is False: {ROLLING}");
    let waiting = [
        VALID,
        RESOLVED,
        VERIFIED,
        PUBLISHED,
        ["RolledOut", "False", "Progressing", ROLLING],
        ["Ready", "False", "Progressing", &rolling],
    ];
    let went_back = format!("RolledOut is False: {WENT_BACK}");
    let rolled_back = [
        VALID,
        RESOLVED,
        VERIFIED,
        PUBLISHED,
        ["RolledOut", "False", "RolledBack", WENT_BACK],
        ["Ready", "False", "RolledBack", &went_back],
    ];
    let older = format!("Accepted is False: {OLDER}");
    let unpublished = "The Secret was not written, since Accepted is not True.";
    let superseded = [
        ["Accepted", "False", "Superseded", OLDER],
        RESOLVED,
        VERIFIED,
        ["Published", "Unknown", "NotChecked", unpublished],
        NOT_DELIVERED,
        ["Ready", "False", "Superseded", &older],
    ];
    let checks = [RESOLVES, BINDS];
    vec![
        ("waiting_for_a_rollout", Draft::ldap("corp").told(&waiting, &checks, &delivered())),
        ("rolled_back", Draft::ldap("corp").told(&rolled_back, &checks, &delivered())),
        ("superseded", Draft::ldap("other").told(&superseded, &checks, &json!({}))),
    ]
}

/// What a person has stopped.
fn halted() -> Vec<(&'static str, Draft)> {
    let suspended = ["Ready", "Unknown", "Suspended", SUSPENDED];
    let suspended = ready("corp").set("/spec/suspend", json!(true)).told(
        &[VALID, RESOLVED, VERIFIED, PUBLISHED, ROLLED_OUT, suspended],
        &[RESOLVES, BINDS],
        &delivered(),
    );
    let deleted = rotating()
        .set("/metadata/deletionTimestamp", json!("2026-11-27T09:57:00Z"))
        .set("/metadata/finalizers", json!(["auth.wandb.com/remote-credentials"]));
    vec![("suspended", suspended), ("a_deletion_that_waits", deleted)]
}

/// What no operator looks at, and what this program cannot read.
fn unseen() -> Vec<(&'static str, Draft)> {
    let untouched = Draft::ldap("corp").set("/status", json!({"observedGeneration": -1}));
    let stale = ready("corp").set("/status/lastCheckTime", json!("2026-11-26T20:00:00Z"));
    vec![
        ("no_operator", untouched),
        ("a_spec_that_nobody_saw", ready("corp").set("/metadata/generation", json!(4))),
        ("an_operator_that_is_gone", stale),
        ("another_version", ready("corp").set("/spec/checkInterval", json!(7))),
    ]
}
