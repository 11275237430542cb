//! Which changes lead to a run: the resources themselves, and the objects that they refer to or publish.

use std::{
    fmt::Debug,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, channel::mpsc};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PartialObjectMeta,
    core::{
        ApiResource, DeserializeGuard, DynamicObject, DynamicResourceScope, error_boundary::InvalidObject,
    },
    runtime::{
        Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::{self, Action},
        predicates,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    Claimant, Context, Kind, ReferenceSource, Registry,
    backoff::Backoff,
    claims::affected,
    reconcile,
    reconcile::now,
    references,
    release::release_undecodable,
    secret::owner_in_targets,
    status::{Destination, Facts, Outcome, derive},
};
use crate::{
    api::{Reason, Status},
    error::Error,
    problem::{Problem, quote},
};

/// Which namespaces are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// Whether the namespace is in it.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(own) => own == namespace,
        }
    }

    fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }

    /// Objects of a kind that is known at run time only.
    pub(super) fn objects<K>(&self, client: Client, resource: &ApiResource) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match self {
            Self::Cluster => Api::all_with(client, resource),
            Self::Namespace(namespace) => Api::namespaced_with(client, namespace, resource),
        }
    }
}

/// An object that may not decode: it is reported, and its neighbours go on.
type Guarded<K> = DeserializeGuard<K>;

/// A longer run than this hangs at the API server, for the checks have a time limit of their own.
const API_TIME: Duration = Duration::from_mins(1);

/// Runs the kind's controller in a scope until the context says to stop.
///
/// The returned store is ready once the kind's resources were listed.
pub fn control<K: Kind>(
    context: Arc<Context<K>>,
    scope: &Scope,
    concurrency: u16,
) -> (Store<Guarded<K>>, impl Future<Output = ()> + use<K>) {
    let writer = Writer::<Guarded<K>>::default();
    let store = writer.as_reader();
    let (run_again, again) = mpsc::unbounded();
    let listed = CancellationToken::new();
    context.registry.add(scope.clone(), store.clone(), listed.clone(), run_again);
    let resources = resources(Arc::clone(&context), scope, writer, listed);
    let secrets = metadata(scope.api::<PartialObjectMeta<Secret>>(context.client.clone()));
    let config_maps = metadata(scope.api::<PartialObjectMeta<ConfigMap>>(context.client.clone()));
    let config = controller::Config::default().concurrency(concurrency);
    let stopping = Arc::clone(&context);
    let present = store.clone();
    let mut controller = Controller::for_stream(resources, store.clone())
        .with_config(config)
        .watches_stream(secrets, users_of(store.clone(), ReferenceSource::Secret))
        .watches_stream(config_maps, users_of(store.clone(), ReferenceSource::ConfigMap));
    for neighbour in K::NEIGHBOURS {
        let changes = metadata(
            scope.objects::<PartialObjectMeta<DynamicObject>>(context.client.clone(), &neighbour.resource()),
        );
        let users = users_of(store.clone(), ReferenceSource::Neighbour(*neighbour));
        controller = controller.watches_stream_with(changes, users, neighbour.resource());
    }
    let runs = controller
        .reconcile_on(again)
        .graceful_shutdown_on(async move { stopping.stopping.cancelled().await })
        .run(
            move |object, context| run(object, context, present.clone()),
            |object, error, context| retry(&object, error, &context.backoff),
            Arc::clone(&context),
        );
    let done = runs.for_each(move |outcome| {
        match outcome {
            Err(controller::Error::QueueError(error)) => {
                tracing::warn!(kind = %K::kind(&()), %error, "a watch broke and is set up again");
            }
            // Its deletion was missed while a watch was broken.
            Err(controller::Error::ObjectNotFound(gone)) => {
                context.forget(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
            }
            Ok(_) | Err(_) => {}
        }
        std::future::ready(())
    });
    (store, done)
}

/// The kind's resources as they change, without what is not needed in memory.
fn resources<K: Kind>(
    context: Arc<Context<K>>,
    scope: &Scope,
    writer: Writer<Guarded<K>>,
    listed: CancellationToken,
) -> impl Stream<Item = Result<Guarded<K>, watcher::Error>> + Send + use<K> {
    let store = writer.as_reader();
    watcher(scope.api::<Guarded<K>>(context.client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .inspect_ok(move |event| {
            if let watcher::Event::Delete(object) = event {
                context.forget(&object.namespace().unwrap_or_default(), &object.name_any());
            }
            match event {
                watcher::Event::Apply(object) => wake_rivals(&context.registry, &store, object, Some(object)),
                watcher::Event::Delete(object) => wake_rivals(&context.registry, &store, object, None),
                watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::InitDone => {}
            }
        })
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                listed.cancel();
            }
        })
        .applied_objects()
        // A status that the operator wrote itself is no reason to run again.
        .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default())
}

/// Has those run whose turn may come, or be over, now that this resource is another one, or gone.
fn wake_rivals<K: Kind>(
    registry: &Registry,
    store: &Store<Guarded<K>>,
    object: &Guarded<K>,
    now: Option<&Guarded<K>>,
) {
    let claimant = |object: &Guarded<K>| object.0.as_ref().ok().and_then(Claimant::of);
    let before = store.get(&ObjectRef::from_obj(object)).and_then(|before| claimant(&before));
    let now = now.and_then(claimant);
    if before.is_none() && now.is_none() {
        return;
    }
    let namespace = object.namespace().unwrap_or_default();
    let others = registry.claimants(&namespace);
    registry.wake(&namespace, affected(before.as_ref(), now.as_ref(), &others));
}

