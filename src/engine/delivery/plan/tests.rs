use proptest::prelude::*;

use super::*;
use crate::workloads::{RepointedBy, Undone};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn attempt(inputs: &str, second: i64) -> Attempt {
    Attempt { inputs: inputs.to_owned(), now: at(second) }
}

fn revision(number: u64, mark: RevisionState) -> Revision {
    Revision::for_tests(number, mark, at(0))
}

fn back(to: Option<u64>) -> Rollback {
    Rollback {
        to,
        evidence: "Crashed.".to_owned(),
        inputs: "spec 1".to_owned(),
        since: at(10),
        arrived: None,
    }
}

fn stay() -> FailedRevision {
    FailedRevision { evidence: "Crashed.".to_owned(), inputs: "spec 1".to_owned(), since: at(10) }
}

fn standing(numbers: &[u64]) -> AppliedState {
    AppliedState {
        numbers: numbers.iter().copied().collect(),
        applied_at: Some(at(5)),
        ..AppliedState::default()
    }
}

fn moved(numbers: &[u64], second: i64) -> AppliedState {
    AppliedState {
        moved: Some(RepointedBy { by: "kubectl-rollout".to_owned(), at: Some(at(second)) }),
        ..standing(numbers)
    }
}

/// The step as text, so that a table can state it.
fn step(revisions: &[Revision], wanted: DesiredValues, standing: &AppliedState, inputs: &str) -> String {
    match plan(revisions, &BTreeSet::from([7]), wanted, standing, &attempt(inputs, 99)) {
        DeliveryStep::Nothing => "nothing".to_owned(),
        DeliveryStep::Create(number) => format!("create {number}"),
        DeliveryStep::Mark(revision, RevisionState::RolledBack(rollback)) => {
            format!("mark {} back to {:?}", revision.number, rollback.to)
        }
        DeliveryStep::Mark(revision, RevisionState::Retried { .. }) => format!("retry {}", revision.number),
        DeliveryStep::Mark(revision, mark) => format!("mark {} {mark:?}", revision.number),
        DeliveryStep::Go(course) => format!("go to {:?}", course.number),
        DeliveryStep::Stay(Stranded { gone, .. }) => format!("stay without {gone}"),
    }
}

