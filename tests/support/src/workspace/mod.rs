//! A namespace of one's own: apply manifests, wait for conditions, run an operator.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value gives null where there is nothing")]

mod grants;
mod operator;
mod table;
mod validation;
mod warnings;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta, TypeMeta},
    runtime::{conditions, wait::await_condition},
};
use serde::Deserialize;
use serde_json::Value;

pub use operator::Operator;
pub use table::Table;

use crate::{ApiProxy, ControlPlane, User, process::PATIENCE};

/// A namespace of one's own on a Kubernetes API.
pub struct Workspace {
    client: Client,
    config: Config,
    namespace: String,
    operator_kubeconfig: Option<PathBuf>,
    person_kubeconfig: Option<PathBuf>,
}

/// The kinds of what tests apply that are in no namespace.
const CLUSTER_WIDE: [&str; 8] = [
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "RuntimeClass",
    "PriorityClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

impl Workspace {
    /// Installs the definitions, and makes a namespace in which the operator's user has its rights.
    pub async fn create(plane: &ControlPlane, definitions: &[CustomResourceDefinition]) -> Result<Self> {
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{number}");
        Self::on(plane.kubeconfig(User::Admin), plane.kubeconfig(User::Operator), &namespace, definitions)
            .await
    }

    /// The same on any cluster, with one kubeconfig for the person and one for the operator.
    pub async fn on(
        admin: &Path,
        operator: &Path,
        namespace: &str,
        definitions: &[CustomResourceDefinition],
    ) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(admin)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let mut workspace = Self::of_person(config, namespace, definitions).await?;
        workspace.grant_rights().await?;
        workspace.operator_kubeconfig = Some(operator.to_owned());
        workspace.person_kubeconfig = Some(admin.to_owned());
        Ok(workspace)
    }

    /// The definitions and the namespace alone, where the operator runs with the person's own rights.
    pub async fn of_person(
        mut config: Config,
        namespace: &str,
        definitions: &[CustomResourceDefinition],
    ) -> Result<Self> {
        namespace.clone_into(&mut config.default_namespace);
        let client = Client::try_from(config.clone())?;
        install(&config, &client, definitions).await?;
        let workspace = Self {
            client,
            config,
            namespace: namespace.to_owned(),
            operator_kubeconfig: None,
            person_kubeconfig: None,
        };
        workspace
            .apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"))
            .await?;
        Ok(workspace)
    }

    /// A client with every right.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What makes such a client in another async runtime.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Applies every document by server-side apply, as `kubectl apply --server-side` does.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        for object in documents(yaml)? {
            self.apply_object(&object).await?;
        }
        Ok(())
    }

    async fn apply_object(&self, object: &DynamicObject) -> Result<()> {
        let (api, name) = self.api_of(object)?;
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(object))
            .await
            .with_context(|| format!("the API server refused {name}"))?;
        Ok(())
    }

    /// Asks whether one document could be created, without creating it.
    pub async fn try_create(&self, yaml: &str) -> Result<std::result::Result<(), String>> {
        self.create_with(yaml, &PostParams { dry_run: true, ..PostParams::default() }).await
    }

    async fn create_with(&self, yaml: &str, how: &PostParams) -> Result<std::result::Result<(), String>> {
        let Some(object) = documents(yaml)?.pop() else { bail!("there is no document to create") };
        let (api, _) = self.api_of(&object)?;
        refusal(api.create(how, &object).await)
    }

    /// Asks whether a merge patch could be applied to one of the operator's resources, without applying it.
    pub async fn try_patch(
        &self,
        kind: &str,
        name: &str,
        patch: &Value,
    ) -> Result<std::result::Result<(), String>> {
        let how = PatchParams { dry_run: true, ..PatchParams::default() };
        refusal(self.resources(kind)?.patch(name, &how, &Patch::Merge(patch)).await)
    }

    fn api_of(&self, object: &DynamicObject) -> Result<(Api<DynamicObject>, String)> {
        let types = object.types.as_ref().context("a document has no kind")?;
        let resource = resource(&types.api_version, &types.kind)?;
        let cluster_wide = CLUSTER_WIDE.contains(&types.kind.as_str());
        let api = if cluster_wide {
            Api::all_with(self.client.clone(), &resource)
        } else {
            let namespace = object.namespace().unwrap_or_else(|| self.namespace.clone());
            Api::namespaced_with(self.client.clone(), &namespace, &resource)
        };
        Ok((api, object.name_any()))
    }

    /// The API of one of the operator's kinds.
    pub fn resources(&self, kind: &str) -> Result<Api<DynamicObject>> {
        let resource = resource("auth.wandb.com/v1alpha1", kind)?;
        Ok(Api::namespaced_with(self.client.clone(), &self.namespace, &resource))
    }

    /// Changes an object of the operator's kinds by a merge patch (RFC 7386).
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<()> {
        self.resources(kind)?.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Asks for a check now; each value asks once.
    pub async fn recheck(&self, kind: &str, name: &str, value: &str) -> Result<()> {
        let patch = serde_json::json!({"metadata": {"annotations": {"auth.wandb.com/recheck": value}}});
        self.patch(kind, name, &patch).await
    }

    /// The API of Secrets.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Puts these texts into a Secret, new or not.
    pub async fn put_secret(&self, name: &str, entries: &[(&str, &str)]) -> Result<()> {
        let data: serde_json::Map<_, _> =
            entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
        });
        self.apply(&secret.to_string()).await
    }

    /// The object's `status` now.
    pub async fn status(&self, kind: &str, name: &str) -> Result<Value> {
        let object = self.resources(kind)?.get(name).await?;
        Ok(object.data.get("status").cloned().unwrap_or_default())
    }

    /// Waits until the object's status satisfies the test, and returns it.
    pub async fn wait_for(
        &self,
        kind: &str,
        name: &str,
        satisfied: impl Fn(&Value) -> bool + Send,
    ) -> Result<Value> {
        self.wait_for_object(kind, name, move |object| {
            object.and_then(|object| object.data.get("status")).is_some_and(&satisfied)
        })
        .await
    }

    /// Waits until the object satisfies the test, which sees nothing where there is none; returns its status.
    async fn wait_for_object(
        &self,
        kind: &str,
        name: &str,
        satisfied: impl Fn(Option<&DynamicObject>) -> bool + Send,
    ) -> Result<Value> {
        let waiting = await_condition(self.resources(kind)?, name, satisfied);
        let Ok(found) = tokio::time::timeout(PATIENCE, waiting).await else {
            let status = self.status(kind, name).await.unwrap_or_default();
            bail!("{kind} {name} did not get there in {PATIENCE:?}; its status is {status:#}")
        };
        let object = found?.with_context(|| format!("there is no {kind} {name}"))?;
        Ok(object.data.get("status").cloned().unwrap_or_default())
    }

    /// Waits until a condition has that reason for the object's current generation; the object must be there.
    pub async fn wait_for_reason(&self, kind: &str, name: &str, type_: &str, reason: &str) -> Result<Value> {
        // The watch begins with a list of no stated version, which is the latest that is stored and never an older one:
        // the object's own generation is at least that of the test's last change.
        self.wait_for_object(kind, name, |object| {
            // What is not there ends the waiting: a test waits for what it has made.
            object.is_none_or(|object| {
                let status = &object.data["status"];
                status.get("observedGeneration").and_then(Value::as_i64) >= object.metadata.generation
                    && condition(status, type_).is_some_and(|condition| condition["reason"] == reason)
            })
        })
        .await
        .with_context(|| format!("waited for {type_} with the reason {reason}"))
    }

    /// Waits until the object is Ready for its current generation.
    pub async fn wait_until_ready(&self, kind: &str, name: &str) -> Result<Value> {
        self.wait_for_reason(kind, name, "Ready", "Ready").await
    }

    /// The table that `kubectl get` shows.
    pub async fn table(&self, plural: &str) -> Result<Table> {
        Table::fetch(&self.client, &self.namespace, plural).await
    }

    /// All events of the namespace, as text.
    pub async fn events(&self) -> Result<String> {
        let resource = resource("events.k8s.io/v1", "Event")?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        Ok(serde_json::to_string(&api.list(&ListParams::default()).await?.items)?)
    }

    /// Starts the operator's program as a user with no more rights than it needs, on this namespace.
    pub fn start_operator(&self, program: &Path, arguments: &[&str]) -> Result<Operator> {
        self.start_operator_in(program, arguments, &[])
    }

    /// The same, with these environment variables beside the test's own.
    pub fn start_operator_in(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Operator> {
        Operator::start(program, &self.own_kubeconfig()?, arguments, environment)
    }

    /// Starts it as the service account that an installation makes in this namespace, as in a pod there.
    pub async fn start_operator_inside(&self, program: &Path, arguments: &[&str]) -> Result<Operator> {
        let token = self.own_account().await?;
        Operator::start(program, &operator::with_token(self.own_kubeconfig()?, &token), arguments, &[])
    }

    /// Starts it like [`Workspace::start_operator`], with the proxy between the operator and the API server.
    pub fn start_operator_through(
        &self,
        proxy: &ApiProxy,
        program: &Path,
        arguments: &[&str],
    ) -> Result<Operator> {
        self.start_operator_through_in(proxy, program, arguments, &[])
    }

    /// The same, with these environment variables beside the test's own.
    pub fn start_operator_through_in(
        &self,
        proxy: &ApiProxy,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Operator> {
        let kubeconfig = operator::with_server(self.own_kubeconfig()?, &proxy.url());
        Operator::start(program, &kubeconfig, arguments, environment)
    }

    /// The kubeconfig of a person with every right, in this namespace.
    pub(crate) fn person_kubeconfig(&self) -> Result<Kubeconfig> {
        let kubeconfig =
            self.person_kubeconfig.as_ref().context("this workspace has no kubeconfig for a person")?;
        operator::in_namespace(kubeconfig, &self.namespace)
    }

    fn own_kubeconfig(&self) -> Result<Kubeconfig> {
        let kubeconfig =
            self.operator_kubeconfig.as_ref().context("this workspace has no kubeconfig for an operator")?;
        operator::in_namespace(kubeconfig, &self.namespace)
    }

    /// Deletes the namespace with all that is in it, without waiting for the end.
    pub async fn delete(self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client);
        api.delete(&self.namespace, &DeleteParams::background()).await?;
        Ok(())
    }
}

