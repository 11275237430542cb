//! The step of the checks in one run: uses the findings that are remembered, or makes the checks and remembers what
//! they found.

use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::{
    first_check::Spread,
    terms::{Age, checks, schedule, sharing, terms},
};
use crate::engine::{
    CheckContext, CheckHistory, CheckOutcome, CheckRun, CheckedInputs, Context, FirstCheck, Kind,
    Maintenance, Planned, RemoteState, Renewal, Repetition, Values,
    delivery::Checks,
    finalizer::Finalizer,
    rejection,
    status::{reading::is_suspended, update::note_down},
};
use crate::{
    api::names::CredentialsAnswer,
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
    let share = jitter::random();
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
        match hold(object, context, &maintenance).await {
            Ok(()) => examination.maintain(maintenance).await,
            Err(StepError::Problem(problem)) => examination.refuse(maintenance, problem),
            Err(StepError::Error(error)) => return Err(error),
        }
    }
    Ok(examination.finish())
}

/// Adds the finalizer before something is made at the server. If the API server refuses that, the problem is
/// returned beside the findings of the checks, which are not lost.
async fn hold<K: Kind>(object: &K, context: &Context<K>, maintenance: &Maintenance) -> Result<(), StepError> {
    if maintenance.remote_state != RemoteState::Remote {
        return Ok(());
    }
    match context.hold(object, Finalizer::RemoteCredentials).await {
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