#[test]
fn decides_one_step_from_what_is_there() {
    use DesiredValues::{Newest, NoChange, Other};
    use RevisionState::{Pending, Retried, RolledBack, RolledOut};
    let proven = || revision(1, RolledOut { at: at(1) });
    let failed = |to| revision(2, RolledBack(back(to)));
    let refused = || revision(1, RevisionState::Refused { evidence: "Wrong password.".to_owned() });
    let stayed = || revision(2, RevisionState::Stayed(stay()));
    let none = || standing(&[]);
    let of_target = |number| {
        let mut revision = revision(number, RolledOut { at: at(1) });
        revision.source = RevisionSource::Target;
        revision
    };
    for (revisions, wanted, standing, inputs, expected) in [
        (vec![], NoChange, none(), "spec 1", "nothing"),
        // A number that somebody else's Secret has, or that the target refers to, is not used again.
        (vec![], Other, none(), "spec 1", "create 8"),
        (vec![proven()], Other, standing(&[9]), "spec 1", "create 10"),
        (vec![proven()], Newest, none(), "spec 1", "go to Some(1)"),
        (vec![proven()], NoChange, none(), "spec 1", "go to Some(1)"),
        (vec![proven(), revision(2, Pending)], Newest, standing(&[1]), "spec 1", "go to Some(2)"),
        (vec![proven(), failed(Some(1))], Newest, standing(&[2]), "spec 1", "go to Some(1)"),
        (vec![proven(), failed(Some(1))], NoChange, standing(&[2]), "spec 1", "go to Some(1)"),
        (vec![failed(None)], Newest, standing(&[2]), "spec 1", "go to None"),
        // The revision for the rollback is deleted, but an earlier one is known to work.
        (vec![proven(), failed(Some(9))], Newest, standing(&[2]), "spec 1", "go to Some(1)"),
        // No revision that worked is left: without entries people would be without a login.
        (vec![failed(Some(1))], Newest, standing(&[2]), "spec 1", "stay without 1"),
        (vec![failed(Some(1))], Newest, standing(&[1]), "spec 1", "stay without 1"),
        (vec![failed(Some(1))], NoChange, standing(&[1]), "spec 2", "stay without 1"),
        (vec![failed(Some(1))], Newest, standing(&[1]), "spec 2", "retry 2"),
        (vec![failed(Some(1))], Other, standing(&[1]), "spec 1", "create 8"),
        (vec![proven(), failed(Some(1))], Newest, standing(&[1]), "spec 2", "retry 2"),
        // No revision works any more: the target stays as it is until a person changes something.
        (vec![refused(), stayed()], Newest, standing(&[2]), "spec 1", "go to Some(2)"),
        (vec![refused(), stayed()], NoChange, standing(&[2]), "spec 2", "go to Some(2)"),
        (vec![refused(), stayed()], Newest, standing(&[2]), "spec 2", "retry 2"),
        (vec![refused(), stayed()], Other, standing(&[2]), "spec 2", "create 8"),
        (vec![refused(), stayed()], Newest, moved(&[1], 20), "spec 1", "mark 2 back to Some(1)"),
        (vec![refused(), stayed()], Newest, moved(&[1], 9), "spec 1", "go to Some(2)"),
        (vec![proven(), failed(Some(1))], NoChange, standing(&[1]), "spec 2", "go to Some(1)"),
        (vec![proven(), failed(Some(1))], Other, standing(&[1]), "spec 1", "create 8"),
        // Values that were read out of a target lead nowhere unless that target was taken over.
        (vec![of_target(1)], NoChange, none(), "spec 1", "nothing"),
        (vec![of_target(1)], NoChange, standing(&[1]), "spec 1", "go to Some(1)"),
        (vec![of_target(1)], Newest, none(), "spec 1", "go to Some(1)"),
        (vec![of_target(1)], Other, none(), "spec 1", "create 8"),
        (vec![proven(), of_target(2)], NoChange, standing(&[1]), "spec 1", "go to Some(1)"),
        (vec![of_target(1), failed(Some(1))], Newest, standing(&[2]), "spec 1", "go to Some(1)"),
        // A person points the entries back.
        (
            vec![proven(), revision(2, RolledOut { at: at(3) })],
            Newest,
            moved(&[1], 9),
            "spec 1",
            "mark 2 back to Some(1)",
        ),
        (vec![proven(), revision(2, Pending)], Newest, moved(&[1], 9), "spec 1", "mark 2 back to Some(1)"),
        (
            vec![proven(), revision(2, Retried { since: at(20) })],
            Newest,
            moved(&[1], 9),
            "spec 1",
            "go to Some(2)",
        ),
        // The person did that before there was a newer revision, so it is not about this one.
        (vec![proven(), revision(2, Pending)], Newest, moved(&[1], 0), "spec 1", "go to Some(2)"),
        // Entries that point to a missing revision, or to several at once, are not a rollback.
        (
            vec![proven(), revision(2, RolledOut { at: at(3) })],
            Newest,
            moved(&[5], 9),
            "spec 1",
            "go to Some(2)",
        ),
        (
            vec![proven(), revision(2, RolledOut { at: at(3) })],
            Newest,
            moved(&[1, 2], 9),
            "spec 1",
            "go to Some(2)",
        ),
        // Entries that a person points to the desired revision, to an earlier one, and to the newest one again.
        (vec![proven(), failed(Some(1))], Newest, moved(&[1], 20), "spec 1", "go to Some(1)"),
        (
            vec![revision(0, Pending), proven(), failed(Some(1))],
            Newest,
            moved(&[0], 20),
            "spec 1",
            "mark 2 back to Some(0)",
        ),
        (vec![proven(), failed(Some(1))], Newest, moved(&[2], 20), "spec 1", "retry 2"),
        (vec![proven(), failed(Some(1))], Newest, moved(&[2], 10), "spec 1", "retry 2"),
        (vec![proven(), failed(Some(1))], Newest, moved(&[2], 9), "spec 1", "go to Some(1)"),
    ] {
        assert_eq!(step(&revisions, wanted, &standing, inputs), expected, "{revisions:?} {standing:?}");
    }
}

