//! The published Secret: how it is read, recognised as the resource's own, and written.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, Client, ResourceExt, api::PostParams};

use crate::engine::{
    Context, Existing, Kind, ObjectKey, ReferenceSource, SecretContent, Values,
    inputs::references::version_of,
};
use crate::{
    api::{DeletionPolicy, Reason, common::is_object_name},
    error::{Error, StepError},
    problem::Problem,
    sensitive::Sensitive,
    workloads::Owner,
};

/// The annotation that says which resource a Secret belongs to, also when it outlives that resource.
pub const OWNER_ANNOTATION: &str = "auth.wandb.com/owner";

/// The annotation with what a later run must know of the values, see [`Values::set_record`].
pub const RECORD_ANNOTATION: &str = "auth.wandb.com/record";

pub use crate::api::{MANAGED_BY_LABEL, MANAGER};

/// The type of every published Secret.
pub(in crate::engine) const SECRET_TYPE: &str = "Opaque";

/// The field manager under which a kind writes.
pub fn field_manager<K: Kind>() -> String {
    format!("{MANAGER}/{}", K::kind(&()).to_lowercase())
}

/// The name of the Secret that the resource publishes.
pub fn secret_name<K: Kind>(object: &K) -> String {
    let named = object.common().secret_name.clone();
    named.unwrap_or_else(|| default_secret_name::<K>(&object.name_any()))
}

/// The name of the Secret where the spec names none.
pub(in crate::engine) fn default_secret_name<K: Kind>(name: &str) -> String {
    format!("{name}-{}", K::SHORT_NAME)
}

/// The published Secret of a resource, as the index knows it.
pub(in crate::engine) fn published<K: Kind>(object: &K) -> ObjectKey {
    ObjectKey { source: ReferenceSource::Secret, name: secret_name(object).into() }
}

/// The names under which the resource appears in targets.
pub fn owner_in_targets<K: Kind>(object: &K) -> Owner {
    owner_named::<K>(&object.name_any(), secret_name(object))
}

/// The same names for a resource of this name.
pub(in crate::engine) fn owner_named<K: Kind>(name: &str, secret_name: String) -> Owner {
    Owner::new(&K::kind(&()), K::SHORT_NAME, &field_manager::<K>(), name, secret_name)
}

/// Reads the object under the Secret's name, and judges whether it belongs to the resource.
pub async fn read<K: Kind>(client: &Client, object: &K) -> Result<(Option<Secret>, Existing), kube::Error> {
    let name = secret_name(object);
    // The spec is not validated yet, so the name may be invalid.
    if !is_object_name(&name) {
        return Ok((None, Existing::Missing));
    }
    let secret = match api(client, object).get_opt(&name).await {
        Ok(secret) => secret,
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            return Ok((None, Existing::Untouchable(unreadable(object))));
        }
        Err(error) => return Err(error),
    };
    let existing = secret.as_ref().map_or(Existing::Missing, |secret| recognise(secret, object));
    Ok((secret, existing))
}

fn api<K: Kind>(client: &Client, object: &K) -> Api<Secret> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Decides whether the Secret belongs to the resource: by its controller, or by the annotation where it has none.
///
/// A resource of the same kind and name is the same owner, so that deleting and creating a resource
/// again takes its Secret over instead of leaving the pods without it.
fn recognise<K: Kind>(secret: &Secret, object: &K) -> Existing {
    let owner = owner::<K>(&object.name_any());
    let controller = secret.owner_references().iter().find(|reference| reference.controller == Some(true));
    let ours = match controller {
        Some(reference) => is_owner(reference, object),
        None => secret.annotations().get(OWNER_ANNOTATION) == Some(&owner),
    };
    if !ours || secret.type_.as_deref().is_some_and(|type_| type_ != SECRET_TYPE) {
        let whose = controller.map_or_else(
            || "it names no owner".to_owned(),
            |reference| format!("it belongs to {} {}", reference.kind, reference.name),
        );
        return Existing::Untouchable(Problem::new(
            Reason::SecretNotOwned,
            format!(
                "The Secret \"{}\" exists and does not belong to this resource ({whose}), so it is not changed. Create this resource with another spec.secretName, or delete that Secret if nothing reads it.",
                secret.name_any()
            ),
        ));
    }
    let mut values = values_of(secret);
    if let Some(record) = secret.annotations().get(RECORD_ANNOTATION) {
        values.set_record(record.as_str());
    }
    Existing::Ours(values)
}

/// The values in a Secret.
pub(in crate::engine) fn values_of(secret: &Secret) -> Values {
    let data = secret.data.iter().flatten();
    // Bytes that are not text can only come from somebody else's edit. They are converted with replacement
    // characters, and so differ from anything that is published.
    data.map(|(key, value)| (key.clone(), Sensitive::from(String::from_utf8_lossy(&value.0).into_owned())))
        .collect()
}

