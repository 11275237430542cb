use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount},
    engine::{
        ReferencedKind,
        precedence::{
            affected, displaced, heir, judge, leader, lost_identity, partners, successor, unknown_partner,
        },
        publish::secret::owner_in_targets,
    },
    workloads::Target,
};

const NAMESPACES: [&str; 2] = ["east", "west"];
const KINDS: [&str; 4] = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];
const NAMES: [&str; 3] = ["one", "two", "three"];
const WORKLOADS: [&str; 2] = ["wandb", "other"];

/// What a resource is like, by numbers.
#[derive(Clone, Debug)]
struct Sketch {
    place: (usize, usize, usize),
    secret: usize,
    own_secret: Option<usize>,
    target: Option<usize>,
    account: usize,
    created: u32,
    is_held: bool,
    is_readable: bool,
    state: usize,
    status: usize,
    version: u32,
}

impl Sketch {
    fn id(&self) -> (String, KindKey) {
        let (namespace, kind, name) = self.place;
        let key = KindKey { kind: KINDS[kind].into(), name: NAMES[name].into() };
        (NAMESPACES[namespace].to_owned(), key)
    }

    fn manifest(&self) -> Value {
        let (namespace, kind, name) = self.place;
        let reference = json!({"name": format!("secret-{}", self.secret), "key": "k"});
        let mut spec = match KINDS[kind] {
            "LdapConfig" => json!({
                "address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "login": true,
                "bind": {"dn": "cn=w,dc=example,dc=org", "passwordSecretRef": reference},
            }),
            "OidcProvider" => json!({
                "issuer": "https://login.example.com", "clientID": "w", "host": "https://wandb.example.com",
                "clientSecretRef": reference, "tls": {"caBundle": {"configMapKeyRef": reference}},
            }),
            "JwtIssuer" => json!({"issuer": "https://token.example.com", "audiences": ["a"]}),
            _ if self.account == 0 => json!({
                "instance": {"baseURL": "https://wandb.example.com"}, "team": "t",
                "credentials": {"federated": {
                    "issuerRef": {"name": "one"}, "subject": format!("s-{}", self.secret), "audience": "a",
                    "token": {"secretRef": reference},
                }},
            }),
            account => json!({
                "instance": {"baseURL": "https://wandb.example.com"}, "team": "t",
                "accountName": format!("{account}-{}", self.account),
                "credentials": {"apiKey": {"bootstrapSecretRef": reference}},
            }),
        };
        if let Some(workload) = self.target {
            spec["target"] = json!({"deployment": {"name": WORKLOADS[workload]}});
        }
        if let Some(number) = self.own_secret {
            spec["secretName"] = json!(format!("secret-{number}"));
        }
        spec["suspend"] = json!(self.state == 1);
        if !self.is_readable {
            spec["checkInterval"] = json!({"no": "duration"});
        }
        let mut metadata = json!({
            "name": NAMES[name], "namespace": NAMESPACES[namespace], "generation": 1,
            "uid": format!("{:?}", self.place), "resourceVersion": self.version.to_string(),
            "creationTimestamp": format!("2026-01-01T00:{:02}:00Z", self.created),
        });
        if self.is_held {
            metadata["finalizers"] = json!(["auth.wandb.com/target"]);
        }
        if self.state == 2 {
            metadata["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        }
        let condition = |type_, status| {
            json!({
                "type": type_, "status": status, "reason": "ChecksPassed", "message": "", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let status = match self.status {
            0 => json!({"observedGeneration": -1}),
            1 => json!({"observedGeneration": 1, "conditions": [condition("Verified", "False")]}),
            2 => json!({
                "observedGeneration": 1, "secretRef": {"name": "published"},
                "conditions": [condition("Verified", "True"), condition("Accepted", "True")],
            }),
            _ => json!({
                "observedGeneration": 1, "secretRef": {"name": "published"}, "revision": 1,
                "conditions": [condition("Verified", "True"), condition("Accepted", "True")],
            }),
        };
        json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": KINDS[kind], "metadata": metadata, "spec": spec,
            "status": status,
        })
    }

    /// The resource as a walk over all of them sees it.
    fn walked(&self) -> Walked {
        match KINDS[self.place.1] {
            "LdapConfig" => Walked::of::<LdapConfig>(self),
            "OidcProvider" => Walked::of::<OidcProvider>(self),
            "JwtIssuer" => Walked::of::<JwtIssuer>(self),
            _ => Walked::of::<ServiceAccount>(self),
        }
    }
}

struct Walked {
    entry: IndexEntry,
    claimant: Option<Contender>,
    is_held: bool,
    uses: Box<dyn Fn(&ObjectKey) -> bool>,
}

impl Walked {
    fn of<K: Kind>(sketch: &Sketch) -> Self {
        let object: Guarded<K> = serde_json::from_value(sketch.manifest()).unwrap();
        assert_eq!(object.0.is_ok(), sketch.is_readable);
        Self {
            entry: IndexEntry::of(&object),
            claimant: Contender::of_guarded(&object),
            is_held: sketch.is_held,
            uses: Box::new(move |wanted| {
                let Ok(resource) = &object.0 else { return false };
                let owner = owner_in_targets(resource);
                let publishes = wanted.name == *owner.secret_name
                    || resource.common().target.is_some() && owner.number_of(&wanted.name).is_some();
                references(resource).iter().any(|reference| reference.object() == *wanted)
                    || wanted.source == ReferenceSource::Secret && publishes
            }),
        }
    }
}

/// Every object that any sketch may read or publish, and some that are named almost like one.
fn objects() -> Vec<ObjectKey> {
    let own =
        NAMES.iter().flat_map(|name| ["ldap", "oidc", "jwt", "wsa"].map(|kind| format!("{name}-{kind}")));
    let bases: Vec<_> = own.chain((0..3).map(|number| format!("secret-{number}"))).collect();
    let secrets =
        bases.iter().flat_map(|base| ["", "-1", "-01", "-12", "-x"].map(|end| format!("{base}{end}")));
    let secrets = secrets.map(|name| ObjectKey { source: ReferenceSource::Secret, name: name.into() });
    let maps =
        bases.iter().map(|name| ObjectKey { source: ReferenceSource::ConfigMap, name: name.as_str().into() });
    let issuer = ReferencedKind::of::<JwtIssuer>().unwrap();
    let issuers =
        NAMES.map(|name| ObjectKey { source: ReferenceSource::Neighbour(issuer), name: name.into() });
    secrets.chain(maps).chain(issuers).collect()
}

type All = BTreeMap<(String, KindKey), Sketch>;

fn names<'a>(claimants: impl IntoIterator<Item = &'a Contender>) -> BTreeSet<(String, String)> {
    claimants.into_iter().map(|claimant| (claimant.kind.clone(), claimant.name.clone())).collect()
}

/// What is looked up is what a walk over all resources finds.
fn compare(index: &mut Index, all: &All) {
    let walked: Vec<_> = all.iter().map(|(id, sketch)| (id, sketch.walked())).collect();
    for namespace in NAMESPACES {
        let of_namespace = || walked.iter().filter(|((own, _), _)| own == namespace);
        for object in objects() {
            let found: BTreeSet<_> =
                index.object_changed(namespace, &object, Some("1")).into_iter().collect();
            let expected = of_namespace().filter(|(_, walked)| (walked.uses)(&object));
            let expected: BTreeSet<_> = expected.map(|((_, key), _)| Arc::new(key.clone())).collect();
            assert_eq!(found, expected, "{object:?}");
        }
        let holds = of_namespace().any(|(_, walked)| walked.is_held);
        assert_eq!(index.holding().any(|held| held == namespace), holds);
        let claimants: Vec<_> = of_namespace().filter_map(|(_, walked)| walked.claimant.clone()).collect();
        for workload in WORKLOADS {
            let target = Target::parse(&format!("Deployment/{workload}")).unwrap();
            let names_it = |claimant: &&Contender| {
                claimant.target.as_ref().is_some_and(|target| target.includes("Deployment", workload))
            };
            let found = index.at_object(namespace, target.to_string());
            let found = names(found.iter().map(|claimant| &**claimant).filter(names_it));
            assert_eq!(found, names(claimants.iter().filter(names_it)));
            for claimant in &claimants {
                let leaving = claimant.leaving(&target);
                let rivals = index.rivals(namespace, &leaving);
                let name = |heir: Option<&Contender>| heir.map(|heir| heir.name.clone());
                assert_eq!(name(heir(claimant, &target, &rivals)), name(heir(claimant, &target, &claimants)));
            }
        }
        for claimant in &claimants {
            let rivals = index.rivals(namespace, claimant);
            let name =
                |other: Option<&Contender>| other.map(|other| (other.kind.clone(), other.name.clone()));
            assert_eq!(judge(claimant, &rivals), judge(claimant, &claimants), "{claimant:#?}");
            assert_eq!(names(displaced(claimant, &rivals)), names(displaced(claimant, &claimants)));
            assert_eq!(names([leader(claimant, &rivals)]), names([leader(claimant, &claimants)]));
            assert_eq!(names(partners(claimant, &rivals)), names(partners(claimant, &claimants)));
            assert_eq!(name(successor(claimant, &rivals)), name(successor(claimant, &claimants)));
            assert_eq!(
                unknown_partner(claimant, &rivals).is_some(),
                unknown_partner(claimant, &claimants).is_some()
            );
            let namesakes = index.namesakes(namespace, claimant);
            assert_eq!(lost_identity(claimant, &namesakes), lost_identity(claimant, &claimants));
            let beside = index.beside(namespace, &[claimant]);
            let beside = partners(claimant, beside.iter().map(|other| &**other));
            assert_eq!(names(beside), names(partners(claimant, &claimants)));
        }
    }
}

/// Puts or removes a resource, and compares whom that concerns with what a walk finds.
fn change(index: &mut Index, all: &mut All, id: (String, KindKey), sketch: Option<Sketch>) {
    let (namespace, key) = id.clone();
    let change = if let Some(sketch) = sketch {
        let entry = sketch.walked().entry;
        all.insert(id, sketch);
        index.put(&namespace, key, entry)
    } else {
        all.remove(&id);
        index.remove(&namespace, key)
    };
    let (before, now) = (change.before.as_deref(), change.now.as_deref());
    let one: Vec<_> = before.into_iter().chain(now).collect();
    let beside = index.beside(&namespace, &one);
    let found = names(affected(before, now, beside.iter().map(|claimant| &**claimant)));
    let walked = all.iter().filter(|((own, _), _)| *own == namespace);
    let claimants: Vec<_> = walked.filter_map(|(_, sketch)| sketch.walked().claimant).collect();
    assert_eq!(found, names(affected(before, now, &claimants)));
}

#[derive(Clone, Debug)]
enum Event {
    Applied(Sketch),
    Deleted((usize, usize, usize)),
    /// A watch of a kind that was broken: some were changed meanwhile, some are gone, and some may be new.
    Listed {
        kind: usize,
        found: Vec<Sketch>,
    },
}

fn place() -> impl Strategy<Value = (usize, usize, usize)> {
    (0..NAMESPACES.len(), 0..KINDS.len(), 0..NAMES.len())
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let spec = (0usize..3, prop::option::of(0usize..3), prop::option::of(0..WORKLOADS.len()), 0usize..3);
    let state = (0u32..4, any::<bool>(), prop::bool::weighted(0.85), 0usize..4, 0usize..4, 0u32..9);
    (place(), spec, state).prop_map(|(place, (secret, own_secret, target, account), state)| {
        let (created, is_held, is_readable, state, status, version) = state;
        Sketch {
            place,
            secret,
            own_secret,
            target,
            account,
            created,
            is_held,
            is_readable,
            state,
            status,
            version,
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => sketch().prop_map(Event::Applied),
        2 => place().prop_map(Event::Deleted),
        1 => (0..KINDS.len(), prop::collection::vec(sketch(), 0..5)).prop_map(|(kind, found)| {
            let found = found.into_iter().map(|sketch| Sketch { place: (sketch.place.0, kind, sketch.place.2), ..sketch });
            Event::Listed { kind, found: found.collect() }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// An index that misses a change is a silent fault: whatever happens, it finds what a walk over all finds.
    #[test]
    fn what_is_looked_up_is_what_a_walk_finds(events in prop::collection::vec(event(), 1..16)) {
        let (mut index, mut all) = (Index::default(), All::new());
        for event in events {
            match event {
                Event::Applied(sketch) => change(&mut index, &mut all, sketch.id(), Some(sketch)),
                Event::Deleted((namespace, kind, name)) => {
                    let key = KindKey { kind: KINDS[kind].into(), name: NAMES[name].into() };
                    change(&mut index, &mut all, (NAMESPACES[namespace].to_owned(), key), None);
                }
                Event::Listed { kind, found } => {
                    let mut unseen = index.of_kind(KINDS[kind], &WatchScope::Cluster);
                    for sketch in found {
                        unseen.remove(&sketch.id());
                        change(&mut index, &mut all, sketch.id(), Some(sketch));
                    }
                    for id in unseen {
                        change(&mut index, &mut all, id, None);
                    }
                }
            }
            prop_assert_eq!(index.keys(None).len(), all.len());
        }
        compare(&mut index, &all);
        let ids: Vec<_> = all.keys().cloned().collect();
        for id in ids {
            change(&mut index, &mut all, id, None);
        }
        prop_assert!(index.namespaces.is_empty(), "nothing is kept of what is gone");
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { source: ReferenceSource::Secret, name: name.into() }
}

/// A resource that reads `secret-0`.
fn of_one() -> Sketch {
    Sketch {
        place: (0, 0, 0),
        secret: 0,
        own_secret: None,
        target: None,
        account: 0,
        created: 0,
        is_held: false,
        is_readable: true,
        state: 0,
        status: 0,
        version: 1,
    }
}

/// An index with that resource.
fn one() -> (Index, KindKey) {
    let (mut index, sketch) = (Index::default(), of_one());
    index.put("east", sketch.id().1, sketch.walked().entry);
    (index, sketch.id().1)
}

#[test]
fn who_knows_a_version_is_not_told_of_it() {
    let (mut index, resource) = one();
    let tell = |index: &mut Index, version| index.object_changed("east", &key("secret-0"), version).len();
    assert_eq!(tell(&mut index, Some("1")), 1, "it was never read");
    index.observe("east", &resource, key("secret-0"), Some("1"));
    assert_eq!(tell(&mut index, Some("1")), 0);
    assert_eq!(tell(&mut index, Some("2")), 1);
    assert_eq!(tell(&mut index, None), 1);
    index.observe("east", &resource, key("secret-0"), None);
    assert_eq!(tell(&mut index, None), 0, "it is known to be missing");
    assert_eq!(tell(&mut index, Some("3")), 1);
    assert_eq!(index.object_changed("west", &key("secret-0"), Some("4")).len(), 0);
    assert_eq!(index.object_changed("east", &key("unrelated"), Some("4")).len(), 0);
}

#[test]
fn the_end_of_what_was_missing_at_first_is_news() {
    let (mut index, resource) = one();
    let tell = |index: &mut Index, version| index.object_changed("east", &key("secret-0"), version).len();
    index.observe("east", &resource, key("secret-0"), None);
    assert_eq!(tell(&mut index, Some("1")), 1, "it is there");
    // A run that read another kind of resource knows the version of its spec, which is that of no event.
    index.observe("east", &resource, key("secret-0"), Some("uid.1"));
    assert_eq!(tell(&mut index, None), 1, "it is gone");
}

#[test]
fn what_comes_during_a_run_is_judged_at_its_end() {
    for (read, arrives, runs_again) in [
        // Its own write, or what it read itself.
        (Some("1"), vec![Some("1")], false),
        (Some("2"), vec![Some("1"), Some("2")], false),
        (Some("1"), vec![Some("2")], true),
        // Somebody else changed what it wrote.
        (Some("1"), vec![Some("1"), Some("2")], true),
        (Some("1"), vec![None], true),
        (Some("1"), vec![], false),
    ] {
        let (mut index, resource) = one();
        index.run_began("east", &resource);
        for version in &arrives {
            assert!(index.object_changed("east", &key("secret-0"), *version).is_empty());
        }
        index.observe("east", &resource, key("secret-0"), read);
        assert_eq!(index.run_ended("east", &resource), runs_again, "{read:?} {arrives:?}");
        assert!(!index.run_ended("east", &resource), "it is told once");
    }
}

#[test]
fn a_revision_that_a_run_has_written_is_no_news() {
    let sketch = Sketch { target: Some(0), own_secret: Some(1), ..of_one() };
    let (mut index, resource) = (Index::default(), sketch.id().1);
    index.put("east", resource.clone(), sketch.walked().entry);
    let tell = |index: &mut Index, name, version| index.object_changed("east", &key(name), version).len();
    assert_eq!(tell(&mut index, "secret-1-2", Some("1")), 1, "nobody knows of it");
    index.observe("east", &resource, key("secret-1-2"), Some("2"));
    assert_eq!(tell(&mut index, "secret-1-2", Some("2")), 0);
    assert_eq!(tell(&mut index, "secret-1-2", Some("3")), 1, "somebody else changed it");
    index.observe("east", &resource, key("secret-1-2"), None);
    assert_eq!(tell(&mut index, "secret-1-2", None), 0, "it was deleted by a run");
    assert_eq!(tell(&mut index, "secret-1-3", None), 1, "this one was not");

    // What a list does not show is forgotten, so that nothing is kept of revisions that are gone.
    index.observe("east", &resource, key("secret-0"), Some("1"));
    index.observe_revisions(
        "east",
        &resource,
        vec![(key("secret-1-3"), "7".into()), (key("other-1"), "7".into())],
    );
    assert_eq!(tell(&mut index, "secret-1-3", Some("7")), 0);
    assert_eq!(tell(&mut index, "secret-1-2", None), 1);
    assert_eq!(tell(&mut index, "secret-0", Some("1")), 0, "which is no revision");
    assert_eq!(index.namespaces["east"].entries[&resource].observed.known(), 2);
}

#[test]
fn another_resource_of_the_name_knows_nothing() {
    let (mut index, resource) = one();
    index.observe("east", &resource, key("secret-0"), Some("1"));
    let entry = index.namespaces["east"].entries[&resource].entry.clone();
    index.put("east", resource.clone(), entry.clone());
    assert_eq!(index.object_changed("east", &key("secret-0"), Some("1")).len(), 0);
    index.put("east", resource, IndexEntry { uid: Some("another".into()), ..entry });
    assert_eq!(index.object_changed("east", &key("secret-0"), Some("1")).len(), 1);
}