#[test]
fn what_somebody_did_to_what_was_made_of_the_target_is_a_wish_once_pods_had_arrived() {
    use RevisionState::{Pending, Retried, RolledBack, RolledOut};
    let undone = |numbers: &[u64]| AppliedState {
        undone: Some(Undone {
            numbers: numbers.iter().copied().collect(),
            workloads: vec![("Deployment/wandb-app-bc".to_owned(), Some(7))],
            by: RepointedBy { by: "kubectl-rollout".to_owned(), at: Some(at(20)) },
        }),
        ..standing(&[2])
    };
    let proven = || revision(1, RolledOut { at: at(1) });
    let arrived = |to| RolledBack(Rollback { arrived: Some(at(12)), ..back(to) });
    for (newest, numbers, expected) in [
        (RolledOut { at: at(6) }, &[1][..], "mark 2 back to Some(1)"),
        // Entries that go forward again, and on to another revision.
        (arrived(Some(1)), &[2], "retry 2"),
        (arrived(None), &[1], "mark 2 back to Some(1)"),
        // Entries that point to no revision, to a deleted one, or to different ones in each workload are repaired
        // instead.
        (RolledOut { at: at(6) }, &[], "go to Some(2)"),
        (RolledOut { at: at(6) }, &[9], "go to Some(2)"),
        (RolledOut { at: at(6) }, &[0, 1], "go to Some(2)"),
        // While our own write is still being rolled out, the workloads differ from it anyway.
        (Pending, &[1], "go to Some(2)"),
        (Retried { since: at(3) }, &[1], "go to Some(2)"),
        (RolledOut { at: at(4) }, &[1], "go to Some(2)"),
        (RolledBack(back(Some(1))), &[2], "go to Some(1)"),
    ] {
        let revisions = [revision(0, RolledOut { at: at(0) }), proven(), revision(2, newest)];
        let found = step(&revisions, DesiredValues::Newest, &undone(numbers), "spec 1");
        assert_eq!(found, expected, "{revisions:?}, {numbers:?}");
    }
}

#[test]
fn a_rollout_is_judged_once() {
    let revisions =
        [revision(1, RevisionState::RolledOut { at: at(1) }), revision(2, RevisionState::Pending)];
    let newest = &revisions[1];
    let forward = DesiredRevision { newest, rollback: None, number: Some(2) };
    let now = attempt("spec 1", 99);
    assert_eq!(
        forward.judge(Rollout::Complete, &revisions, &now),
        Judgement::Mark(newest, RevisionState::RolledOut { at: at(99) })
    );
    let fails = || Rollout::Failed("Crashed.".to_owned());
    assert_eq!(
        forward.judge(fails(), &revisions, &now),
        Judgement::Return { to: 1, evidence: "Crashed.".to_owned() }
    );
    let (_, RevisionState::RolledBack(rollback)) = forward.back(Some(1), "Crashed.".to_owned(), &now) else {
        panic!("not rolled back")
    };
    assert_eq!((rollback.to, rollback.inputs.as_str()), (Some(1), "spec 1"));
    let first = DesiredRevision { newest: &revisions[1], rollback: None, number: Some(2) };
    let Judgement::Mark(_, RevisionState::RolledBack(rollback)) = first.judge(fails(), &revisions[1..], &now)
    else {
        panic!("there is nothing to check in front of the first")
    };
    assert_eq!(rollback.to, None);
    let proven = revision(2, RevisionState::RolledOut { at: at(6) });
    let proven = DesiredRevision { newest: &proven, rollback: None, number: Some(2) };
    assert!(proven.is_over(&standing(&[2])), "what was seen to run is not looked at again");
    let later = AppliedState { applied_at: Some(at(7)), ..standing(&[2]) };
    assert!(!proven.is_over(&later), "unless the entries had to be written again");
    assert_eq!(
        proven.judge(Rollout::Failed("Crashed.".to_owned()), &revisions, &now),
        Judgement::Underway("Crashed.".to_owned()),
        "what ran before is not given up"
    );
}

#[test]
fn a_revision_that_does_not_work_any_more_is_no_way_back() {
    let refused =
        |number| revision(number, RevisionState::Refused { evidence: format!("{number} is refused.") });
    let proven = revision(1, RevisionState::RolledOut { at: at(1) });
    let back = |to| revision(3, RevisionState::RolledBack(Rollback { arrived: Some(at(9)), ..back(to) }));
    let now = attempt("spec 1", 99);
    let newest = |previous| revision(4, RevisionState::Pending).after(previous);
    for (earlier, previous, expected) in [
        (
            vec![refused(1), refused(2), revision(3, RevisionState::Pending)],
            None,
            "stays: Crashed. 2 is refused.",
        ),
        (vec![proven.clone(), refused(2)], None, "returns to 1"),
        (vec![proven.clone(), refused(2), back(Some(2))], Some(2), "returns to 1"),
        (
            vec![refused(1), revision(2, RevisionState::Stayed(stay())), back(Some(1))],
            None,
            "stays: Crashed. Crashed.",
        ),
        (vec![revision(3, RevisionState::Pending)], None, "back to nothing"),
        // Somebody deleted the revision for the rollback.
        (vec![], Some(1), "stays: Crashed. Revision 1, to which it would go back, was deleted."),
        (vec![revision(3, RevisionState::Pending)], Some(3), "back to nothing"),
        (vec![proven], Some(2), "returns to 1"),
    ] {
        let revisions = [earlier, vec![newest(previous)]].concat();
        let course = DesiredRevision { newest: revisions.last().unwrap(), rollback: None, number: Some(4) };
        let judged = match course.judge(Rollout::Failed("Crashed.".to_owned()), &revisions, &now) {
            Judgement::Return { to, .. } => format!("returns to {to}"),
            Judgement::Mark(newest, RevisionState::Stayed(stay)) if newest.number == 4 => {
                format!("stays: {}", stay.evidence)
            }
            Judgement::Mark(_, RevisionState::RolledBack(Rollback { to: None, .. })) => {
                "back to nothing".to_owned()
            }
            other => format!("{other:?}"),
        };
        assert_eq!(judged, expected);
    }
    // The rollout is still observed, and a late success counts.
    let stays = revision(4, RevisionState::Stayed(stay()));
    let course = DesiredRevision { newest: &stays, rollback: None, number: Some(4) };
    assert!(!course.is_over(&standing(&[4])));
    for rollout in [Rollout::Failed("Crashed.".to_owned()), Rollout::Progressing("Runs.".to_owned())] {
        assert_eq!(course.judge(rollout, &[], &now), Judgement::Stay(&stay()), "it does not flap");
    }
    let succeeded = course.judge(Rollout::Complete, &[], &now);
    assert_eq!(succeeded, Judgement::Mark(&stays, RevisionState::RolledOut { at: at(99) }));
}

