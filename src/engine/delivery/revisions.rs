//! The numbered revisions of the published Secret: immutable Secrets whose annotations record what became of
//! them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ObjectMeta, PartialObjectMeta},
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        Contender, Context, Kind, ObjectKey, ReferenceSource, Values,
        inputs::references::version_of,
        publish::secret::{
            MANAGED_BY_LABEL, MANAGER, OWNER_ANNOTATION, SECRET_TYPE, encoded, field_manager, owner,
            owner_in_targets, values_of,
        },
    },
    workloads::{Owner, Target},
};

/// The annotation with the target that a revision was made for. It is set before anything there refers to the
/// revision.
pub(super) const TARGET_ANNOTATION: &str = "auth.wandb.com/target";

/// The annotation with the state of a revision ([`RevisionState`] as JSON).
pub(super) const ROLLOUT_ANNOTATION: &str = "auth.wandb.com/rollout";

/// The annotation on a revision of values that somebody else had set at the target.
const ADOPTED_ANNOTATION: &str = "auth.wandb.com/adopted";

/// The annotation with the number of the revision for a rollback, as of the creation of this one.
const PREVIOUS_ANNOTATION: &str = "auth.wandb.com/previous-revision";

/// A numbered, immutable copy of the published values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    /// The number, which grows with every revision.
    pub number: u64,
    /// The Secret's name.
    pub name: String,
    /// The target that it was made for, in the text form of [`Target`].
    pub target: String,
    /// What became of it.
    pub mark: RevisionState,
    /// Where its values come from.
    pub source: RevisionSource,
    /// The revision for a rollback, as of the creation of this one. If it does not exist any more, somebody
    /// deleted it.
    pub previous: Option<u64>,
    /// When the Secret was created.
    pub created: Option<Timestamp>,
    /// Whether it still has the label that says who manages it, with any value, because tools rewrite that value.
    is_labelled: bool,
    uid: Option<String>,
    version: Option<String>,
}

/// Where a revision's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevisionSource {
    /// The resource.
    Resource,
    /// The target, which had these values before the resource took it over.
    Target,
}

/// What became of a revision, as recorded in its annotation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RevisionState {
    /// It is being rolled out, or was never tried.
    #[default]
    Pending,
    /// It is tried again since this time.
    Retried {
        /// When it was decided to try again.
        since: Timestamp,
    },
    /// The target's pods ran with it.
    RolledOut {
        /// When that was observed.
        at: Timestamp,
    },
    /// The target went back from it to an earlier revision.
    RolledBack(Rollback),
    /// Its values were checked when a later revision failed, and do not work any more: no rollback leads to it.
    Refused {
        /// What the check found.
        evidence: String,
    },
    /// It does not work in the pods, but the target stays with it, because no earlier revision works any more.
    Stayed(FailedRevision),
}

/// Why a target stays with a revision that does not work.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailedRevision {
    /// What was observed of the pods, and of the earlier revisions.
    pub evidence: String,
    /// The inputs with which it failed. It is not tried again before they change.
    pub inputs: String,
    /// When it was decided.
    pub since: Timestamp,
}

/// Why a target went back, and to which revision.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollback {
    /// The earlier revision; without one the entries were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// What was observed of the revision that failed.
    pub evidence: String,
    /// The inputs with which it failed. It is not tried again before they change.
    pub inputs: String,
    /// When it was decided.
    pub since: Timestamp,
    /// When the target's pods were seen to run with the earlier revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Timestamp>,
}

impl Revision {
    /// The target that it was made for; `None` if the annotation cannot be read.
    pub fn made_for(&self) -> Option<Target> {
        Target::parse(&self.target)
    }

    /// The version that was read, as an event about the Secret tells it.
    fn version_of_object(&self) -> String {
        let (resource_version, uid) = (self.version.clone(), self.uid.clone());
        version_of(&ObjectMeta { resource_version, uid, ..ObjectMeta::default() })
    }

    /// Whether it was made for at least one object of the target.
    pub fn shares_object(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| own.shares_object(target))
    }

    /// Whether it was made for objects of this target only.
    pub fn is_within(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| own.is_within(target))
    }

    /// Whether it was made for every object of the target.
    pub fn covers(&self, target: &Target) -> bool {
        self.made_for().is_some_and(|own| target.is_within(&own))
    }
}

