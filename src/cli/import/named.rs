//! Parses the argument `KIND/NAME`, which names what runs a server.

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::{
    api::{AdoptionPolicy, common::is_object_name},
    problem::quote,
};

/// The object that runs a server, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) kind: InstallationKind,
    pub(super) name: String,
}

/// The kinds of objects that can run a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstallationKind {
    Deployment,
    StatefulSet,
    WeightsAndBiases,
}

/// The words for each kind, which are those of kubectl.
const WORDS: [(InstallationKind, &str, &[&str]); 3] = [
    (InstallationKind::Deployment, "Deployment", &["deployment", "deployments", "deploy"]),
    (InstallationKind::StatefulSet, "StatefulSet", &["statefulset", "statefulsets", "sts"]),
    (InstallationKind::WeightsAndBiases, "WeightsAndBiases", &["weightsandbiases", "wandb"]),
];

impl InstallationKind {
    pub(super) fn name(self) -> &'static str {
        WORDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// The kind of a manifest, if it is one of these.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let word = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let group = word("apiVersion").split('/').next();
        let (kind, name, _) = WORDS.iter().find(|(_, name, _)| *name == word("kind"))?;
        let expected = if *name == "WeightsAndBiases" { "apps.wandb.com" } else { "apps" };
        (group == Some(expected)).then_some(*kind)
    }
}

impl Named {
    /// Parses `KIND/NAME`. The group may follow the kind, as in `deployments.apps/NAME`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed = text.split_once('/').and_then(|(kind, name)| {
            let word = kind.split('.').next()?.to_lowercase();
            let (kind, ..) = WORDS.iter().find(|(.., words)| words.contains(&word.as_str()))?;
            is_object_name(name).then(|| Self { kind: *kind, name: name.to_owned() })
        });
        parsed.ok_or_else(|| {
            anyhow!(
                "\"{}\" does not name a workload that runs a server; expected deployment/NAME, statefulset/NAME or weightsandbiases/NAME",
                quote(text)
            )
        })
    }

    /// The `spec.target` of the resources. Existing variables with the same values are taken over.
    pub(super) fn target(&self, container: Option<&str>) -> Value {
        let mut address = json!({"name": self.name});
        if let (Some(fields), Some(container)) = (address.as_object_mut(), container) {
            fields.insert("container".to_owned(), container.into());
        }
        let field = match self.kind {
            InstallationKind::Deployment => "deployment",
            InstallationKind::StatefulSet => "statefulSet",
            InstallationKind::WeightsAndBiases => "weightsAndBiases",
        };
        json!({field: address, "adopt": AdoptionPolicy::Equal})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_kubectl_names_them() {
        for (text, expected) in [
            ("deployment/wandb", Some(InstallationKind::Deployment)),
            ("deploy/wandb", Some(InstallationKind::Deployment)),
            ("Deployments.apps/wandb", Some(InstallationKind::Deployment)),
            ("statefulset/wandb", Some(InstallationKind::StatefulSet)),
            ("sts/wandb", Some(InstallationKind::StatefulSet)),
            ("weightsandbiases.apps.wandb.com/wandb", Some(InstallationKind::WeightsAndBiases)),
            ("wandb/wandb", Some(InstallationKind::WeightsAndBiases)),
            ("wandb", None),
            ("pod/wandb", None),
            ("deployment/", None),
            ("deployment/../secrets", None),
        ] {
            let parsed = Named::parse(text).ok().map(|named| (named.kind, named.name));
            assert_eq!(parsed, expected.map(|kind| (kind, "wandb".to_owned())), "{text}");
        }
    }
}
