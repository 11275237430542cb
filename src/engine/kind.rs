//! The trait `Kind`, through which the engine uses the four kinds of resources.

use jiff::Timestamp;
use serde_json::Value;

use super::{CheckContext, Checked, Env, EventDraft, Inputs, Reference, Report, TargetSharing, Values};
use crate::{
    api::{AuthResource, CheckName, Reason},
    net::{HttpServer, Login, Trust},
    problem::Problem,
    workloads::Environment,
};

/// A kind of custom resource: how its spec is parsed, verified and turned into values. The items are in the order
/// of the pipeline's steps; the fields that every resource has are in [`AuthResource`].
///
/// `probe`, `maintain` and `cleanup` use the network, and everything else is pure. Only `maintain` and `cleanup`
/// change anything at the remote server, and the command `check` calls neither.
pub trait Kind: AuthResource {
    /// The short name, which is also the suffix of the default Secret name.
    const SHORT_NAME: &'static str;

    /// Every setting that the kind may publish, in the order in which people read them.
    const ENVIRONMENT: &'static [Env];

    /// What a person does with the settings, as a sentence.
    const DESTINATION: &'static str = "The env entries for the container of W&B Server.";

    /// The spec as validated types.
    type Parsed: Send + Sync;

    /// Everything that checks and rendering need: the parsed spec and the referenced values.
    type Plan: Send + Sync;

    /// What a run of the checks obtains beside its findings, for the values and the status.
    type Evidence: Clone + Default + Send + Sync;

    // Resolve and plan.

    /// Validates the spec by itself. A problem sets the condition `Accepted` to False.
    fn parse(&self) -> Result<Self::Parsed, Problem>;

    /// Every object to which the spec refers, except `spec.tls.caBundle`.
    fn references(&self) -> Vec<Reference>;

    /// What a person asks for by annotations of the kind's own, and no run has handled yet. A request that was not
    /// there before makes the checks due.
    fn requests(&self) -> Vec<String> {
        Vec::new()
    }

    /// Joins the parsed spec with the referenced values.
    fn plan(parsed: Self::Parsed, inputs: Inputs) -> Self::Plan;

    /// The plan that earlier published values correspond to, to check whether they still work; `None` if the
    /// values do not show it.
    fn plan_of(&self, _values: &Values, _system_trust: &Trust) -> Option<Self::Plan> {
        None
    }

    // Precedence among resources.

    /// An identity that only one resource of the kind in a namespace may have. The oldest resource keeps it.
    fn unique_identity(&self) -> Option<String> {
        None
    }

    /// The same identity for a resource that cannot be decoded, as far as its raw spec shows it.
    fn identity_of_undecodable(_name: &str, _spec: &Value) -> Option<String> {
        None
    }

