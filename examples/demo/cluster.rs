//! Where the resources live: a Kubernetes API that ends with the demo, or the current context's.

use std::path::Path;

use anyhow::{Context, Result};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use test_support::{
    ControlPlane, User, Workspace,
    tools::{self, KubernetesBinaries},
};
use tokio::task::JoinHandle;
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{begin, step};

/// Which cluster.
pub enum Place {
    /// A Kubernetes API without controllers and nodes, on this machine.
    Local(Programs),
    /// The cluster of the current context.
    CurrentContext,
}

/// The programs of a Kubernetes API, perhaps still being built.
pub type Programs = JoinHandle<Result<KubernetesBinaries>>;

impl Place {
    /// A Kubernetes API on this machine, whose programs are looked for or built from now on in the background.
    pub fn local() -> Self {
        Self::Local(tokio::task::spawn_blocking(tools::api_server))
    }
}

/// A cluster with the definitions installed, and a namespace in it.
pub struct Cluster {
    /// The namespace, with the person's rights.
    pub workspace: Workspace,
    /// How the operator connects.
    pub operator: Config,
    /// Nothing for the current context, which is not ours to end.
    control_plane: Option<ControlPlane>,
}

impl Cluster {
    /// Starts or finds the cluster.
    pub async fn open(place: Place) -> Result<Self> {
        match place {
            Place::Local(programs) => Self::start(programs).await,
            Place::CurrentContext => Self::of_current_context().await,
        }
    }

    async fn start(programs: Programs) -> Result<Self> {
        let programs = programs.await.context("building the Kubernetes API panicked")??;
        let starting =
            begin(&format!("Starting a Kubernetes API: {} and etcd", programs.kube_apiserver.display()));
        let control_plane = ControlPlane::start_with(programs).await?;
        drop(starting);
        let _installing = begin("Installing the custom resource definitions; making the namespace demo");
        let (admin, operator) =
            (control_plane.kubeconfig(User::Admin), control_plane.kubeconfig(User::Operator));
        let workspace = Workspace::on(admin, operator, "demo", &custom_resource_definitions()).await?;
        let kubeconfig = Kubeconfig::read_from(operator)?;
        let operator = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { workspace, operator, control_plane: Some(control_plane) })
    }

    async fn of_current_context() -> Result<Self> {
        let config = Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .context("there is no usable current context: set KUBECONFIG to a file that has one")?;
        let _installing =
            begin("Installing the custom resource definitions; making the namespace wandb-auth-demo");
        let definitions = custom_resource_definitions();
        let workspace = Workspace::of_person(config.clone(), "wandb-auth-demo", &definitions).await.context(
            "the current context's cluster must be reachable, and its user must be allowed to install \
             custom resource definitions and to make a namespace",
        )?;
        Ok(Self { workspace, operator: config, control_plane: None })
    }

    /// The kubeconfig to use, where the person does not use it already.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.control_plane.as_ref().map(|control_plane| control_plane.kubeconfig(User::Admin))
    }

    /// Leaves a cluster that is not ours as it was, but for the definitions: others may use them by now.
    pub async fn close(self) -> Result<()> {
        if self.control_plane.is_some() {
            return Ok(());
        }
        step("Deleting the namespace wandb-auth-demo; the custom resource definitions stay, until you");
        let definitions = custom_resource_definitions();
        let names: Vec<_> =
            definitions.into_iter().filter_map(|definition| definition.metadata.name).collect();
        println!("  kubectl delete crd {}", names.join(" "));
        self.workspace
            .delete()
            .await
            .context("the namespace is still there: kubectl delete namespace wandb-auth-demo")
    }
}
