//! Reads, creates and deletes the pod of a resource and the Secret with its values.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::de::DeserializeOwned;

use super::candidate::{Belonging, PodCheck, name_of};
use crate::{
    engine::{
        Context, Kind, Values,
        publish::secret::{field_manager, values_of},
    },
    error::{Error, in_words},
    problem::quote,
};

/// The pod that has the name of a resource's own one.
pub(super) enum PodView {
    /// There is none.
    Absent,
    /// It is somebody else's.
    Foreign,
    /// It is the resource's own, or that of an earlier resource of the same name.
    Found(Box<Pod>),
    /// The same, but it is being deleted, and was to be gone at this time.
    Ending(Box<Pod>, Timestamp),
    /// The operator may not look.
    Forbidden(String),
}

/// What became of a creation.
pub(super) enum Creation {
    /// The object is there.
    Created,
    /// An object of that name was there already.
    Exists,
    /// The API server did not take it, in these words.
    Refused(String),
}

fn api<T, K: Kind>(object: &K, context: &Context<K>) -> Api<T>
where
    T: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default())
}

/// Looks for the pod of a resource.
pub(super) async fn find<K: Kind>(object: &K, context: &Context<K>) -> Result<PodView, Error> {
    Ok(match api::<Pod, K>(object, context).get_opt(&name_of(object)).await {
        Ok(None) => PodView::Absent,
        Ok(Some(pod)) if Belonging::of(&pod.metadata, object) == Belonging::Foreign => PodView::Foreign,
        Ok(Some(pod)) => match pod.metadata.deletion_timestamp.as_ref().map(|time| time.0) {
            Some(time) => PodView::Ending(Box::new(pod), time),
            None => PodView::Found(Box::new(pod)),
        },
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            PodView::Forbidden(quote(&status.message).trim_end_matches('.').to_owned())
        }
        Err(error) => return Err(error.into()),
    })
}

/// Creates the Secret of a check. One that was left by a check of earlier inputs, or has other values, is deleted first.
pub(super) async fn create_secret<K: Kind>(
    check: &PodCheck<'_, K>,
    secret: &Secret,
    context: &Context<K>,
) -> Result<Creation, Error> {
    let secrets = api::<Secret, K>(check.object, context);
    let created = created(secrets.create(&parameters::<K>(), secret).await)?;
    let Creation::Exists = created else { return Ok(created) };
    let Some(present) = secrets.get_opt(&check.name).await? else { return Ok(Creation::Exists) };
    match Belonging::of(&present.metadata, check.object) {
        // Somebody may have made one with other values.
        Belonging::Own if is_as_made(&present, secret) && check.is_of_inputs(&present.metadata) => {
            Ok(Creation::Created)
        }
        Belonging::Own | Belonging::Former if is_kept(&present.metadata, context.cluster.seconds()) => {
            Ok(Creation::Refused(format!(
                "the Secret \"{}\" of an earlier check is still being deleted, since a finalizer keeps it: {}",
                check.name,
                present.finalizers().join(", ")
            )))
        }
        Belonging::Own | Belonging::Former => {
            delete(&secrets, &check.name, &present.metadata).await?;
            Ok(Creation::Exists)
        }
        Belonging::Foreign => Ok(Creation::Refused(format!(
            "a Secret \"{}\" exists and does not belong to this resource; rename it or delete it",
            check.name
        ))),
    }
}

/// Whether a Secret has not gone for so long that it will not by itself.
fn is_kept(present: &ObjectMeta, now: Timestamp) -> bool {
    const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
    let deleted = present.deletion_timestamp.as_ref();
    deleted.is_some_and(|deleted| now.duration_since(deleted.0) > PATIENCE)
}

/// Whether a Secret has exactly the values that it would get.
fn is_as_made(present: &Secret, wanted: &Secret) -> bool {
    present.data == wanted.data && present.immutable == wanted.immutable && present.type_ == wanted.type_
}

/// Creates the pod of a check.
pub(super) async fn create_pod<K: Kind>(
    object: &K,
    pod: &Pod,
    context: &Context<K>,
) -> Result<Creation, Error> {
    created(api::<Pod, K>(object, context).create(&parameters::<K>(), pod).await)
}