    /// Every setting of a target that only one resource may decide at a time, in words for messages.
    const EXCLUSIVE_SETTINGS: &'static [&'static str] = &[];

    /// The exclusive settings that this resource decides.
    fn exclusive_settings(&self) -> Vec<&'static str> {
        Self::EXCLUSIVE_SETTINGS.to_vec()
    }

    /// The reason in the condition of a resource of another kind that loses an exclusive setting to this kind.
    const SUPERSEDED_REASON: Reason = Reason::Superseded;

    /// Whether several resources of the kind can write to one target.
    const TARGET_SHARING: TargetSharing = TargetSharing::Exclusive;

    /// The values of several resources that write to one target together, the oldest's first.
    fn join(values: &[Values]) -> Values {
        values.first().cloned().unwrap_or_default()
    }

    // Check.

    /// The setting with the credential that the checks send, if a server may lock the account after wrong ones.
    const CREDENTIAL: Option<Env> = None;

    /// The credentials that the checks send, if a server may lock the account after wrong ones.
    fn login(_plan: &Self::Plan) -> Option<Login> {
        None
    }

    /// When a new process repeats the checks that passed in an earlier process with the same inputs.
    const FIRST_CHECK: FirstCheck = FirstCheck::Spread;

    /// Every check of this plan, in the order in which people read them (`SecretValues` is added by the engine).
    fn checks(plan: &Self::Plan) -> Vec<CheckName>;

    /// Runs the checks against the real servers, and records the findings.
    fn probe(
        plan: &Self::Plan,
        context: &CheckContext<'_>,
        report: &mut Report,
    ) -> impl Future<Output = Self::Evidence> + Send;

    /// The server of HTTP to which the target's server connects as the checks do, if there is one.
    fn http_server(&self) -> Option<HttpServer> {
        None
    }

    /// The findings about the spec that follow from the settings of the target.
    fn check_target(&self, _environment: &Environment) -> Vec<(CheckName, Checked)> {
        Vec::new()
    }

    // Maintain what the resource has at the remote server.

    /// What must be maintained at the remote server, if anything.
    fn maintenance(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _context: &CheckContext<'_>,
    ) -> Option<Maintenance> {
        None
    }

    /// Maintains it, and records the check that [`Kind::maintenance`] named.
    fn maintain(
        _plan: &Self::Plan,
        _context: &CheckContext<'_>,
        evidence: Self::Evidence,
        _report: &mut Report,
    ) -> impl Future<Output = Self::Evidence> + Send {
        std::future::ready(evidence)
    }

    /// When the values must be renewed, if they expire. A time already past right after a run means that renewal
    /// failed; failures then bypass `failureThreshold`.
    fn renew_at(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _context: &CheckContext<'_>,
    ) -> Option<Timestamp> {
        None
    }

    /// Whether something at the remote server must be removed with the resource, as far as the resource and its
    /// published values show.
    fn remote_state(&self, _published: Option<&Values>) -> RemoteState {
        RemoteState::None
    }

    /// Removes what the resource made at the remote server, before the resource is deleted.
    fn cleanup(&self, _context: &CheckContext<'_>) -> impl Future<Output = Result<(), Problem>> + Send {
        std::future::ready(Ok(()))
    }

    // Publish.

    /// The values to publish; `None` if something that they need could not be obtained.
    fn render(plan: &Self::Plan, evidence: &Self::Evidence, context: &RenderContext<'_>) -> Option<Values>;

    /// Held values with their expiring part renewed, while the current ones are not verified.
    fn renew(_plan: &Self::Plan, _evidence: &Self::Evidence, _held: &Values) -> Option<Values> {
        None
    }

    /// Evidence with placeholders for what only a run can obtain.
    fn placeholder_evidence(_plan: &Self::Plan) -> Self::Evidence {
        Self::Evidence::default()
    }

    // Status, events and metrics.

    /// The kind's own part of the status; `previous` if this run found nothing new.
    fn status_details(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _published: Option<&Values>,
        previous: Self::Details,
    ) -> Self::Details {
        previous
    }

    /// The events for a change of the details.
    fn events(_previous: &Self::Details, _current: &Self::Details) -> Vec<EventDraft> {
        Vec::new()
    }

    /// The times in the details that become metrics. A token that ends soon also lets its resource go first.
    fn metric_timestamps(_details: &Self::Details) -> MetricTimestamps {
        MetricTimestamps::default()
    }
}

/// When a new process repeats checks that passed in an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstCheck {
    /// At the resource's own point of the interval, so that a restart does not run the checks of all resources at
    /// once.
    Spread,
    /// At once, because only a run shows what must be renewed, and when.
    AtOnce,
}

/// Times that become metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricTimestamps {
    /// When the published API key came into use.
    pub api_key_since: Option<Timestamp>,
    /// When the published token expires.
    pub token_expiration: Option<Timestamp>,
}

/// Something that must be maintained at a remote server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// The check that reports the result.
    pub check: CheckName,
    /// Whether something there must be removed when the resource is deleted.
    pub remote_state: RemoteState,
}

/// Whether a resource leaves something at a remote server that must be removed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteState {
    /// Nothing, or nothing that must be removed.
    None,
    /// The resource's deletion must wait for [`Kind::cleanup`].
    Remote,
}

/// What rendering may depend on, beside the plan and the evidence.
pub struct RenderContext<'a> {
    /// Whether no check failed.
    pub verified: bool,
    /// The values in the Secret now, if it exists and belongs to the resource.
    pub current: Option<&'a Values>,
}
