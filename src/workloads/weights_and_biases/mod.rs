//! Delivers values to the W&B operator's own resource, in the version in which it is stored.
//!
//! In reading order: [`version`] finds the version and [`shape`] the shape of its OIDC fields; [`v1`] and [`v2`]
//! know where each setting belongs in the resource; [`edit`] puts entries there and removes them, with the help of
//! [`reference`], [`origin`], [`authorities`], [`conflicts`] and [`tree`]; [`logins`] finds the workloads that show
//! whether people can log in.
//!
//! A change is a merge patch that pins the version of the snapshot, because several resources share the list of
//! environment variables, which the API server treats as one value.

mod authorities;
mod conflicts;
mod edit;
mod logins;
mod origin;
mod reference;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
pub mod v1;
mod v2;
mod version;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use self::{
    edit::{Edit, WANDB_OPERATOR, is_operator},
    reference::ResourceReference,
    shape::OidcFieldShape,
    version::Version,
};
use super::{
    AppliedState, Change, Delivery, Environment, Owner, PresentVariable, RepointedBy, Undone,
    list::workloads, managed_fields::ManagedFields, read_target::ReadTarget, rights::forbidden,
    workload::WorkloadController,
};
use crate::{
    error::{Error, StepError},
    problem::{Problem, enumerate},
};

/// A `WeightsAndBiases` resource, as it was read.
#[derive(Clone, Debug)]
pub struct WeightsAndBiases {
    version: Version,
    /// The shape of its fields for OIDC.
    shape: OidcFieldShape,
    object: DynamicObject,
    /// The other sources of values that the W&B operator v1 merges with the resource. It is empty in other
    /// versions.
    sources: v1::ValueSources,
    /// The workloads that the W&B operator v1 made of the resource and that answer logins. It is empty in other
    /// versions, where that operator itself corrects changes of its workloads.
    logins: Vec<WorkloadController>,
}

/// The W&B operator's resource in the version that is stored, or `None` if there is no usable version.
pub async fn stored_resource(client: &Client) -> Result<Option<ApiResource>, Error> {
    match version::stored(client).await {
        Ok(version) => Ok(version.map(Version::resource)),
        Err(StepError::Problem(_)) => Ok(None),
        Err(StepError::Error(error)) => Err(error),
    }
}

/// The name of the `WeightsAndBiases` of which the W&B operator v1 made this Deployment, if the Deployment answers
/// logins.
pub fn rendered_of(deployment: &ObjectMeta) -> Option<&str> {
    logins::release_answering_logins(deployment)
}

pub(super) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<WeightsAndBiases>, StepError> {
    let Some(version) = version::stored(client).await? else { return Ok(None) };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &version.resource());
    let object = match api.get_opt(name).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(None),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let what = format!("WeightsAndBiases/{name}");
            return Err(forbidden("read", &what, &version.resource()).into());
        }
        Err(error) => return Err(error.into()),
    };
    let mut seen = WeightsAndBiases {
        version,
        shape: OidcFieldShape::default(),
        object,
        sources: v1::ValueSources::default(),
        logins: Vec::new(),
    };
    match version {
        Version::V1 => {
            seen.sources = v1::read(client, namespace, name).await?;
            seen.logins = logins::of_release(workloads(client, namespace).await?, name);
        }
        Version::V2 => seen.shape = shape::served(client).await?,
    }
    Ok(Some(seen))
}

/// Shows what a delivery adds to a resource without any entries, in each version.
pub(super) fn preview(name: &str, owner: &Owner, delivery: &Delivery<'_>) -> Vec<Value> {
    let seen = json!({});
    let object = |version: Version| {
        let metadata = ObjectMeta::default();
        let mut edit = Edit::new(&seen, ManagedFields::of(&metadata), owner, Some(delivery.number), &[]);
        let edited = match version {
            Version::V1 => {
                let seen = v1::V1Snapshot { name, object: &seen, sources: &v1::ValueSources::default() };
                v1::edit(&mut edit, &seen, Some(delivery))
            }
            Version::V2 => {
                v2::edit(&mut edit, Some(delivery), OidcFieldShape::default());
                Ok(())
            }
        };
        // An empty resource has no foreign entries, so that no conflict is possible.
        let edited = edited.and_then(|()| edit.finish(name));
        let mut object = edited.ok().flatten().unwrap_or_else(|| json!({}));
        let resource = version.resource();
        tree::put(&mut object, &["apiVersion"], json!(resource.api_version));
        tree::put(&mut object, &["kind"], json!(resource.kind));
        tree::put(&mut object, &["metadata", "name"], json!(name));
        object
    };
    [Version::V2, Version::V1].map(object).into()
}

