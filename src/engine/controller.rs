//! The controller of a kind: starts a run for each change that leads to one, and handles how it ended.

use std::{
    future::ready,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, channel::mpsc, future::BoxFuture};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, DynamicObject, DynamicResourceScope},
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::{ObjectRef, Store, store::Writer},
    },
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    Context, Kind, Watches,
    checks::refused_credentials::{recall_once_listed, run_after_acceptances},
    deletion::{end_with_namespace, release_unreadable},
    reconcile,
    run_record::RunRecord,
    scheduling::{
        backoff::{Failure, ResourceKey, retry_after},
        slots::Slot,
        urgency::Urgency,
    },
    status::{
        derive::derive,
        inputs::{Destination, Outcome, StatusInputs},
        patch::SeenStatus,
    },
    watching::{
        health::{Importance, WatchHandle},
        triggers::resources,
        trouble::WatchedPlace,
        undecodable::{Guarded, Unreadable},
    },
};
use crate::{
    api::{Reason, Status},
    error::Error,
    problem::{Problem, quote},
};

/// The namespaces that the operator watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl WatchScope {
    /// Whether the namespace is in it.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(own) => own == namespace,
        }
    }

    /// The namespace, if it is one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster => None,
            Self::Namespace(namespace) => Some(namespace),
        }
    }

    /// Objects of a kind.
    pub(super) fn api<K>(&self, client: Client) -> Api<K>
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

/// How long a run may take beside its checks, which have a time limit of their own. A longer run hangs at the API
/// server.
const API_TIME: Duration = Duration::from_mins(1);

/// The time over which the resources that waited for the API server are run again, one by one.
const RETURN: Duration = Duration::from_secs(2);

/// Runs the kind's controller in a scope until the context says to stop.
pub fn run_controller<K: Kind>(
    context: Arc<Context<K>>,
    scope: &WatchScope,
    watches: &Watches,
) -> impl Future<Output = ()> + use<K> {
    let writer = Writer::<Guarded<K>>::default();
    let store = writer.as_reader();
    let (run_again, again) = mpsc::unbounded();
    let place = WatchedPlace::of::<K>(&(), scope.namespace());
    let own = Arc::new(watches.add(place.in_words(), Importance::Needed));
    context.registry.add(scope.clone(), Arc::clone(&own), run_again.clone());
    let resources =
        resources(Arc::clone(&context), scope, writer, (place, Arc::clone(&own)), run_again.clone());
    // Every run begins at once, and ends at once where there is no slot for it.
    let config = controller::Config::default().concurrency(0);
    let calls = run_again.clone();
    let stopping = context.stopping.clone();
    let present = store.clone();
    let controller = Controller::for_stream(resources, store.clone()).with_config(config);
    let runs = controller.reconcile_on(again).graceful_shutdown_on(stopping.clone().cancelled_owned()).run(
        move |object, context| run(object, context, present.clone(), calls.clone()),
        |object, error, context| retry(&object, error, &context),
        Arc::clone(&context),
    );
    let recalling = recall_once_listed(Arc::clone(&context), Arc::clone(&own), store.clone());
    let accepting = run_after_acceptances(Arc::clone(&context), store.clone(), run_again.clone());
    let listing = run_after_lists(Arc::clone(&context), Arc::clone(&own), store, run_again.clone());
    let returning = bring_back(Arc::clone(&context), watches.returns(), run_again);
    let done = runs.for_each(move |outcome| {
        // The resource was deleted while a watch was broken.
        if let Err(controller::Error::ObjectNotFound(gone)) = outcome {
            context.forget(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
        }
        std::future::ready(())
    });
    async move {
        tokio::select! {
            () = done => {}
            () = returning => {}
            () = listing => {}
            () = recalling => {}
            () = accepting => {}
            // Before the kind is listed there are no runs to wait for, but kube would wait for the list.
            () = async {
                stopping.cancelled().await;
                if own.has_begun() {
                    std::future::pending::<()>().await;
                }
            } => {}
        }
    }
}

/// Runs the resources again that waited for this kind to be listed. After a restart of the watches, runs all
/// resources of the kind: what the operator had written may not exist any more, and no watch event reports that.
async fn run_after_lists<K: Kind>(
    context: Arc<Context<K>>,
    watched: Arc<WatchHandle>,
    store: Store<Guarded<K>>,
    run_again: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) {
    let mut restarts = watched.restarts();
    loop {
        watched.settled().await;
        context.registry.newly_listed();
        // The result can be ignored: the sender lives as long as the process.
        let _ = restarts.changed().await;
        watched.settled().await;
        for object in store.state() {
            let _ = run_again.unbounded_send(ObjectRef::from_obj(&*object));
        }
    }
}

/// Runs the resources again whose requests the API server did not answer, as soon as it answers any request.
async fn bring_back<K: Kind>(
    context: Arc<Context<K>>,
    mut returns: tokio::sync::watch::Receiver<u64>,
    run_again: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) {
    loop {
        tokio::select! {
            () = context.backoff.success() => {}
            // The result can be ignored: the sender lives as long as the process.
            _ = returns.changed() => {}
        }
        let waiting = context.backoff.let_go();
        let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX).max(1);
        for key in waiting {
            let _ = run_again.unbounded_send(key.reference());
            tokio::time::sleep(RETURN / count).await;
        }
    }
}

