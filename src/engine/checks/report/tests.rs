//! What a report makes of the checks of a run.

use super::{
    super::advice::{COUNTED, NOT_REPEATED, NOT_REPEATED_UNCLEAR, REPEATED, coming_from, without_advice},
    *,
};
use crate::api::names::{CredentialsAnswer, Resolution};

#[tokio::test]
async fn names_the_check_that_used_the_time_up() {
    let mut report = Report::new(
        vec![CheckName::DnsResolves, CheckName::TcpConnects, CheckName::Bind],
        Redactor::default(),
    );
    report.record(CheckName::DnsResolves, Ok(Checked::passed((), "found")));
    let endless = report.check::<()>(CheckName::TcpConnects, std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(1), endless).await.is_err());
    report.time_out(Duration::from_secs(10), Awaited::Answer);
    let seen: Vec<_> =
        report.finish().list.into_iter().map(|finding| (finding.name, finding.reason)).collect();
    assert_eq!(
        seen,
        [
            (CheckName::DnsResolves, Reason::Passed),
            (CheckName::TcpConnects, Reason::TimedOut),
            (CheckName::Bind, Reason::NotReached),
        ]
    );
}

#[test]
fn a_shortage_of_memory_is_an_outage_and_nobody_s_mistake() {
    let mut report = Report::new(vec![CheckName::Discovery], Redactor::default());
    report.time_out(Duration::from_secs(10), Awaited::Memory);
    let findings = report.finish();
    let failure = findings.failure().unwrap();
    assert_eq!((failure.reason, failure.reason.remedy()), (Reason::Inconclusive, Resolution::Retry));
    assert!(failure.message.contains("says nothing about the server"), "{}", failure.message);
}

#[test]
fn credentials_that_waited_for_others_were_not_sent() {
    for (awaited, expected) in
        [(Awaited::Answer, CredentialsAnswer::Unclear), (Awaited::Others, CredentialsAnswer::NotSent)]
    {
        let mut report = Report::new(vec![CheckName::Bind], Redactor::default()).on_behalf_of(Account::Named);
        report.time_out(Duration::from_secs(10), awaited);
        let findings = report.finish();
        assert_eq!(findings.credentials_answer(), Some(expected), "{awaited:?}");
    }
}

#[test]
fn what_was_not_looked_at_never_counts_as_verified() {
    let mut report = Report::new(vec![CheckName::DnsResolves, CheckName::Bind], Redactor::default());
    report.record(CheckName::DnsResolves, Ok(Checked::passed((), "found")));
    let findings = report.finish();
    assert_eq!(findings.failure().unwrap().name, CheckName::Bind);
}

#[test]
fn says_of_each_answer_to_credentials_when_they_are_sent_again() {
    let message = |account, reason| {
        let report = Report::new(vec![CheckName::Bind], Redactor::default()).on_behalf_of(account);
        let mut report = report;
        report.record::<()>(CheckName::Bind, Err(Problem::new(reason, "No.")));
        let findings = report.finish();
        (findings.credentials_answer(), findings.list[0].message.to_string())
    };
    for (reason, answer, words) in [
        (Reason::InvalidCredentials, CredentialsAnswer::Refused, "does not try it again until"),
        (Reason::OperationRefused, CredentialsAnswer::Refused, "does not try it again until"),
        (Reason::TimedOut, CredentialsAnswer::Unclear, "may have counted this as a wrong password"),
        (Reason::ProtocolError, CredentialsAnswer::Unclear, "may have counted this as a wrong password"),
        (Reason::ServerUnavailable, CredentialsAnswer::Postponed, "tries it again after half an hour"),
        (Reason::ConnectionFailed, CredentialsAnswer::NotSent, "No."),
    ] {
        let (seen, text) = message(Account::Named, reason);
        assert_eq!(seen, Some(answer), "{reason}");
        assert!(text.contains(words), "{text}");
        let passes = matches!(reason, Reason::ServerUnavailable);
        let anonymous = if passes { format!("No. {REPEATED}") } else { "No.".to_owned() };
        assert_eq!(message(Account::Anonymous, reason), (None, anonymous));
    }
}

#[test]
fn others_are_not_told_whose_secret_it_was() {
    let refused = Problem::new(Reason::InvalidCredentials, "The directory refused it.");
    let problem = coming_from(refused.clone(), "\"password\" of the Secret \"ldap-bind\" (spec.bind)");
    assert!(problem.message.ends_with("the key \"password\" of the Secret \"ldap-bind\" (spec.bind)."));
    for advice in ["", NOT_REPEATED, NOT_REPEATED_UNCLEAR] {
        let told = format!("{} {advice}", problem.message);
        assert_eq!(without_advice(told.trim_end()), refused.message);
    }
}

#[test]
fn nothing_is_promised_where_nobody_looks_again() {
    let message = |account, reason| {
        let report = Report::new(vec![CheckName::Bind], Redactor::default());
        let mut report = report.on_behalf_of(account).repeated(Repetition::Never);
        report.record::<()>(CheckName::Bind, Err(Problem::new(reason, "No.")));
        report.finish().list[0].message.to_string()
    };
    for reason in [Reason::InvalidCredentials, Reason::ServerUnavailable, Reason::RateLimited] {
        assert_eq!(message(Account::Named, reason), "No.", "{reason}");
    }
    assert_eq!(message(Account::Named, Reason::ConnectionClosed), format!("No. {COUNTED}"));
    assert_eq!(message(Account::Anonymous, Reason::ConnectionClosed), "No.");
}

#[test]
fn takes_secrets_out_of_messages() {
    let mut report = Report::new(vec![CheckName::Bind], Redactor::new(["hunter2".into()]));
    report.record::<()>(CheckName::Bind, Err(Problem::new(Reason::InvalidCredentials, "refused hunter2")));
    assert_eq!(report.finish().list[0].message, "refused [redacted]");
}