impl ReadTarget for WeightsAndBiases {
    fn standing(&self, owner: &Owner) -> AppliedState {
        let own: Vec<_> = self
            .references()
            .into_iter()
            .filter_map(|reference| Some((owner.number_of(reference.secret)?, reference.path)))
            .collect();
        AppliedState {
            numbers: own.iter().map(|(number, _)| *number).collect(),
            applied_at: self.managed().last_change_by(&owner.manager),
            moved: own.iter().filter_map(|(_, path)| self.mover(path)).max_by_key(|moved| moved.at),
            undone: self.undone(owner),
        }
    }

    fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        let number = delivery.map(|delivery| delivery.number);
        let bare = match delivery {
            Some(_) => self.without(displaced)?,
            None => None,
        };
        let from = bare.as_ref().unwrap_or(self);
        let edit = Edit::new(&from.object.data, from.managed(), owner, number, displaced);
        let edit = from.edited(edit, delivery)?;
        if bare.is_none() {
            return self.finished(edit);
        }
        let patch = edit.finish_over(&self.object.data, self.name())?;
        Ok(patch.map(|patch| Change::Merge(self.for_this_version(patch))))
    }

    fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        self.finished(self.takeover(owner, delivery, &[])?)
    }

    fn present(&self, owner: &Owner, delivery: &Delivery<'_>, displaced: &[Owner]) -> Vec<PresentVariable> {
        // A problem that prevents this is reported by `change`.
        let Ok(edit) = self.takeover(owner, delivery, displaced) else { return Vec::new() };
        match self.version {
            Version::V1 => v1::present(edit, &self.as_v1(), &v1::names(delivery)),
            Version::V2 => edit.occupied(),
        }
    }

    fn environment(&self) -> Environment {
        match self.version {
            Version::V1 => v1::environment(&self.as_v1()),
            Version::V2 => v2::environment(&self.object.data),
        }
    }

    fn resource(&self) -> ApiResource {
        self.version.resource()
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}

impl WeightsAndBiases {
    /// The workloads that answer logins but differ from what the resource says about the owner's entries.
    fn undone(&self, owner: &Owner) -> Option<Undone> {
        self.differences(&self.logins, owner)
    }

    fn differences(&self, workloads: &[WorkloadController], owner: &Owner) -> Option<Undone> {
        if self.version != Version::V1 {
            return None;
        }
        let own = v1::variables(&self.object.data).filter(|(_, secret)| owner.number_of(secret).is_some());
        let own: Vec<_> = own.collect();
        let different: Vec<_> = workloads
            .iter()
            .filter_map(|each| Some((each, logins::difference(each, &own, owner)?)))
            .collect();
        let by =
            different.iter().map(|(each, _)| logins::last_change(each)).max_by_key(|change| change.at)?;
        Some(Undone {
            numbers: different.iter().flat_map(|(_, numbers)| numbers.iter().copied()).collect(),
            workloads: different.iter().map(|(each, _)| (each.title(), each.metadata().generation)).collect(),
            by,
        })
    }

