//! The one trait between the engine and the kinds.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::{CustomResourceExt, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{CheckContext, Checked, Env, EventDraft, Inputs, Reference, Report, TargetSharing, Values};
use crate::{
    api::{CheckName, CommonSpec, Reason, Status},
    net::{Login, Trust},
    problem::Problem,
    workloads::Environment,
};

/// A kind of custom resource: how its spec is read, proven and turned into values.
///
/// `probe`, `maintain` and `cleanup` touch the network, everything else is pure. Only `maintain` and
/// `cleanup` change anything on the other side, and `check` calls neither.
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

    /// Where the settings go, as a sentence.
    const DESTINATION: &'static str = "The env entries for the container of W&B Server.";

    /// The spec in types that cannot be wrong.
    type Parsed: Send + Sync;

    /// Everything that probing and rendering need: the parsed spec and the referenced values.
    type Plan: Send + Sync;

    /// What a run of the checks learns beside its findings, for the values and the status.
    type Evidence: Clone + Default + Send + Sync;

    /// What the status of this kind has beside what every kind's has.
    type Details: Serialize + DeserializeOwned + Clone + Default + PartialEq + Send + Sync;

    /// The fields that every kind has.
    fn common(&self) -> &CommonSpec;

    /// The last written status.
    fn status(&self) -> Option<&Status>;

    /// The rest of the last written status.
    fn details(&self) -> Self::Details;

    /// The spec alone, as a serializable value: with the referenced contents it is what findings depend on.
    fn spec(&self) -> &impl Serialize;

    /// A place that only one resource of the kind in a namespace may hold: the oldest does.
    fn unique_identity(&self) -> Option<String> {
        None
    }

    /// The same for a resource that cannot be read, as far as its spec still tells.
    fn identity_of_undecodable(_name: &str, _spec: &Value) -> Option<String> {
        None
    }

    /// Everything that a resource of the kind may decide at a target, and only one resource at a time, in words for
    /// messages.
    const EXCLUSIVE_SETTINGS: &'static [&'static str] = &[];

    /// What of it this resource decides.
    fn exclusive_settings(&self) -> Vec<&'static str> {
        Self::EXCLUSIVE_SETTINGS.to_vec()
    }

    /// What those of other kinds are told that lose a place to a resource of this kind.
    const SUPERSEDED_REASON: Reason = Reason::Superseded;

    /// Whether several resources of the kind can write to one target.
    const TARGET_SHARING: TargetSharing = TargetSharing::Exclusive;

    /// The values of several resources that write to one target together, the oldest's first.
    fn join(values: &[Values]) -> Values {
        values.first().cloned().unwrap_or_default()
    }

    /// What the target's settings tell of the spec.
    fn check_target(&self, _environment: &Environment) -> Vec<(CheckName, Checked)> {
        Vec::new()
    }

    /// Judges the spec by itself. A problem turns `Accepted` False.
    fn parse(&self) -> Result<Self::Parsed, Problem>;

    /// Everything that the spec names beside `spec.tls.caBundle`.
    fn references(&self) -> Vec<Reference>;

    /// Joins the parsed spec with the referenced values.
    fn plan(parsed: Self::Parsed, inputs: Inputs) -> Self::Plan;

    /// The setting that holds what the other side must not see too often, since it may lock the account.
    const CREDENTIAL: Option<Env> = None;

    /// The credentials that the checks send, where a server may lock the account for wrong ones.
    fn login(_plan: &Self::Plan) -> Option<Login> {
        None
    }

    /// The plan that values of before stand for, to check whether they still work; nothing where they do not tell.
    fn plan_of(&self, _values: &Values, _system_trust: &Trust) -> Option<Self::Plan> {
        None
    }

    /// When a new process makes the checks that an earlier one made with the same inputs, and that passed.
    const FIRST_CHECK: FirstCheck = FirstCheck::Spread;

    /// Every check of this plan, in the order in which people read them (`SecretValues` is the engine's own).
    fn checks(plan: &Self::Plan) -> Vec<CheckName>;

    /// Runs the checks against the real servers and records what was seen.
    fn probe(
        plan: &Self::Plan,
        scene: &CheckContext<'_>,
        report: &mut Report,
    ) -> impl Future<Output = Self::Evidence> + Send;

    /// What of the resource must go with it, as far as it and its published values tell.
    fn remote_state(&self, _published: Option<&Values>) -> RemoteState {
        RemoteState::None
    }

    /// What is to be kept up on the other side, if anything.
    fn maintenance(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _scene: &CheckContext<'_>,
    ) -> Option<Maintenance> {
        None
    }

    /// Keeps it up, and records the check that [`Kind::maintenance`] named.
    fn maintain(
        _plan: &Self::Plan,
        _scene: &CheckContext<'_>,
        evidence: Self::Evidence,
        _report: &mut Report,
    ) -> impl Future<Output = Self::Evidence> + Send {
        std::future::ready(evidence)
    }

    /// When the values must be renewed, where they do not last. What is due although a run is just over
    /// could not be renewed, and failures then count at once.
    fn renew_at(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _scene: &CheckContext<'_>,
    ) -> Option<Timestamp> {
        None
    }

    /// The values to publish; nothing where what they need is not at hand.
    fn render(plan: &Self::Plan, evidence: &Self::Evidence, context: &RenderContext<'_>) -> Option<Values>;

    /// Values that stay published although the current ones are not proven, with what does not last renewed.
    fn renew(_plan: &Self::Plan, _evidence: &Self::Evidence, _held: &Values) -> Option<Values> {
        None
    }

    /// What a run would learn, with words in the place of what only a run can obtain.
    fn placeholder_evidence(_plan: &Self::Plan) -> Self::Evidence {
        Self::Evidence::default()
    }

    /// What the status tells beside the conditions; `previous` where this run learnt nothing new.
    fn status_details(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _published: Option<&Values>,
        previous: Self::Details,
    ) -> Self::Details {
        previous
    }

    /// What is worth an event in a change of the details.
    fn events(_previous: &Self::Details, _current: &Self::Details) -> Vec<EventDraft> {
        Vec::new()
    }

    /// The times in the details that metrics tell of.
    fn metric_timestamps(_details: &Self::Details) -> MetricTimestamps {
        MetricTimestamps::default()
    }

    /// Takes away what the resource made on the other side, before the resource goes.
    fn cleanup(&self, _scene: &CheckContext<'_>) -> impl Future<Output = Result<(), Problem>> + Send {
        std::future::ready(Ok(()))
    }
}

/// When a new process makes checks that passed in an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstCheck {
    /// At the resource's own point of the interval, so that a restart does not make those of all resources at once.
    Spread,
    /// At once: only a run tells what is to be renewed, and when.
    AtOnce,
}

/// Times that metrics tell of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricTimestamps {
    /// When the published API key came into use.
    pub api_key_since: Option<Timestamp>,
    /// When the published token expires.
    pub token_expiration: Option<Timestamp>,
}

/// Something to be kept up on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// The check that tells how it went.
    pub check: CheckName,
    /// What becomes of the other side's part when the resource is deleted.
    pub remote_state: RemoteState,
}

/// Whether a resource leaves something on the other side that must go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteState {
    /// Nothing, or nothing that is to go.
    None,
    /// The resource's deletion must wait for [`Kind::cleanup`].
    Remote,
}

/// What rendering may depend on beside the plan and the evidence.
pub struct RenderContext<'a> {
    /// Whether no check failed.
    pub verified: bool,
    /// What the Secret holds now, if it is there and ours.
    pub current: Option<&'a Values>,
}