/// What can happen to a target and its revisions.
#[derive(Clone, Debug)]
enum Event {
    /// Other values must be delivered, which work in the pods or do not.
    Edit(Pods),
    /// The spec changes, but the values do not.
    Retry,
    /// A person points the entries to one of the revisions.
    Undo(prop::sample::Index),
    /// The servers do not accept the values of one of the revisions any more.
    Revoke(prop::sample::Index),
    /// Somebody deletes one of the revisions.
    Delete(prop::sample::Index),
    /// Somebody removes the entries.
    Remove,
    /// The process is killed after so many steps of the next run.
    Kill(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pods {
    Run,
    Crash,
}

/// A simulated cluster in which every change takes effect at once and a step takes one second.
#[derive(Default)]
struct World {
    revisions: Vec<Revision>,
    contents: std::collections::BTreeMap<u64, (u64, Pods)>,
    /// The revisions whose values the servers refuse, and how often each was tried.
    refused: std::collections::BTreeMap<u64, usize>,
    wanted: Option<(u64, Pods)>,
    standing: AppliedState,
    generation: usize,
    clock: i64,
    /// Whether pods ran with entries of the resource.
    had_entries: bool,
}

impl World {
    fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        at(self.clock)
    }

    fn pods(&self, number: u64) -> Pods {
        self.contents.get(&number).map_or(Pods::Crash, |content| content.1)
    }

    /// Takes one step. Returns whether there was one to take.
    fn step(&mut self) -> bool {
        let now = self.tick();
        let attempt = Attempt { inputs: self.generation.to_string(), now };
        let newest = self.revisions.last().map(|revision| self.contents[&revision.number]);
        let wanted = match (self.wanted, newest) {
            (None, _) => DesiredValues::NoChange,
            (Some(wanted), Some(newest)) if wanted == newest => DesiredValues::Newest,
            (Some(_), _) => DesiredValues::Other,
        };
        let revisions = self.revisions.clone();
        let (number, mark) = match plan(&revisions, &BTreeSet::new(), wanted, &self.standing, &attempt) {
            DeliveryStep::Nothing | DeliveryStep::Stay(_) => return false,
            DeliveryStep::Create(number) => {
                self.had_entries &= !self.revisions.is_empty() || !self.standing.numbers.is_empty();
                self.contents.insert(number, self.wanted.unwrap());
                let previous = previous_of_next(&revisions, number, &self.standing);
                self.revisions.push(Revision::for_tests(number, RevisionState::Pending, now).after(previous));
                return true;
            }
            DeliveryStep::Mark(revision, mark) => (revision.number, mark),
            DeliveryStep::Go(course) => {
                assert!(course.number.is_some() || !self.had_entries, "a sign-in was taken away");
                let numbers: BTreeSet<_> = course.number.into_iter().collect();
                if self.standing.numbers != numbers {
                    self.standing =
                        AppliedState { numbers, applied_at: Some(now), ..AppliedState::default() };
                    return true;
                }
                if course.is_over(&self.standing) {
                    return false;
                }
                let rollout = match course.number.map_or(Pods::Run, |number| self.pods(number)) {
                    Pods::Run => Rollout::Complete,
                    Pods::Crash => Rollout::Failed("Crashed.".to_owned()),
                };
                match course.judge(rollout, &revisions, &attempt) {
                    Judgement::Underway(_) | Judgement::Stay(_) => return false,
                    Judgement::Mark(revision, mark) => (revision.number, mark),
                    Judgement::Return { to, evidence } => {
                        if let Some(tries) = self.refused.get_mut(&to) {
                            *tries += 1;
                            (to, RevisionState::Refused { evidence })
                        } else {
                            let (revision, mark) = course.back(Some(to), evidence, &attempt);
                            (revision.number, mark)
                        }
                    }
                }
            }
        };
        self.had_entries |= matches!(mark, RevisionState::RolledOut { .. });
        let revision = self.revisions.iter_mut().find(|revision| revision.number == number).unwrap();
        revision.mark = mark;
        true
    }

    fn happen(&mut self, event: &Event) -> Option<usize> {
        let now = self.tick();
        match event {
            Event::Edit(pods) => {
                self.generation += 1;
                self.wanted = Some((u64::try_from(self.generation).unwrap(), *pods));
            }
            Event::Retry => self.generation += 1,
            Event::Undo(index) if !self.revisions.is_empty() => {
                let number = index.get(&self.revisions).number;
                // The person may have chosen a revision that does not work, so no pods are known to work with
                // entries any more.
                self.had_entries = false;
                self.standing.numbers = BTreeSet::from([number]);
                self.standing.moved = Some(RepointedBy { by: "kubectl-rollout".to_owned(), at: Some(now) });
            }
            Event::Revoke(index) if !self.revisions.is_empty() => {
                self.refused.entry(index.get(&self.revisions).number).or_default();
            }
            Event::Delete(index) if !self.revisions.is_empty() => {
                let gone = self.revisions.remove(index.index(self.revisions.len())).number;
                self.contents.remove(&gone);
                self.refused.remove(&gone);
            }
            Event::Undo(_) | Event::Revoke(_) | Event::Delete(_) => {}
            Event::Remove => self.standing = AppliedState::default(),
            Event::Kill(steps) => return Some(*steps),
        }
        None
    }
}

fn event() -> impl Strategy<Value = Event> {
    let pods = prop_oneof![Just(Pods::Run), Just(Pods::Crash)];
    prop_oneof![
        3 => pods.prop_map(Event::Edit),
        1 => Just(Event::Retry),
        1 => any::<prop::sample::Index>().prop_map(Event::Undo),
        1 => any::<prop::sample::Index>().prop_map(Event::Revoke),
        1 => any::<prop::sample::Index>().prop_map(Event::Delete),
        1 => Just(Event::Remove),
        2 => (0usize..6).prop_map(Event::Kill),
    ]
}

proptest! {
    /// Whatever happens, and wherever the process is killed, the delivery ends in a stable state, which has the
    /// wanted values if they work.
    #[test]
    fn every_story_comes_to_rest(events in prop::collection::vec(event(), 1..20), last in prop_oneof![Just(Pods::Run), Just(Pods::Crash)]) {
        let mut world = World::default();
        let mut limit = None;
        for event in events.iter().chain([&Event::Edit(last)]) {
            if let Some(steps) = world.happen(event) {
                limit = Some(steps);
                continue;
            }
            let steps = limit.take().unwrap_or(20);
            let taken = (0..steps).take_while(|_| world.step()).count();
            prop_assert!(steps < 20 || taken < 20, "it goes on for ever");
        }
        prop_assert!((0..20).take_while(|_| world.step()).count() < 20, "it goes on for ever");
        prop_assert!(world.refused.values().all(|tries| *tries <= 1), "refused values were tried again");
        let newest = world.revisions.last().unwrap().clone();
        let lost = world.standing.numbers.iter().any(|number| world.revisions.iter().all(|each| each.number != *number));
        let at = world.standing.numbers.iter().next().copied();
        match last {
            Pods::Run => {
                prop_assert_eq!(at, Some(newest.number));
                let rolled_out = matches!(newest.mark, RevisionState::RolledOut { .. });
                prop_assert!(rolled_out);
            }
            Pods::Crash => {
                if let RevisionState::Stayed(_) = &newest.mark {
                    prop_assert_eq!(at, Some(newest.number));
                    let was_deleted = newest.previous.is_some();
                    prop_assert!(!world.refused.is_empty() || was_deleted);
                } else if !lost {
                    let arrived = matches!(&newest.mark, RevisionState::RolledBack(Rollback { arrived: Some(_), .. }));
                    prop_assert!(arrived);
                    prop_assert!(at.is_none_or(|number| world.pods(number) == Pods::Run), "pods crash where it rests");
                }
            }
        }
    }
}
