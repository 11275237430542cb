//! One run for one resource: the pipeline on one screen.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Candidate, CheckContext, CheckHistory, CheckKey, CheckOutcome, CheckRun, CheckedInputs, Context,
    EventDraft, Existing, FirstCheck, Kind, Maintenance, Planned, Prepared, Publication, RemoteState,
    RenderContext, Renewal, RunVerdict, Schedule, SecretContent, TargetSharing, Values,
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
    scheduling::backoff::random_share,
    status::{
        conditions::{Destination, Outcome, StatusInputs, derive, noted},
        events::{repaired, written as news_of},
    },
};
use crate::{
    api::{Reason, names::CredentialsAnswer},
    error::Error,
    net::{Consent, Terms},
    problem::Problem,
    sensitive::Redactor,
    workloads::Target,
};

/// Brings one resource to where its spec wants it, as far as that can be proven to work.
pub async fn reconcile<K: Kind>(object: &K, context: &Context<K>) -> Result<Action, Error> {
    // What is on its way out is the garbage collector's: a Secret that it took must not come back.
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
        return update_status(object, context, unchanged(object, context, Outcome::Suspended), None).await;
    }
    let references = references(object);
    let (objects, (present, existing)) = tokio::try_join!(
        fetch(&context.client, &namespace, &references),
        secret::read(&context.client, object)
    )?;
    context.observe(object, &objects, (present.as_ref(), &existing));
    context.add_finalizers_again(object, existing.values()).await?;
    let last_verified = context.memory.last_verified(object);
    let held: Vec<_> = existing.values().into_iter().chain(&last_verified).collect();
    let spec = context.memory.spec(object);
    let system_trust = &context.network.system_trust;
    let planned = match prepare_known(object, &spec, &namesakes, &objects, system_trust, &held) {
        Prepared::NotAccepted(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            // A mistake in the spec must not keep a rollout that is under way from being undone.
            if problem.reason == Reason::InvalidSpec {
                published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            }
            let outcome = unchanged(object, context, Outcome::NotAccepted(problem));
            return update_status(object, context, outcome, Some(published)).await;
        }
        Prepared::Unresolved(problem) => {
            let mut published = publish(object, context, present.as_ref(), existing, Candidate::None).await?;
            published.delivered = published.deliver_published(object, context, UNCHECKED).await?;
            let outcome = unchanged(object, context, Outcome::Unresolved(problem));
            return update_status(object, context, outcome, Some(published)).await;
        }
        Prepared::Planned(planned) => planned,
    };
    let checked_inputs = CheckedInputs::known(object, &spec, &objects);
    // A server that hangs keeps its own resource waiting and nobody else.
    drop(turn);
    let values = (existing.values(), last_verified.as_ref());
    let mut remembered =
        examine(object, context, &planned, &checked_inputs, values, Age::AsScheduled).await?;
    let mut turn = context.api_permits.take(&namespace).await;
    let held = last_verified.as_ref().or(existing.values());
    // Values that are held must not end while a person looks for what is wrong with the current ones.
    if let (false, Some(held)) = (remembered.proven, held)
        && let Some(renewed) = K::renew(&planned.plan, &remembered.evidence, held)
    {
        context.memory.verified(object, &renewed);
    }
    let claim = claim(object, context, checks(object, &remembered).1).await;
    let candidate = match claim {
        // Who has no place goes on being checked, for the time when it is free.
        Claim::Lost(_) => Candidate::None,
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => candidate::<K>(&planned, &remembered, held),
    };
    let mut published = publish(object, context, present.as_ref(), existing, candidate).await?;
    published.delivered = published.deliver_published(object, context, checks(object, &remembered)).await?;
    if published.awaits_checks() && checks(object, &remembered).0 == Checks::Stale {
        // What somebody else has set is not taken over on the word of a check that is old.
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
        // Whether it could be delivered is not the question.
        delivered.state = Progress::Superseded(problem);
    }
    let verdict = remembered.verdict(object.common().failure_threshold);
    let previous = context.memory.previous_details(object);
    let values = published.values.as_ref();
    let details = K::status_details(&planned.plan, &remembered.evidence, values, previous);
    let outcome = Outcome::Checked { verdict, findings: &remembered.findings, checked_inputs };
    let settled = update_status(object, context, (outcome, details), Some(published)).await;
    drop(turn);
    settled
}

