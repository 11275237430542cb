//! Tests with tables of single decisions, and with random histories of an account in which runs crash anywhere.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use proptest::prelude::*;

use super::*;
use crate::instance::ApiKey;

const ROTATION: Rotation = Rotation { interval: Duration::from_secs(100), overlap: Duration::from_secs(30) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A key whose text begins with its identifier.
fn key(id: &str) -> ApiKey {
    ApiKey::parse(&format!("{id:z<6}{}", "0".repeat(40)).into())
        .unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn listed(id: &str, origin: KeyOrigin) -> RemoteKey {
    RemoteKey { id: id.to_owned(), beginning: Some(format!("{id:z<6}").into()), origin, made: None }
}

const PATIENCE: Duration = Duration::from_secs(5);

const NOTHING: KeyRequests = KeyRequests { rotate: None, revoke_previous: None };

static NOTHING_HANDLED: LazyLock<HandledRequests> = LazyLock::new(HandledRequests::default);

fn circumstances(rotation: Option<Rotation>, now: i64) -> Circumstances<'static> {
    let overlap = ROTATION.overlap;
    let (published, now) = (&[], at(now));
    Circumstances {
        rotation,
        overlap,
        patience: PATIENCE,
        published,
        overlapping: &[],
        asked: &NOTHING,
        acknowledged: &NOTHING_HANDLED,
        now,
        earliest: now,
        latest: now,
    }
}

fn all_handled(requests: &KeyRequests) -> HandledRequests {
    HandledRequests::default().with(requests.clone())
}

fn rotating(now: i64) -> Circumstances<'static> {
    circumstances(Some(ROTATION), now)
}

fn record(key_id: Option<&str>, previous: Option<(&str, i64)>) -> Record {
    Record {
        rotation: 1,
        key_id: key_id.map(str::to_owned),
        since: Some(Time(at(1000))),
        previous: previous
            .map(|(id, until)| Previous { key_id: id.to_owned(), until: Time(at(until)) })
            .into_iter()
            .collect(),
        leftover: None,
        handled: Some(HandledRequests::default()),
    }
}

#[test]
fn decides_one_thing_after_the_other() {
    use KeyOrigin::{Others, Ourselves};
    let revoke = |id: &str| RotationStep::Revoke { key_id: id.to_owned() };
    let generate = || RotationStep::Generate { rotation: 2, overlap: ROTATION.overlap };
    let two = [listed("old", Others), listed("new", Ourselves)];
    let three = [listed("old", Others), listed("new", Ourselves), listed("lost", Ourselves)];
    for (name, record, keys, now, expected) in [
        ("new", record(Some("new"), None), &two[1..], 1000, RotationStep::Rest),
        ("new", record(Some("new"), None), &two[1..], 1099, RotationStep::Rest),
        ("new", record(Some("new"), None), &two[1..], 1100, generate()),
        // A key that somebody else made is left alone.
        ("new", record(Some("new"), None), &two[..], 1000, RotationStep::Rest),
        // The previous key stays valid during its overlap, and is revoked afterwards.
        ("new", record(Some("new"), Some(("old", 1030))), &two[..], 1029, RotationStep::Rest),
        ("new", record(Some("new"), Some(("old", 1030))), &two[..], 1030, revoke("old")),
        ("new", record(Some("new"), Some(("old", 1200))), &two[..], 1100, RotationStep::Rest),
        ("new", record(Some("new"), Some(("old", 1200))), &two[1..], 1100, generate()),
        // A key that an interrupted run left behind is revoked first.
        ("new", record(Some("new"), Some(("old", 1030))), &three[..], 1030, revoke("old")),
        ("new", record(Some("new"), Some(("old", 1130))), &three[..], 1100, revoke("lost")),
        // The key in use is the one that a person copied.
        ("old", record(None, None), &two[..1], 1000, RotationStep::Rest),
        ("old", record(None, None), &two[..1], 1100, generate()),
        ("old", record(None, None), &two[..], 1000, revoke("new")),
        // The copied key may be one that the operator generated.
        ("new", record(None, None), &two[..], 1000, RotationStep::Rest),
        // The record contradicts the list of the server.
        ("new", record(Some("old"), None), &two[..], 1100, RotationStep::Ambiguous),
        ("new", record(Some("gone"), None), &two[..], 1100, RotationStep::Ambiguous),
        ("new", record(Some("new"), None), &[], 1100, RotationStep::Ambiguous),
    ] {
        let current = Current { key: key(name), record };
        let seen = decide(rotating(now), &current, keys);
        assert_eq!(seen, expected, "{name} {:?} at {now}", current.record);
    }
}

