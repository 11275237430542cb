//! The numbered revisions of the published Secret: immutable, and marked with what became of them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::PartialObjectMeta,
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        Contender, Kind, Values,
        publish::secret::{
            MANAGED_BY_LABEL, MANAGER, OWNER_ANNOTATION, SECRET_TYPE, encoded, field_manager, owner,
            owner_in_targets, values_of,
        },
    },
    workloads::{Owner, Target},
};

/// Says which target a revision was made for, before anything there refers to it.
pub(super) const TARGET_ANNOTATION: &str = "auth.wandb.com/target";

/// Says what became of a revision.
pub(super) const ROLLOUT_ANNOTATION: &str = "auth.wandb.com/rollout";

/// Stands on a revision of what somebody else had set at the target.
const ADOPTED_ANNOTATION: &str = "auth.wandb.com/adopted";

/// Names the revision that one was to go back to when it was made.
const PREVIOUS_ANNOTATION: &str = "auth.wandb.com/previous-revision";

/// A numbered, immutable copy of the published values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    /// Counts up.
    pub number: u64,
    /// The Secret's name.
    pub name: String,
    /// What it was made for, as [`Target`] writes itself.
    pub target: String,
    /// What became of it.
    pub mark: RevisionState,
    /// Where its values come from.
    pub source: RevisionSource,
    /// The revision to go back to, as it was when this one was made: where that is gone, somebody deleted it.
    pub previous: Option<u64>,
    /// When the Secret was made.
    pub created: Option<Timestamp>,
    /// Whether it still has a label that says who manages it, whatever a tool has made of the value.
    is_labelled: bool,
    uid: Option<String>,
    version: Option<String>,
}

/// Where a revision's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevisionSource {
    /// From the resource.
    Resource,
    /// From the target, which had them before the resource took it over.
    Target,
}

/// What became of a revision.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RevisionState {
    /// It is on its way, or was never tried.
    #[default]
    Pending,
    /// It is to be tried again, from this time on.
    Retried {
        /// Since when.
        since: Timestamp,
    },
    /// The target's pods ran with it at this time.
    RolledOut {
        /// When that was seen.
        at: Timestamp,
    },
    /// The target went back to an earlier one.
    RolledBack(Rollback),
    /// Its values were checked when a later one failed, and do not work any more: no way leads back to it.
    Refused {
        /// What the check found.
        evidence: String,
    },
    /// It does not work in the pods, and the target stays with it, since nothing earlier works any more.
    Stayed(FailedRevision),
}

/// Why a target stays with a revision that does not work.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailedRevision {
    /// What was seen of the pods, and of the earlier revisions.
    pub evidence: String,
    /// The inputs with which it is not tried again.
    pub inputs: String,
    /// When it was decided.
    pub since: Timestamp,
}

/// Why and where to a target went back.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollback {
    /// The earlier revision; without one the entries were taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// What was seen.
    pub evidence: String,
    /// The inputs with which it is not tried again.
    pub inputs: String,
    /// When it was decided.
    pub since: Timestamp,
    /// When the target's pods were back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Timestamp>,
}

impl Revision {
    /// What it was made for; nothing where that cannot be read.
    pub fn made_for(&self) -> Option<Target> {
        Target::parse(&self.target)
    }

    /// Whether it was made for an object of the target.
    pub fn shares_object(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| own.shares_object(target))
    }

    /// Whether it was made for objects of the target only.
    pub fn is_within(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| own.is_within(target))
    }

    /// Whether it was made for every object of the target.
    pub fn covers(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| target.is_within(&own))
    }
}

/// Reads the marks of every revision of the resource, the oldest first.
pub(super) async fn list<K: Kind>(client: &Client, object: &K) -> Result<Vec<Revision>, kube::Error> {
    let (title, owner) = (owner::<K>(&object.name_any()), owner_in_targets(object));
    marks(&api(client, object), &title, &owner).await
}

/// The same for another resource.
pub(super) async fn list_of(
    client: &Client,
    namespace: &str,
    claimant: &Contender,
) -> Result<Vec<Revision>, kube::Error> {
    let api = Api::namespaced(client.clone(), namespace);
    marks(&api, &format!("{}/{}", claimant.kind, claimant.name), &claimant.owner).await
}

