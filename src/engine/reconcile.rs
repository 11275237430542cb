//! One run for one resource: the steps of the pipeline in their order.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Candidate, CheckContext, CheckHistory, CheckKey, CheckOutcome, CheckRun, CheckedInputs, Context,
    EventDraft, Existing, Fetched, FirstCheck, Kind, Maintenance, Planned, Prepared, Publication,
    RemoteState, RenderContext, Renewal, Repetition, RunVerdict, Schedule, SecretContent, TargetSharing,
    Values,
    checks::first_check::Spread,
    decide,
    deletion::release,
    delivery::{
        Checks, DeliverableValues, Delivered, Progress, claim, deliver, looks, requeue_after, withdraw_all,
    },
    fetch,
    finalizer::Finalizer,
    plan::prepare_known,
    precedence::{Claim, Proof},
    publish::secret::{self, SecretWrite, field_manager, secret_name},
    references, rejection,
    run_record::{RunRecord, observed, without_news_of_time, written_by},
    scheduling::backoff::random_share,
    status::{
        conditions::{Destination, Outcome, StatusInputs, derive, is_suspended, noted},
        events::{repaired, written as news_of},
    },
};
use crate::{
    api::{RECHECK_ANNOTATION, Reason, names::CredentialsAnswer},
    error::Error,
    net::{Consent, Sharing, Terms},
    problem::Problem,
    sensitive::Redactor,
    workloads::Target,
};

/// Brings one resource to the state that its spec describes, as far as the checks prove that it works.
pub async fn reconcile<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    // The dependents of a resource that is being deleted belong to the garbage collector: a Secret that it
    // deleted must not be created again.
    if object.meta().deletion_timestamp.is_some() {
        return release(object, context).await;
    }
    let namespace = object.namespace().unwrap_or_default();
    context.memory.begin_status(object);
    let namesakes = context.namesakes(object).await;
    let turn = context.api_permits.take(&namespace).await;
    if object.common().suspend {
        let (present, existing) = secret::read(&context.client, object).await?;
        context.observe(object, &BTreeMap::new(), (present.as_ref(), &existing));
        context.add_finalizers_again(object, existing.values()).await?;
        retain_secret(object, context, present.as_ref(), &existing).await?;
        let outcome = unchanged(object, context, Outcome::Suspended);
        return update_status(object, context, outcome, RunRecord::default(), None).await;
    }
    let references = references(object);
    let (objects, (present, existing)) = tokio::try_join!(
        fetch(&context.client, &namespace, &references),
        secret::read(&context.client, object)
    )?;
    let is_refused = objects.values().any(|fetched| matches!(fetched, Fetched::Forbidden));
    if is_refused && context.cluster.load().is_recovering(Instant::now()) {
        return Err(Error::Recovering);
    }
    context.observe(object, &objects, (present.as_ref(), &existing));
    context.add_finalizers_again(object, existing.values()).await?;
    let record = RunRecord {
        recheck: object.annotations().get(RECHECK_ANNOTATION).cloned(),
        references: Some(observed(&objects)),
        ..RunRecord::default()
    };
    let last_verified = context.memory.last_verified(object);
    let held: Vec<_> = existing.values().into_iter().chain(&last_verified).collect();
    let spec = context.memory.spec(object);
    let system_trust = &context.network.system_trust;
    let planned = match prepare_known(object, &spec, &namesakes, &objects, system_trust, &held) {
        Prepared::NotAccepted(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            // A mistake in the spec must not stop the rollback of a rollout that is under way.
            if problem.reason == Reason::InvalidSpec {
                published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            }
            let outcome = unchanged(object, context, Outcome::NotAccepted(problem));
            return update_status(object, context, outcome, record, Some(published)).await;
        }
        Prepared::Unresolved(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            let outcome = unchanged(object, context, Outcome::Unresolved(problem));
            return update_status(object, context, outcome, record, Some(published)).await;
        }
        Prepared::Planned(planned) => planned,
    };
    let checked_inputs = CheckedInputs::known(object, &spec, &objects);
    // The permit is released before the checks: a server that hangs must delay its own resource only.
    drop(turn);
    let values = (existing.values(), last_verified.as_ref());
    let mut remembered =
        examine(object, context, &planned, &checked_inputs, values, Age::AsScheduled).await?;
    let mut turn = context.api_permits.take(&namespace).await;
    let held = last_verified.as_ref().or(existing.values());
    // Values that stay published must not expire while a person looks for the fault in the current ones.
    if let (false, Some(held)) = (remembered.proven, held)
        && let Some(renewed) = K::renew(&planned.plan, &remembered.evidence, held)
    {
        context.memory.verified(object, &renewed);
    }
    let claim = claim(object, context, checks(object, &remembered).1).await;
    let candidate = match claim {
        // A resource that lost its claim is still checked, so that it is ready when the claim is free.
        Claim::Lost(_) => Candidate::None,
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => candidate::<K>(&planned, &remembered, held),
    };
    let mut published = publish(object, context, present.as_ref(), existing, candidate).await?;
    published.delivered = published.deliver_published(object, context, checks(object, &remembered)).await?;
    if published.awaits_checks() && checks(object, &remembered).0 == Checks::Stale {
        // Entries of somebody else are replaced only after checks that passed just now, so the checks run again.
        let values = (published.values.as_ref(), last_verified.as_ref());
        drop(turn);
        remembered = examine(object, context, &planned, &checked_inputs, values, Age::Fresh).await?;
        turn = context.api_permits.take(&namespace).await;
        published.delivered =
            published.deliver_published(object, context, checks(object, &remembered)).await?;
    }
    if let (Claim::Lost(problem), Some(delivered)) = (claim, &mut published.delivered)
        && matches!(delivered.state, Progress::Failed(_) | Progress::NotPublished)
    {
        // The resource does not deliver because another one has the claim; whether delivery would have failed
        // does not matter.
        delivered.state = Progress::Superseded(problem);
    }
    let verdict = remembered.verdict(object.common().failure_threshold);
    let previous = context.memory.previous_details(object);
    let values = published.values.as_ref();
    let details = K::status_details(&planned.plan, &remembered.evidence, values, previous);
    let outcome = Outcome::Checked { verdict, findings: &remembered.findings, checked_inputs };
    let record = RunRecord { last_check: remembered.last_check, ..record };
    let settled = update_status(object, context, (outcome, details), record, Some(published)).await;
    drop(turn);
    settled
}

