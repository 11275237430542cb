//! The step of the checks in one run: uses the findings that are remembered, or makes the checks and remembers what
//! they found.

use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::{
    first_check::Spread,
    terms::{Age, checks, schedule, sharing, terms},
};
use crate::engine::{
    CheckContext, CheckHistory, CheckKey, CheckOutcome, CheckRun, CheckedInputs, Context, FirstCheck, Kind,
    Maintenance, Planned, RemoteState, Renewal, Repetition, Values,
    delivery::Checks,
    finalizer::Finalizer,
    rejection,
    server_pod::{HistoryState, examine_from_pod},
    status::{reading::is_suspended, update::note_down},
};
use crate::{
    api::{CheckFrom, names::CredentialsAnswer},
    error::{Error, StepError},
    jitter,
};

/// The findings for the current inputs: remembered ones if they are for the same inputs and not yet due,
/// otherwise new ones.
pub(in crate::engine) async fn examine<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &CheckedInputs,
    (published, last_verified): (Option<&Values>, Option<&Values>),
    age: Age,
) -> Result<CheckHistory<K::Evidence>, Error> {
    let check_key = &planned.check_key;
    let known = context.memory.history(object).or_else(|| recover(object, context, planned, checked_inputs));
    // If credentials that were refused were accepted since, for another resource, the findings are out of date.
    let is_out_of_date =
        |known: &CheckHistory<_>| context.network.credentials.were_accepted(&known.usage.refused);
    let is_recent = |known: &CheckHistory<_>| {
        !is_out_of_date(known)
            && known.answers(check_key, schedule(object), Instant::now())
            && (age == Age::AsScheduled || checks(object, known).0 != Checks::Stale)
    };
    let recency =
        if known.as_ref().is_some_and(is_recent) { HistoryState::Recent } else { HistoryState::Outdated };
    if object.common().check_from == CheckFrom::ServerPod {
        return examine_from_pod(object, context, planned, checked_inputs, (known, recency), published).await;
    }
    if let (Some(known), HistoryState::Recent) = (&known, recency) {
        context.memory.remember(object, known.clone());
        return Ok(known.clone());
    }
    let namespace = object.namespace().unwrap_or_default();
    let unwritable = context.memory.unwritable(object);
    let now = context.cluster.now().await?;
    let terms = terms(object, known.as_ref(), check_key, checked_inputs);
    let sharing = sharing(object, known.as_ref(), check_key, checked_inputs, age);
    let network = context.network.seen_from(&namespace).on_terms(terms).sharing(sharing);
    let check_context = CheckContext {
        network: &network,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        published,
        last_verified,
        last_findings: known.as_ref().map_or(&[], |known| known.findings_on(check_key)),
        verified_once: known.as_ref().is_some_and(|known| known.was_verified_once(check_key)),
        refused_maintenance: known
            .as_ref()
            .and_then(|known| known.refused_maintenance(check_key, Instant::now())),
        unwritable: unwritable.as_ref(),
        now,
        repetition: Repetition::ByOperator,
    };
    let outcome = tokio::select! {
        outcome = look(object, context, planned, check_context) => outcome?,
        () = stopped(context) => return Err(Error::Stopping),
    };
    context.metrics.checked(object, &outcome.findings);
    let due = K::renew_at(&planned.plan, &outcome.evidence, &check_context);
    let renewal = Renewal::new(due, check_context.now.time, Instant::now());
    // The answers of the servers are not needed any more, and other runs may wait for the memory that they take.
    drop(network);
    conclude(object, context, (known.as_ref(), check_key), outcome, renewal, checked_inputs).await
}

/// Remembers what checks found, and writes down at once what became of credentials.
pub(in crate::engine) async fn conclude<K: Kind>(
    object: &K,
    context: &Context<K>,
    (known, check_key): (Option<&CheckHistory<K::Evidence>>, &CheckKey),
    outcome: CheckOutcome<K::Evidence>,
    renewal: Renewal,
    checked_inputs: &CheckedInputs,
) -> Result<CheckHistory<K::Evidence>, Error> {
    let share = jitter::random();
    let history = CheckHistory::record(known, check_key.clone(), outcome, renewal, share, Instant::now())
        .dated(context.cluster.seconds());
    // Findings are remembered before anything is written: a run that fails at a write must not send credentials
    // again.
    context.memory.remember(object, history.clone());
    let answer = history.findings.credentials_answer();
    if answer.is_some_and(|answer| answer != CredentialsAnswer::NotSent) {
        // The status is the first thing that is written, so that the next process knows what became of the
        // credentials.
        note_down(object, context, &history, checked_inputs).await?;
    }
    Ok(history)
}

/// What the status tells of the checks that an earlier process made.
fn recover<K: Kind>(
    object: &K,
    context: &Context<K>,
    planned: &Planned<K>,
    checked_inputs: &CheckedInputs,
) -> Option<CheckHistory<K::Evidence>> {
    let now = Instant::now();
    let terms = (planned.lockable(), object.common().failure_threshold);
    let recovered =
        CheckHistory::recover(object.status()?, planned.check_key.clone(), checked_inputs, terms, now)?;
    context.metrics.recovered(object, &recovered.findings);
    // What was suspended was not checked: its verdict may be weeks old.
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
    check_context: CheckContext<'_>,
) -> Result<CheckOutcome<K::Evidence>, Error> {
    let mut check_run = CheckRun::run(planned, check_context, object.common().check_timeout.get()).await;
    if let Some(maintenance) = check_run.maintenance() {
        match ensure_finalizer(object, context, &maintenance).await {
            Ok(()) => check_run.maintain(maintenance).await,
            Err(StepError::Problem(problem)) => check_run.refuse(maintenance, problem),
            Err(StepError::Error(error)) => return Err(error),
        }
    }
    Ok(check_run.finish())
}

/// Adds the finalizer before something is made at the server. If the API server refuses that, the problem is
/// returned beside the findings of the checks, which are not lost.
async fn ensure_finalizer<K: Kind>(
    object: &K,
    context: &Context<K>,
    maintenance: &Maintenance,
) -> Result<(), StepError> {
    if maintenance.remote_state != RemoteState::Remote {
        return Ok(());
    }
    match context.add_finalizer(object, Finalizer::RemoteCredentials).await {
        Err(Error::Api(error)) => Err(rejection::rejected("the resource's finalizer", &error).into()),
        held => Ok(held?),
    }
}

/// Waits until the process stops and a moment longer, for an answer that may be on its way. A refusal that was
/// never recorded would be asked for again by the next process.
pub(in crate::engine) async fn stopped<K: Kind>(context: &Context<K>) {
    context.stopping.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}
