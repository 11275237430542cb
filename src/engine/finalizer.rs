//! Finalizers keep a deleted resource until the operator has cleaned up what it made for that resource elsewhere.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};

use super::{Context, Kind, RemoteState, Values, publish::secret::field_manager};
use crate::error::{Error, in_words};

/// The finalizers that delay the deletion of a resource until the operator has cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalizer {
    /// The resource has entries in a target, and revisions to which they refer.
    Target,
    /// The resource has something at a remote server that [`Kind::cleanup`] removes.
    RemoteCredentials,
}

impl Finalizer {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Target, Self::RemoteCredentials];

    /// Whether the resource has any of the finalizers.
    pub(super) fn is_on(object: &impl Resource) -> bool {
        Self::ALL.into_iter().any(|finalizer| finalizer.holds(object))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Target => "auth.wandb.com/target",
            Self::RemoteCredentials => "auth.wandb.com/remote-credentials",
        }
    }

    /// Whether the resource has this finalizer.
    pub(super) fn holds(self, object: &impl Resource) -> bool {
        object.finalizers().iter().any(|finalizer| finalizer == self.name())
    }
}

/// Whether the resource still exists with the same uid.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ResourcePresence {
    There,
    /// It exists, and this process changed it from one version to another.
    Changed {
        from: String,
        to: String,
    },
    Gone,
}

impl<K: Kind> Context<K> {
    /// Adds finalizers again that somebody removed while there is still something to clean up. If the API server
    /// refuses that, the step of the run that needs the finalizer reports it.
    pub(super) async fn add_finalizers_again(
        &self,
        object: &K,
        published: Option<&Values>,
    ) -> Result<(), Error> {
        let has_delivered = object.common().target.is_some()
            && object.status().is_some_and(|status| status.revision.is_some());
        let leaves_remote_state = object.remote_state(published) == RemoteState::Remote;
        let needed =
            [(Finalizer::Target, has_delivered), (Finalizer::RemoteCredentials, leaves_remote_state)];
        for (finalizer, _) in needed.into_iter().filter(|(_, is_needed)| *is_needed) {
            match self.add_finalizer(object, finalizer).await {
                Err(Error::Api(error)) => {
                    let (namespace, name) = (object.namespace(), object.name_any());
                    let words = in_words(&error);
                    tracing::warn!(
                        namespace,
                        name,
                        error = words,
                        "the resource's finalizer was not put back"
                    );
                }
                held => held?,
            }
        }
        Ok(())
    }

    /// Adds the finalizer, so that a deletion of the resource waits for [`release`](super::deletion::release).
    pub(super) async fn add_finalizer(&self, object: &K, finalizer: Finalizer) -> Result<(), Error> {
        if finalizer.holds(object) {
            return Ok(());
        }
        let set = self.set_finalizers(object, |mut finalizers| {
            if !finalizers.iter().any(|present| present == finalizer.name()) {
                finalizers.push(finalizer.name().to_owned());
            }
            finalizers
        });
        match set.await? {
            ResourcePresence::There => Ok(()),
            ResourcePresence::Changed { from, to } => {
                self.memory.changed(object, &from, &to);
                Ok(())
            }
            // Anything that is made for a resource that does not exist any more would never be cleaned up.
            ResourcePresence::Gone => Err(Error::Gone),
        }
    }

    /// Removes these finalizers, so that the deletion of the resource can go on.
    pub(super) async fn remove_finalizers(
        &self,
        object: &impl Resource<DynamicType = ()>,
        removed: &[Finalizer],
    ) -> Result<(), Error> {
        self.set_finalizers(object, |mut finalizers| {
            finalizers.retain(|present| removed.iter().all(|finalizer| present != finalizer.name()));
            finalizers
        })
        .await?;
        Ok(())
    }

    /// Changes the finalizers on the version that was just read, so that no finalizer of somebody else is lost.
    async fn set_finalizers(
        &self,
        object: &impl Resource<DynamicType = ()>,
        change: impl FnOnce(Vec<String>) -> Vec<String>,
    ) -> Result<ResourcePresence, Error> {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let Some(current) = api.get_metadata_opt(&object.name_any()).await? else {
            return Ok(ResourcePresence::Gone);
        };
        if current.uid() != object.uid() {
            return Ok(ResourcePresence::Gone);
        }
        let before = current.metadata.finalizers.clone().unwrap_or_default();
        let after = change(before.clone());
        if after == before {
            return Ok(ResourcePresence::There);
        }
        let patch = serde_json::json!({
            "metadata": {
                "resourceVersion": current.metadata.resource_version,
                "finalizers": after,
            },
        });
        let parameters = PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
        let patched: Result<PartialObjectMeta<K>, _> =
            api.patch_metadata(&object.name_any(), &parameters, &Patch::Merge(patch)).await;
        match patched {
            Ok(patched) => Ok(match (current.resource_version(), patched.resource_version()) {
                (Some(from), Some(to)) => ResourcePresence::Changed { from, to },
                _ => ResourcePresence::There,
            }),
            // A proxy between the operator and the API server may also answer with 404, so this is confirmed by
            // another read.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {
                let present = api.get_metadata_opt(&object.name_any()).await?;
                if present.is_some_and(|present| present.uid() == object.uid()) {
                    return Err(kube::Error::Api(answer).into());
                }
                Ok(ResourcePresence::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }
}