/// How old findings may be when a run uses them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// They may be as old as the check interval of the spec allows.
    AsScheduled,
    /// They must be younger than [`FRESH`], except for findings that must not be repeated.
    Fresh,
}

/// How long a passed check counts as fresh.
const FRESH: Duration = Duration::from_secs(10);

/// The state of the checks for runs that made none.
const UNCHECKED: (Checks, Proof) = (Checks::Open, Proof::Unverified);

/// The state of the checks for a takeover: from somebody else (first part), and from another resource (second
/// part).
fn checks<K: Kind>(object: &K, remembered: &CheckHistory<K::Evidence>) -> (Checks, Proof) {
    match remembered.verdict(object.common().failure_threshold) {
        RunVerdict::Passed if remembered.age(Instant::now()).is_some_and(|age| age <= FRESH) => {
            (Checks::Fresh, Proof::Verified)
        }
        RunVerdict::Passed => (Checks::Stale, Proof::Verified),
        RunVerdict::Tolerated { .. } => (Checks::Open, Proof::Verified),
        RunVerdict::Failed(_) | RunVerdict::Held(_) => (Checks::Open, Proof::Unverified),
    }
}

/// The findings for the current inputs: remembered ones if they are for the same inputs and not yet due,
/// otherwise new ones.
async fn examine<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &CheckedInputs,
    (published, last_verified): (Option<&Values>, Option<&Values>),
    age: Age,
) -> Result<CheckHistory<K::Evidence>, Error> {
    let question = &planned.question;
    let known = context.memory.history(object).or_else(|| recover(object, context, planned, checked_inputs));
    // If credentials that were refused were accepted since, for another resource, the findings are out of date.
    let is_out_of_date =
        |known: &CheckHistory<_>| context.network.credentials.were_accepted(&known.usage.refused);
    if let Some(known) = &known
        && !is_out_of_date(known)
        && known.answers(question, schedule(object), Instant::now())
        && (age == Age::AsScheduled || checks(object, known).0 != Checks::Stale)
    {
        context.memory.remember(object, known.clone());
        return Ok(known.clone());
    }
    let namespace = object.namespace().unwrap_or_default();
    let unwritable = context.memory.unwritable(object);
    let now = context.cluster.now().await?;
    let terms = terms(object, known.as_ref(), question, checked_inputs);
    let sharing = sharing(object, known.as_ref(), question, checked_inputs, age);
    let network = context.network.seen_from(&namespace).on_terms(terms).sharing(sharing);
    let scene = CheckContext {
        network: &network,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        published,
        last_verified,
        last_findings: known.as_ref().map_or(&[], |known| known.findings_on(question)),
        proven: known.as_ref().is_some_and(|known| known.is_proven(question)),
        last_upkeep: known.as_ref().and_then(|known| known.refused_upkeep(question, Instant::now())),
        unwritable: unwritable.as_ref(),
        now,
        repetition: Repetition::ByOperator,
    };
    let examined = tokio::select! {
        examined = look(object, context, planned, scene) => examined?,
        () = stopped(context) => return Err(Error::Stopping),
    };
    context.metrics.checked(object, &examined.findings);
    let due = K::renew_at(&planned.plan, &examined.evidence, &scene);
    let renewal = Renewal::new(due, scene.now.time, Instant::now());
    // The answers of the servers are not needed any more, and other runs may wait for the memory that they take.
    drop(network);
    let share = random_share();
    let remembered =
        CheckHistory::record(known.as_ref(), question.clone(), examined, renewal, share, Instant::now())
            .dated(context.cluster.seconds());
    // Findings are remembered before anything is written: a run that fails at a write must not send credentials
    // again.
    context.memory.remember(object, remembered.clone());
    let answer = remembered.findings.credentials_answer();
    if answer.is_some_and(|answer| answer != CredentialsAnswer::NotSent) {
        // The status is the first thing that is written, so that the next process knows what became of the
        // credentials.
        note_down(object, context, &remembered, checked_inputs).await?;
    }
    Ok(remembered)
}