#[test]
fn a_key_that_cannot_be_told_is_left_to_a_person() {
    let twins = [listed("a", KeyOrigin::Others), listed("b", KeyOrigin::Others)].map(|mut key| {
        key.beginning = None;
        key
    });
    let current = Current { key: key("a"), record: record(None, None) };
    assert_eq!(
        decide(rotating(1100), &current, &twins),
        RotationStep::Generate { rotation: 2, overlap: ROTATION.overlap }
    );
    let next = successor_record(rotating(1100), ROTATION.overlap, &current, &twins, ("c".to_owned(), 2));
    assert_eq!((next.previous.clone(), next.leftover), (Vec::new(), Some(Leftover::Bootstrap)));
    let all = [&twins[..], &[listed("c", KeyOrigin::Ourselves)]].concat();
    let current = Current { key: key("c"), record: next };
    assert_eq!(prune(rotating(1100), &current, &all).leftover, Some(Leftover::Bootstrap));
    assert_eq!(prune(rotating(1100), &current, &all[2..]).leftover, None, "somebody deleted both");
    assert_eq!(decide(rotating(1100), &current, &all), RotationStep::Rest);
}

#[test]
fn without_a_rotation_only_what_was_begun_is_finished() {
    let listed = [listed("old", KeyOrigin::Others), listed("new", KeyOrigin::Ourselves)];
    let current = Current { key: key("new"), record: record(Some("new"), Some(("old", 1030))) };
    for (now, expected) in
        [(1029, RotationStep::Rest), (1030, RotationStep::Revoke { key_id: "old".to_owned() })]
    {
        assert_eq!(decide(circumstances(None, now), &current, &listed), expected);
    }
    assert_eq!(decide(circumstances(None, 9999), &current, &listed[1..]), RotationStep::Rest);
}

#[test]
fn a_key_that_is_in_use_again_is_not_the_one_before() {
    let listed = [listed("old", KeyOrigin::Others)];
    let current = Current { key: key("old"), record: record(None, Some(("old", 1030))) };
    assert_eq!(decide(rotating(1040), &current, &listed), RotationStep::Rest);
    assert_eq!(prune(rotating(1100), &current, &listed).previous, []);
}

#[test]
fn what_another_process_may_be_about_to_publish_is_spared() {
    let current = Current { key: key("old"), record: record(None, None) };
    let made = |second| RemoteKey { made: Some(at(second)), ..listed("new", KeyOrigin::Ourselves) };
    for (second, now, expected) in [
        (1100, 1104, RotationStep::Rest),
        (1100, 1105, RotationStep::Revoke { key_id: "new".to_owned() }),
        // The clock of the process that generated the key is a little ahead, or far ahead.
        (1108, 1104, RotationStep::Rest),
        (9999, 1104, RotationStep::Revoke { key_id: "new".to_owned() }),
    ] {
        let keys = [listed("old", KeyOrigin::Others), made(second)];
        assert_eq!(decide(rotating(now), &current, &keys), expected, "{second} {now}");
    }
    // The other process may have used the current time, or the earliest possible one.
    for (second, expected) in [
        (1100, RotationStep::Rest),
        (9999, RotationStep::Rest),
        (5000, RotationStep::Revoke { key_id: "new".to_owned() }),
    ] {
        let keys = [listed("old", KeyOrigin::Others), made(second)];
        let circumstances = Circumstances { now: at(9999), earliest: at(1100), ..circumstances(None, 1100) };
        assert_eq!(decide(circumstances, &current, &keys), expected, "{second}");
    }
    let keys = [listed("old", KeyOrigin::Others), made(1100)];
    assert_eq!(next_look(rotating(1104), &current, &keys), Some(at(1105)));
    assert_eq!(next_look(rotating(1105), &current, &keys), None);
}

