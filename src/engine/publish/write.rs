//! The step that publishes: brings the Secret to the content that it must have.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::secret::{self, SecretWrite, field_manager, secret_name};
use crate::engine::{
    Candidate, CheckHistory, Context, EventDraft, Existing, Kind, Planned, Publication, RenderContext,
    SecretContent, Values, decide,
    delivery::{Delivered, Progress},
    run_record::written_by,
    status::events::{repaired, written as news_of},
};
use crate::{api::Reason, error::Error, problem::Problem, sensitive::Redactor};

/// The current values, and whether they are verified.
pub(in crate::engine) fn candidate<K: Kind>(
    planned: &Planned<K>,
    remembered: &CheckHistory<K::Evidence>,
    current: Option<&Values>,
) -> Candidate {
    let context = RenderContext { verified: remembered.proven, current };
    match K::render(&planned.plan, &remembered.evidence, &context) {
        None => Candidate::Incomplete,
        Some(values) if remembered.proven => Candidate::Proven(values),
        Some(values) => Candidate::Unproven(values),
    }
}

/// The result of publishing, and the event about it.
pub(in crate::engine) struct PublishOutcome {
    pub(in crate::engine) publication: Publication,
    /// The values in the Secret, as far as they are known.
    pub(in crate::engine) values: Option<Values>,
    pub(in crate::engine) notice: Option<EventDraft>,
    /// When the Secret was written last, as far as it is known.
    pub(in crate::engine) written_at: Option<Timestamp>,
    /// The values that may be delivered: those in the Secret, if they are known to be the right ones.
    pub(in crate::engine) deliverable: Option<Values>,
    /// The outcome at the target, if there is one.
    pub(in crate::engine) delivered: Option<Delivered>,
}

/// Brings the Secret to the content that it must have, and says what it holds.
pub(in crate::engine) async fn publish<K: Kind>(
    object: &K,
    context: &Context<K>,
    present: Option<&Secret>,
    existing: Existing,
    candidate: Candidate,
) -> Result<PublishOutcome, Error> {
    if let Candidate::Proven(values) = &candidate {
        context.memory.verified(object, values);
    }
    let last_verified = context.memory.last_verified(object);
    let policy = object.common().publish_policy;
    let held = existing.values().cloned();
    let (wanted, publication) = decide(policy, existing, candidate, last_verified.as_ref());
    if present.is_none() && matches!(wanted, SecretContent::Exactly(_)) && !context.is_alive(object).await? {
        // The garbage collector would delete the Secret of a resource that does not exist any more, again and
        // again.
        return Err(Error::Gone);
    }
    let written = match secret::ensure(context, object, present, &wanted).await {
        Ok(written) => written,
        Err(error) => Err(not_written(object, context, &wanted, error)?),
    };
    let written = match written {
        Ok(written) => {
            context.memory.written(object, written);
            written
        }
        Err(problem) => {
            context.memory.refused(object, &problem);
            let publication = Publication::Refused(problem);
            return Ok(PublishOutcome {
                publication,
                values: held,
                notice: None,
                written_at: None,
                deliverable: None,
                delivered: None,
            });
        }
    };
    let deliverable = if let SecretContent::Exactly(values) = wanted { Some(values) } else { None };
    let had_it = deliverable.as_ref().is_some_and(|values| context.memory.published(object, values));
    let notice = (written == SecretWrite::Changed).then(|| {
        let name = secret_name(object);
        if had_it { repaired(present, &name, &field_manager::<K>()) } else { news_of(&publication, &name) }
    });
    let written_at = match written {
        SecretWrite::Changed => Some(context.cluster.seconds()),
        SecretWrite::Unchanged => {
            present.and_then(|present| written_by(present.managed_fields(), &field_manager::<K>()))
        }
    };
    let values = deliverable.clone().or(held);
    Ok(PublishOutcome { publication, values, notice, written_at, deliverable, delivered: None })
}

/// The problem that the Secret was not written. Values that the API server may have repeated are redacted.
fn not_written<K: Kind>(
    object: &K,
    context: &Context<K>,
    wanted: &SecretContent,
    error: kube::Error,
) -> Result<Problem, Error> {
    let what = format!("the Secret \"{}\"", secret_name(object));
    let problem = context.rejected(object, &what, error.into())?;
    let SecretContent::Exactly(values) = wanted else { return Ok(problem) };
    let redactor = Redactor::new(values.iter().map(|(_, value)| value.clone()));
    Ok(Problem { message: redactor.redact(problem.message), ..problem })
}

impl PublishOutcome {
    /// The problem of a write that the API server refused in this run, if there is one.
    pub(in crate::engine) fn rejection(&self) -> Option<&Problem> {
        let published = match &self.publication {
            Publication::Refused(problem) => Some(problem),
            _ => None,
        };
        let delivered = match self.delivered.as_ref().map(|delivered| &delivered.state) {
            Some(Progress::Failed(problem)) => Some(problem),
            _ => None,
        };
        // Rights, quotas and policies change without a watch event, so these problems need a retry.
        let reasons = [Reason::WriteRejected, Reason::Forbidden, Reason::TargetRefused];
        let mut problems = published.into_iter().chain(delivered);
        problems.find(|problem| reasons.contains(&problem.reason))
    }

    /// Whether a takeover of somebody else's entries waits for the checks.
    pub(in crate::engine) fn awaits_checks(&self) -> bool {
        let delivered = self.delivered.as_ref();
        delivered.is_some_and(|delivered| matches!(delivered.state, Progress::AwaitsChecks(_)))
    }
}

/// Leaves the Secret's values as they are, but applies the deletion policy to its owner reference.
pub(in crate::engine) async fn retain_secret<K: Kind>(
    object: &K,
    context: &Context<K>,
    present: Option<&Secret>,
    existing: &Existing,
) -> Result<(), Error> {
    if matches!(existing, Existing::Ours(_))
        && let Err(error) = secret::ensure(context, object, present, &SecretContent::AsIs).await
    {
        // A refusal appears in the conditions as soon as the resource is no longer suspended.
        not_written(object, context, &SecretContent::AsIs, error)?;
    }
    Ok(())
}
