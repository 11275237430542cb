//! The step that publishes: brings the Secret to the content that it must have.

use jiff::Timestamp;
use kube::ResourceExt;

use super::secret::{self, SecretWrite, field_manager, secret_name};
use crate::engine::{
    Candidate, CheckHistory, Context, Existing, Kind, Planned, Publication, RenderContext, SecretContent,
    Values, decide,
    inputs::resolve::Resolved,
    precedence::Claim,
    run_record::written_by,
    status::{
        events::{repaired, written},
        run_events::RunEvents,
    },
};
use crate::{
    error::{Error, StepError},
    problem::Problem,
    sensitive::Redactor,
};

/// The values that the run came to. A resource that lost its claim is still checked, so that it is ready when the
/// claim is free, but it has no values to publish until then.
pub(in crate::engine) fn candidate<K: Kind>(
    planned: &Planned<K>,
    history: &CheckHistory<K::Evidence>,
    claim: &Claim,
    current: Option<&Values>,
) -> Candidate {
    if let Claim::Lost(_) = claim {
        return Candidate::None;
    }
    let context = RenderContext { verified: history.verified_once, current };
    match K::render(&planned.plan, &history.evidence, &context) {
        None => Candidate::Incomplete,
        Some(values) if history.verified_once => Candidate::Proven(values),
        Some(values) => Candidate::Unproven(values),
    }
}

/// The result of publishing.
pub(in crate::engine) struct PublishOutcome {
    pub(in crate::engine) publication: Publication,
    /// The values in the Secret, as far as they are known.
    pub(in crate::engine) values: Option<Values>,
    /// Whether this run wrote it.
    pub(in crate::engine) write: SecretWrite,
    /// When the Secret was written last, as far as it is known.
    pub(in crate::engine) written_at: Option<Timestamp>,
    /// The values that may be delivered: those in the Secret, if they are known to be the right ones.
    pub(in crate::engine) deliverable: Option<Values>,
}

/// Keeps values that stay published from expiring while a person looks for the fault in the current ones.
pub(in crate::engine) fn renew_held<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    history: &CheckHistory<K::Evidence>,
    held: Option<&Values>,
) {
    if let (false, Some(held)) = (history.verified_once, held)
        && let Some(renewed) = K::renew(&planned.plan, &history.evidence, held)
    {
        context.memory.verified(object, &renewed);
    }
}

/// Brings the Secret to the content that it must have, and says what it holds.
pub(in crate::engine) async fn publish<K: Kind>(
    object: &K,
    context: &Context<K>,
    Resolved { present, existing, .. }: Resolved,
    candidate: Candidate,
    events: &mut RunEvents<'_, K>,
) -> Result<PublishOutcome, Error> {
    if let Candidate::Proven(values) = &candidate {
        context.memory.verified(object, values);
    }
    let last_verified = context.memory.last_verified(object);
    let policy = object.common().publish_policy;
    let present = present.as_ref();
    let held = existing.values().cloned();
    let (wanted, publication) = decide(policy, existing, candidate, last_verified.as_ref());
    let write = match secret::ensure(context, object, present, &wanted).await {
        Ok(write) => {
            context.memory.written(object, write);
            write
        }
        Err(error) => {
            let problem = not_written(object, context, &wanted, error)?;
            context.memory.refused(object, &problem);
            let publication = Publication::Refused(problem);
            return Ok(PublishOutcome {
                publication,
                values: held,
                write: SecretWrite::Unchanged,
                written_at: None,
                deliverable: None,
            });
        }
    };
    let deliverable = if let SecretContent::Exactly(values) = wanted { Some(values) } else { None };
    let had_it = deliverable.as_ref().is_some_and(|values| context.memory.published(object, values));
    if write == SecretWrite::Changed {
        let name = secret_name(object);
        let repaired = || repaired(present, &name, &field_manager::<K>());
        events.add(if had_it { repaired() } else { written(&publication, &name) });
    }
    let written_at = match write {
        SecretWrite::Changed => Some(context.cluster.seconds()),
        SecretWrite::Unchanged => {
            present.and_then(|present| written_by(present.managed_fields(), &field_manager::<K>()))
        }
    };
    let values = deliverable.clone().or(held);
    Ok(PublishOutcome { publication, values, write, written_at, deliverable })
}

/// The problem that the Secret was not written. Values that the API server may have repeated are redacted.
fn not_written<K: Kind>(
    object: &K,
    context: &Context<K>,
    wanted: &SecretContent,
    error: StepError,
) -> Result<Problem, Error> {
    let error = match error {
        StepError::Problem(problem) => return Ok(problem),
        StepError::Error(error) => error,
    };
    let what = format!("the Secret \"{}\"", secret_name(object));
    let problem = context.rejected(object, &what, error)?;
    let SecretContent::Exactly(values) = wanted else { return Ok(problem) };
    let redactor = Redactor::new(values.iter().map(|(_, value)| value.clone()));
    Ok(Problem { message: redactor.redact(problem.message), ..problem })
}

/// Leaves the Secret's values as they are, but applies the deletion policy to its owner reference.
pub(in crate::engine) async fn retain_secret<K: Kind>(
    object: &K,
    context: &Context<K>,
    Resolved { present, existing, .. }: &Resolved,
) -> Result<(), Error> {
    if matches!(existing, Existing::Ours(_))
        && let Err(error) = secret::ensure(context, object, present.as_ref(), &SecretContent::AsIs).await
    {
        // A refusal appears in the conditions as soon as the resource is no longer suspended.
        not_written(object, context, &SecretContent::AsIs, error)?;
    }
    Ok(())
}