/// How old findings may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// As old as the spec's interval lets them be.
    AsScheduled,
    /// They must be [`FRESH`], but for those that are not asked for again.
    Fresh,
}

/// How long a check says that something works now.
const FRESH: Duration = Duration::from_secs(10);

/// What is said of taking anything over where nothing was checked.
const UNCHECKED: (Checks, Proof) = (Checks::Open, Proof::Unverified);

/// What the last run of the checks says of taking anything over: from somebody else, and from another resource.
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

/// What the checks find: remembered where that answers the question, from the network otherwise.
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
    // Credentials that were refused are right after all: that is worth a look by everybody who was told.
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
    let network = context.network.seen_from(&namespace).on_terms(terms);
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
    };
    let examined = tokio::select! {
        examined = look(object, context, planned, scene) => examined?,
        () = stopped(context) => return Err(Error::Stopping),
    };
    context.metrics.checked(object, &examined.findings);
    let due = K::renew_at(&planned.plan, &examined.evidence, &scene);
    let renewal = Renewal::new(due, scene.now.time, Instant::now());
    // What the servers sent is not needed any more, and others may wait for its memory.
    drop(network);
    let share = random_share();
    let remembered =
        CheckHistory::record(known.as_ref(), question.clone(), examined, renewal, share, Instant::now());
    // Before anything is written: a run that fails by a write must not send credentials again.
    context.memory.remember(object, remembered.clone());
    let answer = remembered.findings.credentials_answer();
    if answer.is_some_and(|answer| answer != CredentialsAnswer::NotSent) {
        // The status is the first thing that is written, for the process that comes after this one.
        note_down(object, context, &remembered, checked_inputs).await?;
    }
    Ok(remembered)
}

/// On which terms this run may send credentials that were refused before.
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
    Some(match K::FIRST_CHECK {
        FirstCheck::AtOnce => recovered,
        FirstCheck::Spread => {
            let uid = object.uid().unwrap_or_default();
            recovered.spread(Spread::new(&uid, context.cluster.seconds(), now))
        }
    })
}

/// Runs the checks, and keeps up what the spec asks for on the other side.
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

/// Makes the resource's deletion wait for what is about to be made at the server. What the checks found is not
/// lost where that is refused.
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

/// Writes what the checks found into the status, and leaves for the end of the run what they say nothing of.
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
        // What is published stays so where it passed before.
        publication: remembered.proven.then_some(Publication::Current),
        delivered: None,
        destination: Destination::Secret,
        looks: &[],
        secret_name: secret_name(object),
        threshold: common.failure_threshold,
    };
    let previous = context.memory.previous_status(object).unwrap_or_default();
    let status = noted(&previous, &facts, context.cluster.seconds());
    let details = context.memory.previous_details(object);
    let notices = context.report_alone(object, (&status, &details)).await?;
    context.publish_events(object, notices);
    Ok(())
}

/// An answer that is on its way is waited for a moment: a refusal that went unseen would be asked for again.
pub(super) async fn stopped<K: Kind>(context: &Context<K>) {
    context.stopping.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn schedule<K: Kind>(object: &K) -> Schedule {
    let common = object.common();
    Schedule { interval: common.check_interval.get(), threshold: common.failure_threshold }
}

/// The current values, and whether they are known to work.
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

/// What became of the Secret, and what is to be told of it.
struct PublishOutcome {
    publication: Publication,
    /// What it holds, as far as that is known.
    values: Option<Values>,
    notice: Option<EventDraft>,
    /// The values that may be delivered: what it holds, where that is known to be right.
    deliverable: Option<Values>,
    /// What became of them at the target, where there is one.
    delivered: Option<Delivered>,
}

/// Makes the Secret hold what it should, and says what it holds.
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
        // The garbage collector would take a Secret of a resource that is gone, again and again.
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
    let values = deliverable.clone().or(held);
    Ok(PublishOutcome { publication, values, notice, deliverable, delivered: None })
}

