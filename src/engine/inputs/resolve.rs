//! The step that resolves: reads what the spec refers to, and the Secret that the resource publishes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::references::fetch;
use crate::engine::{
    Context, Existing, Fetched, Kind, ObjectKey, Values, publish::secret, references, run_record::observed,
};
use crate::{api::status::ObservedReference, error::Error};

/// What a run has read of the cluster.
pub(in crate::engine) struct Resolved {
    /// The referenced objects.
    pub(in crate::engine) objects: BTreeMap<ObjectKey, Fetched>,
    /// The object under the Secret's name.
    pub(in crate::engine) present: Option<Secret>,
    /// What that object is to the resource.
    pub(in crate::engine) existing: Existing,
}

impl Resolved {
    /// The values in the published Secret.
    pub(in crate::engine) fn published(&self) -> Option<&Values> {
        self.existing.values()
    }

    /// The versions of the referenced objects, for the status.
    pub(in crate::engine) fn observed(&self) -> Vec<ObservedReference> {
        observed(&self.objects)
    }
}

/// Reads the objects of a resource. The references of a suspended one are not followed.
pub(in crate::engine) async fn resolve<K: Kind>(object: &K, context: &Context<K>) -> Result<Resolved, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let references = if object.common().suspend { Vec::new() } else { references(object) };
    let (objects, (present, existing)) = tokio::try_join!(
        fetch(&context.client, &namespace, &references),
        secret::read(&context.client, object)
    )?;
    context.observe(object, &objects, (present.as_ref(), &existing));
    context.add_finalizers_again(object, existing.values()).await?;
    Ok(Resolved { objects, present, existing })
}
