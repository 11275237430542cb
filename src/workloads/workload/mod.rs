//! Delivers values to Deployments and `StatefulSet`s, as `env` entries and files in the pod template.
//!
//! In reading order: [`controller`] wraps both types, an [`Item`] is one entry of the lists in a pod template,
//! [`ownership`] finds the field managers of an entry, [`wanted`] is what a delivery makes of the template,
//! [`conflicts`] finds what is in its way, [`rewrite`] takes that over, [`removal`] takes everything out, and
//! [`remarks`] finds settings that make rollouts interrupt the service.

mod conflicts;
mod controller;
mod item;
mod ownership;
mod remarks;
mod removal;
mod rewrite;
mod wanted;

pub use wanted::{AUTHORITIES, DIRECTORY_AUTHORITIES};

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Container, EnvVar, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::controller::WorkloadController;
use self::{
    item::{Item, List, references},
    ownership::Ownership,
    wanted::{WantedEntries, place_of},
};
use super::{
    AppliedState, Change, Delivery, Dialect, EntryHolder, Environment, Owner, PresentVariable, RepointedBy,
    Target,
    present::{OtherSources, origins},
    read_target::ReadTarget,
    rights::forbidden,
};
use crate::{
    api::Reason,
    error::StepError,
    problem::{Problem, enumerate},
};

/// A Deployment or a StatefulSet, as it was read.
#[derive(Clone, Debug)]
pub struct Workload {
    target: Target,
    /// The containers that the target names. `None` in the list means the only container of the pod.
    containers: Vec<Option<String>>,
    /// The object as the API server sent it, with fields that the typed form may not know.
    object: DynamicObject,
    /// The same object in typed form.
    controller: WorkloadController,
}

