//! What the verdict of a pod, or its absence, means for the checks of a resource: pure.

use crate::{
    api::{CheckFrom, CheckName, CheckResult, CheckStatus, Reason},
    engine::{CheckOutcome, Checked, Finding, Findings, Kind, Planned, Report, checks::run::values_check},
    net::{Said, Usage},
    probe::{KindVerdict, ProbeVerdict},
    problem::{Problem, quote},
};

/// The findings of the pod of this name; the error says why its verdict cannot be used.
pub(super) fn findings<K: Kind>(
    planned: &Planned<K>,
    verdict: &ProbeVerdict,
    name: &str,
) -> Result<Findings, String> {
    if let Some(obstacle) = &verdict.obstacle {
        return Err(format!("The pod \"{name}\" could not make the checks: {}.", trimmed(obstacle)));
    }
    let kind = K::kind(&());
    let own = verdict.kinds.iter().find(|found| found.kind == kind);
    let own =
        own.ok_or_else(|| format!("The pod \"{name}\" has left no verdict on a resource of this kind."))?;
    let found = own.checks.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    // What stands in the referenced Secrets is for the operator to judge, who can name their keys.
    let is_own = |(name, ..): &(CheckName, Reason, &CheckStatus)| *name != CheckName::SecretValues;
    let found: Vec<_> = found.into_iter().flatten().filter(is_own).collect();
    let expected = K::checks(&planned.plan);
    let is_made = |(name, _, check): &(CheckName, Reason, &CheckStatus)| {
        check.result == CheckResult::Failed || check.result != CheckResult::Skipped && expected.contains(name)
    };
    // A verdict that says nothing of any check proves nothing.
    if own.left_out == 0 && !found.iter().any(is_made) {
        return Err(format!("The pod \"{name}\" has made none of the checks."));
    }
    let mut report = report(planned, found.iter().map(|(name, ..)| name.clone()), own);
    report.record(
        CheckName::ServerPodAnswers,
        Ok(Checked::passed((), format!("The pod \"{name}\" has answered."))),
    );
    for (check, reason, from_pod) in found {
        record(&mut report, check, reason, from_pod);
    }
    if !report.has_failed() {
        leave_out(&mut report, planned, own);
    }
    Ok(stamped(report.finish()))
}

/// The findings where no pod has left a verdict.
pub(super) fn without_verdict<K: Kind>(planned: &Planned<K>, problem: Problem) -> Findings {
    let mut report = report(planned, K::checks(&planned.plan), &KindVerdict::new("", &[]));
    report.record::<()>(CheckName::ServerPodAnswers, Err(problem));
    stamped(report.finish())
}

/// The findings while a pod checks values of which nothing is known yet, and the one that says so.
pub(super) fn under_way<K: Kind>(planned: &Planned<K>, words: &str) -> (Findings, Finding) {
    let problem = Problem::new(Reason::ServerPodPending, words);
    let mut findings = without_verdict(planned, problem);
    for finding in &mut findings.list {
        finding.result = CheckResult::Skipped;
        if finding.name != CheckName::ServerPodAnswers {
            finding.message = "Not run yet.".into();
        }
    }
    let pending = findings.list.iter().find(|finding| finding.name == CheckName::ServerPodAnswers);
    let pending = pending.cloned().unwrap_or_else(|| Finding {
        result: CheckResult::Skipped,
        ..Finding::noted(CheckName::ServerPodAnswers, Checked::passed((), words))
    });
    (findings, pending)
}

/// The outcome of a run that made no check of its own.
pub(super) fn outcome<E: Default>(findings: Findings, usage: Usage) -> CheckOutcome<E> {
    CheckOutcome { findings, evidence: E::default(), refusal: None, usage }
}

/// What the findings of a pod say of the credentials that it had, and the problem if they were not accepted.
pub(super) fn answer(findings: &Findings) -> (Said, Option<Problem>) {
    let sends = |finding: &&Finding| {
        finding.name.sends_credentials()
            && finding.name != CheckName::ServerPodAnswers
            && finding.result != CheckResult::Skipped
    };
    match findings.list.iter().find(sends) {
        None => (Said::Nothing, None),
        Some(finding) if finding.result == CheckResult::Failed => {
            let problem = Problem::new(finding.reason, finding.message.as_str());
            (Said::by(finding.reason), Some(problem))
        }
        Some(_) => (Said::Accepted, None),
    }
}

