//! Every check of `JwtIssuer`: against a real issuer, and against ones that lie.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's own helpers cannot do is a failure of the test"
)]

mod cluster;
mod connections;
mod documents;
mod exchange;
mod key_sets;
mod kubernetes;
mod opinion;
mod real_tokens;
mod rules;
pub(crate) mod scripted_issuer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, JwtIssuer, Reason, jwt_issuer::KeyStatus},
    engine::{self, CheckContext, Fetched, Finding, Findings, ObjectKey, Prepared, ReferenceSource},
    net::{EgressPolicy, Network},
};

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_mins(1);

/// The subject of every token here that is to be accepted.
const SUBJECT: &str = "ci@example.org";

/// Only 127.0.0.1 is permitted, so that 127.0.0.2 is a place where nobody must be contacted.
fn network() -> Network {
    let allowed = vec!["127.0.0.1/32".parse().unwrap()];
    Network::new(EgressPolicy::Enforced { allowed, api_server: Vec::new() })
}

/// A spec with these fields beside the ones that every spec has.
fn spec(issuer: &str, changes: &Value) -> Value {
    let mut spec = json!({ "issuer": issuer, "audiences": ["my-org"] });
    if issuer.starts_with("http://") {
        spec["insecurePlaintext"] = json!(true);
    }
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    spec
}

/// A spec whose samples are the keys of the Secret `tokens`, with what is expected of each.
fn with_samples(issuer: &str, samples: &[(&str, Value)]) -> Value {
    spec(issuer, &json!({ "samples": samples.iter().map(sample).collect::<Vec<_>>() }))
}

fn sample((name, expect): &(&str, Value)) -> Value {
    json!({ "name": name, "tokenSecretRef": { "name": "tokens", "key": name }, "expect": expect })
}

/// What a run found and learnt.
struct Examined {
    findings: Findings,
    keys: Option<Vec<KeyStatus>>,
}

/// What the checks find. The tokens are keys of the Secret `tokens`.
async fn examine(spec: &Value, tokens: &[(&str, &str)]) -> Examined {
    examine_within(&network(), PATIENT, spec, tokens).await
}

async fn examine_within(
    network: &Network,
    limit: Duration,
    spec: &Value,
    tokens: &[(&str, &str)],
) -> Examined {
    let object: JwtIssuer = serde_json::from_value(json!({
        "apiVersion": "auth.wandb.com/v1alpha1",
        "kind": "JwtIssuer",
        "metadata": { "name": "test" },
        "spec": spec,
    }))
    .unwrap();
    let tokens = tokens.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    let secret = Fetched::Found { version: "1".to_owned(), data: tokens.collect() };
    let key = ObjectKey { source: ReferenceSource::Secret, name: "tokens".into() };
    match engine::prepare(&object, &[], &BTreeMap::from([(key, secret)]), &network.system_trust, &[]) {
        Prepared::Planned(planned) => {
            let scene = CheckContext::without_cluster(network);
            let examined = engine::CheckRun::run(&planned, scene, limit).await.finish();
            Examined { findings: examined.findings, keys: examined.evidence }
        }
        Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{}", problem.message),
    }
}

impl Examined {
    /// The finding of one check.
    #[track_caller]
    fn finding(&self, name: &CheckName) -> &Finding {
        self.findings.list.iter().find(|finding| finding.name == *name).unwrap()
    }

    /// Asserts how a check ended and why, and that its message has these words.
    #[track_caller]
    fn assert(&self, name: &CheckName, result: CheckResult, reason: Reason, words: &[&str]) {
        let finding = self.finding(name);
        assert_eq!((finding.result, finding.reason), (result, reason), "{}", self.told());
        for word in words {
            assert!(finding.message.contains(word), "{word:?} is not in: {}", finding.message);
        }
    }

    /// Asserts which check failed first and why, and that its message has these words.
    #[track_caller]
    fn assert_failure(&self, name: &CheckName, reason: Reason, words: &[&str]) {
        let failure = self.findings.failure().unwrap_or_else(|| panic!("nothing failed:\n{}", self.told()));
        assert_eq!(failure.name, *name, "{}", self.told());
        self.assert(name, CheckResult::Failed, reason, words);
    }

    #[track_caller]
    fn assert_nothing_failed(&self) {
        assert!(self.findings.failure().is_none(), "{}", self.told());
    }

    /// Everything that was found, as people see it.
    fn told(&self) -> String {
        let lines = self.findings.list.iter().map(|finding| {
            format!("{} {:?} {}: {}", finding.name, finding.result, finding.reason, finding.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The check of a sample.
fn sample_check(name: &str) -> CheckName {
    CheckName::Sample(Arc::from(name))
}

/// So many seconds from now, as claims have it.
fn in_seconds(seconds: i64) -> i64 {
    jiff::Timestamp::now().as_second() + seconds
}