pub(super) async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
) -> Result<Option<Workload>, StepError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(target));
    match api.get_opt(target.name()).await {
        Ok(None) => Ok(None),
        Ok(Some(object)) => {
            let workload = Workload::parse(target.clone(), object).map_err(kube::Error::SerdeError)?;
            Ok(Some(workload))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Err(forbidden("read", &target.to_string(), &resource(target)).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows what a delivery adds to a workload that has no entries yet.
pub(super) fn preview(
    target: &Target,
    containers: &[Option<String>],
    owner: &Owner,
    delivery: &Delivery<'_>,
) -> Value {
    let resource = resource(target);
    let containers = containers.iter().map(|named| named.as_deref().unwrap_or("<the only container>"));
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": target.name()},
        "spec": WantedEntries::new(containers, owner, delivery).spec(),
    })
}

/// The settings of the server that this container shows.
fn environment_of(container: &Container) -> Environment {
    let mut literals = BTreeMap::new();
    let mut references = BTreeSet::new();
    for entry in container.env.iter().flatten() {
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
    let dialect = container.image.as_deref().map_or_else(Dialect::default, Dialect::of_image);
    let other_sources = OtherSources::of(container);
    Environment { literals, references, other_sources, host, dialect, remarks: None }
}

fn resource(target: &Target) -> ApiResource {
    match target {
        Target::StatefulSet(_) => ApiResource::erase::<StatefulSet>(&()),
        Target::Deployment(_) | Target::WeightsAndBiases { .. } | Target::Several(_) => {
            ApiResource::erase::<Deployment>(&())
        }
    }
}

impl ReadTarget for Workload {
    fn standing(&self, owner: &Owner) -> AppliedState {
        let ownership = self.ownership();
        let references = references(self.template(), owner);
        let containers = self.present_containers();
        // A person may refer to a revision in other containers, too. That does not repoint the delivered entries.
        let delivered = references.iter().filter(|(item, _)| match item {
            Item::Variable(place, _) => {
                place.list == List::Containers && containers.iter().any(|each| each.name == place.container)
            }
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
        AppliedState {
            numbers: references.iter().map(|(_, number)| *number).collect(),
            applied_at: ownership
                .applied(&owner.manager)
                .and_then(|entry| entry.time.as_ref())
                .map(|time| time.0),
            moved: moved.map(|entry| RepointedBy {
                by: entry.manager.clone().unwrap_or_default(),
                at: entry.time.as_ref().map(|time| time.0),
            }),
            undone: None,
        }
    }

    fn change(
        &self,
        owner: &Owner,
        delivery: Option<&Delivery<'_>>,
        displaced: &[Owner],
    ) -> Result<Option<Change>, Problem> {
        let Some(delivery) = delivery else {
            return Ok(removal::change(self, owner));
        };
        let containers = self.containers()?;
        let wanted = WantedEntries::of(&containers, owner, delivery);
        let refused = containers.iter().map(|container| {
            wanted.refuse_variables(self, container, displaced)?;
            wanted.refuse_files(self, container)
        });
        Problem::all(refused.filter_map(Result::err))?;
        Ok(self.towards(&wanted, &containers, displaced))
    }

    fn take_over(&self, owner: &Owner, delivery: &Delivery<'_>) -> Result<Option<Change>, Problem> {
        let containers = self.containers()?;
        let wanted = WantedEntries::of(&containers, owner, delivery);
        Problem::all(containers.iter().filter_map(|container| wanted.refuse_files(self, container).err()))?;
        Ok(self.towards(&wanted, &containers, &[]))
    }

    fn present(&self, owner: &Owner, delivery: &Delivery<'_>, displaced: &[Owner]) -> Vec<PresentVariable> {
        let Ok(containers) = self.containers() else { return Vec::new() };
        let wanted = WantedEntries::of(&containers, owner, delivery);
        let concerns = |variable: &PresentVariable| {
            variable.holder == EntryHolder::Own || wanted.variables.contains(&variable.name.as_str())
        };
        let of_container = |container: &&Container| {
            let entries = container.env.as_deref().unwrap_or_default();
            let other_sources = OtherSources::of(container);
            let place = place_of(&container.name);
            let variable = |(entry, value): (&EnvVar, _)| {
                let item = Item::Variable(place.clone(), entry.name.clone());
                PresentVariable {
                    name: entry.name.clone(),
                    container: format!("\"{}\" of {}", container.name, self.target()),
                    holder: wanted.holder(self, &place, entry, displaced),
                    value,
                    managers: wanted.managers(self, &[item]).into_iter().map(str::to_owned).collect(),
                }
            };
            let present = entries.iter().zip(origins(entries, other_sources)).map(variable);
            present.filter(concerns).collect::<Vec<_>>()
        };
        containers.iter().flat_map(of_container).collect()
    }

    fn environment(&self) -> Environment {
        let containers = Environment::merged(self.present_containers().into_iter().map(environment_of));
        Environment {
            remarks: Some(remarks::interruption(&self.controller).into_iter().collect()),
            ..containers
        }
    }

    fn resource(&self) -> ApiResource {
        resource(&self.target)
    }

    fn name(&self) -> &str {
        self.target.name()
    }
}

impl Workload {
    /// Converts the object to its typed form.
    fn parse(target: Target, object: DynamicObject) -> Result<Self, serde_json::Error> {
        let value = serde_json::to_value(&object)?;
        let controller = match target {
            Target::StatefulSet(_) => WorkloadController::StatefulSet(Deserialize::deserialize(&value)?),
            Target::Deployment(_) | Target::WeightsAndBiases { .. } | Target::Several(_) => {
                WorkloadController::Deployment(Deserialize::deserialize(&value)?)
            }
        };
        let containers = target.containers_of(&target);
        Ok(Self { target, containers, object, controller })
    }

    /// The same workload, with these containers instead of the one that the target names.
    pub(super) fn with_containers(self, containers: Vec<Option<String>>) -> Self {
        Self { containers, ..self }
    }

    /// The next change on the way to the wanted entries. At most one of these changes modifies the pod template.
    fn towards(
        &self,
        wanted: &WantedEntries<'_>,
        containers: &[&Container],
        displaced: &[Owner],
    ) -> Option<Change> {
        let configuration = || self.configuration(wanted.spec());
        if wanted.is_in_place(self, containers) {
            return (!wanted.is_owned(self)).then(|| Change::Claim(configuration()));
        }
        let leaves_any =
            |owner: &Owner| references(self.template(), owner).iter().any(|(item, _)| !wanted.replaces(item));
        // Server-side apply cannot remove a value that stands beside our reference, nor entries that somebody else
        // has or shares.
        let needs_rewriting = containers.iter().any(|container| wanted.is_obstructed(container))
            || removal::is_shared(self, wanted.owner, |item| wanted.is_left_over(item))
            || displaced.iter().any(leaves_any);
        if needs_rewriting {
            return Some(Change::Merge(rewrite::patch(self, wanted, displaced)));
        }
        Some(Change::Apply(configuration()))
    }

    pub(super) fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn controller(&self) -> &WorkloadController {
        &self.controller
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.controller.template()
    }

    fn ownership(&self) -> Ownership<'_> {
        Ownership::new(self.object.metadata.managed_fields.as_deref().unwrap_or_default())
    }

    /// The containers that the target names, each once. It is a problem if one of them does not exist.
    fn containers(&self) -> Result<Vec<&Container>, Problem> {
        Problem::all(self.containers.iter().filter_map(|named| self.container(named.as_ref()).err()))?;
        Ok(self.present_containers())
    }

    /// The containers that the target names and that exist, in the order of the template. Server-side apply would
    /// reorder the template to follow any other order.
    fn present_containers(&self) -> Vec<&Container> {
        let meant = self.containers.iter().filter_map(|named| self.container(named.as_ref()).ok());
        let meant: BTreeSet<&str> = meant.map(|container| container.name.as_str()).collect();
        let containers = self.template().and_then(|template| template.spec.as_ref());
        let containers = containers.into_iter().flat_map(|spec| &spec.containers);
        containers.filter(|container| meant.contains(container.name.as_str())).collect()
    }

    /// The container of this name or, without a name, the only container.
    fn container(&self, named: Option<&String>) -> Result<&Container, Problem> {
        let containers = self.template().and_then(|template| template.spec.as_ref());
        let containers = containers.map(|spec| spec.containers.as_slice()).unwrap_or_default();
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
                format!(
                    "{seen}: {listed}. In spec.target, set the container of {} to the one that runs W&B Server.",
                    self.target
                ),
            )
        })
    }

    /// The names of the containers that the target names and that exist.
    pub(super) fn container_names(&self) -> Vec<&str> {
        self.present_containers().into_iter().map(|container| container.name.as_str()).collect()
    }

    /// A server-side apply configuration with this spec. It pins the version of the snapshot.
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

    /// Metadata that pins the version of the snapshot: a write with it fails if the object was changed, replaced or
    /// deleted since, and it never creates an object.
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
pub(super) mod samples;
#[cfg(test)]
mod tests;