/// Why the Secret was not written, without the values that the API server may have repeated.
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
    /// Why a write of this run was not taken, if one was not.
    fn rejection(&self) -> Option<&Problem> {
        let published = match &self.publication {
            Publication::Refused(problem) => Some(problem),
            _ => None,
        };
        let delivered = match self.delivered.as_ref().map(|delivered| &delivered.state) {
            Some(Progress::Failed(problem)) => Some(problem),
            _ => None,
        };
        // Rights, quotas and policies change without an event.
        let reasons = [Reason::WriteRejected, Reason::Forbidden, Reason::TargetRefused];
        let mut problems = published.into_iter().chain(delivered);
        problems.find(|problem| reasons.contains(&problem.reason))
    }

    /// Whether a takeover waits for the checks.
    fn awaits_checks(&self) -> bool {
        let delivered = self.delivered.as_ref();
        delivered.is_some_and(|delivered| matches!(delivered.state, Progress::AwaitsChecks(_)))
    }

    /// Delivers what is published to the target, and takes back what is in targets that are not the spec's.
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
            // Without it, what the others have would be delivered alone.
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

/// Leaves the Secret's values as they are, but lets the deletion policy decide whose it is.
async fn retain_secret<K: Kind>(
    object: &K,
    context: &Context<K>,
    present: Option<&Secret>,
    existing: &Existing,
) -> Result<(), Error> {
    if matches!(existing, Existing::Ours(_))
        && let Err(error) = secret::ensure(context, object, present, &SecretContent::AsIs).await
    {
        // A refusal shows in the conditions as soon as the resource is no longer suspended.
        not_written(object, context, &SecretContent::AsIs, error)?;
    }
    Ok(())
}

/// An outcome without anything new beside it.
fn unchanged<'a, K: Kind>(
    object: &K,
    context: &Context<K>,
    outcome: Outcome<'a>,
) -> (Outcome<'a>, K::Details) {
    (outcome, context.memory.previous_details(object))
}

/// Without this, an event that was missed would be missed for ever.
const RESYNC: Duration = Duration::from_hours(1);

/// Reports what the run came to, where that is news, and says when to run again.
async fn update_status<K: Kind>(
    object: &K,
    context: &Context<K>,
    (outcome, details): (Outcome<'_>, K::Details),
    published: Option<PublishOutcome>,
) -> Result<Action, Error> {
    let rejected = published.as_ref().and_then(PublishOutcome::rejection).is_some();
    let again = match &outcome {
        Outcome::Suspended | Outcome::NotAccepted(_) => RESYNC,
        // Rights and quotas can change without an event.
        Outcome::Unresolved(_) => object.common().check_interval.get(),
        Outcome::Checked { .. } => {
            let remembered = context.memory.history(object);
            let wait = remembered.and_then(|remembered| remembered.wait(schedule(object), Instant::now()));
            wait.unwrap_or(RESYNC)
        }
    };
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
    };
    let previous = context.memory.previous_status(object);
    let status = derive(previous.as_ref(), &facts, context.cluster.seconds());
    context.metrics.settled(object, &status, K::metric_timestamps(&details));
    let before = context.memory.previous_details(object);
    let mut notices = Vec::new();
    if !context.memory.is_reported(object, &status, &details) {
        notices = context.report_alone(object, (&status, &details)).await?;
    }
    for notice in notice.into_iter().chain(K::events(&before, &details)) {
        Context::<K>::log(object, &notice, None);
        notices.push(notice);
    }
    context.publish_events(object, notices);
    Ok(Action::requeue(again))
}