/// Reads the metadata and states of every revision of the resource, the oldest first.
pub(super) async fn list<K: Kind>(context: &Context<K>, object: &K) -> Result<Vec<Revision>, kube::Error> {
    let (title, owner) = (owner::<K>(&object.name_any()), owner_in_targets(object));
    let revisions = marks(&api(&context.client, object), &title, &owner).await?;
    let versions = revisions.iter().map(|revision| (secret(&revision.name), revision.version_of_object()));
    context.registry.observe_revisions(object, versions.collect());
    Ok(revisions)
}

/// Notes the version of a revision that the run wrote: an event about it is no reason to run again.
fn wrote<K: Kind>(context: &Context<K>, object: &K, name: &str, metadata: Option<&ObjectMeta>) {
    context.registry.observe(object, secret(name), metadata.map(version_of).as_deref());
}

fn secret(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::Secret, name: name.into() }
}

/// The same for another resource.
pub(super) async fn list_of(
    client: &Client,
    namespace: &str,
    contender: &Contender,
) -> Result<Vec<Revision>, kube::Error> {
    let api = Api::namespaced(client.clone(), namespace);
    marks(&api, &format!("{}/{}", contender.kind, contender.name), &contender.owner).await
}

async fn marks(api: &Api<Secret>, title: &str, owner: &Owner) -> Result<Vec<Revision>, kube::Error> {
    // Tools rewrite the label that says who manages an object, so the list does not select by that label.
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
    // A state that somebody made unreadable counts as none, and the revision is judged anew.
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

/// The Secrets that have the name of a revision but are not in the list.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    /// Secrets of somebody else.
    pub foreign: BTreeSet<u64>,
    /// Revisions of the resource whose metadata somebody changed. The metadata is written again, because without
    /// it later values would never reach the target.
    pub mended: BTreeSet<u64>,
}

/// Looks up the Secrets of those numbers that are not among the revisions or have lost their label, and restores
/// the metadata of those that belong to the resource.
pub(super) async fn look_up<K: Kind>(
    context: &Context<K>,
    object: &K,
    target: &Target,
    numbers: &BTreeSet<u64>,
    revisions: &[Revision],
) -> Result<Unlisted, kube::Error> {
    let api = api(&context.client, object);
    let mut unlisted = Unlisted::default();
    let is_known = |number: &u64| revisions.iter().any(|each| each.number == *number && each.is_labelled);
    for number in numbers.iter().filter(|number| !is_known(number)) {
        let name = owner_in_targets(object).revision(*number);
        let Some(secret) = api.get_metadata_opt(&name).await? else { continue };
        if is_made_by(object, &secret) {
            let parameters =
                PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
            let patch = Patch::Merge(metadata_of(object, target, &secret));
            let mended = api.patch_metadata(&name, &parameters, &patch).await?;
            wrote(context, object, &name, Some(&mended.metadata));
            unlisted.mended.insert(*number);
        } else {
            unlisted.foreign.insert(*number);
        }
    }
    Ok(unlisted)
}

/// Whether the Secret was made for the resource. The annotation decides; where it names no resource of this kind,
/// the field manager that wrote the data does.
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

/// The metadata by which a revision is recognised.
fn metadata_of<K: Kind>(
    object: &K,
    target: &Target,
    secret: &PartialObjectMeta<Secret>,
) -> serde_json::Value {
    let made_for = secret.annotations().get(TARGET_ANNOTATION).cloned().unwrap_or_else(|| target.to_string());
    // Another tool's value of the label is kept, because that tool would write it again.
    let managed_by = secret.labels().get(MANAGED_BY_LABEL).map_or(MANAGER, String::as_str);
    serde_json::json!({"metadata": {
        "uid": secret.uid(),
        "labels": { MANAGED_BY_LABEL: managed_by },
        "annotations": { OWNER_ANNOTATION: owner::<K>(&object.name_any()), TARGET_ANNOTATION: made_for },
    }})
}

