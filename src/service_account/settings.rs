//! Parses the spec into types that cannot express invalid settings.

use kube::ResourceExt;
use serde_json::Value;

use super::{
    account::{AccountSettings, TeamMembership, account_name, attribution, invalid, membership},
    api_key::{ApiKeySettings, KeyRequests},
    federated::FederatedSettings,
};
use crate::{
    api::{AuthResource, InstanceSpec, ServiceAccount, ServiceAccountSpec},
    instance::BaseUrl,
    issuer,
    problem::Problem,
};

/// A valid spec.
pub struct ServiceAccountSettings {
    /// The account, and the server that has it.
    pub account: AccountSettings,
    /// How programs prove that they are the account.
    pub credentials: CredentialSettings,
}

/// How programs prove that they are the account.
pub enum CredentialSettings {
    /// With an API key.
    ApiKey(ApiKeySettings),
    /// With tokens of a trusted issuer.
    Federated(FederatedSettings),
}

impl ServiceAccountSettings {
    /// Judges the spec by itself, and tells every field that is wrong. The schema's rules are repeated here, since `check` has no API server.
    pub fn parse(object: &ServiceAccount) -> Result<Self, Problem> {
        let spec = &object.spec;
        let base_url = BaseUrl::parse(&spec.instance);
        let protected = base_url.as_ref().map_or(Ok(()), |base_url| tls(spec, base_url));
        let (target, membership) = (target(spec), membership(spec));
        let attribution = spec.attribution.as_ref().map(attribution).transpose();
        let credentials = credentials(object, membership.as_ref().ok());
        let problems = [
            target.as_ref().err(),
            base_url.as_ref().err(),
            protected.as_ref().err(),
            membership.as_ref().err(),
            attribution.as_ref().err(),
            credentials.as_ref().err(),
        ];
        Problem::all(problems.into_iter().flatten().cloned())?;
        let account = AccountSettings {
            account_name: account_name(object),
            uid: object.uid().unwrap_or_default(),
            membership: membership?,
            attribution: attribution?,
            time_limit: spec.common.check_timeout.get(),
            deletion_policy: spec.common.deletion_policy,
            base_url: base_url?,
        };
        // Without a home the problem is told already.
        let Some(credentials) = credentials? else {
            return invalid("spec.credentials cannot be read");
        };
        Ok(Self { account, credentials })
    }
}

fn target(spec: &ServiceAccountSpec) -> Result<(), Problem> {
    if spec.common.target.is_some() {
        return invalid(
            "spec.target must not be set for a ServiceAccount: its values are for programs that use W&B, and the pods of these programs read the Secret",
        );
    }
    Ok(())
}

/// Nothing where they cannot be judged without the account's home.
fn credentials(
    object: &ServiceAccount,
    membership: Option<&TeamMembership>,
) -> Result<Option<CredentialSettings>, Problem> {
    let spec = &object.spec.credentials;
    match (&spec.api_key, &spec.federated) {
        (Some(api_key), None) => {
            let read =
                |membership| ApiKeySettings::parse(api_key, membership, &object.details(), asked(object));
            membership.map(read).transpose().map(|read| read.map(CredentialSettings::ApiKey))
        }
        (None, Some(federated)) => {
            FederatedSettings::parse(federated).map(|read| Some(CredentialSettings::Federated(read)))
        }
        _ => invalid("spec.credentials must have exactly one of apiKey and federated"),
    }
}

/// What the annotations ask for. A federated account has no key that could be replaced.
pub(super) fn asked(object: &ServiceAccount) -> KeyRequests {
    match object.spec.credentials.api_key {
        Some(_) => KeyRequests::of(object.annotations()),
        None => KeyRequests::default(),
    }
}

/// The account or subject that the resource stands for. Two resources for one account would revoke each
/// other's keys.
pub(super) fn unique_identity(object: &ServiceAccount) -> String {
    let ServiceAccountSpec { instance, credentials, .. } = &object.spec;
    match &credentials.federated {
        Some(federated) => subject_at(&federated.issuer_ref.name, &federated.subject),
        None => account_at(instance, &account_name(object)),
    }
}