/// The terms on which this run may send credentials that were refused before.
fn terms<K: Kind>(
    object: &K,
    known: Option<&CheckHistory<K::Evidence>>,
    question: &CheckKey,
    checked_inputs: &CheckedInputs,
) -> Terms {
    let interval = object.common().check_interval.get();
    let is_asked = object.status().is_some_and(|status| checked_inputs.is_asked_since(status));
    let consent = if is_asked { Consent::Given } else { Consent::None };
    known.map_or(Terms { consent, last_look: None, interval }, |known| known.terms(question, interval))
}

/// Which answers to other resources this run takes for its own.
fn sharing<K: Kind>(
    object: &K,
    known: Option<&CheckHistory<K::Evidence>>,
    question: &CheckKey,
    checked_inputs: &CheckedInputs,
    age: Age,
) -> Sharing {
    let now = Instant::now();
    let is_asked = object.status().is_some_and(|status| checked_inputs.is_asked_since(status));
    let not_before = match known {
        Some(known) => known.news_since(question, now),
        None => is_asked.then_some(now),
    };
    let sharing = Sharing::since(not_before, object.common().check_interval.get());
    // A Secret that was changed may go with a change at the server.
    let is_outdated = known.is_some_and(|known| known.is_outdated(question));
    let sharing = if is_outdated { sharing.just_now() } else { sharing };
    match age {
        Age::AsScheduled => sharing,
        // The findings must be younger than [`FRESH`] when the checks are over.
        Age::Fresh => sharing.just_now(),
    }
}

/// What the status tells of the checks that an earlier process made.
fn recover<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &CheckedInputs,
) -> Option<CheckHistory<K::Evidence>> {
    let now = Instant::now();
    let terms = (planned.account, object.common().failure_threshold);
    let recovered =
        CheckHistory::recover(object.status()?, planned.question.clone(), checked_inputs, terms, now)?;
    context.metrics.recovered(object, &recovered.findings);
    // What was suspended was not looked after: its verdict may be weeks old.
    let was_suspended = object.status().is_some_and(is_suspended);
    Some(match K::FIRST_CHECK {
        FirstCheck::AtOnce => recovered,
        FirstCheck::Spread if was_suspended => recovered,
        FirstCheck::Spread => {
            let uid = object.uid().unwrap_or_default();
            let last_check = recovered.last_check;
            recovered.spread(Spread::new(&uid, context.cluster.seconds(), now).after(last_check))
        }
    })
}

/// Runs the checks, and maintains what the spec asks for at the remote server.
async fn look<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    scene: CheckContext<'_>,
) -> Result<CheckOutcome<K::Evidence>, Error> {
    let mut examination = CheckRun::run(planned, scene, object.common().check_timeout.get()).await;
    if let Some(maintenance) = examination.maintenance() {
        match hold(object, context, &maintenance).await? {
            Ok(()) => examination.maintain(maintenance).await,
            Err(problem) => examination.refuse(maintenance, problem),
        }
    }
    Ok(examination.finish())
}