#[test]
fn a_key_that_was_published_last_is_granted_its_overlap() {
    let published = ["new".to_owned()];
    let at_time = |now| Circumstances { published: &published, ..rotating(now) };
    let keys = [listed("old", KeyOrigin::Ourselves), listed("new", KeyOrigin::Ourselves)];
    let restored = |previous| Current { key: key("old"), record: record(Some("old"), previous) };
    for (previous, expected) in [
        (None, Some(("new", 1130))),
        (Some(("new", 1099)), Some(("new", 1130))),
        (Some(("new", 1200)), Some(("new", 1200))),
    ] {
        let current = restored(previous);
        let granted = extend_overlaps(at_time(1100), &current, &keys);
        assert_eq!(granted, record(Some("old"), expected));
    }
    // Until the overlap is recorded, nothing is revoked either.
    assert_eq!(decide(at_time(1100), &restored(None), &keys), RotationStep::Rest);
    // A key that is in use, gone, or made by somebody else needs no overlap.
    let current = Current { key: key("new"), record: record(Some("new"), None) };
    assert_eq!(extend_overlaps(at_time(1100), &current, &keys), current.record);
    assert_eq!(extend_overlaps(at_time(1100), &restored(None), &keys[..1]), restored(None).record);
    let others = [listed("old", KeyOrigin::Ourselves), listed("new", KeyOrigin::Others)];
    assert_eq!(extend_overlaps(at_time(1100), &restored(None), &others), restored(None).record);
}

#[test]
fn nothing_is_revoked_while_it_may_be_too_early() {
    let current = Current { key: key("new"), record: record(Some("new"), Some(("old", 1100))) };
    let keys = [listed("old", KeyOrigin::Ourselves), listed("new", KeyOrigin::Ourselves)];
    for (earliest, expected) in
        [(1099, RotationStep::Rest), (1100, RotationStep::Revoke { key_id: "old".to_owned() })]
    {
        let circumstances = Circumstances { earliest: at(earliest), ..rotating(1105) };
        assert_eq!(decide(circumstances, &current, &keys), expected, "{earliest}");
    }
}

#[test]
fn an_overlap_is_counted_from_the_latest_that_it_may_be() {
    let published = ["new".to_owned()];
    let current = Current { key: key("old"), record: record(Some("old"), None) };
    let keys = [listed("old", KeyOrigin::Ourselves), listed("new", KeyOrigin::Ourselves)];
    for (latest, expected) in [(1100, 1130), (9000, 9030)] {
        let circumstances = Circumstances { published: &published, latest: at(latest), ..rotating(1100) };
        let granted = extend_overlaps(circumstances, &current, &keys);
        assert_eq!(granted, record(Some("old"), Some(("new", expected))));
        let next = successor_record(circumstances, ROTATION.overlap, &current, &keys, ("next".to_owned(), 2));
        assert_eq!(next.previous, [Previous { key_id: "old".to_owned(), until: Time(at(expected)) }]);
        assert_eq!(next.since, Some(Time(at(1100))), "it is in use from the time on");
    }
}

#[test]
fn a_person_asks_for_a_key_or_for_the_end_of_the_overlap() {
    use KeyOrigin::{Others, Ourselves};
    let asked = |rotate: bool, revoke: bool| KeyRequests {
        rotate: rotate.then(|| "1".to_owned()),
        revoke_previous: revoke.then(|| "1".to_owned()),
    };
    let revoke = |id: &str| RotationStep::Revoke { key_id: id.to_owned() };
    let generate = || RotationStep::Generate { rotation: 2, overlap: ROTATION.overlap };
    let young = RemoteKey { made: Some(at(1009)), ..listed("young", Ourselves) };
    let keys = [listed("old", Others), listed("new", Ourselves), young];
    let lone = record(Some("new"), None);
    let overlapping = record(Some("new"), Some(("old", 1030)));
    for (record, asked, keys, expected) in [
        (&lone, asked(true, false), &keys[1..2], generate()),
        (&overlapping, asked(true, false), &keys[..2], generate()),
        // Another process may be about to publish a key.
        (&overlapping, asked(true, false), &keys[..], RotationStep::Wait),
        (&overlapping, asked(false, true), &keys[..2], revoke("old")),
        (&lone, asked(false, true), &keys[..2], RotationStep::Rest),
        // What is replaced now is revoked, too, so it is replaced first.
        (&overlapping, asked(true, true), &keys[..2], generate()),
    ] {
        for rotation in [None, Some(ROTATION)] {
            let circumstances = Circumstances { asked: &asked, ..circumstances(rotation, 1010) };
            let current = Current { key: key("new"), record: record.clone() };
            assert_eq!(decide(circumstances, &current, keys), expected, "{asked:?} {record:?}");
            // Each value acts once.
            let handled = Record { handled: Some(all_handled(&asked)), ..record.clone() };
            let current = Current { key: key("new"), record: handled };
            assert_eq!(decide(circumstances, &current, keys), RotationStep::Rest, "{asked:?} {record:?}");
        }
    }
}

