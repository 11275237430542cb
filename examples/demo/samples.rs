//! The sample resources: what they are, and what the operator is expected to make of each.

use anyhow::Result;
use futures::future::join_all;
use serde_json::Value;
use test_support::{Workspace, condition};
use wandb_auth_operator::api::{ConditionType, Reason};

use crate::{
    begin,
    servers::{CLIENT_SECRET, LDAP_PASSWORD, MACHINE_SECRET, Servers},
};

const REFERENCES: &str = include_str!("references.yaml");
const LDAP: &str = include_str!("ldap.yaml");
const OIDC: &str = include_str!("oidc.yaml");
const JWT: &str = include_str!("jwt.yaml");
const SERVICE_ACCOUNT: &str = include_str!("service-account.yaml");

/// One sample.
pub struct Sample {
    /// The kind.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The reason that its Ready condition must come to; any but `Ready` is a failure's.
    reason: Reason,
}

/// Every sample, the good one of each kind first.
pub const SAMPLES: [Sample; 11] = [
    Sample { kind: "LdapConfig", name: "corp", reason: Reason::Ready },
    Sample { kind: "LdapConfig", name: "wrong-password", reason: Reason::InvalidCredentials },
    Sample { kind: "LdapConfig", name: "attribute-map-as-base-dn", reason: Reason::BaseDnNotFound },
    Sample { kind: "OidcProvider", name: "main", reason: Reason::Ready },
    Sample { kind: "OidcProvider", name: "trailing-slash", reason: Reason::IssuerMismatch },
    Sample { kind: "OidcProvider", name: "wrong-secret", reason: Reason::ClientRejected },
    Sample { kind: "JwtIssuer", name: "ci", reason: Reason::Ready },
    Sample { kind: "JwtIssuer", name: "mistyped-audience", reason: Reason::UnexpectedRuling },
    Sample { kind: "ServiceAccount", name: "trainer", reason: Reason::Ready },
    Sample { kind: "ServiceAccount", name: "somebody-elses-key", reason: Reason::AccountMismatch },
    Sample { kind: "ServiceAccount", name: "federated", reason: Reason::Ready },
];

/// A Secret that must be published, with some keys that W&B cannot do without.
const PUBLISHED: [(&str, &[&str]); 5] = [
    ("corp-ldap", &["LOCAL_LDAP_ADDRESS", "LOCAL_LDAP_BASE_DN", "LOCAL_LDAP_LOGIN"]),
    ("main-oidc", &["OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_AUTH_METHOD"]),
    ("ci-jwt", &["FEDERATED_AUTH_AUDIENCES"]),
    ("trainer-wsa", &["WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_ENTITY", "SSL_CERT_FILE"]),
    ("federated-wsa", &["WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "identity-token"]),
];

/// A Secret that must not be there: its values do not work.
const HELD_BACK: [&str; 6] = [
    "wrong-password-ldap",
    "attribute-map-as-base-dn-ldap",
    "trailing-slash-oidc",
    "wrong-secret-oidc",
    "mistyped-audience-jwt",
    "somebody-elses-key-wsa",
];

/// Whether the sample of that name has no mistake.
pub fn is_right(name: &str) -> bool {
    SAMPLES.iter().any(|sample| sample.name == name && sample.reason == Reason::Ready)
}

/// Applies every sample, with the servers' addresses.
pub async fn apply(workspace: &Workspace, servers: &Servers) -> Result<()> {
    let _waiting =
        begin("Applying examples/demo/*.yaml: five resources that are right, six with a mistake each");
    for manifest in manifests(servers)? {
        workspace.apply(&manifest).await?;
    }
    Ok(())
}

/// The samples of these names, a document each, after what all samples refer to.
pub fn documents(servers: &Servers, names: &[&str]) -> Result<Vec<String>> {
    let manifests = manifests(servers)?;
    let mut documents = Vec::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let is_wanted = |document: &&str| {
            let names_one = |name: &&str| document.contains(&format!("\n  name: {name}\n"));
            index == 0 || names.iter().any(names_one)
        };
        let wanted = manifest.split("---\n").filter(is_wanted);
        documents.extend(wanted.map(str::to_owned));
    }
    Ok(documents)
}

/// The manifests with the servers' addresses, what the others refer to first.
fn manifests(servers: &Servers) -> Result<Vec<String>> {
    let ldap_address = servers.ldap_address()?;
    // A JSON text is a YAML text, line breaks included.
    let authority = Value::from(servers.authority()).to_string();
    let filled = [REFERENCES, LDAP, OIDC, JWT, SERVICE_ACCOUNT].map(|manifest| {
        manifest
            .replace("{ldap-address}", &ldap_address)
            .replace("{issuer}", servers.issuer())
            .replace("{authority}", &authority)
            .replace("{ldap-password}", LDAP_PASSWORD)
            .replace("{client-secret}", CLIENT_SECRET)
            .replace("{machine-secret}", MACHINE_SECRET)
            .replace("{token}", &servers.token)
            .replace("{trainer-key}", &servers.trainer_key)
            .replace("{admin-key}", &servers.admin_key)
            .replace("{wandb}", &servers.wandb())
    });
    Ok(filled.into())
}

/// Waits until each is either Ready or a person must act; whichever never gets there shows as a difference.
pub async fn settle(workspace: &Workspace) {
    let _waiting = begin("Waiting until the operator has come to a conclusion about each");
    let is_true = |status: &Value, type_: ConditionType| {
        condition(status, type_.as_str()).and_then(|condition| condition.get("status")?.as_str())
            == Some("True")
    };
    let settled =
        |status: &Value| is_true(status, ConditionType::Ready) || is_true(status, ConditionType::Stalled);
    join_all(SAMPLES.iter().map(|sample| workspace.wait_for(sample.kind, sample.name, settled))).await;
}

/// What is not as expected, a sentence each.
pub async fn differences(workspace: &Workspace) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for sample in &SAMPLES {
        let expected =
            (if sample.reason == Reason::Ready { "True" } else { "False" }, sample.reason.as_str());
        let status = workspace.status(sample.kind, sample.name).await?;
        let ready = condition(&status, ConditionType::Ready.as_str());
        let field = |name| ready.and_then(|ready| ready.get(name)?.as_str()).unwrap_or("nothing");
        let seen = (field("status"), field("reason"));
        if seen != expected {
            differences.push(format!(
                "{} {}: expected Ready to be {} ({}), but it is {} ({}): {}",
                sample.kind,
                sample.name,
                expected.0,
                expected.1,
                seen.0,
                seen.1,
                field("message")
            ));
        }
    }
    for (secret, keys) in PUBLISHED {
        let seen = secret_keys(workspace, secret).await?.unwrap_or_default();
        for key in keys.iter().filter(|key| !seen.iter().any(|seen| seen == *key)) {
            differences.push(format!("Secret {secret}: expected the key {key}, but its keys are {seen:?}"));
        }
    }
    for secret in HELD_BACK {
        if secret_keys(workspace, secret).await?.is_some() {
            differences
                .push(format!("Secret {secret}: expected that values that do not work are not published"));
        }
    }
    Ok(differences)
}

/// The keys of a Secret, if there is one.
pub async fn secret_keys(workspace: &Workspace, name: &str) -> Result<Option<Vec<String>>> {
    let secret = workspace.secrets().get_opt(name).await?;
    Ok(secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect()))
}
