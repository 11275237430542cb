//! Stands for the W&B operator: makes Deployments of `WeightsAndBiases` resources, with its two generations' habits.
//!
//! What is here is what the published operator and charts are known to do with settings of authentication:
//!
//! - The second generation (`apps.wandb.com/v2`) takes references to Secrets, and takes foreign changes of its
//!   Deployments back at once. It does not watch the Secrets. Its webhook rewrites what anybody writes, and its own
//!   updates write what nobody set. What one application gets beats what all get, and that beats all else.
//! - The first (`apps.wandb.com/v1`) merges free-form values over those of other sources and renders a chart.
//!   Values that do not fit together stop it. It does not watch its Deployments, and applies nothing anew while
//!   the merged values stay as they are.
//!
//! Where `WANDB_OPERATOR_V1` or `WANDB_OPERATOR_V2` names W&B's own program, that one runs instead.
//!
//! Neither changes a pod template when only the contents of its `ConfigMap` with authorities change; what the real
//! ones do is not known.

mod chart;
mod controller;
mod conversion;
mod objects;
mod real;
mod real_v2;
mod typed;
mod v1;
mod v2;
mod values;
mod webhook;

pub use chart::WandbChart;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceConversion;
use serde_json::{Value, json};

use self::{
    real::{RealOperator, RunningOperator},
    webhook::Webhook,
};
use crate::{
    Workspace,
    background::{self, Background},
    definitions::OidcFields,
};

/// The variable that names the directory with the definitions of W&B's own operator.
pub(crate) const DEFINITIONS: &str = "WANDB_OPERATOR_V2_DEFINITIONS";

/// Manages the `WeightsAndBiases` resources of one namespace until it is dropped.
#[derive(Debug)]
pub struct WandbOperator {
    _running: Running,
    conversion: Option<CustomResourceConversion>,
}

#[derive(Debug)]
enum Running {
    StandIn { _background: Background },
    Real { _process: RunningOperator },
}

impl WandbOperator {
    /// The first generation, which renders the Deployments `<name>-app-bc` and `<name>-api`.
    pub fn v1(workspace: &Workspace) -> Result<Self> {
        Self::v1_with(workspace, json!({}))
    }

    /// The same with values from W&B's channel, over which those of the resource are merged.
    pub fn v1_with(workspace: &Workspace, values: Value) -> Result<Self> {
        Self::v1_of_release(workspace, v1::RELEASE, values)
    }

    /// The same with a release of the chart; W&B's own operator installs that of the archive that
    /// `WANDB_OPERATOR_CHART` names.
    pub fn v1_of_release(workspace: &Workspace, release: &'static str, values: Value) -> Result<Self> {
        if let Some(real) = RealOperator::named_by("WANDB_OPERATOR_V1", "WANDB_OPERATOR_CHART")? {
            let archive = real.archive.as_ref().context("WANDB_OPERATOR_CHART names no chart archive")?;
            let stored = v1::Stored { values: v1::with_channel(values)?, chart: json!({"path": archive}) };
            let config = workspace.config().clone();
            background::complete(move || v1::offer(config, stored))??;
            let namespaces = format!("--isolation-namespaces={}", workspace.namespace());
            let arguments = ["--airgapped", "--health-probe-bind-address=0", &namespaces];
            let process =
                real.start(workspace, &arguments, &[("OPERATOR_NAMESPACE", workspace.namespace())])?;
            return Ok(Self { _running: Running::Real { _process: process }, conversion: None });
        }
        let config = workspace.config().clone();
        let channel = v1::Channel { values: v1::with_channel(values)?, release };
        let background = Background::start(move || v1::run(config, channel))?;
        Ok(Self { _running: Running::StandIn { _background: background }, conversion: None })
    }

    /// The second generation, which makes the Deployment `<name>-api`.
    pub fn v2(workspace: &Workspace) -> Result<Self> {
        Self::v2_with(workspace, OidcFields::Selectors)
    }

    /// The same with fields for OIDC as the installed definition has them.
    pub fn v2_with(workspace: &Workspace, fields: OidcFields) -> Result<Self> {
        Self::v2_of(workspace, fields, 1)
    }

    /// The same with so many pods of that Deployment.
    ///
    /// W&B's own operator decides by itself how many those are. Its webhooks listen at one port, so that one runs at a
    /// time (`--test-threads=1`), and it takes the definitions of its release (`WANDB_OPERATOR_V2_DEFINITIONS`).
    pub fn v2_of(workspace: &Workspace, fields: OidcFields, replicas: usize) -> Result<Self> {
        if let Some(real) = RealOperator::named_by("WANDB_OPERATOR_V2", DEFINITIONS)? {
            let process = real_v2::start(&real, workspace)?;
            return Ok(Self { _running: Running::Real { _process: process }, conversion: None });
        }
        let webhook = Webhook::start(fields)?;
        let conversion = Some(webhook.conversion());
        let running = Self::start(workspace, v2::Renderer { fields, replicas, webhook })?;
        Ok(Self { _running: running, conversion })
    }

    /// How a definition of both versions has the second generation convert what the first one left.
    pub fn conversion(&self) -> Option<&CustomResourceConversion> {
        self.conversion.as_ref()
    }

    fn start(workspace: &Workspace, renderer: impl controller::Renderer) -> Result<Running> {
        let config = workspace.config().clone();
        let background = Background::start(move || controller::run(config, renderer))?;
        Ok(Running::StandIn { _background: background })
    }
}