/// Adds the finalizer before something is made at the server. If the API server refuses that, the problem is
/// returned beside the findings of the checks, which are not lost.
async fn hold<K: Kind>(
    object: &K,
    context: &Context<K>,
    maintenance: &Maintenance,
) -> Result<Result<(), Problem>, Error> {
    if maintenance.remote_state != RemoteState::Remote {
        return Ok(Ok(()));
    }
    match context.hold(object, Finalizer::RemoteCredentials).await {
        Ok(()) => Ok(Ok(())),
        Err(Error::Api(error)) => Ok(Err(rejection::rejected("the resource's finalizer", &error))),
        Err(error) => Err(error),
    }
}

/// Writes the findings into the status early, and leaves everything else in it to the end of the run.
async fn note_down<K: Kind>(
    object: &K,
    context: &Context<K>,
    remembered: &CheckHistory<K::Evidence>,
    checked_inputs: &CheckedInputs,
) -> Result<(), Error> {
    let common = object.common();
    let facts = StatusInputs {
        generation: object.meta().generation,
        outcome: Outcome::Checked {
            verdict: remembered.verdict(common.failure_threshold),
            findings: &remembered.findings,
            checked_inputs: checked_inputs.clone(),
        },
        // Values that passed before stay published, so the condition keeps saying so.
        publication: remembered.proven.then_some(Publication::Current),
        delivered: None,
        destination: Destination::Secret,
        looks: &[],
        secret_name: secret_name(object),
        threshold: common.failure_threshold,
        record: RunRecord { last_check: remembered.last_check, ..RunRecord::default() },
        resource: in_kubectl(object),
    };
    let previous = context.memory.previous_status(object).unwrap_or_default();
    let status = noted(&previous, &facts, context.cluster.seconds());
    let details = context.memory.previous_details(object);
    let notices = context.report_alone(object, (&status, &details)).await?;
    context.publish_events(object, notices);
    Ok(())
}

