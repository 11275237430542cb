//! The W&B operator's own resource, in the version that is stored.
//!
//! In reading order: [`version`] tells the version and [`shape`] what its fields are like, [`v1`] and [`v2`] where
//! each setting stands in it, and [`edit`] how an entry comes and goes; [`reference`], [`origin`], [`authorities`],
//! [`conflicts`] and [`tree`] are its parts. A change is a merge patch with the version that was seen, since the list of environment
//! variables is one value that several resources share.

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
    effects::workloads, managed_fields::ManagedFields, rights::forbidden, workload::WorkloadController,
};
use crate::problem::{Problem, enumerate};

/// A `WeightsAndBiases` resource, as it was read.
#[derive(Clone, Debug)]
pub struct WeightsAndBiases {
    version: Version,
    /// What its fields for OIDC are like.
    shape: OidcFieldShape,
    object: DynamicObject,
    /// What the W&B operator v1 merges with it; nothing in other versions.
    sources: v1::ValueSources,
    /// What the W&B operator v1 made of it to answer logins; nothing in other versions, where that operator
    /// keeps what it made as it is.
    logins: Vec<WorkloadController>,
}

/// The W&B operator's resource in the version that is stored; nothing where none can be used.
pub async fn stored_resource(client: &Client) -> Result<Option<ApiResource>, kube::Error> {
    Ok(version::stored(client).await?.ok().flatten().map(Version::resource))
}

/// The `WeightsAndBiases` that a Deployment was made of by the W&B operator v1, if it answers logins.
pub fn rendered_of(deployment: &ObjectMeta) -> Option<&str> {
    logins::release_answering_logins(deployment)
}

pub(super) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Result<Option<WeightsAndBiases>, Problem>, kube::Error> {
    let version = match version::stored(client).await? {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(Ok(None)),
        Err(problem) => return Ok(Err(problem)),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &version.resource());
    let object = match api.get_opt(name).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Ok(None)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            return Ok(Err(forbidden("read", &format!("WeightsAndBiases/{name}"), &version.resource())));
        }
        Err(error) => return Err(error),
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
            seen.logins = match workloads(client, namespace).await? {
                Ok(workloads) => logins::of_release(workloads, name),
                Err(problem) => return Ok(Err(problem)),
            };
        }
        Version::V2 => seen.shape = shape::served(client).await?,
    }
    Ok(Ok(Some(seen)))
}

/// What a delivery makes of a resource that has nothing of anybody's yet, in each version.
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
        // Nothing of somebody else's can be in the way of an empty resource.
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

impl WeightsAndBiases {
    pub(super) fn standing(&self, owner: &Owner) -> AppliedState {
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

    /// What the workloads that answer logins have instead of what the resource says of the owner.
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

    /// Makes the W&B operator v1 apply everything again, which it does for a change of the resource only.
    pub(super) fn repair(&self, owner: &Owner, undone: &Undone) -> Result<Option<Change>, Problem> {
        let mut edit = Edit::new(&self.object.data, self.managed(), owner, None, &[]);
        let generation = |(title, generation): &(String, Option<i64>)| {
            format!("{title} at generation {}", generation.unwrap_or_default())
        };
        let cause: Vec<_> = undone.workloads.iter().map(generation).collect();
        v1::reapply(&mut edit, &cause.join(", "));
        Ok(edit.finish(self.name())?.map(|patch| Change::Merge(self.for_this_version(patch))))
    }

    /// Who set the reference at the path, if it was neither this operator nor the W&B operator.
    fn mover(&self, path: &[&str]) -> Option<RepointedBy> {
        let owners: Vec<_> = self.managed().owners_of(path).collect();
        if owners.iter().any(|owner| is_operator(owner.manager)) {
            return None;
        }
        let people = owners.into_iter().filter(|owner| owner.manager != WANDB_OPERATOR);
        let newest = people.max_by_key(|owner| owner.at)?;
        Some(RepointedBy { by: newest.manager.to_owned(), at: newest.at })
    }

    pub(super) fn change(
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

    /// The resource as it is once the entries of these owners are out; nothing where they have none. One change leads
    /// from theirs to those of whoever takes their place.
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

    /// The resource with the entries of the delivery.
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

    /// The same, where what others have set is taken over.
    pub(super) fn take_over(
        &self,
        owner: &Owner,
        delivery: &Delivery<'_>,
    ) -> Result<Option<Change>, Problem> {
        self.finished(self.takeover(owner, delivery, &[])?)
    }

    /// What others have set of what is to be delivered.
    pub(super) fn present(
        &self,
        owner: &Owner,
        delivery: &Delivery<'_>,
        displaced: &[Owner],
    ) -> Vec<PresentVariable> {
        // What keeps the delivery from being decided is told by the change.
        let Ok(edit) = self.takeover(owner, delivery, displaced) else { return Vec::new() };
        match self.version {
            Version::V1 => v1::present(edit, &self.as_v1(), &v1::names(delivery)),
            Version::V2 => edit.occupied(),
        }
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

    /// The patch for the object and the version that was seen, and for no other.
    fn for_this_version(&self, mut patch: Value) -> Value {
        let metadata = &self.object.metadata;
        let identity = json!({"resourceVersion": metadata.resource_version, "uid": metadata.uid});
        tree::put(&mut patch, &["metadata"], identity);
        patch
    }

    pub(super) fn environment(&self) -> Environment {
        match self.version {
            Version::V1 => v1::environment(&self.as_v1()),
            Version::V2 => v2::environment(&self.object.data),
        }
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

    /// Those of the namespace's workloads whose pods tell whether people can log in with the owner's entries.
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

    /// What these workloads lack of the owner's entries, as a clause.
    pub(super) fn lacking(&self, workloads: &[WorkloadController], owner: &Owner) -> Option<String> {
        let different = self.differences(workloads, owner)?;
        Some(format!("{} has not all of the entries", enumerate(different.titles())))
    }

    fn managed(&self) -> ManagedFields<'_> {
        ManagedFields::of(&self.object.metadata)
    }

    pub(super) fn resource(&self) -> ApiResource {
        self.version.resource()
    }

    pub(super) fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}
