//! Every check of `OidcProvider`: against a real OpenID Provider, and against servers that lie.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's own helpers cannot do is a failure of the test"
)]

mod browsers;
mod connections;
mod documents;
mod opinion;
mod provider;
mod references;
mod scripted_provider;
mod secrecy;
mod unavailable;
mod unencrypted;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, OidcProvider, Reason},
    engine::{self, CheckContext, Fetched, Finding, Findings, ObjectKey, Prepared, ReferenceSource},
    net::{EgressPolicy, Network},
};

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_mins(1);

/// The redirect URI of every spec here.
const REDIRECT_URI: &str = "https://wandb.example.com/oidc/callback";

/// Only 127.0.0.1 is permitted, so that 127.0.0.2 is a place where nobody must be contacted.
fn network() -> Network {
    let allowed = vec!["127.0.0.1/32".parse().unwrap()];
    Network::new(EgressPolicy::Enforced { allowed, api_server: Vec::new() })
}

/// A spec with these fields beside the ones that every spec has.
fn spec(issuer: &str, changes: &Value) -> Value {
    let mut spec = json!({ "issuer": issuer, "clientID": "wandb", "host": "https://wandb.example.com" });
    if issuer.starts_with("http://") {
        spec["insecurePlaintext"] = json!(true);
    }
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

/// What the checks find. The secrets are keys of the Secret `oidc`.
async fn examine(spec: &Value, secrets: &[(&str, &str)]) -> Findings {
    examine_within(&network(), PATIENT, spec, secrets).await
}

async fn examine_within(
    network: &Network,
    limit: Duration,
    spec: &Value,
    secrets: &[(&str, &str)],
) -> Findings {
    let object: OidcProvider = serde_json::from_value(json!({
        "apiVersion": "auth.wandb.com/v1alpha1",
        "kind": "OidcProvider",
        "metadata": { "name": "test" },
        "spec": spec,
    }))
    .unwrap();
    let secrets = secrets.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    let secret = Fetched::Found { version: "1".to_owned(), data: secrets.collect() };
    let key = ObjectKey { source: ReferenceSource::Secret, name: "oidc".into() };
    match engine::prepare(&object, &[], &BTreeMap::from([(key, secret)]), &network.system_trust, &[]) {
        Prepared::Planned(planned) => {
            engine::CheckRun::run(&planned, CheckContext::without_cluster(network), limit)
                .await
                .finish()
                .findings
        }
        Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{}", problem.message),
    }
}

/// The finding of one check.
fn finding<'a>(findings: &'a Findings, name: &CheckName) -> &'a Finding {
    findings.list.iter().find(|finding| finding.name == *name).unwrap()
}

/// Asserts which check failed first and why, and that its message has these words.
#[track_caller]
fn assert_failure(findings: &Findings, name: &CheckName, reason: Reason, words: &[&str]) {
    let failure = findings.failure().unwrap_or_else(|| panic!("nothing failed:\n{}", told(findings)));
    assert_eq!((&failure.name, failure.reason), (name, reason), "{}", failure.message);
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in: {}", failure.message);
    }
}

/// Asserts that these checks came to nothing, since an earlier one failed.
#[track_caller]
fn assert_not_reached(findings: &Findings, names: &[CheckName]) {
    for name in names {
        let finding = finding(findings, name);
        assert_eq!((finding.result, finding.reason), (CheckResult::Skipped, Reason::NotReached));
    }
}

/// Everything that was found, as people see it.
fn told(findings: &Findings) -> String {
    let lines = findings.list.iter().map(|finding| {
        format!("{} {:?} {}: {}", finding.name, finding.result, finding.reason, finding.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}
