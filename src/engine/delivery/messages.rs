//! The messages of a delivery for people: conditions, events and problems.

use std::collections::BTreeSet;

use super::{
    Delivered, Progress,
    plan::{DesiredRevision, Stranded},
    revisions::{FailedRevision, Revision, RevisionSource},
    step::{DeliveryRun, STALE_LOOKS},
};
use crate::{
    api::{RECHECK_ANNOTATION, Reason, names::EventReason},
    engine::{
        Contender, EventDraft, Kind,
        cache::{MISSING_AGAIN, Repair},
    },
    problem::{Problem, enumerate, quote},
    workloads::{TargetSnapshot, Undone},
};

impl<K: Kind> DeliveryRun<'_, K> {
    /// The outcome where the entries stay in place for the successor, which takes them over in one step, so that
    /// no pod starts without any.
    pub(super) fn displaced_by(
        &self,
        seen: &TargetSnapshot,
        desired: DesiredRevision<'_>,
        successor: &Contender,
    ) -> Delivered {
        let evidence = desired.rollback.map_or("", |rollback| rollback.evidence.as_str());
        let state = Progress::RolledBack(format!(
            "Revision {} did not work in the pods of {}, so they get the values of {} until the spec, an input or the annotation {RECHECK_ANNOTATION} changes. {evidence}",
            desired.newest.number, self.target, successor.owner.title
        ));
        Delivered { environment: Some(seen.environment()), ..Delivered::nothing(state) }
    }

    /// The outcome for a resource that does not hold its exclusive setting at the target.
    pub(super) fn without_place(&self, seen: &TargetSnapshot, state: Progress) -> Delivered {
        let revision = seen.standing(&self.owner).numbers.last().copied();
        Delivered { revision, environment: Some(seen.environment()), ..Delivered::nothing(state) }
    }

    /// The `RolledOut` message where the target stays with a revision that does not work.
    pub(super) fn stays(&self, desired: DesiredRevision<'_>, stay: &FailedRevision) -> Progress {
        Progress::NoWorkingRevision(format!(
            "Revision {} does not work in the pods of {}, and nothing that worked before works any more, so this revision stays. Correct the spec or the Secrets that it refers to: other values are tried at once. {}",
            desired.newest.number, self.target, stay.evidence
        ))
    }

    /// The `RolledOut` message where the revision of a rollback was deleted.
    pub(super) fn stranded(&self, stranded: Stranded<'_>) -> Progress {
        let Stranded { newest, gone, evidence } = stranded;
        Progress::NoWorkingRevision(format!(
            "Revision {} does not work in the pods of {target}, and revision {gone}, to which {target} went back, was deleted. Nothing is changed there: running pods go on, and new ones may fail to start. Correct the spec or the Secrets that it refers to, and other values are tried at once; or give the annotation {RECHECK_ANNOTATION} a new value to try revision {} again. {evidence}",
            newest.number,
            newest.number,
            target = self.target,
        ))
    }

    /// The `RolledOut` message once pods run with the desired revision.
    pub(super) fn arrived(&self, here: &[Revision], desired: DesiredRevision<'_>) -> Progress {
        let target = self.target;
        let Some(rollback) = desired.rollback else {
            let number = desired.newest.number;
            return Progress::RolledOut(format!("The pods of {target} run with revision {number}."));
        };
        let is_of_before = |number: u64| {
            here.iter().any(|revision| revision.number == number && revision.source == RevisionSource::Target)
        };
        let place = match desired.number {
            None => "is without the entries of this resource".to_owned(),
            Some(number) if is_of_before(number) => {
                format!("went back to revision {number}, which has what was there before it was taken over")
            }
            Some(number) => format!("went back to revision {number}"),
        };
        Progress::RolledBack(format!(
            "{target} {place}, and revision {} is not tried again until the spec, an input or the annotation {RECHECK_ANNOTATION} changes. {}",
            desired.newest.number, rollback.evidence
        ))
    }

    /// The problem that the API server reports again and again that the target was changed meanwhile.
    pub(super) fn not_taken(&self, words: &str) -> Problem {
        Problem::new(
            Reason::WriteRejected,
            format!(
                "The API server did not accept the change to {}, which it says was changed meanwhile each of {STALE_LOOKS} times: {}. The operator tries it again.",
                self.target,
                quote(words.trim_end_matches('.'))
            ),
        )
    }

    /// The event that entries which somebody else removed or changed are restored.
    pub(super) fn repaired(&self, by: &BTreeSet<String>) -> EventDraft {
        let (target, title) = (self.target, &self.owner.title);
        let note = format!(
            "{} took the entries of {title} out of {target} or changed them; the operator restored them. If that happens again and again, configure that tool not to change them, as docs/delivery/adopting says.",
            somebody(by)
        );
        EventDraft::warning(EventReason::Repaired, "Repair", note)
    }

    /// The problem that these field managers keep undoing a change.
    pub(super) fn field_conflict(&self, repair: Repair, by: &BTreeSet<String>) -> Problem {
        let by = somebody(by);
        let (target, title) = (self.target, &self.owner.title);
        let seen = match repair {
            Repair::Missing => format!(
                "{by} keeps taking the entries out of {target}, so they are put back only every {} minutes. Configure that tool not to change the entries of {title}",
                MISSING_AGAIN.as_secs() / 60
            ),
            Repair::Replaced => format!(
                "{by} keeps setting other values for the entries of {title} at {target}; the operator leaves them there for an hour. Remove these entries from what that tool applies, as docs/delivery/adopting says"
            ),
        };
        Problem::new(
            Reason::FieldConflict,
            format!("{seen}, then give the annotation {RECHECK_ANNOTATION} a new value."),
        )
    }
}

/// The message while the rollout has not finished.
pub(super) fn underway(desired: DesiredRevision<'_>, here: &[Revision], seen: String) -> String {
    match desired.lost(here).filter(|_| desired.rollback.is_none() && !desired.was_there()) {
        Some(lost) => format!(
            "{seen} Revision {lost}, to which it would go back, was deleted: if this one does not work, the operator cannot go back."
        ),
        None => seen,
    }
}

/// Names these field managers, or "Somebody else" if there are none.
fn somebody(by: &BTreeSet<String>) -> String {
    match by.len() {
        0 => "Somebody else".to_owned(),
        1 => format!("The field manager {}", enumerate(by)),
        _ => format!("One of the field managers {}", enumerate(by)),
    }
}

/// The message while the W&B operator restores what somebody undid.
pub(super) fn being_repaired(undone: &Undone) -> String {
    format!(
        "The field manager {} changed {}, which no longer has all of the entries. The W&B operator does not repair that by itself, so this operator told it to apply everything again.",
        quote(&undone.by.by),
        enumerate(undone.titles())
    )
}