/// A report about these checks, with the one of the referenced values and the one of the pod before them.
fn report<K: Kind>(
    planned: &Planned<K>,
    checks: impl IntoIterator<Item = CheckName>,
    own: &KindVerdict,
) -> Report {
    let values = values_check(planned);
    let mut order: Vec<_> =
        values.iter().map(|_| CheckName::SecretValues).chain([CheckName::ServerPodAnswers]).collect();
    order.extend(checks);
    let missing = K::checks(&planned.plan).into_iter().filter(|name| is_missing(name, own));
    for name in missing {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let mut report = Report::new(order, planned.redactor.clone())
        .on_behalf_of(planned.lockable())
        .made_from(CheckFrom::ServerPod);
    if let Some(checked) = values {
        report.record(CheckName::SecretValues, Ok(checked));
    }
    report
}

/// Whether the spec asks for a check of which the pod says nothing. Which other checks there are depends on the place
/// from which they are made.
fn is_missing(name: &CheckName, own: &KindVerdict) -> bool {
    name.is_of_spec() && !own.checks.iter().any(|check| CheckName::parse(&check.name).as_ref() == Some(name))
}

/// The checks of which the pod says nothing, while nothing that it says of others has failed.
fn leave_out<K: Kind>(report: &mut Report, planned: &Planned<K>, own: &KindVerdict) {
    for name in K::checks(&planned.plan).into_iter().filter(|name| is_missing(name, own)) {
        if own.left_out > 0 {
            report.skip(name, "It did not fail. There was no room to say more in the message of the pod.");
        } else {
            let message = "A pod like the server's cannot make this check, since it has none of the Secrets that the check needs. Set checkFrom to Operator to have it made.";
            report.record(name, Ok(Checked::warning((), Reason::Inconclusive, message)));
        }
    }
}

/// A check of the verdict in the words of this version; nothing for one that it does not know and that did not fail.
fn known(check: &CheckStatus) -> Result<Option<(CheckName, Reason, &CheckStatus)>, String> {
    match (CheckName::parse(&check.name), check.reason.parse::<Reason>()) {
        (Some(name), Ok(reason)) => Ok(Some((name, reason, check))),
        _ if check.result != CheckResult::Failed => Ok(None),
        _ => Err(format!(
            "The pod found that {} failed ({}), and this version of the operator does not know what that is.",
            quote(&check.name),
            quote(&check.reason)
        )),
    }
}

fn record(report: &mut Report, name: CheckName, reason: Reason, found: &CheckStatus) {
    let message = || found.message.to_string();
    match found.result {
        CheckResult::Passed => {
            let message = if found.message.is_empty() { "Passed in the pod.".to_owned() } else { message() };
            report.record(name, Ok(Checked::passed((), message)));
        }
        // What the spec leaves out on purpose needs no look.
        CheckResult::Warning | CheckResult::Skipped if reason == Reason::NotRequested => {
            report.skip(name, &message());
        }
        CheckResult::Warning => {
            report.record(name, Ok(Checked::warning((), reason, message())));
        }
        CheckResult::Failed => {
            report.record::<()>(name, Err(Problem::new(reason, message())));
        }
        // The report says itself which check failed before.
        CheckResult::Skipped => {}
    }
}

/// What the operator saw itself is not the pod's.
fn stamped(mut findings: Findings) -> Findings {
    for finding in findings.list.iter_mut().filter(|finding| finding.name == CheckName::SecretValues) {
        finding.from = CheckFrom::Operator;
    }
    findings
}

fn trimmed(words: &str) -> String {
    quote(words).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write};

    use serde_json::json;

    use super::*;
    use crate::{
        api::{JwtIssuer, LdapConfig},
        engine::{Fetched, ObjectKey, Prepared, ReferenceSource, prepare},
        net::Trust,
    };

    fn directory() -> Planned<LdapConfig> {
        let object: LdapConfig = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "metadata": {"name": "corp", "uid": "u"},
            "spec": {
                "address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org",
                "bind": {"dn": "cn=w,dc=example,dc=org", "passwordSecretRef": {"name": "bind", "key": "password"}},
                "testUsers": [{"filter": "(uid=a)", "expect": {"email": "a@example.org"}}],
            },
        }))
        .unwrap();
        let key = ObjectKey { source: ReferenceSource::Secret, name: "bind".into() };
        let data = BTreeMap::from([("password".to_owned(), b"hunter2-long".to_vec())]);
        let objects = BTreeMap::from([(key, Fetched::Found { version: "1".into(), data })]);
        match prepare(&object, &[], &objects, &Trust::empty(), &[]) {
            Prepared::Planned(planned) => planned,
            _ => panic!("no plan"),
        }
    }

    fn told(findings: &Findings) -> String {
        findings.list.iter().fold(String::new(), |mut text, finding| {
            let Finding { name, result, reason, message, from, .. } = finding;
            writeln!(text, "{name} {result:?} {reason} {from:?}: {message}").unwrap();
            text
        })
    }

    /// The findings that follow from the checks in a message, as a container leaves it.
    fn read(checks: &str) -> Result<Findings, String> {
        let message = format!(r#"{{"v":1,"r":"P","k":[["Environment",0,[]],["LdapConfig",0,[{checks}]]]}}"#);
        findings(&directory(), &ProbeVerdict::of_message(&message).unwrap(), "corp-ldap-check")
    }

    #[test]
    fn a_verdict_becomes_the_findings_of_the_resource() {
        let mut text = String::new();
        for checks in [
            r#"["VariablesRead","P","","Set are A."],["SecretValues","P","","Clean."],["TlsVerifies","W","CertificateExpiresSoon","Soon."],["Bind","P","",""],["TestUser/0","P","","As expected."]"#,
            // Nothing says that this was made.
            r#"["Bind","P","",""]"#,
            r#"["TcpConnects","F","ConnectionRefused","Nothing listens."],["Bind","S","NotReached","Not run."],["TestUser/0","S","NotReached","Not run."]"#,
            r#"["Bind","F","InvalidCredentials","No: hunter2-long."],["BaseDnExists","S","NotReached","Not run."]"#,
            r#"["Variable/LDAP_LOGIN","W","NotRequested","Nobody logs in."],["Bind","P","",""],["TestUser/0","P","",""]"#,
            r#"["Future","P","",""],["Bind","P","",""],["TestUser/0","P","",""]"#,
        ] {
            writeln!(text, "# {checks}\n{}", told(&read(checks).unwrap())).unwrap();
        }
        assert!(!text.lines().any(|line| !line.starts_with('#') && line.contains("hunter2")));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        assert!(read(r#"["Future","F","FutureReason","No."]"#).unwrap_err().contains("does not know"));
        assert!(read(r#"["Bind","F","FutureReason","No."]"#).is_err());
        let of = |message: &str| findings(&directory(), &ProbeVerdict::of_message(message).unwrap(), "p");
        assert!(of(r#"{"v":1,"r":"F","o":"no variables"}"#).unwrap_err().contains("no variables"));
        assert!(of(r#"{"v":1,"r":"F"}"#).is_err(), "the failure had no room");
        assert!(of(r#"{"v":1,"r":"P","k":[["OidcProvider",0,[]]]}"#).is_err());
        assert!(read("").is_err());
        assert!(read(r#"["VariablesRead","P","","Set are A."],["Bind","S","NotRequested",""]"#).is_err());
    }

    #[test]
    fn while_a_pod_is_under_way_nothing_counts_as_made() {
        let (findings, pending) = under_way(&directory(), "It is under way.");
        assert!(findings.list.iter().all(|finding| finding.result != CheckResult::Failed));
        assert!(findings.list.iter().skip(1).all(|finding| finding.result == CheckResult::Skipped));
        assert_eq!((pending.reason, &pending.name), (Reason::ServerPodPending, &CheckName::ServerPodAnswers));
    }

    #[test]
    fn only_what_a_pod_has_sent_is_an_answer_to_credentials() {
        for (checks, said) in [
            (r#"["Bind","F","InvalidCredentials","No."]"#, Said::Refused),
            (r#"["Bind","F","TimedOut","No."]"#, Said::Unclear),
            (r#"["Bind","P","",""]"#, Said::Accepted),
            (r#"["TcpConnects","F","ConnectionRefused","No."],["Bind","S","NotReached",""]"#, Said::Nothing),
        ] {
            assert_eq!(answer(&read(checks).unwrap()).0, said, "{checks}");
        }
        let lost = without_verdict(&directory(), Problem::new(Reason::ServerPodNoVerdict, "Lost."));
        assert_eq!(lost.credentials_answer(), Some(crate::api::names::CredentialsAnswer::Unclear));
        let waits = without_verdict(&directory(), Problem::new(Reason::ServerPodNotStarted, "Waits."));
        assert_eq!(waits.credentials_answer(), Some(crate::api::names::CredentialsAnswer::NotSent));
    }

    #[test]
    fn a_sample_that_is_a_token_cannot_be_checked_by_a_pod() {
        let object: JwtIssuer = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "JwtIssuer", "metadata": {"name": "ci"},
            "spec": {
                "issuer": "https://token.example.com", "audiences": ["a"],
                "samples": [{"name": "x", "claims": {"aud": "a"}, "expect": {"valid": false}}],
            },
        }))
        .unwrap();
        let Prepared::Planned(planned) = prepare(&object, &[], &BTreeMap::new(), &Trust::empty(), &[]) else {
            panic!("no plan")
        };
        let message = r#"{"v":1,"r":"P","k":[["JwtIssuer",0,[["KeysStrong","P","",""]]]]}"#;
        let found = findings(&planned, &ProbeVerdict::of_message(message).unwrap(), "p").unwrap();
        let sample = found.list.iter().find(|finding| finding.name.to_string() == "Sample/x").unwrap();
        assert_eq!((sample.result, sample.reason), (CheckResult::Warning, Reason::Inconclusive));
    }
}