/// The same for a spec that cannot be decoded, if the necessary fields can still be read.
pub(super) fn identity_of_undecodable(name: &str, spec: &Value) -> Option<String> {
    let text = |path: &str| spec.pointer(path).and_then(Value::as_str);
    if spec.pointer("/credentials/federated").is_some() {
        let (issuer, subject) = ("/credentials/federated/issuerRef/name", "/credentials/federated/subject");
        return Some(subject_at(text(issuer)?, text(subject)?));
    }
    let instance = serde_json::from_value(spec.get("instance")?.clone()).ok()?;
    Some(account_at(&instance, text("/accountName").unwrap_or(name)))
}

fn subject_at(issuer: &str, subject: &str) -> String {
    format!("the subject \"{subject}\" of the JwtIssuer \"{issuer}\"")
}

fn account_at(instance: &InstanceSpec, account: &str) -> String {
    // An invalid URL is refused elsewhere, so the text is good enough here.
    let base_url = BaseUrl::parse(instance).map_or_else(
        |_| issuer::without_slash(&instance.base_url).to_owned(),
        |base_url| base_url.root().to_owned(),
    );
    format!("the account \"{account}\" at {base_url}")
}

fn tls(spec: &ServiceAccountSpec, base_url: &BaseUrl) -> Result<(), Problem> {
    // `spec.tls` can still apply to the issuer of tokens, even if the server is not encrypted.
    let is_encrypted = base_url.is_encrypted() || spec.credentials.federated.is_some();
    if spec.common.tls.is_some() && !is_encrypted {
        return invalid("spec.tls has no effect on a baseURL without https://");
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Reason;

    /// A resource with an API key, with these changes to its spec.
    pub(in super::super) fn object(changes: &Value) -> ServiceAccount {
        let mut spec = json!({
            "instance": { "baseURL": "https://wandb.example.com" },
            "team": "research",
            "credentials": { "apiKey": { "bootstrapSecretRef": { "name": "sa-key", "key": "key" } } },
        });
        for (name, change) in changes.as_object().unwrap() {
            spec[name] = change.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1",
            "kind": "ServiceAccount",
            "metadata": { "name": "ci", "uid": "uid-1" },
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn takes_the_defaults() {
        let settings = ServiceAccountSettings::parse(&object(&json!({}))).ok().unwrap();
        let AccountSettings { account_name, uid, membership, .. } = settings.account;
        assert_eq!((account_name.as_str(), uid.as_str(), membership.team()), ("ci", "uid-1", "research"));
    }

    #[test]
    fn an_account_has_one_place() {
        let organization = json!({ "name": "acme", "defaultTeam": "research" });
        let bot = json!({ "accountName": "bot", "team": null, "organization": organization });
        let slashed =
            json!({ "accountName": "bot", "instance": { "baseURL": "https://wandb.example.com/" } });
        let expected = "the account \"bot\" at https://wandb.example.com";
        let spelled =
            json!({ "accountName": "bot", "instance": { "baseURL": "https://WANDB.example.com:443" } });
        for changes in [bot, slashed, spelled] {
            assert_eq!(unique_identity(&object(&changes)), expected);
        }
        let federated =
            json!({ "issuerRef": { "name": "main" }, "subject": "s", "audience": "a", "token": {} });
        assert_eq!(
            unique_identity(&object(&json!({ "credentials": { "federated": federated } }))),
            "the subject \"s\" of the JwtIssuer \"main\""
        );
    }

    #[test]
    fn every_rule_of_the_schema_has_its_sentence() {
        for (changes, word) in [
            (json!({ "team": null }), "exactly one of spec.team"),
            (json!({ "organization": { "name": "acme", "defaultTeam": "x" } }), "exactly one of spec.team"),
            (json!({ "instance": { "baseURL": "wandb.example.com" } }), "spec.instance.baseURL"),
            (
                json!({
                    "instance": { "baseURL": "http://a.example", "insecurePlaintext": true },
                    "tls": { "caBundle": {} },
                }),
                "no effect",
            ),
            (json!({ "credentials": {} }), "exactly one of apiKey"),
            (json!({ "attribution": {} }), "exactly one of username"),
        ] {
            let problem = ServiceAccountSettings::parse(&object(&changes)).err().unwrap();
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }
}
