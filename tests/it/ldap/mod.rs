//! Every check of `LdapConfig`, over real sockets: against a real directory, and against servers that are none.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot be set up fails its test"
)]

mod directory;
mod directory_389;
mod domain;
mod hostile;
mod limits;
mod lockout;
mod nested_groups;
mod password_expiry;
mod people;
mod primary_groups;
mod reading;
mod references;
mod refusals;
pub(crate) mod scripted;
mod unreachable;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use test_support::Slapd;
use wandb_auth_operator::{
    api::{CheckName, LdapConfig, Reason},
    engine::{self, CheckContext, Fetched, Finding, Findings, ObjectKey, Planned, Prepared, ReferenceSource},
    net::{EgressPolicy, Network},
};

const PASSWORD: &str = "a service's secret";
/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A resource whose spec is the given YAML under the one of a directory that is right in everything else.
struct Scenario {
    spec: serde_yaml::Mapping,
    password: String,
    authority: Option<String>,
}

impl Scenario {
    /// Binds as the service account.
    fn new(address: &str) -> Self {
        Self { spec: serde_yaml::Mapping::new(), password: PASSWORD.to_owned(), authority: None }
            .with(&format!("{{address: '{address}', baseDN: '{}'}}", Slapd::SUFFIX))
            .bind(Slapd::SERVICE_DN)
    }

    fn plaintext(slapd: &Slapd) -> Self {
        Self::new(&slapd.ldap_url()).with("insecurePlaintext: true")
    }

    fn hostile(address: SocketAddr) -> Self {
        Self::new(&format!("ldap://{address}")).with("insecurePlaintext: true")
    }

    /// Sets fields of the spec.
    fn with(mut self, yaml: &str) -> Self {
        let fields: serde_yaml::Mapping = serde_yaml::from_str(yaml).unwrap();
        self.spec.extend(fields);
        self
    }

    fn without(mut self, field: &str) -> Self {
        self.spec.remove(field);
        self
    }

    fn bind(self, dn: &str) -> Self {
        self.with(&format!("bind: {{dn: '{dn}', passwordSecretRef: {{name: ldap, key: password}}}}"))
    }

    fn password(self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self }
    }

    fn trusting(self, authority_pem: &str) -> Self {
        let tls = "tls: {caBundle: {configMapKeyRef: {name: ca, key: ca.crt}}}";
        Self { authority: Some(authority_pem.to_owned()), ..self.with(tls) }
    }

    fn planned(&self, network: &Network) -> Planned<LdapConfig> {
        let spec = serde_json::to_value(&self.spec).unwrap();
        let object = serde_json::from_value(serde_json::json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "LdapConfig",
            "metadata": {"name": "corp"},
            "spec": spec,
        }));
        let object: LdapConfig = object.unwrap();
        let found = |key: &str, value: &str| Fetched::Found {
            version: "1".into(),
            data: BTreeMap::from([(key.to_owned(), value.as_bytes().to_vec())]),
        };
        let key = |source, name: &str| ObjectKey { source, name: name.into() };
        let mut objects =
            BTreeMap::from([(key(ReferenceSource::Secret, "ldap"), found("password", &self.password))]);
        if let Some(pem) = &self.authority {
            objects.insert(key(ReferenceSource::ConfigMap, "ca"), found("ca.crt", pem));
        }
        match engine::prepare(&object, &[], &objects, &network.system_trust, &[]) {
            Prepared::Planned(planned) => planned,
            Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{problem:?}"),
        }
    }

    async fn findings_within(&self, limit: Duration) -> Findings {
        let network = Network::new(EgressPolicy::Enforced {
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
            api_server: Vec::new(),
        });
        let planned = self.planned(&network);
        engine::CheckRun::run(&planned, CheckContext::without_cluster(&network), limit)
            .await
            .finish()
            .findings
    }

    async fn findings(&self) -> Findings {
        self.findings_within(LIMIT).await
    }

    /// The first failed check.
    async fn failure(&self) -> Finding {
        self.failure_within(LIMIT).await
    }

    async fn failure_within(&self, limit: Duration) -> Finding {
        let findings = self.findings_within(limit).await;
        findings.failure().cloned().unwrap_or_else(|| panic!("nothing failed: {}", show(&findings)))
    }
}

fn show(findings: &Findings) -> String {
    let lines = findings.list.iter().map(|finding| {
        let Finding { name, result, reason, message, .. } = finding;
        format!("{result:?} {name} {reason}: {message}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a check found.
fn finding<'a>(findings: &'a Findings, name: &CheckName) -> &'a Finding {
    findings.list.iter().find(|finding| finding.name == *name).unwrap()
}

#[track_caller]
fn assert_failure(finding: &Finding, name: &CheckName, reason: Reason) {
    assert_eq!((&finding.name, finding.reason), (name, reason), "{}", finding.message);
}