/// Begins a run, or arranges that the resource is called when there is a slot for one.
fn run<K: Kind>(
    object: Arc<Guarded<K>>,
    context: Arc<Context<K>>,
    present: Store<Guarded<K>>,
    calls: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) -> BoxFuture<'static, Result<Action, Error>> {
    let key = ResourceKey::of(&*object);
    let reference = key.reference();
    // A failed send can be ignored: the receiver is dropped only when the process stops.
    let call = move || drop(calls.unbounded_send(reference));
    let urgency = object.0.as_ref().map_or(Urgency::Ordinary, |object| context.urgency(object));
    let Some(slot) = context.slots.enter(key, urgency, call) else {
        return ready(Ok(Action::await_change())).boxed();
    };
    let run = in_slot(object, context, present, slot);
    // Each run is a task of its own: the controller would poll all of its runs whenever one of them can continue.
    let run = AbortOnDropHandle::new(tokio::spawn(run.in_current_span()));
    run.map(|outcome| outcome.unwrap_or(Err(Error::Panicked))).boxed()
}

async fn in_slot<K: Kind>(
    object: Arc<Guarded<K>>,
    context: Arc<Context<K>>,
    present: Store<Guarded<K>>,
    slot: Slot,
) -> Result<Action, Error> {
    let started = Instant::now();
    let _under_way = context.registry.begin_run(&*object);
    let limited = AssertUnwindSafe(Box::pin(limited(&object, &context)));
    let outcome = slot.during(limited.catch_unwind()).await;
    context.metrics.reconciled::<K>(started.elapsed());
    let reference = ObjectRef::from_obj(&*object);
    if present.get(&reference).is_none_or(|current| current.uid() != object.uid()) {
        context.forget(&object.namespace().unwrap_or_default(), &object.name_any());
    }
    let action = outcome.unwrap_or(Err(Error::Panicked))?;
    context.backoff.succeeded(&ResourceKey::of(&*object));
    Ok(action)
}

async fn limited<K: Kind>(object: &Guarded<K>, context: &Context<K>) -> Result<Action, Error> {
    let namespace = object.namespace().unwrap_or_default();
    tokio::select! {
        biased;
        // Once the namespace is being deleted, the rest of the run is of no use.
        () = context.registry.endings().of(&namespace) => {}
        outcome = in_time(object, context) => return outcome,
    }
    tokio::time::timeout(API_TIME, Box::pin(end_with_namespace(object, context)))
        .await
        .unwrap_or(Err(Error::Timeout(API_TIME)))
}

async fn in_time<K: Kind>(object: &Guarded<K>, context: &Context<K>) -> Result<Action, Error> {
    match &object.0 {
        Ok(resource) => {
            // The checks and the maintenance after them may take `checkTimeout` each.
            let limit = resource.common().check_timeout.get() * 2 + API_TIME;
            tokio::time::timeout(limit, reconcile(resource, context))
                .await
                .unwrap_or(Err(Error::Timeout(limit)))
        }
        Err(unreadable) => {
            tokio::time::timeout(API_TIME, Box::pin(report_unreadable(unreadable, object, context)))
                .await
                .unwrap_or(Err(Error::Timeout(API_TIME)))
        }
    }
}

/// Writes the status of an object that cannot be decoded, so that people see why nothing happens.
async fn report_unreadable<K: Kind>(
    unreadable: &Unreadable,
    object: &Guarded<K>,
    context: &Context<K>,
) -> Result<Action, Error> {
    if unreadable.metadata.deletion_timestamp.is_some() {
        return release_unreadable(object, context).await;
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
            quote(&unreadable.error)
        ),
    );
    let facts = StatusInputs {
        generation: unreadable.metadata.generation,
        outcome: Outcome::NotAccepted(problem),
        publication: None,
        delivered: None,
        destination: match unreadable.target() {
            Some(_) => Destination::Target,
            None => Destination::Secret,
        },
        looks: &[],
        secret_name: String::new(),
        threshold: 0,
        record: RunRecord::default(),
        resource: String::new(),
    };
    let status = derive(previous.as_ref(), &facts, context.cluster.seconds());
    if previous.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let details: K::Details = stored
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default();
    let seen = SeenStatus { version: stored.resource_version(), status: previous.as_ref(), details };
    let events = context.patch_status(object, &seen, (&status, &seen.details)).await?;
    context.publish_events(object, events);
    // If only the old status could not be decoded, the object can be decoded now.
    Ok(Action::requeue(Duration::from_secs(5)))
}

fn retry<K: Kind>(object: &Guarded<K>, error: &Error, context: &Context<K>) -> Action {
    let asked_for = if let Error::Api(error) = error { retry_after(error) } else { None };
    let wait = context.backoff.next(ResourceKey::of(object), Failure::of(error), crate::jitter::random());
    let wait = wait.max(asked_for.unwrap_or_default());
    if !matches!(error, Error::Stopping | Error::Gone) {
        context.metrics.failed::<K>();
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