#[test]
fn a_replaced_key_keeps_its_overlap_when_another_one_is_asked_for() {
    let keys = [listed("old", KeyOrigin::Others), listed("new", KeyOrigin::Ourselves)];
    let asked = KeyRequests { rotate: Some("1".to_owned()), revoke_previous: Some("1".to_owned()) };
    let circumstances = Circumstances { asked: &asked, ..circumstances(None, 1010) };
    let current = Current { key: key("new"), record: record(Some("new"), Some(("old", 1030))) };
    let next = successor_record(circumstances, ROTATION.overlap, &current, &keys, ("next".to_owned(), 2));
    let until = |id: &str, second| Previous { key_id: id.to_owned(), until: Time(at(second)) };
    assert_eq!(next.previous, [until("old", 1030), until("new", 1040)]);
    let rotated = KeyRequests { rotate: Some("1".to_owned()), revoke_previous: None };
    assert_eq!(next.handled, Some(all_handled(&rotated)));
    // With the new key in the Secret, both are revoked, and then the request is handled.
    let all = [&keys[..], &[listed("next", KeyOrigin::Ourselves)]].concat();
    let current = Current { key: key("next"), record: next };
    assert!(circumstances.ends_overlap(&current.record), "it does not wait for the overlap");
    assert_eq!(decide(circumstances, &current, &all), RotationStep::Revoke { key_id: "old".to_owned() });
    assert_eq!(decide(circumstances, &current, &all[1..]), RotationStep::Revoke { key_id: "new".to_owned() });
    assert_eq!(prune(circumstances, &current, &all[1..]).handled.unwrap().revoke_previous.last, None);
    assert_eq!(prune(circumstances, &current, &all[2..]).handled, Some(all_handled(&asked)));
    // A copied key that nobody can tell from others is still valid.
    let doubtful = Record { leftover: Some(Leftover::Bootstrap), ..current.record.clone() };
    let doubtful = Current { record: doubtful, ..current };
    let keys = [&all[2..], &[listed("copied", KeyOrigin::Others)]].concat();
    assert_eq!(prune(circumstances, &doubtful, &keys).handled.unwrap().revoke_previous.last, None);
}

#[test]
fn a_reverted_commit_replaces_no_key() {
    let keys = [listed("new", KeyOrigin::Ourselves)];
    let ask = |value: &str| KeyRequests { rotate: Some(value.to_owned()), revoke_previous: None };
    let mut current = Current { key: key("new"), record: record(Some("new"), None) };
    for (value, acts) in [("1", true), ("2", true), ("1", false), ("2", false), ("3", true), ("1", false)] {
        let asked = ask(value);
        let circumstances = Circumstances { asked: &asked, ..circumstances(None, 1010) };
        let is_generated = matches!(decide(circumstances, &current, &keys), RotationStep::Generate { .. });
        assert_eq!(is_generated, acts, "{value}");
        if is_generated {
            let number = ("next".to_owned(), 2);
            let next = successor_record(circumstances, ROTATION.overlap, &current, &keys, number);
            current.record.handled = next.handled;
        }
    }
}

#[test]
fn keys_that_were_asked_for_are_bounded() {
    let replaced: Vec<_> = (0..MOST_OVERLAPPING).map(|number| format!("k{number}x")).collect();
    let until = |id: &String| Previous { key_id: id.clone(), until: Time(at(1030)) };
    let record = Record { previous: replaced.iter().map(until).collect(), ..record(Some("new"), None) };
    let mut keys: Vec<_> = replaced.iter().map(|id| listed(id, KeyOrigin::Ourselves)).collect();
    keys.push(listed("new", KeyOrigin::Ourselves));
    let current = Current { key: key("new"), record };
    for (revoke, expected) in [
        (None, RotationStep::Crowded { overlapping: MOST_OVERLAPPING }),
        (Some("1"), RotationStep::Generate { rotation: 2, overlap: ROTATION.overlap }),
    ] {
        let asked = KeyRequests { rotate: Some("1".to_owned()), revoke_previous: revoke.map(str::to_owned) };
        let circumstances = Circumstances { asked: &asked, ..circumstances(None, 1010) };
        assert_eq!(decide(circumstances, &current, &keys), expected);
    }
}