/// The value of [`OWNER_ANNOTATION`] for the Secrets of a resource.
pub(in crate::engine) fn owner<K: Kind>(name: &str) -> String {
    format!("{}/{name}", K::kind(&()))
}

fn is_owner<K: Kind>(reference: &OwnerReference, object: &K) -> bool {
    reference.kind == K::kind(&())
        && reference.name == object.name_any()
        && reference.api_version.split('/').next() == Some(&*K::group(&()))
}

/// The Secret with this content. Metadata that others have added stays.
fn compose<K: Kind>(present: Option<&Secret>, object: &K, content: &SecretContent) -> Secret {
    let mut metadata = present.map(|secret| secret.metadata.clone()).unwrap_or_default();
    metadata.name = Some(secret_name(object));
    metadata.namespace = object.namespace();
    // Another tool's value of the label is kept, because that tool would write it again.
    let labels = metadata.labels.get_or_insert_default();
    labels.entry(MANAGED_BY_LABEL.to_owned()).or_insert_with(|| MANAGER.to_owned());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(OWNER_ANNOTATION.to_owned(), owner::<K>(&object.name_any()));
    let data = match content {
        SecretContent::Exactly(values) => {
            match values.record() {
                Some(record) => annotations.insert(RECORD_ANNOTATION.to_owned(), record.to_owned()),
                None => annotations.remove(RECORD_ANNOTATION),
            };
            Some(encoded(values))
        }
        SecretContent::AsIs | SecretContent::Untouched => present.and_then(|secret| secret.data.clone()),
    };
    let mut owners = metadata.owner_references.take().unwrap_or_default();
    owners.retain(|reference| !is_owner(reference, object));
    if object.common().deletion_policy == DeletionPolicy::Remove {
        owners.extend(object.controller_owner_ref(&()));
    }
    metadata.owner_references = (!owners.is_empty()).then_some(owners);
    Secret {
        metadata,
        data,
        type_: Some(SECRET_TYPE.to_owned()),
        immutable: present.and_then(|secret| secret.immutable),
        string_data: None,
    }
}

/// The values as a Secret's data.
pub(in crate::engine) fn encoded(values: &Values) -> BTreeMap<String, ByteString> {
    values
        .iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.expose().as_bytes().to_vec())))
        .collect()
}

/// Whether anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretWrite {
    /// The Secret was created or changed.
    Changed,
    /// It was right already.
    Unchanged,
}

/// Brings the Secret to this content, with one write or none.
///
/// A new Secret is created, and an existing one is replaced at the version that was read. If somebody else
/// changed it meanwhile, the API server answers with a conflict, and nothing of theirs is overwritten.
pub async fn ensure<K: Kind>(
    context: &Context<K>,
    object: &K,
    present: Option<&Secret>,
    wanted: &SecretContent,
) -> Result<SecretWrite, StepError> {
    if matches!((wanted, present), (SecretContent::AsIs, None) | (SecretContent::Untouched, _)) {
        return Ok(SecretWrite::Unchanged);
    }
    let desired = compose(present, object, wanted);
    if present == Some(&desired) {
        return Ok(SecretWrite::Unchanged);
    }
    if becomes_owned(present, &desired) && !context.is_alive(object).await? {
        // The garbage collector deletes what belongs to a resource that does not exist any more, also where it has
        // just taken the owner away so that the Secret stays (`--cascade=orphan`).
        return Err(Error::Gone.into());
    }
    let api = api(&context.client, object);
    let parameters = PostParams { field_manager: Some(field_manager::<K>()), ..PostParams::default() };
    let written = match present {
        None => api.create(&parameters, &desired).await,
        Some(_) => api.replace(&secret_name(object), &parameters, &desired).await,
    };
    match written {
        Ok(secret) => {
            context.registry.observe(object, published(object), Some(&version_of(&secret.metadata)));
            Ok(SecretWrite::Changed)
        }
        Err(kube::Error::Api(status)) if status.is_invalid() && is_immutable(present) => {
            Err(Problem::new(
                Reason::SecretImmutable,
                format!(
                    "Somebody made the Secret \"{}\" immutable, so it keeps the values that it has. Delete it, and the operator creates it again at once; a pod that starts in between waits for it.",
                    secret_name(object),
                ),
            )
            .into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the Secret gets an owner that it does not have, or is new.
fn becomes_owned(present: Option<&Secret>, desired: &Secret) -> bool {
    present.is_none_or(|present| {
        desired.owner_references().iter().any(|owner| !present.owner_references().contains(owner))
    })
}

fn is_immutable(secret: Option<&Secret>) -> bool {
    secret.is_some_and(|secret| secret.immutable == Some(true))
}

fn unreadable<K: Kind>(object: &K) -> Problem {
    Problem::new(
        Reason::Forbidden,
        format!(
            "The operator is not allowed to read the Secret \"{}\". Give its service account the verbs get, create and update on Secrets in this namespace, and look for a quota or an admission policy.",
            secret_name(object)
        ),
    )
}
