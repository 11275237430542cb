//! Checks whether the values that a rollback would restore still work, because a password may have been changed
//! or revoked since.

use kube::ResourceExt;

use super::revisions::{Revision, RevisionSource};
use crate::{
    api::{
        CheckFrom, CheckName, Reason,
        names::{CredentialsAnswer, Resolution},
    },
    engine::{
        CA_FILE, CheckContext, CheckRun, Context, Finding, Findings, Inputs, Kind, Planned, Reference,
        Values,
        checks::{advice::without_advice, examine::stopped},
        fetch,
    },
    error::{Error, StepError},
    net::Trust,
};

/// The result of that check.
pub(super) enum RollbackCheck {
    /// The values work.
    Works,
    /// The check gave no answer; a sentence says why.
    Unknown(String),
    /// The values do not work; a sentence says what was found.
    Refused(String),
}

/// Checks the values of an earlier revision against the servers; `newest` are the values that are in the target
/// now.
///
/// Refused credentials are sent only once: the result is kept in memory, and the caller records it at the
/// revision.
pub(super) async fn check<K: Kind>(
    object: &K,
    context: &Context<K>,
    earlier: &Revision,
    (values, newest): (&Values, Option<&Values>),
) -> Result<RollbackCheck, Error> {
    let (number, source) = (earlier.number, earlier.source);
    if let Some(found) = context.memory.refused_revision(object, number) {
        return Ok(RollbackCheck::Refused(found));
    }
    // If the newest values have the same credentials, their last result is used and nothing is sent again.
    if let (Some(remembered), true) =
        (context.memory.history(object), have_same_credential::<K>(values, newest))
    {
        match remembered.findings.credentials_answer() {
            Some(CredentialsAnswer::Refused) => return Ok(answer(&remembered.findings, source)),
            Some(_) => {
                return Ok(RollbackCheck::Unknown(
                    "The server gives no clear answer to its credentials.".to_owned(),
                ));
            }
            None => {}
        }
    }
    // What the operator itself sees of the servers may be something else, and must not speak against a way back.
    if object.common().check_from == CheckFrom::ServerPod {
        return Ok(RollbackCheck::Unknown(
            "The checks are made by a pod like the server's, which does not check earlier values.".to_owned(),
        ));
    }
    // Where the values name no certificate authorities, the server may have its own: then those of the present
    // spec are used.
    let is_unsaid =
        source == RevisionSource::Target || newest.is_none_or(|newest| newest.get(CA_FILE).is_none());
    let trust = if is_unsaid {
        match trusted(object, context).await {
            Ok(trust) => trust,
            Err(StepError::Problem(problem)) => return Ok(RollbackCheck::Unknown(problem.message)),
            Err(StepError::Error(error)) => return Err(error),
        }
    } else {
        context.network.system_trust.clone()
    };
    let Some(plan) = object.plan_of(values, &trust) else {
        return Ok(RollbackCheck::Unknown(format!(
            "The values of a {} cannot be checked by themselves.",
            K::kind(&())
        )));
    };
    let planned = Planned::<K>::of_values(plan, values);
    let namespace = object.namespace().unwrap_or_default();
    let network = context.network.seen_from(&namespace);
    let now = context.cluster.now().await?;
    let check_context = CheckContext {
        now,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        ..CheckContext::without_cluster(&network)
    };
    let limit = object.common().check_timeout.get();
    let check_run = tokio::select! {
        check_run = CheckRun::run(&planned, check_context, limit) => check_run,
        () = stopped(context) => return Err(Error::Stopping),
    };
    let answer = answer(&check_run.finish().findings, source);
    if let RollbackCheck::Refused(found) = &answer {
        context.memory.refuse_revision(object, number, found.clone());
    }
    Ok(answer)
}

/// The certificate authorities that the present spec trusts.
async fn trusted<K: Kind>(object: &K, context: &Context<K>) -> Result<Trust, StepError> {
    let bundle = Reference::ca_bundle(object.common().tls.as_ref());
    let references: Vec<_> = bundle.iter().cloned().collect();
    let namespace = object.namespace().unwrap_or_default();
    let objects = fetch(&context.client, &namespace, &references).await?;
    let system = &context.network.system_trust;
    let inputs = Inputs::resolve(&[], bundle.as_ref(), &objects, system, |_| true);
    Ok(inputs?.trust)
}

