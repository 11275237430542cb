//! Reads the cluster: the resources, and what is around those that have a target. Nothing is written, and of Secrets and
//! ConfigMaps only the metadata is asked for.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Event, Pod, Secret},
};
use kube::{
    Api, Client,
    api::ListParams,
    core::{DynamicObject, ObjectList},
};
use serde::de::DeserializeOwned;

use super::observed::{Gap, GapCause, ObservedCluster, ObservedResource, Surroundings};
use crate::{
    api::{GROUP, VERSION},
    cli::kinds::{KnownKind, NamedResource},
    error::{Error, in_words},
    workloads::{Target, stored_resource},
};

/// How long the API server may take for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// How many namespaces are read at a time.
const AT_A_TIME: usize = 8;

/// Which resources are read.
#[derive(Clone, Debug)]
pub(in crate::cli) struct StatusScope {
    /// Where; nothing for all namespaces.
    pub(in crate::cli) namespace: Option<String>,
    /// Whether the events of the resources are read, too.
    pub(in crate::cli) events: EventScope,
}

/// Of what events are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum EventScope {
    /// Of nothing.
    Nothing,
    /// Of every resource of this API.
    Everything,
    /// Of the resource of this kind and name.
    Resource { kind: String, name: String },
}

impl EventScope {
    /// The field selector of the events; nothing where none are wanted.
    pub(super) fn fields(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Everything => Some(format!("involvedObject.apiVersion={GROUP}/{VERSION}")),
            Self::Resource { kind, name } => {
                Some(format!("involvedObject.kind={kind},involvedObject.name={name}"))
            }
        }
    }
}

impl StatusScope {
    /// Everything about one resource.
    pub(in crate::cli) fn of(named: &NamedResource, namespace: &str) -> Self {
        let events =
            EventScope::Resource { kind: named.kind.resource.kind.clone(), name: named.name.clone() };
        Self { namespace: Some(namespace.to_owned()), events }
    }
}

/// Reads everything.
pub(in crate::cli) async fn collect(client: &Client, scope: &StatusScope) -> ObservedCluster {
    let mut observed = ObservedCluster { now: Timestamp::now(), ..ObservedCluster::default() };
    for kind in KnownKind::all() {
        let api: Api<DynamicObject> = match &scope.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource),
            None => Api::all_with(client.clone(), &kind.resource),
        };
        match within(api.list(&ListParams::default())).await {
            Ok(found) => observed.resources.extend(
                found.items.iter().map(|object| ObservedResource::of(object, &kind.resource.kind, kind.spec)),
            ),
            Err(cause) => observed.gaps.push(Gap {
                what: format!("{}s", kind.resource.kind),
                namespace: scope.namespace.clone(),
                cause,
            }),
        }
    }
    let namespaces: BTreeSet<_> = observed.resources.iter().map(|each| each.namespace.clone()).collect();
    let looks = namespaces.into_iter().map(|namespace| {
        let needed: Vec<_> = observed.resources.iter().filter(|each| each.namespace == namespace).collect();
        let needs = Needs::of(&needed, &scope.events);
        around(client, namespace, needs)
    });
    let looks: Vec<_> = looks.collect();
    let read: Vec<_> = stream::iter(looks).buffer_unordered(AT_A_TIME).collect().await;
    for (namespace, surroundings, gaps) in read {
        observed.surroundings.insert(namespace, surroundings);
        observed.gaps.extend(gaps);
    }
    observed.gaps.sort_by(|left, right| (&left.namespace, &left.what).cmp(&(&right.namespace, &right.what)));
    observed
}

/// What is needed of a namespace: where nothing has a target, neither workloads nor pods say anything.
struct Needs {
    target_kinds: BTreeSet<&'static str>,
    /// The kinds of what the resources refer to.
    reference_kinds: BTreeSet<String>,
    events: EventScope,
}

