//! Finds the version in which the resource is stored. API discovery shows it without any permission.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Client,
    core::{ApiResource, GroupVersionKind},
};

use crate::{
    api::Reason,
    error::StepError,
    problem::{Problem, enumerate},
};

pub(super) const GROUP: &str = "apps.wandb.com";
pub(super) const KIND: &str = "WeightsAndBiases";
pub(super) const PLURAL: &str = "weightsandbiases";

/// A version of the resource that this operator can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A version in which the API server serves the resource.
struct Served {
    name: String,
    storage_hash: Option<String>,
}

impl Version {
    const NEWEST_FIRST: [Self; 2] = [Self::V2, Self::V1];

    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The resource in this version.
    pub fn resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, self.name(), KIND), PLURAL)
    }

    /// The storage version hash that API discovery shows in every version while this one is stored.
    fn storage_hash(self) -> String {
        let text = format!("{GROUP}/{}/{KIND}", self.name());
        let hash: Vec<u8> = digest(&SHA256, text.as_bytes()).as_ref().iter().copied().take(8).collect();
        STANDARD.encode(hash)
    }
}

/// The version to read and write, or `None` if the resource is not defined in the cluster.
pub(super) async fn stored(client: &Client) -> Result<Option<Version>, StepError> {
    let groups = client.list_api_groups().await?.groups;
    let versions = groups.into_iter().filter(|group| group.name == GROUP).flat_map(|group| group.versions);
    let mut served = Vec::new();
    for version in versions {
        let resources = match client.list_api_group_resources(&version.group_version).await {
            Ok(list) => list.resources,
            // The version was removed after the groups had been listed.
            Err(kube::Error::Api(status)) if status.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(resource) = resources.into_iter().find(|resource| resource.name == PLURAL) {
            served.push(Served { name: version.version, storage_hash: resource.storage_version_hash });
        }
    }
    Ok(choose(&served)?)
}

/// The stored version or, if that is unknown to discovery or to this operator, the newest known one.
///
/// A write in another version than the stored one passes through the W&B operator's conversion, which loses some
/// fields.
fn choose(served: &[Served]) -> Result<Option<Version>, Problem> {
    let known: Vec<_> = Version::NEWEST_FIRST
        .into_iter()
        .filter(|version| served.iter().any(|served| served.name == version.name()))
        .collect();
    let is_stored = |version: &Version| {
        let hash = version.storage_hash();
        served.iter().any(|served| served.storage_hash.as_ref() == Some(&hash))
    };
    match known.iter().copied().find(is_stored).or(known.first().copied()) {
        Some(version) => Ok(Some(version)),
        None if served.is_empty() => Ok(None),
        None => Err(Problem::new(
            Reason::TargetRefused,
            format!(
                "The cluster serves {KIND} ({GROUP}) in these versions only: {}. This operator writes v1 and v2: use a release of it that knows the newer one.",
                enumerate(served.iter().map(|served| &served.name))
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_api_server() {
        // These hashes were taken from the discovery of kube-apiserver 1.36.3, with each version stored.
        assert_eq!(Version::V1.storage_hash(), "IsfumVxaWKE=");
        assert_eq!(Version::V2.storage_hash(), "l6xBj27rRhQ=");
    }

    #[test]
    fn the_stored_version_is_the_one_to_write() {
        let (v1, v2, other) = (Version::V1.storage_hash(), Version::V2.storage_hash(), "AAAAAAAAAAA=");
        for (served, hash, chosen) in [
            (&["v1", "v2"][..], Some(v1.as_str()), Ok(Some(Version::V1))),
            (&["v2", "v1"], Some(&v2), Ok(Some(Version::V2))),
            (&["v1"], Some(&v1), Ok(Some(Version::V1))),
            // The stored version is not served, not known here, or not shown by discovery.
            (&["v2"], Some(&v1), Ok(Some(Version::V2))),
            (&["v1", "v2"], Some(other), Ok(Some(Version::V2))),
            (&["v1", "v2"], None, Ok(Some(Version::V2))),
            (&["v1", "v3"], Some(other), Ok(Some(Version::V1))),
            (&[], None, Ok(None)),
            (&["v3", "v4alpha1"], Some(other), Err(Reason::TargetRefused)),
        ] {
            let served: Vec<_> = served
                .iter()
                .map(|name| Served { name: (*name).to_owned(), storage_hash: hash.map(ToOwned::to_owned) })
                .collect();
            assert_eq!(choose(&served).map_err(|problem| problem.reason), chosen);
        }
    }

    #[test]
    fn a_version_of_the_future_is_named() {
        let served = [Served { name: "v3".to_owned(), storage_hash: None }];
        insta::assert_snapshot!(choose(&served).unwrap_err().message, @"The cluster serves WeightsAndBiases (apps.wandb.com) in these versions only: v3. This operator writes v1 and v2: use a release of it that knows the newer one.");
    }
}
