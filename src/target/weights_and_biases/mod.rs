//! The W&B operator's own resource, in the version that is stored.
//!
//! In reading order: [`version`] tells the version and [`shape`] what its fields are like, [`v1`] and [`v2`] where
//! each setting stands in it, and [`edit`] how an entry comes and goes; [`reference`], [`authorities`], [`conflicts`]
//! and [`tree`] are its parts. A change is a merge patch with the version that was seen, since the list of environment
//! variables is one value that several resources share.

mod authorities;
mod conflicts;
mod edit;
mod reference;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
mod v1;
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
    reference::Reference,
    shape::Shape,
    version::Version,
};
use super::{
    Change, Delivery, Environment, Moved, Owner, Standing, managed_fields::ManagedFields, rights::forbidden,
};
use crate::problem::Problem;

/// A `WeightsAndBiases` resource, as it was read.
#[derive(Clone, Debug)]
pub struct WeightsAndBiases {
    version: Version,
    /// What its fields for OIDC are like.
    shape: Shape,
    object: DynamicObject,
}

/// The W&B operator's resource in the version that is stored; nothing where none can be used.
pub async fn stored_resource(client: &Client) -> Result<Option<ApiResource>, kube::Error> {
    Ok(version::stored(client).await?.ok().flatten().map(Version::resource))
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
    match api.get_opt(name).await {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(object)) => {
            let shape = match version {
                Version::V1 => Shape::default(),
                Version::V2 => shape::served(client).await?,
            };
            Ok(Ok(Some(WeightsAndBiases { version, shape, object })))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(Err(forbidden("read", &format!("WeightsAndBiases/{name}"), &version.resource())))
        }
        Err(error) => Err(error),
    }
}

/// What a delivery makes of a resource that has nothing of anybody's yet, in each version.
pub(super) fn preview(name: &str, owner: &Owner, delivery: &Delivery<'_>) -> Vec<Value> {
    let seen = json!({});
    let object = |version: Version| {
        let metadata = ObjectMeta::default();
        let mut edit = Edit::new(&seen, ManagedFields::of(&metadata), owner, Some(delivery.number), &[]);
        match version {
            Version::V1 => v1::edit(&mut edit, Some(delivery)),
            Version::V2 => v2::edit(&mut edit, Some(delivery), Shape::default()),
        }
        // Nothing of somebody else's can be in the way of an empty resource.
        let mut object = edit.finish(name).ok().flatten().unwrap_or_else(|| json!({}));
        let resource = version.resource();
        tree::put(&mut object, &["apiVersion"], json!(resource.api_version));
        tree::put(&mut object, &["kind"], json!(resource.kind));
        tree::put(&mut object, &["metadata", "name"], json!(name));
        object
    };
    [Version::V2, Version::V1].map(object).into()
}

impl WeightsAndBiases {
    pub(super) fn standing(&self, owner: &Owner) -> Standing {
        let own: Vec<_> = self
            .references()
            .into_iter()
            .filter_map(|reference| Some((owner.number_of(reference.secret)?, reference.path)))
            .collect();
        Standing {
            numbers: own.iter().map(|(number, _)| *number).collect(),
            applied_at: self.managed().last_change_by(&owner.manager),
            moved: own.iter().filter_map(|(_, path)| self.mover(path)).max_by_key(|moved| moved.at),
        }
    }

    /// Who set the reference at the path, if it was neither this operator nor the W&B operator.
    fn mover(&self, path: &[&str]) -> Option<Moved> {
        let owners: Vec<_> = self.managed().owners_of(path).collect();
        if owners.iter().any(|owner| is_operator(owner.manager)) {
            return None;
        }
        let people = owners.into_iter().filter(|owner| owner.manager != WANDB_OPERATOR);
        let newest = people.max_by_key(|owner| owner.at)?;
        Some(Moved { by: newest.manager.to_owned(), at: newest.at })
    }

    pub(super) fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        yielding: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        let number = delivery.map(|delivery| delivery.number);
        let mut edit = Edit::new(&self.object.data, self.managed(), owner, number, yielding);
        match self.version {
            Version::V1 => v1::edit(&mut edit, delivery),
            Version::V2 => v2::edit(&mut edit, delivery, self.shape),
        }
        Ok(edit.finish(self.name())?.map(|patch| Change::Merge(self.for_this_version(patch))))
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
            Version::V1 => v1::environment(&self.object.data),
            Version::V2 => v2::environment(&self.object.data),
        }
    }

    fn references(&self) -> Vec<Reference<'_>> {
        match self.version {
            Version::V1 => v1::references(&self.object.data).collect(),
            Version::V2 => v2::references(&self.object.data, self.shape),
        }
    }

    fn managed(&self) -> ManagedFields<'_> {
        ManagedFields::of(&self.object.metadata)
    }

    pub(super) fn resource(&self) -> ApiResource {
        self.version.resource()
    }

    pub(super) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }
}
