//! Tables of single decisions, and whole lives of an account with crashes anywhere.

use proptest::prelude::*;

use super::*;
use crate::instance::ApiKey;

const ROTATION: Rotation = Rotation { interval: Duration::from_secs(100), overlap: Duration::from_secs(30) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A key that begins with its identifier.
fn key(id: &str) -> ApiKey {
    ApiKey::parse(&format!("{id:z<6}{}", "0".repeat(40)).into())
        .unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn listed(id: &str, maker: Maker) -> RemoteKey {
    RemoteKey { id: id.to_owned(), beginning: Some(format!("{id:z<6}").into()), maker }
}

fn record(key_id: Option<&str>, previous: Option<(&str, i64)>) -> Record {
    Record {
        rotation: 1,
        key_id: key_id.map(str::to_owned),
        since: Some(Time(at(1000))),
        previous: previous.map(|(id, until)| Previous { key_id: id.to_owned(), until: Time(at(until)) }),
        leftover: None,
    }
}

#[test]
fn decides_one_thing_after_the_other() {
    use Maker::{Others, Ourselves};
    let revoke = |id: &str| Step::Revoke { key_id: id.to_owned() };
    let generate = || Step::Generate { rotation: 2, overlap: ROTATION.overlap };
    let two = [listed("old", Others), listed("new", Ourselves)];
    let three = [listed("old", Others), listed("new", Ourselves), listed("lost", Ourselves)];
    for (name, record, keys, now, expected) in [
        ("new", record(Some("new"), None), &two[1..], 1000, Step::Rest),
        ("new", record(Some("new"), None), &two[1..], 1099, Step::Rest),
        ("new", record(Some("new"), None), &two[1..], 1100, generate()),
        // Somebody else's key is no concern of ours.
        ("new", record(Some("new"), None), &two[..], 1000, Step::Rest),
        // The key before stays for as long as programs may need it, and goes then.
        ("new", record(Some("new"), Some(("old", 1030))), &two[..], 1029, Step::Rest),
        ("new", record(Some("new"), Some(("old", 1030))), &two[..], 1030, revoke("old")),
        ("new", record(Some("new"), Some(("old", 1200))), &two[..], 1100, Step::Rest),
        ("new", record(Some("new"), Some(("old", 1200))), &two[1..], 1100, generate()),
        // What a run left behind goes first.
        ("new", record(Some("new"), Some(("old", 1030))), &three[..], 1030, revoke("old")),
        ("new", record(Some("new"), Some(("old", 1130))), &three[..], 1100, revoke("lost")),
        // The key that a person copied.
        ("old", record(None, None), &two[..1], 1000, Step::Rest),
        ("old", record(None, None), &two[..1], 1100, generate()),
        ("old", record(None, None), &two[..], 1000, revoke("new")),
        // It may be one of ours.
        ("new", record(None, None), &two[..], 1000, Step::Rest),
        // The record is not what the server lists.
        ("new", record(Some("old"), None), &two[..], 1100, Step::Doubt),
        ("new", record(Some("gone"), None), &two[..], 1100, Step::Doubt),
        ("new", record(Some("new"), None), &[], 1100, Step::Doubt),
    ] {
        let current = Current { key: key(name), record };
        let seen = decide(Some(ROTATION), &current, keys, at(now));
        assert_eq!(seen, expected, "{name} {:?} at {now}", current.record);
    }
}

#[test]
fn a_key_that_cannot_be_told_is_left_to_a_person() {
    let twins = [listed("a", Maker::Others), listed("b", Maker::Others)].map(|mut key| {
        key.beginning = None;
        key
    });
    let current = Current { key: key("a"), record: record(None, None) };
    assert_eq!(
        decide(Some(ROTATION), &current, &twins, at(1100)),
        Step::Generate { rotation: 2, overlap: ROTATION.overlap }
    );
    let next = succeed(ROTATION.overlap, &current, &twins, ("c".to_owned(), 2), at(1100));
    assert_eq!((next.previous.clone(), next.leftover), (None, Some(Leftover::Bootstrap)));
    let all = [&twins[..], &[listed("c", Maker::Ourselves)]].concat();
    let current = Current { key: key("c"), record: next };
    assert_eq!(prune(&current, &all).leftover, Some(Leftover::Bootstrap));
    assert_eq!(prune(&current, &all[2..]).leftover, None, "somebody deleted both");
    assert_eq!(decide(Some(ROTATION), &current, &all, at(1100)), Step::Rest);
}

#[test]
fn without_a_rotation_only_what_was_begun_is_finished() {
    let listed = [listed("old", Maker::Others), listed("new", Maker::Ourselves)];
    let current = Current { key: key("new"), record: record(Some("new"), Some(("old", 1030))) };
    for (now, expected) in [(1029, Step::Rest), (1030, Step::Revoke { key_id: "old".to_owned() })] {
        assert_eq!(decide(None, &current, &listed, at(now)), expected);
    }
    assert_eq!(decide(None, &current, &listed[1..], at(9999)), Step::Rest);
}

#[test]
fn a_key_that_is_in_use_again_is_not_the_one_before() {
    let listed = [listed("old", Maker::Others)];
    let current = Current { key: key("old"), record: record(None, Some(("old", 1030))) };
    assert_eq!(decide(Some(ROTATION), &current, &listed, at(1040)), Step::Rest);
    assert_eq!(prune(&current, &listed).previous, None);
}

/// An account at a server, the Secret, and the clock.
struct World {
    keys: Vec<RemoteKey>,
    /// The key in the Secret, by its identifier, with its record.
    secret: (String, Record),
    generated: u32,
    now: i64,
}

impl World {
    fn new() -> Self {
        let record = Record { since: Some(Time(at(0))), ..Record::default() };
        let keys = vec![listed("first", Maker::Others)];
        Self { keys, secret: ("first".to_owned(), record), generated: 0, now: 0 }
    }

    /// A run that ends after so many effects, as a process does that is killed.
    fn run(&mut self, effects: usize) {
        let (id, record) = self.secret.clone();
        let current = Current { key: key(&id), record };
        for _ in 0..effects {
            match decide(Some(ROTATION), &current, &self.keys, at(self.now)) {
                Step::Revoke { key_id } => {
                    assert_ne!(key_id, self.secret.0, "the published key is never revoked");
                    self.keys.retain(|key| key.id != key_id);
                }
                Step::Generate { rotation, overlap } => {
                    self.generated += 1;
                    let new = format!("k{}x", self.generated);
                    let record =
                        succeed(overlap, &current, &self.keys, (new.clone(), rotation), at(self.now));
                    self.keys.push(listed(&new, Maker::Ourselves));
                    assert!(self.keys.len() <= 3, "at most three keys");
                    // Publishing is the second effect of the two, and the process may be dead by now.
                    if effects.is_multiple_of(2) {
                        self.secret = (new, record);
                    }
                    return;
                }
                Step::Rest => {
                    self.secret.1 = prune(&current, &self.keys);
                    return;
                }
                Step::Doubt => panic!("the record tells the truth"),
            }
        }
    }

    fn is_valid(&self) -> bool {
        self.keys.iter().any(|key| key.id == self.secret.0)
    }
}

proptest! {
    #[test]
    fn no_crash_loses_or_leaks_a_key(runs in prop::collection::vec((0i64..120, 0usize..6), 1..60)) {
        let mut world = World::new();
        for (pause, effects) in runs {
            world.now += pause;
            world.run(effects);
            prop_assert!(world.is_valid(), "the published key is valid at every instant");
        }
        // Left alone, it comes to one key: the published one. A rotation may fall due meanwhile.
        for _ in 0..4 {
            world.run(100);
            if world.keys.len() == 1 {
                break;
            }
            world.now += 31;
        }
        prop_assert_eq!(world.keys.len(), 1);
        prop_assert!(world.is_valid());
    }
}
