//! Shares refusals of credentials between resources. Refusals that an earlier process saw are read from the
//! statuses before any credentials are sent, and credentials that were refused and then accepted make their
//! resources run again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::channel::mpsc;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

use super::advice::without_advice;
use crate::engine::{
    Account, CheckHistory, CheckedInputs, Context, Finding, Kind, Prepared, fetch, prepare, references,
    watching::{health::WatchHandle, undecodable::Guarded},
};
use crate::{api::Status, error::Error, net::Said, problem::Problem};

/// How long the server's full name is looked up. Resources of other namespaces know the server by that name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);

/// Reads the refusals from the statuses of a kind's resources, once they are listed. From this call on, every run
/// waits for that before it sends credentials.
pub(in crate::engine) fn recall_once_listed<K: Kind>(
    context: Arc<Context<K>>,
    watched: Arc<WatchHandle>,
    store: Store<Guarded<K>>,
) -> impl Future<Output = ()> {
    let begun = K::CREDENTIAL.map(|_| context.network.credentials.begin_recall());
    async move {
        if let Some(begun) = begun {
            watched.settled().await;
            recall(&context, &store).await;
            context.network.credentials.end_recall(begun);
        }
        std::future::pending::<()>().await;
    }
}

/// Runs the resources again whose refused credentials were accepted in the meantime.
pub(in crate::engine) async fn run_after_acceptances<K: Kind>(
    context: Arc<Context<K>>,
    store: Store<Guarded<K>>,
    run_again: mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) {
    let credentials = &context.network.credentials;
    let mut acceptances = credentials.acceptances();
    // The loop ends only with the process, which owns the sender.
    while acceptances.changed().await.is_ok() {
        for object in store.state() {
            let Ok(resource) = &object.0 else { continue };
            let known = context.memory.history(resource);
            if known.is_some_and(|known| credentials.were_accepted(&known.usage.refused)) {
                let _ = run_again.unbounded_send(ObjectRef::from_obj(&*object));
            }
        }
    }
}

async fn recall<K: Kind>(context: &Context<K>, store: &Store<Guarded<K>>) {
    for object in store.state() {
        let Ok(object) = &object.0 else { continue };
        // A resource that is not checked any more may have an outdated status: its password may have been
        // accepted since.
        if object.common().suspend || object.meta().deletion_timestamp.is_some() {
            continue;
        }
        if let Err(error) = recall_one(object, context).await {
            tracing::warn!(
                kind = %K::kind(&()),
                namespace = object.namespace(),
                name = object.name_any(),
                %error,
                "the status's record of refused credentials could not be read"
            );
        }
    }
}

async fn recall_one<K: Kind>(object: &K, context: &Context<K>) -> Result<(), Error> {
    let Some((status, (said, problem))) =
        object.status().and_then(|status| Some((status, refused_in(status)?)))
    else {
        return Ok(());
    };
    let namespace = object.namespace().unwrap_or_default();
    // Without a permit: runs that have one may wait for this, and it is one read at a time.
    let objects = fetch(&context.client, &namespace, &references(object)).await?;
    let checked_inputs = CheckedInputs::of(object, &objects);
    let Prepared::Planned(planned) = prepare(object, &[], &objects, &context.network.system_trust, &[])
    else {
        return Ok(());
    };
    let Some(login) = K::login(&planned.plan).filter(|_| checked_inputs.has_credentials_of(status)) else {
        return Ok(());
    };
    let network = context.network.seen_from(&namespace);
    let _ = tokio::time::timeout(LOOK_UP_LIMIT, network.resolve(&login.server)).await;
    let refused = network.recall_refusal(&login, said, &problem);
    let terms = (planned.account, object.common().failure_threshold);
    let recover = || CheckHistory::recover(status, planned.check_key, &checked_inputs, terms, Instant::now());
    // A run may have come before this, and has recorded the refusal already.
    let known = context.memory.history(object).or_else(recover);
    if let Some(mut known) = known
        && known.findings.credentials_answer().is_some()
    {
        known.usage.refused.push(refused);
        context.memory.remember(object, known);
    }
    Ok(())
}

/// The refusal of credentials that a status holds, if it holds one.
fn refused_in(status: &Status) -> Option<(Said, Problem)> {
    let findings = status.checks.iter().filter_map(Finding::from_status);
    findings.into_iter().find_map(|finding| {
        finding.credentials_answer(Account::Named)?;
        let said = Some(Said::by(finding.reason)).filter(|said| *said != Said::Nothing)?;
        Some((said, Problem::new(finding.reason, without_advice(&finding.message))))
    })
}