/// The values of a revision; `None` if it does not exist any more.
pub(super) async fn values<K: Kind>(
    client: &Client,
    object: &K,
    number: u64,
) -> Result<Option<Values>, kube::Error> {
    let namespace = object.namespace().unwrap_or_default();
    read(client, &namespace, &owner_in_targets(object).revision(number)).await
}

/// The values of the revision of this name; `None` if it does not exist any more.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Values>, kube::Error> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(secret.map(|secret| values_of(&secret)))
}

/// The result of an attempt to create a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RevisionCreation {
    /// The revision exists now.
    Done,
    /// Another Secret has that name.
    Taken,
}

/// A revision that must be created.
pub(super) struct Blueprint<'a> {
    /// Its number.
    pub number: u64,
    /// The target that it is made for.
    pub target: &'a Target,
    /// Its values.
    pub values: &'a Values,
    /// Where these values come from.
    pub source: RevisionSource,
    /// The revision for a rollback.
    pub previous: Option<u64>,
}

/// Creates a revision. It has no owner reference: pods must never lose what they refer to, however the resource
/// is deleted. The resource's finalizer deletes the revisions in time.
pub(super) async fn create<K: Kind>(
    context: &Context<K>,
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
        // Pods ran with these values before they became a revision, so a rollback may lead to them.
        let mark =
            serde_json::to_string(&RevisionState::RolledOut { at: now }).map_err(kube::Error::SerdeError)?;
        annotations.insert(ROLLOUT_ANNOTATION.to_owned(), mark);
        annotations.insert(ADOPTED_ANNOTATION.to_owned(), "true".to_owned());
    }
    let parameters = PostParams { field_manager: Some(field_manager::<K>()), ..PostParams::default() };
    match api(&context.client, object).create(&parameters, &secret).await {
        Ok(created) => {
            wrote(context, object, &created.name_any(), Some(&created.metadata));
            Ok(RevisionCreation::Done)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(RevisionCreation::Taken),
        Err(error) => Err(error),
    }
}

/// Records the state of a revision.
pub(super) async fn mark<K: Kind>(
    context: &Context<K>,
    object: &K,
    revision: &Revision,
    mark: &RevisionState,
) -> Result<(), kube::Error> {
    let text = serde_json::to_string(mark).map_err(kube::Error::SerdeError)?;
    annotate(context, object, revision, ROLLOUT_ANNOTATION, &text).await
}

/// Records that from now on a revision is for these objects only.
pub(super) async fn limit<K: Kind>(
    context: &Context<K>,
    object: &K,
    revision: &Revision,
    target: &Target,
) -> Result<(), kube::Error> {
    annotate(context, object, revision, TARGET_ANNOTATION, &target.to_string()).await
}

async fn annotate<K: Kind>(
    context: &Context<K>,
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
    let api = api(&context.client, object);
    let annotated = api.patch_metadata(&revision.name, &parameters, &Patch::Merge(patch)).await?;
    wrote(context, object, &revision.name, Some(&annotated.metadata));
    Ok(())
}

/// Deletes a revision.
pub(super) async fn delete<K: Kind>(
    context: &Context<K>,
    object: &K,
    revision: &Revision,
) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: revision.uid.clone(), resource_version: None };
    let parameters = DeleteParams::default().preconditions(preconditions);
    match api(&context.client, object).delete(&revision.name, &parameters).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => return Err(error),
    }
    wrote(context, object, &revision.name, None);
    Ok(())
}

fn api<K: Kind>(client: &Client, object: &K) -> Api<Secret> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

#[cfg(test)]
impl Revision {
    /// A revision that exists in no API server.
    pub(super) fn for_tests(number: u64, mark: RevisionState, created: Timestamp) -> Self {
        let name = format!("corp-ldap-{number}");
        let target = "Deployment/wandb".to_owned();
        let (source, created) = (RevisionSource::Resource, Some(created));
        let is_labelled = true;
        let previous = None;
        Self { number, name, target, mark, source, previous, created, is_labelled, uid: None, version: None }
    }

    /// The same revision, with this one for a rollback.
    pub(super) fn after(self, previous: Option<u64>) -> Self {
        Self { previous, ..self }
    }
}