impl Needs {
    fn of(resources: &[&ObservedResource], events: &EventScope) -> Self {
        let targets = resources.iter().filter_map(|resource| resource.target());
        let target_kinds = targets.flat_map(|target| target.parts().iter().map(Target::kind)).collect();
        let references = resources.iter().flat_map(|resource| &resource.status.observed_references);
        let reference_kinds = references.map(|reference| reference.kind.as_str().to_owned()).collect();
        Self { target_kinds, reference_kinds, events: events.clone() }
    }
}

/// Reads what is around the resources of a namespace.
async fn around(client: &Client, namespace: String, needs: Needs) -> (String, Surroundings, Vec<Gap>) {
    let mut look = NamespaceReader { client, namespace: &namespace, gaps: Vec::new() };
    let mut found = Surroundings::default();
    if needs.target_kinds.contains("Deployment") {
        found.deployments = look.list(Api::<Deployment>::namespaced, "Deployments").await;
    }
    if needs.target_kinds.contains("StatefulSet") {
        found.stateful_sets = look.list(Api::<StatefulSet>::namespaced, "StatefulSets").await;
    }
    if needs.target_kinds.contains("WeightsAndBiases") {
        found.weights_and_biases = look.weights_and_biases().await;
    }
    if !needs.target_kinds.is_empty() {
        found.pods = look.list(Api::<Pod>::namespaced, "pods").await;
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secrets = within(api.list_metadata(&ListParams::default())).await;
    found.secrets = look.noted("Secrets", secrets);
    if needs.reference_kinds.contains("ConfigMap") {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let config_maps = within(api.list_metadata(&ListParams::default())).await;
        found.config_maps = look.noted("ConfigMaps", config_maps);
    }
    if let Some(fields) = needs.events.fields() {
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let events = within(api.list(&ListParams::default().fields(&fields))).await;
        found.events = look.noted("events", events);
    }
    let gaps = look.gaps;
    (namespace, found, gaps)
}

/// A look at a namespace, which notes what could not be read.
struct NamespaceReader<'a> {
    client: &'a Client,
    namespace: &'a str,
    gaps: Vec<Gap>,
}

impl NamespaceReader<'_> {
    async fn list<K: Clone + Debug + DeserializeOwned>(
        &mut self,
        api: fn(Client, &str) -> Api<K>,
        what: &str,
    ) -> Option<Vec<K>> {
        let found = within(api(self.client.clone(), self.namespace).list(&ListParams::default())).await;
        self.noted(what, found)
    }

    /// The resources of the W&B operator, in the version that is stored.
    async fn weights_and_biases(&mut self) -> Option<Vec<DynamicObject>> {
        let what = "WeightsAndBiases";
        let resource = match within(stored_resource(self.client)).await {
            Ok(Some(resource)) => resource,
            Ok(None) => return Some(Vec::new()),
            Err(cause) => return self.noted::<DynamicObject>(what, Err(cause)),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let found = within(api.list(&ListParams::default())).await;
        self.noted(what, found)
    }

    fn noted<K: Clone>(&mut self, what: &str, found: Result<ObjectList<K>, GapCause>) -> Option<Vec<K>> {
        match found {
            Ok(list) => Some(list.items),
            Err(cause) => {
                let namespace = Some(self.namespace.to_owned());
                self.gaps.push(Gap { what: what.to_owned(), namespace, cause });
                None
            }
        }
    }
}

/// The answer to a request, within the time that one may take.
async fn within<T, E: Into<Error>>(request: impl Future<Output = Result<T, E>>) -> Result<T, GapCause> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match error.into() {
            Error::Api(kube::Error::Api(status)) if status.is_forbidden() => GapCause::Forbidden,
            Error::Api(kube::Error::Api(status)) if status.is_not_found() => GapCause::Unknown,
            Error::Api(error) => GapCause::Other(in_words(&error)),
            error => GapCause::Other(error.to_string()),
        }),
        Err(_) => Err(GapCause::Other(format!("the API server did not answer within {LIMIT:?}"))),
    }
}
