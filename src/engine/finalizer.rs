//! Finalizers: a resource stays until what was made for it elsewhere is gone.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};

use super::{Context, Kind, RemoteState, Values, publish::secret::field_manager};
use crate::error::{Error, in_words};

/// What keeps a resource from going before its traces are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finalizer {
    /// Entries in a target, and the revisions that they refer to.
    Target,
    /// What [`Kind::cleanup`] takes away.
    RemoteCredentials,
}

impl Finalizer {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Target, Self::RemoteCredentials];

    /// Whether any of them holds the resource.
    pub(super) fn is_on(object: &impl Resource) -> bool {
        Self::ALL.into_iter().any(|finalizer| finalizer.holds(object))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Target => "auth.wandb.com/target",
            Self::RemoteCredentials => "auth.wandb.com/remote-credentials",
        }
    }

    /// Whether it holds the resource.
    pub(super) fn holds(self, object: &impl Resource) -> bool {
        object.finalizers().iter().any(|finalizer| finalizer == self.name())
    }
}

/// Whether the very resource is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ResourcePresence {
    There,
    /// The same, and this process made one version of it of another.
    Changed {
        from: String,
        to: String,
    },
    Gone,
}

impl<K: Kind> Context<K> {
    /// Puts back the finalizers that somebody took away while there is still something to clean up. Where that is
    /// refused, the step of the run that needs the finalizer reports it.
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
            match self.hold(object, finalizer).await {
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

    /// Makes the resource's deletion wait for [`release`](super::deletion::release).
    pub(super) async fn hold(&self, object: &K, finalizer: Finalizer) -> Result<(), Error> {
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
            // What is made for a resource that is gone would stay for ever.
            ResourcePresence::Gone => Err(Error::Gone),
        }
    }

    /// Lets the resource's deletion go on without these.
    pub(super) async fn let_go(
        &self,
        object: &impl Resource<DynamicType = ()>,
        let_go: &[Finalizer],
    ) -> Result<(), Error> {
        self.set_finalizers(object, |mut finalizers| {
            finalizers.retain(|present| let_go.iter().all(|finalizer| present != finalizer.name()));
            finalizers
        })
        .await?;
        Ok(())
    }

    /// Changes the finalizers at the version that was read, so that nobody else's is lost.
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
            // Something in between may answer so, too.
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