/// Changes of objects whose contents are not of interest here. Each watch has a backoff of its own, so
/// that one that may not be read holds nothing else up.
fn metadata<K>(
    api: Api<PartialObjectMeta<K>>,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource,
{
    watcher(api, watcher::Config::default()).default_backoff().touched_objects()
}

/// Drops what `kubectl apply` and the API server keep for themselves, most of an object's size.
fn prune(object: &mut impl Resource) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// From a changed Secret or ConfigMap to the resources that read it or publish it.
fn users_of<K: Kind, O: Resource>(
    store: Store<Guarded<K>>,
    source: ReferenceSource,
) -> impl Fn(O) -> Vec<ObjectRef<Guarded<K>>> {
    move |changed| {
        let (namespace, name) = (changed.namespace(), changed.name_any());
        let uses = |object: &Guarded<K>| {
            let Ok(resource) = &object.0 else { return false };
            resource.namespace() == namespace
                && (references(resource)
                    .iter()
                    .any(|reference| reference.source == source && reference.name == name)
                    || (source == ReferenceSource::Secret && is_published(resource, &name)))
        };
        store
            .state()
            .iter()
            .filter(|object| uses(object))
            .map(|object| ObjectRef::from_obj(&**object))
            .collect()
    }
}

/// Whether it is the Secret that the resource publishes, or one of its revisions.
fn is_published<K: Kind>(resource: &K, secret: &str) -> bool {
    let owner = owner_in_targets(resource);
    owner.secret_name == secret || resource.common().target.is_some() && owner.number_of(secret).is_some()
}

async fn run<K: Kind>(
    object: Arc<Guarded<K>>,
    context: Arc<Context<K>>,
    present: Store<Guarded<K>>,
) -> Result<Action, Error> {
    let started = Instant::now();
    let outcome = AssertUnwindSafe(limited(&object, &context)).catch_unwind().await;
    context.metrics.reconciled::<K>(started.elapsed());
    let reference = ObjectRef::from_obj(&*object);
    if present.get(&reference).is_none_or(|current| current.uid() != object.uid()) {
        context.forget(&object.namespace().unwrap_or_default(), &object.name_any());
    }
    let action = outcome.unwrap_or(Err(Error::Panicked))?;
    context.backoff.forget(&key(&*object));
    Ok(action)
}

async fn limited<K: Kind>(object: &Guarded<K>, context: &Context<K>) -> Result<Action, Error> {
    match &object.0 {
        Ok(resource) => {
            // The checks, and what they lead to at the server, have the limit each.
            let limit = resource.common().check_timeout.get() * 2 + API_TIME;
            tokio::time::timeout(limit, reconcile(resource, context))
                .await
                .unwrap_or(Err(Error::Timeout(limit)))
        }
        Err(invalid) => tokio::time::timeout(API_TIME, report_undecodable(invalid, object, context))
            .await
            .unwrap_or(Err(Error::Timeout(API_TIME))),
    }
}

/// An object that does not decode gets a status like any other, so that people see why nothing happens.
async fn report_undecodable<K: Kind>(
    invalid: &InvalidObject,
    object: &Guarded<K>,
    context: &Context<K>,
) -> Result<Action, Error> {
    if invalid.metadata.deletion_timestamp.is_some() {
        return release_undecodable(object, context).await;
    }
    let resource = ApiResource::erase::<K>(&());
    let api = Api::<DynamicObject>::namespaced_with(
        context.client.clone(),
        &object.namespace().unwrap_or_default(),
        &resource,
    );
    let Some(stored) = api.get_opt(&object.name_any()).await? else {
        return Ok(Action::await_change());
    };
    let previous: Option<Status> =
        stored.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let problem = Problem::new(
        Reason::InvalidSpec,
        format!(
            "This version of the operator cannot read the object: {}. Correct that field, or run the version that it was written for.",
            quote(&invalid.error)
        ),
    );
    let facts = Facts {
        generation: invalid.metadata.generation,
        outcome: Outcome::NotAccepted(problem),
        publication: None,
        delivered: None,
        destination: Destination::Secret,
        looks: &[],
        secret_name: String::new(),
        threshold: 0,
    };
    let status = derive(previous.as_ref(), &facts, now());
    if previous.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let details: K::Details = stored
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default();
    context.report(object, previous.as_ref(), &status, &details).await?;
    // Where only the old status was unreadable, the object can be read now.
    Ok(Action::requeue(Duration::from_secs(5)))
}

fn retry<K: Kind>(object: &Guarded<K>, error: &Error, backoff: &Backoff) -> Action {
    let wait = backoff.next(key(object));
    if !matches!(error, Error::Stopping | Error::Gone) {
        tracing::warn!(
            kind = %K::kind(&()),
            namespace = object.namespace(),
            name = object.name_any(),
            %error,
            "the run failed and is tried again in {wait:?}"
        );
    }
    Action::requeue(wait)
}

fn key(object: &impl Resource) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