fn parameters<K: Kind>() -> PostParams {
    PostParams { field_manager: Some(field_manager::<K>()), ..PostParams::default() }
}

fn created<T>(answer: kube::Result<T>) -> Result<Creation, Error> {
    match answer {
        Ok(_) => Ok(Creation::Created),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Creation::Exists),
        Err(kube::Error::Api(status)) if is_refusal(status.code) => {
            let words = in_words(&kube::Error::Api(status));
            Ok(Creation::Refused(quote(words.trim_end_matches('.'))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the API server says by this code that it does not take the object. By other codes it says that it cannot
/// answer now, such as during an update or while it has too much to do.
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && ![408, 429].contains(&code)
}

/// What is known of the resource's own Secret of a check, if there is one.
pub(super) async fn find_secret<K: Kind>(
    object: &K,
    context: &Context<K>,
) -> Result<Option<ObjectMeta>, Error> {
    let found = api::<Secret, K>(object, context).get_metadata_opt(&name_of(object)).await?;
    let own = found.filter(|found| Belonging::of(&found.metadata, object) == Belonging::Own);
    Ok(own.map(|own| own.metadata))
}

/// The values that the pod of the resource has, if they can be read.
pub(super) async fn values<K: Kind>(object: &K, context: &Context<K>) -> Result<Option<Values>, Error> {
    let secret = api::<Secret, K>(object, context).get_opt(&name_of(object)).await?;
    let own = secret.filter(|secret| Belonging::of(&secret.metadata, object) == Belonging::Own);
    Ok(own.as_ref().map(values_of))
}

/// Deletes the Secret of the resource and then its pod, so that no Secret is left where there is no pod. What is
/// somebody else's stays.
pub(super) async fn remove<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    let name = name_of(object);
    remove_own(&api::<Secret, K>(object, context), &name, object).await?;
    remove_own(&api::<Pod, K>(object, context), &name, object).await
}

/// Deletes the Secret of the resource alone.
pub(super) async fn remove_secret<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    remove_own(&api::<Secret, K>(object, context), &name_of(object), object).await
}

async fn remove_own<T, K: Kind>(api: &Api<T>, name: &str, object: &K) -> Result<(), Error>
where
    T: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let Some(present) = api.get_metadata_opt(name).await? else { return Ok(()) };
    if Belonging::of(&present.metadata, object) == Belonging::Foreign {
        return Ok(());
    }
    delete(api, name, &present.metadata).await
}

/// Deletes exactly the object that was read.
async fn delete<T>(api: &Api<T>, name: &str, present: &ObjectMeta) -> Result<(), Error>
where
    T: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    if present.deletion_timestamp.is_some() {
        return Ok(());
    }
    let preconditions = Preconditions { uid: present.uid.clone(), resource_version: None };
    match api.delete(name, &DeleteParams::default().preconditions(preconditions)).await {
        Ok(_) => Ok(()),
        // It is gone, or another one has its name.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_what_the_api_server_does_not_take_is_refused() {
        let of = |code: u16, reason: &str| {
            let status =
                Status { code, reason: reason.to_owned(), message: "No.".to_owned(), ..Status::default() };
            created::<()>(Err(kube::Error::Api(Box::new(status))))
        };
        for (code, reason) in [(400, "BadRequest"), (403, "Forbidden"), (413, ""), (422, "Invalid")] {
            assert!(matches!(of(code, reason), Ok(Creation::Refused(_))), "{code}");
        }
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(of(code, "").is_err(), "{code}");
        }
        assert!(matches!(of(409, "AlreadyExists"), Ok(Creation::Exists)));
    }

    #[test]
    fn a_secret_with_other_values_is_not_taken_for_the_one_of_the_check() {
        let secret = |value: &str| Secret {
            data: Some([("A".to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
            immutable: Some(true),
            ..Secret::default()
        };
        assert!(is_as_made(&secret("a"), &secret("a")));
        assert!(!is_as_made(&secret("b"), &secret("a")));
        assert!(!is_as_made(&Secret { immutable: None, ..secret("a") }, &secret("a")));
    }
}