/// The condition of a type in a status.
pub fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status.get("conditions")?.as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// Installs the definitions that this process has not yet installed there: an API server takes as long to judge one that
/// it has as a new one.
async fn install(config: &Config, client: &Client, definitions: &[CustomResourceDefinition]) -> Result<()> {
    static INSTALLED: Mutex<Vec<(String, CustomResourceDefinition)>> = Mutex::new(Vec::new());
    let installed = || INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let address = config.cluster_url.to_string();
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        let is_known = || installed().iter().any(|(place, known)| *place == address && known == definition);
        let name = definition.name_any();
        // Another API server may have got the same address meanwhile, or somebody deletes it. Both show in what the API
        // server has cached, which follows what it stores within a moment.
        let cached = GetParams::any();
        let stays = |found: &PartialObjectMeta<_>| found.metadata.deletion_timestamp.is_none();
        if is_known() && api.get_metadata_opt_with(&name, &cached).await?.as_ref().is_some_and(stays) {
            continue;
        }
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(definition)).await?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established)
            .await
            .with_context(|| format!("the API server did not establish {name}"))??;
        tokio::time::timeout(PATIENCE, until_served(client, definition))
            .await
            .with_context(|| format!("the API server did not serve {name}"))?;
        if !is_known() {
            installed().push((address.clone(), definition.clone()));
        }
    }
    Ok(())
}

/// The API server serves a definition a moment after it says that it is established.
async fn until_served(client: &Client, definition: &CustomResourceDefinition) {
    let names = &definition.spec.names;
    for version in definition.spec.versions.iter().filter(|version| version.served) {
        let kind = GroupVersionKind::gvk(&definition.spec.group, &version.name, &names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        while matches!(objects.list(&ListParams::default().limit(1)).await, Err(kube::Error::Api(status)) if status.code == 404)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Tells the API server's refusal from everything else that may go wrong.
fn refusal<T>(answer: kube::Result<T>) -> Result<std::result::Result<(), String>> {
    match answer {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(Value::deserialize)
        .filter(|document| !matches!(document, Ok(Value::Null)))
        .map(|document| Ok(serde_json::from_value(document?)?))
        .collect()
}

fn resource(api_version: &str, kind: &str) -> Result<ApiResource> {
    let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
    let is_plural = kind == "WeightsAndBiases";
    let kind = GroupVersionKind::try_from(types)?;
    if is_plural {
        // The rules of English would make a plural of the plural.
        return Ok(ApiResource::from_gvk_with_plural(&kind, "weightsandbiases"));
    }
    Ok(ApiResource::from_gvk(&kind))
}
