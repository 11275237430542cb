//! Deployments and `StatefulSet`s: env entries and files in the pod template.
//!
//! In reading order: an [`Item`] is one entry of the lists in a pod template, [`ownership`] tells which field
//! managers have it, [`wanted`] is what a delivery makes of the template, and [`removal`] takes it out.

mod controller;
mod item;
mod ownership;
mod remarks;
mod removal;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Container, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

pub(super) use self::controller::Controller;
use self::{
    item::{Item, List, references},
    ownership::Ownership,
    wanted::Wanted,
};
use super::{
    Change, Delivery, Environment, Moved, Owner, Standing, Target, WorkloadAddress, rights::forbidden,
};
use crate::{
    api::Reason,
    problem::{Problem, enumerate},
};

/// A Deployment or a StatefulSet, as it was read.
#[derive(Clone, Debug)]
pub struct Workload {
    target: Target,
    /// As the API server sent it, with fields that the types below may not know.
    object: DynamicObject,
    /// The same in types.
    controller: Controller,
}

pub(super) async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
) -> Result<Result<Option<Workload>, Problem>, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(target));
    match api.get_opt(target.name()).await {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(object)) => {
            let workload = Workload::parse(target.clone(), object).map_err(kube::Error::SerdeError)?;
            Ok(Ok(Some(workload)))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(Err(forbidden("read", &target.to_string(), &resource(target))))
        }
        Err(error) => Err(error),
    }
}

/// What a delivery makes of a workload that has no entry of anybody's yet.
pub(super) fn preview(
    target: &Target,
    address: &WorkloadAddress,
    owner: &Owner,
    delivery: &Delivery<'_>,
) -> Value {
    let resource = resource(target);
    let container = address.container.as_deref().unwrap_or("<the only container>");
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": address.name},
        "spec": Wanted::new(container, owner, delivery).spec(),
    })
}

fn resource(target: &Target) -> ApiResource {
    match target {
        Target::StatefulSet(_) => ApiResource::erase::<StatefulSet>(&()),
        Target::Deployment(_) | Target::WeightsAndBiases { .. } => ApiResource::erase::<Deployment>(&()),
    }
}

impl Workload {
    /// The object in types.
    fn parse(target: Target, object: DynamicObject) -> Result<Self, serde_json::Error> {
        let value = serde_json::to_value(&object)?;
        let controller = match target {
            Target::StatefulSet(_) => Controller::StatefulSet(serde_json::from_value(value)?),
            Target::Deployment(_) | Target::WeightsAndBiases { .. } => {
                Controller::Deployment(serde_json::from_value(value)?)
            }
        };
        Ok(Self { target, object, controller })
    }

    /// How the owner's entries stand.
    pub(super) fn standing(&self, owner: &Owner) -> Standing {
        let ownership = self.ownership();
        let references = references(self.template(), owner);
        let container = self.container().ok().map(|container| &container.name);
        // A person may point other containers to a revision, which moves nothing.
        let delivered = references.iter().filter(|(item, _)| match item {
            Item::Variable(place, _) => place.list == List::Containers && Some(&place.container) == container,
            Item::Volume(name) => *name == owner.volume,
            Item::Container(_) | Item::Mount(..) => false,
        });
        let moved = delivered.filter_map(|(item, _)| {
            let holders = ownership.holders_of_reference(item);
            let ours = holders.iter().any(|entry| entry.manager.as_deref() == Some(&owner.manager));
            let latest = holders.into_iter().max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
            latest.filter(|_| !ours)
        });
        let moved = moved.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        Standing {
            numbers: references.iter().map(|(_, number)| *number).collect(),
            applied_at: ownership
                .applied(&owner.manager)
                .and_then(|entry| entry.time.as_ref())
                .map(|time| time.0),
            moved: moved.map(|entry| Moved {
                by: entry.manager.clone().unwrap_or_default(),
                at: entry.time.as_ref().map(|time| time.0),
            }),
            undone: None,
        }
    }

    /// What brings the owner's entries to the delivery, or out of the template where there is none.
    pub(super) fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        yielding: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        let Some(delivery) = delivery else {
            return Ok(removal::change(self, owner));
        };
        let container = self.container()?;
        let wanted = Wanted::new(&container.name, owner, delivery);
        wanted.refuse_others(self, container, yielding)?;
        if wanted.is_in_place(self, container) {
            return Ok(None);
        }
        if let Some(first) = removal::of_shared(self, owner, |item| wanted.is_left_over(item)) {
            return Ok(Some(first));
        }
        Ok(Some(Change::Apply(self.configuration(wanted.spec()))))
    }

    /// What the target's container and the way of its rollouts tell.
    pub(super) fn environment(&self) -> Environment {
        let entries = self.container().ok().and_then(|container| container.env.as_ref());
        let mut literals = BTreeMap::new();
        let mut references = BTreeSet::new();
        for entry in entries.into_iter().flatten() {
            match (&entry.value, &entry.value_from) {
                (_, Some(_)) => {
                    references.insert(entry.name.clone());
                }
                (value, None) => {
                    literals.insert(entry.name.clone(), value.clone().unwrap_or_default());
                }
            }
        }
        let host = literals.get("HOST").cloned();
        let remarks = remarks::interruption(&self.controller).into_iter().collect();
        Environment { literals, references, host, remarks: Some(remarks) }
    }

    pub(super) fn resource(&self) -> ApiResource {
        resource(&self.target)
    }

    pub(super) fn name(&self) -> &str {
        self.target.name()
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.controller.template()
    }

    fn ownership(&self) -> Ownership<'_> {
        Ownership::new(self.object.metadata.managed_fields.as_deref().unwrap_or_default())
    }

    /// The container that the target names, or the only one.
    fn container(&self) -> Result<&Container, Problem> {
        let (address, field) = match &self.target {
            Target::StatefulSet(address) => (Some(address), "spec.target.statefulSet.container"),
            Target::Deployment(address) => (Some(address), "spec.target.deployment.container"),
            Target::WeightsAndBiases { .. } => (None, ""),
        };
        let containers = self.template().and_then(|template| template.spec.as_ref());
        let containers = containers.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let named = address.and_then(|WorkloadAddress { container, .. }| container.as_ref());
        let found = match (named, containers) {
            (Some(name), _) => containers.iter().find(|container| container.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let seen = match named {
                Some(name) => format!("{} has no container \"{name}\", but these", self.target),
                None => format!("{} has several containers", self.target),
            };
            let listed = enumerate(containers.iter().map(|container| &container.name));
            Problem::new(
                Reason::ContainerNotFound,
                format!("{seen}: {listed}. Set {field} to the one that runs W&B Server."),
            )
        })
    }

    /// A server-side apply configuration with this spec, for the version that was seen.
    fn configuration(&self, spec: Option<Value>) -> Value {
        let resource = self.resource();
        let mut configuration = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": self.identity(),
        });
        if let (Some(spec), Some(fields)) = (spec, configuration.as_object_mut()) {
            fields.insert("spec".to_owned(), spec);
        }
        configuration
    }

    /// The metadata that pins the version that was seen: a write with it fails where the object was changed,
    /// replaced or deleted since, and never makes one.
    fn identity(&self) -> ObjectMeta {
        let seen = &self.object.metadata;
        ObjectMeta {
            name: seen.name.clone(),
            namespace: seen.namespace.clone(),
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
