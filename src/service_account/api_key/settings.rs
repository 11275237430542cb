//! Parses `spec.credentials.apiKey` into types that cannot express invalid settings.

use std::time::Duration;

use super::{
    super::account::{TeamMembership, invalid},
    record::Previous,
    requests::{HandledRequests, KeyRequests},
};
use crate::{
    api::service_account::{self, ApiKeySpec, KeyDeletionPolicy, ServiceAccountDetails},
    problem::Problem,
};

/// Where an account's key comes from, and how it is replaced.
pub struct ApiKeySettings {
    /// The name of the Secret with the API key that a person copied, and the key in its data.
    pub bootstrap: (String, String),
    /// When keys are replaced; `None` if they are not.
    pub rotation: Option<Rotation>,
    /// How long a replaced key stays valid. It also applies to earlier replacements if the spec no longer has a
    /// rotation.
    pub overlap: Duration,
    /// The generated key that the status names: it was published last, whatever the Secret holds.
    pub published: Option<String>,
    /// The replaced keys that the status names: they stay valid for their overlap, whatever the Secret holds.
    pub overlapping: Vec<Previous>,
    /// Whether generated keys are revoked when the resource is deleted.
    pub deletion_policy: KeyDeletionPolicy,
    /// Who creates the account.
    pub creation: AccountCreation,
    /// What the annotations ask for.
    pub asked: KeyRequests,
    /// What was handled, as the status says.
    pub acknowledged: HandledRequests,
}

/// When keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key is in use.
    pub interval: Duration,
    /// How long the replaced key stays valid.
    pub overlap: Duration,
}

/// Who creates the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// A person creates it, in the web UI.
    ByPerson,
    /// The operator creates it, with an administrator's key.
    ByOperator,
}

/// The overlap if the spec has no rotation; it equals the default of `rotation.overlap`.
const USUAL_OVERLAP: Duration = Duration::from_hours(24);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

impl ApiKeySettings {
    /// Parses and checks the spec, without its references. The details are the ones of the status, and `asked` is what
    /// the annotations ask for.
    pub fn parse(
        spec: &ApiKeySpec,
        membership: &TeamMembership,
        details: &ServiceAccountDetails,
        asked: KeyRequests,
    ) -> Result<Self, Problem> {
        if spec.create_with.is_some() && matches!(membership, TeamMembership::Organization { .. }) {
            return invalid(
                "createWith makes an account in a team; accounts of an organization can only be made in the web UI",
            );
        }
        let bootstrap = &spec.bootstrap_secret_ref;
        let rotation = spec.rotation.as_ref().map(rotation).transpose()?;
        Ok(Self {
            bootstrap: (bootstrap.name.clone(), bootstrap.key.clone()),
            rotation,
            overlap: rotation.map_or(USUAL_OVERLAP, |rotation| rotation.overlap),
            published: details.key_id.clone(),
            overlapping: details.previous_keys.iter().map(Previous::of_status).collect(),
            deletion_policy: spec.deletion_policy,
            creation: spec
                .create_with
                .as_ref()
                .map_or(AccountCreation::ByPerson, |_| AccountCreation::ByOperator),
            asked,
            acknowledged: HandledRequests::of_status(details),
        })
    }
}

fn rotation(spec: &service_account::RotationSpec) -> Result<Rotation, Problem> {
    let (interval, overlap) = (spec.interval.get(), spec.overlap.get());
    if interval < SHORTEST_INTERVAL {
        return invalid(format!("rotation.interval is {}, but must be at least 10s", spec.interval));
    }
    if interval <= overlap {
        return invalid(format!(
            "rotation.interval ({}) must be longer than rotation.overlap ({})",
            spec.interval, spec.overlap
        ));
    }
    Ok(Rotation { interval, overlap })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_rule_of_the_schema_has_its_sentence() {
        let team = || TeamMembership::Team("research".to_owned());
        let organization =
            TeamMembership::Organization { name: "acme".to_owned(), default_team: "x".to_owned() };
        for (changes, membership, word) in [
            (json!({ "rotation": { "interval": "9s", "overlap": "1s" } }), team(), "at least 10s"),
            (json!({ "rotation": { "interval": "24h" } }), team(), "longer than"),
            (
                json!({ "createWith": { "adminKeySecretRef": { "name": "a", "key": "b" } } }),
                organization,
                "web UI",
            ),
        ] {
            let mut spec = json!({ "bootstrapSecretRef": { "name": "sa-key", "key": "key" } });
            spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let spec = serde_json::from_value(spec).unwrap();
            let parsed = ApiKeySettings::parse(&spec, &membership, &<_>::default(), <_>::default());
            let problem = parsed.err().unwrap();
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }
}
