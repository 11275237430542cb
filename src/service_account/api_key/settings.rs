//! From `spec.credentials.apiKey` to types that cannot be wrong.

use std::time::Duration;

use super::super::settings::{Membership, invalid};
use crate::{
    api::service_account::{self, ApiKeySpec, KeyDeletionPolicy},
    problem::Problem,
};

/// How an account's key is had and replaced.
pub struct ApiKeySettings {
    /// The Secret and the key in it that hold the API key which a person copied.
    pub bootstrap: (String, String),
    /// When keys are replaced.
    pub rotation: Option<Rotation>,
    /// How long a key stays valid that was replaced, whatever the spec says of rotation now.
    pub overlap: Duration,
    /// The generated key that the status tells of: it was published last, whatever the Secret says.
    pub published: Option<String>,
    /// What becomes of generated keys when the resource is deleted.
    pub deletion_policy: KeyDeletionPolicy,
    /// Whether an administrator's key may make the account.
    pub creation: AccountCreation,
}

/// When keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key is in use.
    pub interval: Duration,
    /// How long the key before stays valid.
    pub overlap: Duration,
}

/// Who makes the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// A person, in the web UI.
    ByPerson,
    /// The operator, with an administrator's key.
    ByOperator,
}

/// The default of `rotation.overlap`.
const USUAL_OVERLAP: Duration = Duration::from_hours(24);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

impl ApiKeySettings {
    /// Judges the spec by itself.
    pub fn parse(spec: &ApiKeySpec, home: &Membership, published: Option<String>) -> Result<Self, Problem> {
        if spec.create_with.is_some() && matches!(home, Membership::Organization { .. }) {
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
            published,
            deletion_policy: spec.deletion_policy,
            creation: spec
                .create_with
                .as_ref()
                .map_or(AccountCreation::ByPerson, |_| AccountCreation::ByOperator),
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
        let team = || Membership::Team("research".to_owned());
        let organization = Membership::Organization { name: "acme".to_owned(), default_team: "x".to_owned() };
        for (changes, home, word) in [
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
            let problem =
                ApiKeySettings::parse(&serde_json::from_value(spec).unwrap(), &home, None).err().unwrap();
            assert!(problem.message.contains(word), "{changes}: {}", problem.message);
        }
    }
}
