//! Stands for the W&B operator: makes Deployments of `WeightsAndBiases` resources, with its two generations' habits.
//!
//! What is here is what the published operator and charts are known to do with settings of authentication:
//!
//! - The second generation (`apps.wandb.com/v2`) takes references to Secrets, and takes foreign changes of its
//!   Deployments back at once. It does not watch the Secrets. Its webhook rewrites what anybody writes, and its own
//!   updates write what nobody set. What one application gets beats what all get, and that beats all else.
//! - The first (`apps.wandb.com/v1`) merges free-form values over those of other sources and renders a chart.
//!   Values that do not fit together stop it. It does not watch its Deployments.
//!
//! Neither changes a pod template when only the contents of its `ConfigMap` with authorities change; what the real
//! ones do is not known.

mod controller;
mod conversion;
mod objects;
mod typed;
mod v1;
mod v2;
mod values;
mod webhook;

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceConversion;
use serde_json::Value;

use self::webhook::Webhook;
use crate::{Workspace, background::Background, definitions::OidcFields};

/// Looks after the `WeightsAndBiases` resources of one namespace until it is dropped.
#[derive(Debug)]
pub struct WandbOperator {
    _background: Background,
    conversion: Option<CustomResourceConversion>,
}

impl WandbOperator {
    /// The first generation, which renders the Deployments `<name>-app-bc` and `<name>-api`.
    pub fn v1(workspace: &Workspace) -> Result<Self> {
        Self::v1_with(workspace, Value::Null)
    }

    /// The same with values from another source, over which those of the resource are merged.
    pub fn v1_with(workspace: &Workspace, values: Value) -> Result<Self> {
        Self::start(workspace, v1::Renderer { other_values: values })
    }

    /// The second generation, which makes the Deployment `<name>-api`.
    pub fn v2(workspace: &Workspace) -> Result<Self> {
        Self::v2_with(workspace, OidcFields::Selectors)
    }

    /// The same with fields for OIDC as the installed definition has them.
    pub fn v2_with(workspace: &Workspace, fields: OidcFields) -> Result<Self> {
        let webhook = Webhook::start(fields)?;
        let conversion = Some(webhook.conversion());
        let operator = Self::start(workspace, v2::Renderer { fields, webhook })?;
        Ok(Self { conversion, ..operator })
    }

    /// How a definition of both versions has the second generation convert what the first one left.
    pub fn conversion(&self) -> Option<&CustomResourceConversion> {
        self.conversion.as_ref()
    }

    fn start(workspace: &Workspace, renderer: impl controller::Renderer) -> Result<Self> {
        let config = workspace.config().clone();
        let background = Background::start(move || controller::run(config, renderer))?;
        Ok(Self { _background: background, conversion: None })
    }
}
