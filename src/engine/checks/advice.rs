//! What a finding says of when its check is made again, and of where refused credentials come from.

use super::finding::Finding;
use crate::engine::Repetition;
use crate::{
    api::{CheckResult, Reason, names::CredentialsAnswer},
    problem::Problem,
};

/// The sentence for people about credentials that were refused.
pub(super) const NOT_REPEATED: &str = "The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes.";

/// The sentence for people who try credentials by hand and get no clear answer.
pub(super) const COUNTED: &str = "The server may have counted this as a wrong password.";

/// The sentence for people about credentials that got no clear answer.
pub(super) const NOT_REPEATED_UNCLEAR: &str = "The server may have counted this as a wrong password. The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes; only a password that worked before is tried again, after half an hour at the earliest.";

/// The sentence for people about credentials that the server was in no state to judge.
const POSTPONED: &str = "The operator tries it again after half an hour, or as soon as the spec, the Secret or the annotation auth.wandb.com/recheck changes.";

/// What a person who does not want to wait must know.
pub(super) const REPEATED: &str = "The operator tries again by itself.";

/// When the check is made again, where that is not plain.
pub(super) fn advice(
    finding: &Finding,
    answer: Option<CredentialsAnswer>,
    repetition: Repetition,
) -> Option<&'static str> {
    match (repetition, answer) {
        // A wrong password may count towards a lock all the same.
        (Repetition::Never, Some(CredentialsAnswer::Unclear)) => Some(COUNTED),
        (Repetition::Never, _) => None,
        (_, Some(CredentialsAnswer::Refused)) => Some(NOT_REPEATED),
        (_, Some(CredentialsAnswer::Unclear)) => Some(NOT_REPEATED_UNCLEAR),
        (_, Some(CredentialsAnswer::Postponed)) => Some(POSTPONED),
        (_, Some(CredentialsAnswer::NotSent) | None) => {
            let passes = match finding.reason {
                Reason::ServerUnavailable | Reason::RateLimited | Reason::AwaitingAnswer => true,
                Reason::Inconclusive => finding.result == CheckResult::Failed,
                _ => false,
            };
            passes.then_some(REPEATED)
        }
    }
}

/// Begins the sentence that says where refused credentials come from.
const ORIGIN: &str = " The credentials come from the key ";

/// The problem of refused credentials, with where they come from. That is for the resource's own people: the answer to
/// the same credentials is remembered, and told to others, without it.
pub fn coming_from(problem: Problem, location: &str) -> Problem {
    let Problem { reason, message } = problem;
    Problem::new(reason, format!("{message}{ORIGIN}{location}."))
}

/// A finding's message without where its credentials come from, and without what is said of when they are sent again.
pub(in crate::engine) fn without_advice(message: &str) -> &str {
    let advice = [NOT_REPEATED, NOT_REPEATED_UNCLEAR, POSTPONED, COUNTED, REPEATED];
    let rest = advice.iter().find_map(|advice| message.strip_suffix(advice)).unwrap_or(message);
    rest.split(ORIGIN).next().unwrap_or(rest).trim_end()
}
