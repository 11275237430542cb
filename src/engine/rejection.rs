//! Decides what it means that the API server refused a write or did not answer. The functions are pure.

use std::time::Duration;

use super::scheduling::backoff;
use crate::{
    api::Reason,
    error::in_words,
    problem::{Problem, quote},
};

/// The problem that a write was refused; `what` names the object as in a sentence, such as `the Secret "a"`.
pub(super) fn rejected(what: &str, error: &kube::Error) -> Problem {
    let words = in_words(error);
    let words = quote(words.trim_end_matches('.'));
    match error {
        kube::Error::Api(status) if status.is_forbidden() => Problem::new(
            Reason::Forbidden,
            format!(
                "The API server refused to write {what}: {words}. Give the operator the rights of deploy/operator.yaml in this namespace, and look for a quota or an admission policy."
            ),
        ),
        kube::Error::Api(_) => Problem::new(
            Reason::WriteRejected,
            format!(
                "The API server did not accept {what}: {words}. The operator tries it again; if that does not help, look for an admission policy, a webhook or a quota that refuses it."
            ),
        ),
        _ => Problem::new(
            Reason::WriteRejected,
            format!(
                "The API server did not say whether it accepted {what}: {words}. The operator tries it again."
            ),
        ),
    }
}

/// Whether two writers met. Reading the object again is enough then, unless they keep meeting.
pub(super) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How long to wait after so many rejections in a row. `share`, between 0 and 1, spreads the retries of resources
/// that were rejected at the same time.
pub(super) fn wait(rejections: u32, share: f64) -> Duration {
    backoff::wait(rejections.saturating_sub(1), FIRST_WAIT, LONGEST_WAIT, share)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, reason: &str, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, reason).with_code(code)))
    }

    #[test]
    fn every_answer_is_told_in_the_servers_words() {
        let denied = "admission webhook \"policy.example.com\" denied the request: no Secrets on Fridays.";
        let messages: Vec<String> = [
            answer(400, "", denied),
            answer(403, "Forbidden", "secrets is forbidden: exceeded quota: few"),
            answer(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
            answer(422, "Invalid", "ValidatingAdmissionPolicy 'no' denied request: no"),
            answer(500, "InternalError", "failed calling webhook \"policy.example.com\""),
            kube::Error::Service("connection closed before message completed".into()),
        ]
        .iter()
        .map(|error| rejected("the Secret \"corp-ldap\"", error))
        .map(|problem| format!("{}: {}", problem.reason, problem.message))
        .collect();
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn only_writers_that_met_conflict() {
        assert!(is_conflict(&answer(409, "Conflict", "the object has been modified")));
        assert!(is_conflict(&answer(409, "AlreadyExists", "it is there")));
        assert!(!is_conflict(&answer(422, "Invalid", "no")));
    }

    #[test]
    fn waits_double_up_to_a_minute_and_differ() {
        assert_eq!(wait(1, 1.0), FIRST_WAIT);
        assert_eq!(wait(3, 1.0), FIRST_WAIT * 4);
        assert_eq!(wait(40, 1.0), LONGEST_WAIT);
        assert_eq!(wait(1, 0.0), FIRST_WAIT / 2);
    }
}
