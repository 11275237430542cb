//! The one trait between the engine and the kinds.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{CustomResourceExt, Resource};
use serde::{Serialize, de::DeserializeOwned};

use super::{Env, Inputs, Reference, Report, Values};
use crate::{
    api::{CheckName, CommonSpec, Status},
    net::Network,
    problem::Problem,
};

/// A kind of custom resource: how its spec is read, proven and turned into values.
///
/// `parse`, `references`, `plan` and `render` are pure; `probe` is the only one that touches the network.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// The short name, which is also the suffix of the default Secret name.
    const SHORT_NAME: &'static str;

    /// Every setting that the kind may publish, in the order in which people read them.
    const ENVIRONMENT: &'static [Env];

    /// The spec in types that cannot be wrong.
    type Parsed: Send + Sync;

    /// Everything that probing and rendering need: the parsed spec and the referenced values.
    type Plan: Send + Sync;

    /// The fields that every kind has.
    fn common(&self) -> &CommonSpec;

    /// The last written status.
    fn status(&self) -> Option<&Status>;

    /// The spec alone, as a serializable value: with the referenced contents it is what findings depend on.
    fn spec(&self) -> &impl Serialize;

    /// Judges the spec by itself. A problem turns `Accepted` False.
    fn parse(&self) -> Result<Self::Parsed, Problem>;

    /// Every Secret key that the spec names beside `spec.tls.caBundle`.
    fn references(&self) -> Vec<Reference>;

    /// Joins the parsed spec with the referenced values.
    fn plan(parsed: Self::Parsed, inputs: Inputs) -> Self::Plan;

    /// Every check of this plan, in the order in which people read them (`SecretValues` is the engine's own).
    fn checks(plan: &Self::Plan) -> Vec<CheckName>;

    /// Runs the checks against the real servers and records what was seen.
    fn probe(plan: &Self::Plan, network: &Network, report: &mut Report) -> impl Future<Output = ()> + Send;

    /// The values to publish.
    fn render(plan: &Self::Plan, context: &RenderContext<'_>) -> Values;
}

/// What rendering may depend on beside the plan.
pub struct RenderContext<'a> {
    /// Whether no check failed.
    pub verified: bool,
    /// What the Secret holds now, if it is there and ours.
    pub current: Option<&'a Values>,
}