fn have_same_credential<K: Kind>(values: &Values, newest: Option<&Values>) -> bool {
    let credential = |values| K::CREDENTIAL.and_then(|env| Values::setting(values, env));
    credential(values).is_some() && credential(values) == newest.and_then(credential)
}

/// Values count as refused only for a failure that a retry does not fix: a server may be down or slow. Values
/// that were adopted never passed these checks although pods ran with them, so only refused credentials count
/// against them.
fn answer(findings: &Findings, source: RevisionSource) -> RollbackCheck {
    let Some(Finding { name, reason, message, .. }) = findings.failure() else { return RollbackCheck::Works };
    let is_known = match source {
        RevisionSource::Resource => true,
        RevisionSource::Target => name.sends_credentials(),
    };
    // A rule of this operator (the egress policy, or what it knows of a provider) does not say what W&B's pods
    // can do.
    let is_own_rule = *reason == Reason::EgressDenied || *name == CheckName::ProviderRules;
    let is_certain = is_known
        && !is_own_rule
        && reason.credentials_answer() == CredentialsAnswer::Refused
        && reason.remedy() == Resolution::Person;
    let found = format!("{name}: {}", without_advice(message));
    if is_certain { RollbackCheck::Refused(found) } else { RollbackCheck::Unknown(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CheckName, Reason},
        engine::Report,
        problem::Problem,
        sensitive::Redactor,
    };

    #[test]
    fn only_what_is_certain_speaks_against_values() {
        for (check, reason, expected) in [
            (CheckName::Bind, None, "works"),
            (CheckName::Bind, Some(Reason::InvalidCredentials), "refused"),
            (CheckName::Bind, Some(Reason::AccountLocked), "refused"),
            (CheckName::Bind, Some(Reason::TimedOut), "unknown"),
            (CheckName::Bind, Some(Reason::ConnectionClosed), "unknown"),
            (CheckName::Bind, Some(Reason::ServerUnavailable), "unknown"),
            (CheckName::TcpConnects, Some(Reason::ConnectionRefused), "unknown"),
            (CheckName::TcpConnects, Some(Reason::EgressDenied), "unknown"),
            (CheckName::ProviderRules, Some(Reason::ProviderRuleBroken), "unknown"),
            (CheckName::DnsResolves, Some(Reason::NameNotResolved), "unknown"),
            (CheckName::TlsVerifies, Some(Reason::TlsHandshakeFailed), "unknown"),
            (CheckName::TlsVerifies, Some(Reason::UnknownAuthority), "refused"),
            (CheckName::BaseDnExists, Some(Reason::BaseDnNotFound), "refused"),
            (CheckName::ClientCredentials, Some(Reason::ClientRejected), "refused"),
            (CheckName::KeyAccepted, Some(Reason::Unauthorized), "refused"),
            (CheckName::KeyAccepted, Some(Reason::RateLimited), "unknown"),
        ] {
            let mut report = Report::new(vec![check.clone()], Redactor::default());
            let outcome = match reason {
                Some(reason) => Err(Problem::new(reason, "Seen.")),
                None => Ok(crate::engine::Checked::passed((), "Seen.")),
            };
            report.record(check.clone(), outcome);
            let findings = report.finish();
            let told = |source| match answer(&findings, source) {
                RollbackCheck::Works => ("works", String::new()),
                RollbackCheck::Unknown(why) => ("unknown", why),
                RollbackCheck::Refused(found) => ("refused", found),
            };
            let of_target = match expected {
                "refused" if !check.sends_credentials() => "unknown",
                expected => expected,
            };
            assert_eq!(told(RevisionSource::Target).0, of_target, "{check} {reason:?}");
            let (word, told) = told(RevisionSource::Resource);
            assert_eq!(word, expected, "{check} {reason:?}");
            assert!(told.is_empty() || told == format!("{check}: Seen."), "{told}");
        }
    }
}