async fn marks(api: &Api<Secret>, title: &str, owner: &Owner) -> Result<Vec<Revision>, kube::Error> {
    // Tools rewrite the label of who manages an object, so it must not decide what is found.
    let parameters = ListParams::default().fields(&format!("type={SECRET_TYPE}"));
    let secrets = api.list_metadata(&parameters).await?;
    let mut revisions: Vec<_> =
        secrets.items.into_iter().filter_map(|secret| recognise(&secret, title, owner)).collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

fn recognise(secret: &PartialObjectMeta<Secret>, title: &str, owner: &Owner) -> Option<Revision> {
    let annotations = secret.annotations();
    if annotations.get(OWNER_ANNOTATION).is_none_or(|annotation| annotation != title) {
        return None;
    }
    let name = secret.name_any();
    // A mark that somebody made unreadable is none: the revision is looked at anew.
    let mark = annotations.get(ROLLOUT_ANNOTATION).and_then(|mark| serde_json::from_str(mark).ok());
    Some(Revision {
        number: owner.number_of(&name)?,
        name,
        target: annotations.get(TARGET_ANNOTATION)?.clone(),
        mark: mark.unwrap_or_default(),
        source: if annotations.contains_key(ADOPTED_ANNOTATION) {
            RevisionSource::Target
        } else {
            RevisionSource::Resource
        },
        previous: annotations.get(PREVIOUS_ANNOTATION).and_then(|number| number.parse().ok()),
        created: secret.creation_timestamp().map(|time| time.0),
        is_labelled: secret.labels().contains_key(MANAGED_BY_LABEL),
        uid: secret.uid(),
        version: secret.resource_version(),
    })
}

/// What stands under the names of revisions that are not listed.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    /// Secrets of somebody else.
    pub foreign: BTreeSet<u64>,
    /// Revisions of the resource whose metadata somebody changed, and that is written anew: without it later values
    /// would never arrive.
    pub mended: BTreeSet<u64>,
}

/// Looks up those of the numbers that are not among the revisions or lost their label, and mends what is the
/// resource's.
pub(super) async fn look_up<K: Kind>(
    client: &Client,
    object: &K,
    target: &Target,
    numbers: &BTreeSet<u64>,
    revisions: &[Revision],
) -> Result<Unlisted, kube::Error> {
    let api = api(client, object);
    let mut unlisted = Unlisted::default();
    let is_known = |number: &u64| revisions.iter().any(|each| each.number == *number && each.is_labelled);
    for number in numbers.iter().filter(|number| !is_known(number)) {
        let name = owner_in_targets(object).revision(*number);
        let Some(secret) = api.get_metadata_opt(&name).await? else { continue };
        if is_made_by(object, &secret) {
            let parameters =
                PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
            let patch = Patch::Merge(metadata_of(object, target, &secret));
            api.patch_metadata(&name, &parameters, &patch).await?;
            unlisted.mended.insert(*number);
        } else {
            unlisted.foreign.insert(*number);
        }
    }
    Ok(unlisted)
}

/// Whether the Secret was made for the resource: by its annotation or, where that names no resource of the kind, by
/// who wrote its data.
fn is_made_by<K: Kind>(object: &K, secret: &PartialObjectMeta<Secret>) -> bool {
    match secret.annotations().get(OWNER_ANNOTATION) {
        Some(named) if named.starts_with(&owner::<K>("")) => *named == owner::<K>(&object.name_any()),
        _ => secret.managed_fields().iter().any(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            entry.manager.as_ref() == Some(&field_manager::<K>())
                && fields.is_some_and(|fields| fields.get("f:data").is_some())
        }),
    }
}

/// The metadata by which a revision is known.
fn metadata_of<K: Kind>(
    object: &K,
    target: &Target,
    secret: &PartialObjectMeta<Secret>,
) -> serde_json::Value {
    let made_for = secret.annotations().get(TARGET_ANNOTATION).cloned().unwrap_or_else(|| target.to_string());
    // A tool that sets another value would set it again.
    let managed_by = secret.labels().get(MANAGED_BY_LABEL).map_or(MANAGER, String::as_str);
    serde_json::json!({"metadata": {
        "uid": secret.uid(),
        "labels": { MANAGED_BY_LABEL: managed_by },
        "annotations": { OWNER_ANNOTATION: owner::<K>(&object.name_any()), TARGET_ANNOTATION: made_for },
    }})
}

/// What a revision holds; nothing where it is gone.
pub(super) async fn values<K: Kind>(
    client: &Client,
    object: &K,
    number: u64,
) -> Result<Option<Values>, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    read(client, &namespace, &owner_in_targets(object).revision(number)).await
}

/// What the revision of this name holds; nothing where it is gone.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Values>, kube::Error> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(secret.map(|secret| values_of(&secret)))
}

