//! Whether the values that a target would go back to still work: a password may have been rotated and revoked since.

use kube::ResourceExt;

use crate::{
    api::names::{CredentialsAnswer, Remedy},
    api_server::Now,
    engine::{Context, Examination, Finding, Findings, Kind, Planned, Scene, Values, reconcile::stopped},
    error::Error,
};

/// What became of the check.
pub(super) enum Answer {
    /// They work.
    Works,
    /// Nothing told; why, as a sentence.
    Unknown(String),
    /// They do not work; what was found, as a sentence.
    Refused(String),
}

/// Checks the values of an earlier revision against the servers; `newest` are those that are in the target.
///
/// Refused credentials are sent once: what the check finds is remembered, and marked at the revision.
pub(super) async fn check<K: Kind>(
    object: &K,
    context: &Context<K>,
    number: u64,
    (values, newest): (&Values, Option<&Values>),
) -> Result<Answer, Error> {
    if let Some(found) = context.memory.refused_revision(object, number) {
        return Ok(Answer::Refused(found));
    }
    // What is known of the same credentials is not asked for again.
    if let (Some(remembered), true) =
        (context.memory.recall(object), have_same_credential::<K>(values, newest))
    {
        match remembered.findings.credentials_answer() {
            Some(CredentialsAnswer::Refused) => return Ok(answer(&remembered.findings)),
            Some(_) => {
                return Ok(Answer::Unknown(
                    "The server gives no clear answer to its credentials.".to_owned(),
                ));
            }
            None => {}
        }
    }
    let Some(plan) = object.plan_of(values, &context.network.system_trust) else {
        return Ok(Answer::Unknown(format!(
            "A {} leaves no values that can be checked by themselves.",
            K::kind(&())
        )));
    };
    let planned = Planned::<K>::of_values(plan, values);
    let namespace = object.namespace().unwrap_or_default();
    let network = context.network.seen_from(&namespace);
    let Now { time: now, earliest } = context.cluster.now().await?;
    let scene = Scene {
        now,
        earliest,
        cluster: Some(&context.cluster),
        namespace: &namespace,
        ..Scene::without_cluster(&network)
    };
    let limit = object.common().check_timeout.get();
    let examination = tokio::select! {
        examination = Examination::run(&planned, scene, limit) => examination,
        () = stopped(context) => return Err(Error::Stopping),
    };
    let answer = answer(&examination.finish().findings);
    if let Answer::Refused(found) = &answer {
        context.memory.refuse_revision(object, number, found.clone());
    }
    Ok(answer)
}

fn have_same_credential<K: Kind>(values: &Values, newest: Option<&Values>) -> bool {
    let credential = |values| K::CREDENTIAL.and_then(|env| Values::setting(values, env));
    credential(values).is_some() && credential(values) == newest.and_then(credential)
}

/// Only what trying again does not mend speaks against the values: the server may be down, or too slow.
fn answer(findings: &Findings) -> Answer {
    let Some(Finding { name, reason, message, .. }) = findings.failure() else { return Answer::Works };
    let is_certain =
        reason.credentials_answer() == CredentialsAnswer::Refused && reason.remedy() == Remedy::Person;
    let found = format!("{name}: {message}");
    if is_certain { Answer::Refused(found) } else { Answer::Unknown(found) }
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
            let (word, told) = match answer(&report.finish()) {
                Answer::Works => ("works", String::new()),
                Answer::Unknown(why) => ("unknown", why),
                Answer::Refused(found) => ("refused", found),
            };
            assert_eq!(word, expected, "{check} {reason:?}");
            assert!(told.is_empty() || told == format!("{check}: Seen."), "{told}");
        }
    }
}