#[test]
fn what_was_asked_before_any_run_knew_of_requests_is_not_done() {
    let asked = KeyRequests { rotate: Some("1".to_owned()), revoke_previous: Some("1".to_owned()) };
    let circumstances = Circumstances { asked: &asked, ..circumstances(None, 1010) };
    let keys = [listed("old", KeyOrigin::Others), listed("new", KeyOrigin::Ourselves)];
    let record = Record { handled: None, ..record(Some("new"), Some(("old", 1030))) };
    let current = Current { key: key("new"), record };
    assert_eq!(decide(circumstances, &current, &keys), RotationStep::Rest);
    let record = extend_overlaps(circumstances, &current, &keys);
    assert_eq!(record.handled, Some(all_handled(&asked)), "from now on, another value is news");
    assert_eq!(decide(circumstances, &Current { record, ..current }, &keys), RotationStep::Rest);
}

#[test]
fn a_restored_secret_does_not_open_a_request_again() {
    let asked = KeyRequests { rotate: Some("1".to_owned()), revoke_previous: Some("1".to_owned()) };
    let acknowledged = all_handled(&asked);
    let circumstances =
        Circumstances { asked: &asked, acknowledged: &acknowledged, ..circumstances(None, 1010) };
    let keys = [listed("old", KeyOrigin::Others)];
    let current = Current { key: key("old"), record: record(None, None) };
    let known = extend_overlaps(circumstances, &current, &keys);
    assert_eq!(known.handled, Some(acknowledged.clone()));
    assert_eq!(decide(circumstances, &Current { record: known, ..current }, &keys), RotationStep::Rest);
}

#[test]
fn a_key_that_may_be_one_of_ours_is_a_doubt() {
    let blind = |id, origin| RemoteKey { beginning: None, ..listed(id, origin) };
    let current = Current { key: key("a"), record: record(None, None) };
    let keys = [blind("a", KeyOrigin::Others), blind("b", KeyOrigin::Ourselves)];
    assert_eq!(decide(rotating(1100), &current, &keys), RotationStep::Ambiguous);
}

/// An account at a server, with the Secret, the status and the clock.
struct World {
    keys: Vec<RemoteKey>,
    /// The identifier of the key in the Secret, with its record.
    secret: (String, Record),
    /// Everything that the Secret has held so far.
    backups: Vec<(String, Record)>,
    /// The key that the status names; for a copied key, the one that the process remembers.
    status: Option<String>,
    /// The replaced keys that the status names.
    overlapping: Vec<Previous>,
    /// What somebody asks for.
    asked: KeyRequests,
    /// What the status says was handled.
    acknowledged: HandledRequests,
    /// The values for which a key was published.
    answered: HashSet<String>,
    /// Until when each published key must stay valid.
    promised: HashMap<String, i64>,
    generated: u32,
    now: i64,
}

impl World {
    fn new() -> Self {
        let record = Record { since: Some(Time(at(0))), ..Record::default() };
        let keys = vec![listed("first", KeyOrigin::Others)];
        let secret = ("first".to_owned(), record);
        let backups = vec![secret.clone()];
        Self {
            keys,
            secret,
            backups,
            status: None,
            overlapping: Vec::new(),
            asked: NOTHING,
            acknowledged: HandledRequests::default(),
            answered: HashSet::new(),
            promised: HashMap::new(),
            generated: 0,
            now: 0,
        }
    }

    fn overlap() -> i64 {
        i64::try_from(ROTATION.overlap.as_secs()).unwrap()
    }

    /// Changes the contents of the Secret.
    fn write(&mut self, id: String, record: Record) {
        if id != self.secret.0 {
            self.promised.insert(self.secret.0.clone(), self.now + Self::overlap());
        }
        self.secret = (id, record);
        self.backups.push(self.secret.clone());
    }

    /// Writes the status after the Secret.
    fn write_status(&mut self) {
        self.status = Some(self.secret.0.clone());
        self.overlapping.clone_from(&self.secret.1.previous);
        let handled = self.secret.1.handled.clone().unwrap_or_default();
        self.acknowledged = handled.and(&self.acknowledged, &self.asked);
    }