    /// Makes the W&B operator v1 apply its chart again, which it does only after a change of the resource.
    pub(super) fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        let mut edit = Edit::new(&self.object.data, self.managed(), owner, None, &[]);
        let generation = |(title, generation): &(String, Option<i64>)| {
            format!("{title} at generation {}", generation.unwrap_or_default())
        };
        let cause: Vec<_> = undone.workloads.iter().map(generation).collect();
        v1::reapply(&mut edit, &cause.join(", "));
        Ok(edit.finish(self.name())?.map(|patch| Change::Merge(self.for_this_version(patch))))
    }

    /// Who set the reference at the path, if that was neither this operator nor the W&B operator.
    fn mover(&self, path: &[&str]) -> Option<RepointedBy> {
        let owners: Vec<_> = self.managed().owners_of(path).collect();
        if owners.iter().any(|owner| is_operator(owner.manager)) {
            return None;
        }
        let people = owners.into_iter().filter(|owner| owner.manager != WANDB_OPERATOR);
        let newest = people.max_by_key(|owner| owner.at)?;
        Some(RepointedBy { by: newest.manager.to_owned(), at: newest.at })
    }

    /// The resource without the entries of these owners, or `None` if they have none. With it, one single change
    /// replaces their entries by those of the resource that supersedes them.
    fn without(&self, owners: &[Owner]) -> Result<Option<Self>, Problem> {
        let mut bare: Option<Self> = None;
        for owner in owners {
            let seen = bare.as_ref().unwrap_or(self);
            if !seen.standing(owner).numbers.is_empty() {
                let edit = Edit::new(&seen.object.data, seen.managed(), owner, None, &[]);
                let data = seen.edited(edit, None)?.edited().clone();
                let mut next = seen.clone();
                next.object.data = data;
                bare = Some(next);
            }
        }
        Ok(bare)
    }

    /// Applies the delivery to the copy.
    fn edited<'a>(&'a self, edit: Edit<'a>, delivery: Option<&Delivery<'_>>) -> Result<Edit<'a>, Problem> {
        let mut edit = edit;
        match self.version {
            Version::V1 => v1::edit(&mut edit, &self.as_v1(), delivery)?,
            Version::V2 => v2::edit(&mut edit, delivery, self.shape),
        }
        Ok(edit)
    }

    fn finished(&self, edit: Edit<'_>) -> Result<Option<Change>, Problem> {
        Ok(edit.finish(self.name())?.map(|patch| Change::Merge(self.for_this_version(patch))))
    }

    fn takeover<'a>(
        &'a self,
        owner: &'a Owner,
        delivery: &Delivery<'_>,
        displaced: &'a [Owner],
    ) -> Result<Edit<'a>, Problem> {
        let number = Some(delivery.number);
        let edit = Edit::new(&self.object.data, self.managed(), owner, number, displaced).taking_over();
        self.edited(edit, Some(delivery))
    }

    /// Makes the patch valid only for the object and version of the snapshot.
    fn for_this_version(&self, mut patch: Value) -> Value {
        let metadata = &self.object.metadata;
        let identity = json!({"resourceVersion": metadata.resource_version, "uid": metadata.uid});
        tree::put(&mut patch, &["metadata"], identity);
        patch
    }

    fn references(&self) -> Vec<ResourceReference<'_>> {
        match self.version {
            Version::V1 => v1::references(&self.object.data).collect(),
            Version::V2 => v2::references(&self.object.data, self.shape),
        }
    }

    fn as_v1(&self) -> v1::V1Snapshot<'_> {
        v1::V1Snapshot { name: self.name(), object: &self.object.data, sources: &self.sources }
    }

    /// The workloads of the namespace whose pods show whether people can log in with the owner's entries.
    pub(super) fn answering_logins(
        &self,
        workloads: Vec<WorkloadController>,
        owner: &Owner,
    ) -> Vec<WorkloadController> {
        match self.version {
            Version::V1 => logins::of_release(workloads, self.name()),
            Version::V2 => logins::among(workloads, owner),
        }
    }

    /// The first workload that answers logins, whether it has entries or not, and its container that does.
    pub(super) fn serving_logins(
        &self,
        workloads: &[WorkloadController],
        owner: &Owner,
    ) -> Option<(WorkloadController, Option<String>)> {
        logins::serving(workloads, self.name(), owner)
    }

    /// Says, as a clause, which of these workloads lack entries of the owner.
    pub(super) fn lacking(&self, workloads: &[WorkloadController], owner: &Owner) -> Option<String> {
        let different = self.differences(workloads, owner)?;
        Some(format!("{} does not have all of the entries yet", enumerate(different.titles())))
    }

    fn managed(&self) -> ManagedFields<'_> {
        ManagedFields::of(&self.object.metadata)
    }

    pub(super) fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }
}