/// What became of the wish to make a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevisionCreation {
    /// It is there.
    Done,
    /// Another Secret has that name.
    Taken,
}

/// A revision to be made.
pub(super) struct Blueprint<'a> {
    /// Counts up.
    pub number: u64,
    /// What it is made for.
    pub target: &'a Target,
    /// What it holds.
    pub values: &'a Values,
    /// Where that comes from.
    pub source: RevisionSource,
    /// The revision to go back to.
    pub previous: Option<u64>,
}

/// Makes a revision. It has no owner reference: pods must never lose what they refer to, however the
/// resource goes. The resource's finalizer sees to its end.
pub(super) async fn create<K: Kind>(
    client: &Client,
    object: &K,
    blueprint: Blueprint<'_>,
    now: Timestamp,
) -> Result<RevisionCreation, kube::Error> {
    let Blueprint { number, target, values, source, previous } = blueprint;
    let mut secret = Secret {
        immutable: Some(true),
        data: Some(encoded(values)),
        type_: Some(SECRET_TYPE.to_owned()),
        ..Secret::default()
    };
    secret.metadata.name = Some(owner_in_targets(object).revision(number));
    secret.metadata.namespace = object.namespace();
    secret.labels_mut().insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
    let annotations = secret.annotations_mut();
    annotations.insert(OWNER_ANNOTATION.to_owned(), owner::<K>(&object.name_any()));
    annotations.insert(TARGET_ANNOTATION.to_owned(), target.to_string());
    annotations.extend(previous.map(|number| (PREVIOUS_ANNOTATION.to_owned(), number.to_string())));
    if source == RevisionSource::Target {
        // Pods ran with it before it was a revision.
        let mark =
            serde_json::to_string(&RevisionState::RolledOut { at: now }).map_err(kube::Error::SerdeError)?;
        annotations.insert(ROLLOUT_ANNOTATION.to_owned(), mark);
        annotations.insert(ADOPTED_ANNOTATION.to_owned(), "true".to_owned());
    }
    let parameters = PostParams { field_manager: Some(field_manager::<K>()), ..PostParams::default() };
    match api(client, object).create(&parameters, &secret).await {
        Ok(_) => Ok(RevisionCreation::Done),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(RevisionCreation::Taken),
        Err(error) => Err(error),
    }
}

/// Writes down what became of a revision.
pub(super) async fn mark<K: Kind>(
    client: &Client,
    object: &K,
    revision: &Revision,
    mark: &RevisionState,
) -> Result<(), kube::Error> {
    let text = serde_json::to_string(mark).map_err(kube::Error::SerdeError)?;
    annotate(client, object, revision, ROLLOUT_ANNOTATION, &text).await
}

/// Writes down that a revision is for these objects only from now on.
pub(super) async fn limit<K: Kind>(
    client: &Client,
    object: &K,
    revision: &Revision,
    target: &Target,
) -> Result<(), kube::Error> {
    annotate(client, object, revision, TARGET_ANNOTATION, &target.to_string()).await
}

async fn annotate<K: Kind>(
    client: &Client,
    object: &K,
    revision: &Revision,
    name: &str,
    text: &str,
) -> Result<(), kube::Error> {
    let patch = serde_json::json!({
        "metadata": {
            "uid": revision.uid,
            "resourceVersion": revision.version,
            "annotations": { name: text },
        },
    });
    let parameters = PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
    api(client, object).patch_metadata(&revision.name, &parameters, &Patch::Merge(patch)).await?;
    Ok(())
}

/// Deletes a revision.
pub(super) async fn delete<K: Kind>(
    client: &Client,
    object: &K,
    revision: &Revision,
) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: revision.uid.clone(), resource_version: None };
    let parameters = DeleteParams::default().preconditions(preconditions);
    match api(client, object).delete(&revision.name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn api<K: Kind>(client: &Client, object: &K) -> Api<Secret> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

#[cfg(test)]
impl Revision {
    /// A revision that no API server has seen.
    pub(super) fn for_tests(number: u64, mark: RevisionState, created: Timestamp) -> Self {
        let name = format!("corp-ldap-{number}");
        let target = "Deployment/wandb".to_owned();
        let (source, created) = (RevisionSource::Resource, Some(created));
        let is_labelled = true;
        let previous = None;
        Self { number, name, target, mark, source, previous, created, is_labelled, uid: None, version: None }
    }

    /// The same, which was to go back to this one.
    pub(super) fn after(self, previous: Option<u64>) -> Self {
        Self { previous, ..self }
    }
}
