//! The one trait between the engine and the kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    CheckContext, Checked, Env, EventDraft, Inputs, Reference, ReferencedKind, Report, TargetSharing, Values,
};
use crate::{
    api::{AuthResource, CheckName, Reason},
    net::{Login, Trust},
    problem::Problem,
    workloads::Environment,
};

/// A kind of custom resource: how its spec is read, proven and turned into values. Its items stand in the order of the
/// pipeline's steps; the fields that every resource has are in [`AuthResource`].
///
/// `probe`, `maintain` and `cleanup` use the network, everything else is pure. Only `maintain` and `cleanup` change
/// anything at the remote server, and the `check` command calls neither.
pub trait Kind: AuthResource {
    /// The short name, which is also the suffix of the default Secret name.
    const SHORT_NAME: &'static str;

    /// Every setting that the kind may publish, in the order in which people read them.
    const ENVIRONMENT: &'static [Env];

    /// Where the settings go, as a sentence.
    const DESTINATION: &'static str = "The env entries for the container of W&B Server.";

    /// The spec in types that cannot be wrong.
    type Parsed: Send + Sync;

    /// Everything that checks and rendering need: the parsed spec and the referenced values.
    type Plan: Send + Sync;

    /// What a run of the checks learns beside its findings, for the values and the status.
    type Evidence: Clone + Default + Send + Sync;

    // Resolve and plan.

    /// The kinds of custom resources that specs of this kind refer to.
    const REFERENCED_KINDS: &'static [ReferencedKind] = &[];

    /// Judges the spec by itself. A problem turns `Accepted` False.
    fn parse(&self) -> Result<Self::Parsed, Problem>;

    /// Everything that the spec names beside `spec.tls.caBundle`.
    fn references(&self) -> Vec<Reference>;

    /// Joins the parsed spec with the referenced values.
    fn plan(parsed: Self::Parsed, inputs: Inputs) -> Self::Plan;

    /// The plan that earlier published values stand for, to check whether they still work. `None` where the values do
    /// not say enough.
    fn plan_of(&self, _values: &Values, _system_trust: &Trust) -> Option<Self::Plan> {
        None
    }

    // Precedence among resources.

    /// What only one resource of the kind in a namespace may stand for: the oldest does.
    fn unique_identity(&self) -> Option<String> {
        None
    }

    /// The same for a resource that does not decode, as far as its spec still says.
    fn identity_of_undecodable(_name: &str, _spec: &Value) -> Option<String> {
        None
    }

    /// Every setting of a target that only one resource may decide at a time, in words for messages.
    const EXCLUSIVE_SETTINGS: &'static [&'static str] = &[];

    /// The exclusive settings that this resource decides.
    fn exclusive_settings(&self) -> Vec<&'static str> {
        Self::EXCLUSIVE_SETTINGS.to_vec()
    }

    /// The reason in `Ready` of a resource of another kind that loses a setting to a resource of this kind.
    const SUPERSEDED_REASON: Reason = Reason::Superseded;

    /// Whether several resources of the kind can write to one target.
    const TARGET_SHARING: TargetSharing = TargetSharing::Exclusive;

    /// The values of several resources that write to one target together, the oldest's first.
    fn join(values: &[Values]) -> Values {
        values.first().cloned().unwrap_or_default()
    }

    // Check.

    /// The setting that holds the credential which the checks send, where a server may lock the account after wrong
    /// ones.
    const CREDENTIAL: Option<Env> = None;

    /// The credentials that the checks send, where a server may lock the account after wrong ones.
    fn login(_plan: &Self::Plan) -> Option<Login> {
        None
    }

    /// When a new process makes the checks that passed in an earlier process with the same inputs.
    const FIRST_CHECK: FirstCheck = FirstCheck::Spread;

    /// Every check of this plan, in the order in which people read them (`SecretValues` is the engine's own).
    fn checks(plan: &Self::Plan) -> Vec<CheckName>;

    /// Runs the checks against the real servers and records what was seen.
    fn probe(
        plan: &Self::Plan,
        context: &CheckContext<'_>,
        report: &mut Report,
    ) -> impl Future<Output = Self::Evidence> + Send;

    /// What the target's own settings say about the spec.
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

    /// When the values must be renewed, where they do not last. A time already past right after a run means that
    /// renewal failed; failures then bypass `failureThreshold`.
    fn renew_at(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _context: &CheckContext<'_>,
    ) -> Option<Timestamp> {
        None
    }

    /// What remains at the remote server and must go with the resource, as far as the resource and its published values
    /// say.
    fn remote_state(&self, _published: Option<&Values>) -> RemoteState {
        RemoteState::None
    }

    /// Removes what the resource made at the remote server, before the resource goes.
    fn cleanup(&self, _context: &CheckContext<'_>) -> impl Future<Output = Result<(), Problem>> + Send {
        std::future::ready(Ok(()))
    }

    // Publish.

    /// The values to publish; `None` where something that they need is missing.
    fn render(plan: &Self::Plan, evidence: &Self::Evidence, context: &RenderContext<'_>) -> Option<Values>;

    /// The values that stay published while the current ones are not proven, with those renewed that do not last.
    fn renew(_plan: &Self::Plan, _evidence: &Self::Evidence, _held: &Values) -> Option<Values> {
        None
    }

    /// The evidence of a run, with words in the place of what only a real run can obtain.
    fn placeholder_evidence(_plan: &Self::Plan) -> Self::Evidence {
        Self::Evidence::default()
    }

    // Status, events and metrics.

    /// What the status says beside the conditions; `previous` where this run learnt nothing new.
    fn status_details(
        _plan: &Self::Plan,
        _evidence: &Self::Evidence,
        _published: Option<&Values>,
        previous: Self::Details,
    ) -> Self::Details {
        previous
    }

    /// The changes of the details that deserve an event.
    fn events(_previous: &Self::Details, _current: &Self::Details) -> Vec<EventDraft> {
        Vec::new()
    }

    /// The times in the details that metrics report.
    fn metric_timestamps(_details: &Self::Details) -> MetricTimestamps {
        MetricTimestamps::default()
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