    /// Somebody restores earlier contents of the Secret whose key still works.
    fn restore(&mut self, choice: usize) {
        let works = |(id, _): &&(String, Record)| self.keys.iter().any(|key| key.id == *id);
        let working: Vec<_> = self.backups.iter().filter(works).cloned().collect();
        let (id, record) = working[choice % working.len()].clone();
        // Another record for the same key would be an edit, which the process corrects.
        if id != self.secret.0 {
            self.write(id, record);
        }
    }

    /// A run that ends after this number of effects, as if the process were killed.
    fn run(&mut self, effects: usize) {
        let (id, record) = self.secret.clone();
        let published: Vec<_> = self.status.iter().cloned().collect();
        let (asked, acknowledged) = (self.asked.clone(), self.acknowledged.clone());
        let overlapping = self.overlapping.clone();
        let circumstances = Circumstances {
            published: &published,
            overlapping: &overlapping,
            asked: &asked,
            acknowledged: &acknowledged,
            ..rotating(self.now)
        };
        let mut current = Current { key: key(&id), record };
        if effects == 0 {
            return;
        }
        let granted = extend_overlaps(circumstances, &current, &self.keys);
        if granted != current.record {
            self.write(id, granted.clone());
            if effects == 1 {
                return;
            }
            current.record = granted;
        }
        self.write_status();
        for _ in 1..effects {
            match decide(circumstances, &current, &self.keys) {
                RotationStep::Revoke { key_id } => {
                    assert_ne!(key_id, self.secret.0, "the published key is never revoked");
                    let promised = self.promised.get(&key_id).copied().unwrap_or_default();
                    let is_asked = circumstances.ends_overlap(&current.record);
                    assert!(promised <= self.now || is_asked, "programs may still use {key_id}");
                    self.keys.retain(|key| key.id != key_id);
                }
                RotationStep::Generate { rotation, overlap } => {
                    self.generated += 1;
                    let new = format!("k{}x", self.generated);
                    let record = successor_record(
                        circumstances,
                        overlap,
                        &current,
                        &self.keys,
                        (new.clone(), rotation),
                    );
                    let made = Some(at(self.now));
                    self.keys.push(RemoteKey { made, ..listed(&new, KeyOrigin::Ourselves) });
                    let most = if asked.is_empty() { 3 } else { 3 + MOST_OVERLAPPING };
                    assert!(self.keys.len() <= most, "{} keys", self.keys.len());
                    // Publishing is the second of two effects, and the process may have been killed before it.
                    if effects.is_multiple_of(2) {
                        if let Some(value) = circumstances.open(&current.record).rotate {
                            assert!(self.answered.insert(value), "each value acts once");
                        }
                        self.write(new, record);
                        self.write_status();
                    }
                    return;
                }
                RotationStep::Rest | RotationStep::Wait | RotationStep::Crowded { .. } => {
                    self.secret.1 = prune(circumstances, &current, &self.keys);
                    self.write_status();
                    return;
                }
                RotationStep::Ambiguous => panic!("the record tells the truth"),
            }
        }
    }

    fn is_valid(&self) -> bool {
        self.keys.iter().any(|key| key.id == self.secret.0)
    }
}

proptest! {
    #[test]
    fn no_crash_and_no_backup_loses_or_leaks_a_key(
        runs in prop::collection::vec(
            (
                0i64..120,
                0usize..7,
                prop::option::weighted(0.2, 0usize..9),
                prop::option::weighted(0.2, (0usize..12, any::<bool>(), any::<bool>())),
            ),
            1..60,
        )
    ) {
        let mut world = World::new();
        for (pause, effects, backup, request) in runs {
            world.now += pause;
            if let Some((value, rotate, revoke)) = request {
                // Some values come back, as when somebody reverts a commit.
                if rotate {
                    world.asked.rotate = Some(usize::to_string(&value));
                }
                if revoke {
                    world.asked.revoke_previous = Some(usize::to_string(&value));
                }
            }
            if let Some(choice) = backup {
                world.restore(choice);
            }
            // A running operator notices restored contents before somebody restores others.
            world.run(if backup.is_some() { effects.max(2) } else { effects });
            prop_assert!(world.is_valid(), "the published key is valid at every instant");
        }
        // Without further disturbance only the published key remains. A rotation may become due meanwhile.
        for _ in 0..9 {
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