/// Waits until the process stops and a moment longer, for an answer that may be on its way. A refusal that was
/// never recorded would be asked for again by the next process.
pub(super) async fn stopped<K: Kind>(context: &Context<K>) {
    context.stopping.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The resource as arguments of kubectl.
fn in_kubectl<K: Kind>(object: &K) -> String {
    format!("{} {} -n {}", K::SHORT_NAME, object.name_any(), object.namespace().unwrap_or_default())
}

fn schedule<K: Kind>(object: &K) -> Schedule {
    let common = object.common();
    Schedule { interval: common.check_interval.get(), threshold: common.failure_threshold }
}

/// The current values, and whether they are verified.
fn candidate<K: Kind>(
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
struct PublishOutcome {
    publication: Publication,
    /// The values in the Secret, as far as they are known.
    values: Option<Values>,
    notice: Option<EventDraft>,
    /// When the Secret was written last, as far as it is known.
    written_at: Option<Timestamp>,
    /// The values that may be delivered: those in the Secret, if they are known to be the right ones.
    deliverable: Option<Values>,
    /// The outcome at the target, if there is one.
    delivered: Option<Delivered>,
}

/// Brings the Secret to the content that it must have, and says what it holds.
async fn publish<K: Kind>(
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
    fn rejection(&self) -> Option<&Problem> {
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
    fn awaits_checks(&self) -> bool {
        let delivered = self.delivered.as_ref();
        delivered.is_some_and(|delivered| matches!(delivered.state, Progress::AwaitsChecks(_)))
    }

    /// Delivers the published values to the target, and withdraws them from targets that the spec does not name
    /// any more.
    async fn deliver_published<K: Kind>(
        &self,
        object: &K,
        context: &Context<K>,
        checks: (Checks, Proof),
    ) -> Result<Option<Delivered>, Error> {
        let Some(target) = object.common().target.as_ref().and_then(Target::of) else {
            withdraw_all(object, context).await?;
            return Ok(None);
        };
        context.registry.watch_kind(&target);
        if self.notice.is_some() {
            context.requeue_sharers(object);
        }
        let values = match K::TARGET_SHARING {
            TargetSharing::Exclusive => self.deliverable.as_ref(),
            // For a merged target, fall back to what the Secret holds; otherwise the other resources' values
            // would be delivered without ours.
            TargetSharing::Merged => self.values.as_ref(),
        };
        let offer = match (&self.publication, values) {
            (_, None) => DeliverableValues::Nothing,
            (Publication::Current | Publication::Unproven, Some(values)) => {
                DeliverableValues::Current(values)
            }
            (_, Some(values)) => DeliverableValues::Held(values),
        };
        deliver(object, context, &target, offer, checks).await.map(Some)
    }
}

/// Leaves the Secret's values as they are, but applies the deletion policy to its owner reference.
async fn retain_secret<K: Kind>(
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

/// An outcome without new status details.
fn unchanged<'a, K: Kind>(
    object: &K,
    context: &Context<K>,
    outcome: Outcome<'a>,
) -> (Outcome<'a>, K::Details) {
    (outcome, context.memory.previous_details(object))
}

/// The longest time between two runs, so that a watch event that was missed has no effect for longer.
const RESYNC: Duration = Duration::from_hours(1);

/// Writes the status and the events of a run if they have changed, and returns when to run again.
async fn update_status<K: Kind>(
    object: &K,
    context: &Context<K>,
    (outcome, details): (Outcome<'_>, K::Details),
    record: RunRecord,
    published: Option<PublishOutcome>,
) -> Result<Action, Error> {
    let rejected = published.as_ref().and_then(PublishOutcome::rejection).is_some();
    let again = match &outcome {
        Outcome::Suspended | Outcome::NotAccepted(_) => RESYNC,
        // Rights and quotas can change without a watch event.
        Outcome::Unresolved(_) => object.common().check_interval.get(),
        Outcome::Checked { .. } => {
            let remembered = context.memory.history(object);
            let wait = remembered.and_then(|remembered| remembered.wait(schedule(object), Instant::now()));
            wait.unwrap_or(RESYNC)
        }
    };
    let written_at = published.as_ref().and_then(|published| published.written_at);
    let (publication, notice, delivered) = published.map_or((None, None, None), |published| {
        (Some(published.publication), published.notice, published.delivered)
    });
    let again = again.min(requeue_after(object, context, delivered.as_ref()));
    let again = if rejected {
        again.min(rejection::wait(context.memory.rejected(object), random_share()))
    } else {
        context.memory.accepted(object);
        again
    };
    let environment = delivered.as_ref().and_then(|delivered| delivered.environment.as_ref());
    let looks = environment.map(|environment| looks(object, environment)).unwrap_or_default();
    let destination =
        if object.common().target.is_some() { Destination::Target } else { Destination::Secret };
    let facts = StatusInputs {
        generation: object.meta().generation,
        outcome,
        publication,
        delivered: delivered.as_ref(),
        destination,
        looks: &looks,
        secret_name: secret_name(object),
        threshold: object.common().failure_threshold,
        record: RunRecord { written_at, ..record },
        resource: in_kubectl(object),
    };
    let previous = context.memory.previous_status(object);
    let before = context.memory.previous_details(object);
    let status = derive(previous.as_deref(), &facts, context.cluster.seconds());
    let status = if details == before { without_news_of_time(previous.as_deref(), status) } else { status };
    context.metrics.settled(object, &status, K::metric_timestamps(&details));
    let mut events = Vec::new();
    if !context.memory.is_reported(object, &status, &details) {
        events = context.report_alone(object, (&status, &details)).await?;
    }
    for event in notice.into_iter().chain(K::events(&before, &details)) {
        Context::<K>::log_event(object, &event);
        events.push(event);
    }
    context.publish_events(object, events);
    Ok(Action::requeue(again))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::LdapConfig,
        engine::{InputsHash, SpecDigest},
    };

    #[test]
    fn what_must_be_fresh_is_shared_for_a_second_only() {
        let object: LdapConfig = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "namespace": "team", "generation": 1},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "checkInterval": "5m"},
        }))
        .unwrap();
        let inputs = CheckedInputs::known(&object, &SpecDigest::of(&object), &BTreeMap::new());
        let hash = InputsHash::from(1);
        let question = CheckKey { inputs: hash, spec: hash, recheck: None, dependency_readiness: Vec::new() };
        let at_most = |age| sharing(&object, None, &question, &inputs, age).freshness.at_most;
        assert_eq!(at_most(Age::AsScheduled), Duration::from_mins(5));
        assert_eq!(at_most(Age::Fresh), Duration::from_secs(1));
        assert!(at_most(Age::Fresh) < FRESH, "they are that fresh when the checks are over");
    }
}
