use serde_json::{Value, json};

use super::{contender::PublicationState, *};
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider, ServiceAccount},
    engine::{Kind, watching::undecodable::Guarded},
};

/// The state of a resource, beside its name and age.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Active,
    Suspended,
    Failed,
    Leaving,
}

use State::{Active, Failed, Leaving, Suspended};

/// The time of creation, on a clock of minutes; `None` for a resource that no API server has created.
type Minute = Option<u32>;

fn object<K: Kind>(name: &str, minute: Minute, state: State, mut spec: Value) -> Contender {
    let mut metadata = json!({"name": name});
    if let Some(minute) = minute {
        metadata["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:00Z"));
    }
    if state == Leaving {
        metadata["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
    }
    spec["suspend"] = json!(state == Suspended);
    let kind = K::kind(&());
    let mut object =
        json!({"apiVersion": "auth.wandb.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    if state == Failed {
        object["metadata"]["generation"] = json!(1);
        object["status"] = json!({"observedGeneration": 1, "conditions": [{
            "type": "RolledOut", "status": "False", "reason": "RolledBack", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
    }
    Contender::of(&serde_json::from_value::<K>(object).unwrap()).unwrap()
}

fn to(target: &str) -> Value {
    json!({"deployment": {"name": target}})
}

fn ldap_at(target: &str, login: bool, name: &str, minute: Minute, state: State) -> Contender {
    let spec = json!({
        "address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "login": login, "target": to(target),
    });
    object::<LdapConfig>(name, minute, state, spec)
}

fn ldap(name: &str, minute: u32, state: State) -> Contender {
    ldap_at("wandb", true, name, Some(minute), state)
}

fn ldap_test_mode(name: &str, minute: u32, state: State) -> Contender {
    ldap_at("wandb", false, name, Some(minute), state)
}

fn oidc(name: &str, minute: u32, state: State) -> Contender {
    let spec = json!({
        "issuer": "https://login.example.com", "clientID": "wandb", "host": "https://wandb.example.com", "target": to("wandb"),
    });
    object::<OidcProvider>(name, Some(minute), state, spec)
}

fn jwt_at(target: &str, name: &str, minute: u32, state: State) -> Contender {
    let spec = json!({"issuer": "https://token.example.com", "audiences": ["a"], "target": to(target)});
    object::<JwtIssuer>(name, Some(minute), state, spec)
}

fn jwt(name: &str, minute: u32, state: State) -> Contender {
    jwt_at("wandb", name, minute, state)
}

fn account(name: &str, minute: Minute, state: State, account_name: &str) -> Contender {
    let spec = json!({
        "instance": {"baseURL": "https://wandb.example.com"}, "team": "t", "accountName": account_name,
        "credentials": {"apiKey": {"bootstrapSecretRef": {"name": "s", "key": "k"}, "createWith": {"adminKeySecretRef": {"name": "a", "key": "k"}}}},
    });
    object::<ServiceAccount>(name, minute, state, spec)
}

fn lost_to(contender: &Contender, contenders: &[Contender]) -> Option<Problem> {
    match judge(contender, contenders) {
        Claim::Lost(problem) => Some(problem),
        Claim::Held | Claim::Watched(_) | Claim::Waiting(_) => None,
    }
}

/// The same with passed checks.
fn verified(contender: Contender) -> Contender {
    contender.proven(Proof::Verified)
}

/// The same with entries at the target.
fn delivered(mut contender: Contender) -> Contender {
    let objects = contender.target.iter().flat_map(Target::objects).map(ToString::to_string);
    contender.delivered = objects.collect();
    contender
}

fn works(contender: Contender) -> Contender {
    verified(delivered(contender))
}

/// An object that cannot be decoded, with the rest of its spec and its status.
fn unreadable<K: Kind>(name: &str, minute: u32, mut spec: Value, status: &Value) -> Contender {
    spec["checkInterval"] = json!({"no": "duration"});
    let object: Guarded<K> = serde_json::from_value(json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": K::kind(&()),
        "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")},
        "spec": spec, "status": status,
    }))
    .unwrap();
    assert!(object.0.is_err());
    Contender::of_guarded(&object).unwrap()
}

/// Which resource loses to which, and the message to the loser.
fn told(contenders: &[Contender]) -> Vec<String> {
    let lines = contenders.iter().filter_map(|contender| {
        let problem = lost_to(contender, contenders)?;
        Some(format!("{}: {}: {}", contender.name, problem.reason, problem.message))
    });
    lines.collect()
}

/// The names of those that lose, with the reason.
fn losers(contenders: &[Contender]) -> Vec<(String, Reason)> {
    let mut reversed = contenders.to_vec();
    reversed.reverse();
    let losers = |contenders: &[Contender]| {
        let losers = contenders
            .iter()
            .filter_map(|contender| Some((contender.name.clone(), lost_to(contender, contenders)?.reason)));
        let mut losers: Vec<_> = losers.collect();
        losers.sort_by(|a, b| a.0.cmp(&b.0));
        losers
    };
    let found = losers(contenders);
    assert_eq!(found, losers(&reversed), "the order of a listing does not matter");
    found
}

fn names<'a>(contenders: impl IntoIterator<Item = &'a Contender>) -> Vec<&'a str> {
    contenders.into_iter().map(|contender| contender.name.as_str()).collect()
}

fn displaced_names(contender: &Contender, others: &[Contender]) -> Vec<String> {
    let mut titles: Vec<_> =
        displaced(contender, others).into_iter().map(|other| other.owner.title.clone()).collect();
    titles.sort();
    titles
}

#[test]
fn the_oldest_of_a_kind_holds_a_target() {
    for (what, contenders, expected) in [
        ("alone", vec![ldap("a", 1, Active)], vec![]),
        ("age", vec![ldap("z", 1, Active), ldap("a", 2, Active)], vec!["a"]),
        ("kind", vec![ldap("z", 1, Active), oidc("a", 1, Active)], vec!["a"]),
        ("name", vec![ldap("z", 1, Active), ldap("a", 1, Active)], vec!["z"]),
        ("three", vec![ldap("a", 1, Active), ldap("b", 2, Active), ldap("c", 3, Active)], vec!["b", "c"]),
        ("another target", vec![ldap("a", 1, Active), ldap_at("other", true, "b", Some(2), Active)], vec![]),
        (
            "never met an API server",
            vec![ldap("z", 59, Active), ldap_at("wandb", true, "a", None, Active)],
            vec!["a"],
        ),
        ("providers", vec![oidc("a", 1, Active), oidc("b", 2, Active)], vec!["b"]),
        ("test modes", vec![ldap_test_mode("a", 1, Active), ldap_test_mode("b", 2, Active)], vec!["b"]),
        ("issuers", vec![jwt("a", 1, Active), jwt("b", 2, Active)], vec![]),
        (
            "each its own",
            vec![ldap_test_mode("a", 1, Active), oidc("b", 2, Active), jwt("c", 3, Active)],
            vec![],
        ),
    ] {
        let found: Vec<_> = losers(&contenders).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_does_not_take_part_holds_no_target() {
    for state in [Suspended, Failed, Leaving] {
        assert_eq!(losers(&[ldap("a", 1, state), ldap("b", 2, Active)]), []);
        assert_eq!(losers(&[oidc("a", 1, state), ldap("b", 2, Active)]), []);
    }
    // A suspended younger resource is still shown the conflict that it would have.
    let rests = [ldap("a", 1, Active), ldap("b", 2, Suspended)];
    assert_eq!(losers(&rests), [("b".to_owned(), Reason::Superseded)]);
}

#[test]
fn a_place_passes_by_those_that_cannot_take_it() {
    use Reason::{ConflictsWithOidc, Superseded};
    let owned = |name: &str, reason| (name.to_owned(), reason);
    for (what, contenders, expected) in [
        (
            "the LDAP login loses its LDAP settings to a test mode, so its sign-in is free",
            [ldap_test_mode("a", 1, Active), ldap("b", 2, Active), oidc("c", 3, Active)],
            vec![owned("b", Superseded)],
        ),
        (
            "without the test mode the LDAP login has the sign-in",
            [ldap_test_mode("a", 1, Suspended), ldap("b", 2, Active), oidc("c", 3, Active)],
            vec![owned("c", Superseded)],
        ),
        (
            "an LDAP login that lost to a provider leaves the LDAP settings to a test mode",
            [oidc("a", 1, Active), ldap("b", 2, Active), ldap_test_mode("c", 3, Active)],
            vec![owned("b", ConflictsWithOidc)],
        ),
        (
            "the second provider waits for the first one",
            [ldap("a", 1, Leaving), oidc("b", 2, Active), oidc("c", 3, Active)],
            vec![owned("c", Superseded)],
        ),
    ] {
        assert_eq!(losers(&contenders), expected, "{what}");
    }
}

#[test]
fn losers_learn_who_has_what_and_what_to_do() {
    insta::assert_snapshot!(
        [
            told(&[ldap("old", 1, Active), ldap("new", 2, Active)]),
            told(&[ldap("old", 1, Active), oidc("new", 2, Active)]),
            told(&[oidc("old", 1, Active), ldap("new", 2, Active)]),
            told(&[oidc("old", 1, Active), oidc("new", 2, Active)]),
            told(&[account("old", Some(1), Active, "ci"), account("new", Some(2), Active, "ci")]),
        ]
        .concat()
        .join("\n"),
        @r#"
    new: Superseded: The older LdapConfig "old" has the LDAP settings of Deployment/wandb already. Delete or suspend one of the two once this one is verified, or change this one.
    new: Superseded: The older LdapConfig "old" has the sign-in of Deployment/wandb already. Delete or suspend one of the two once this one is verified, or change this one.
    new: ConflictsWithOidc: The older OidcProvider "old" has the sign-in of Deployment/wandb already. Delete or suspend one of the two once this one is verified, or change this one.
    new: Superseded: The older OidcProvider "old" has the OpenID Connect settings of Deployment/wandb already. Delete or suspend one of the two once this one is verified, or change this one.
    new: Superseded: The older ServiceAccount "old" has the account "ci" at https://wandb.example.com already. Delete one of the two, or change this one.
    "#
    );
}

#[test]
fn an_account_is_held_until_its_resource_is_deleted() {
    let (old, new) = (Some(1), Some(2));
    for (what, contenders, expected) in [
        ("age", [account("b", old, Active, "ci"), account("a", new, Active, "ci")], Some("a")),
        ("name", [account("b", old, Active, "ci"), account("a", old, Active, "ci")], Some("b")),
        ("other accounts", [account("b", old, Active, "ci"), account("a", new, Active, "cd")], None),
        ("suspended", [account("b", old, Suspended, "ci"), account("a", new, Active, "ci")], Some("a")),
        ("leaving", [account("b", old, Leaving, "ci"), account("a", new, Active, "ci")], None),
        ("not created", [account("a", None, Active, "ci"), account("b", new, Active, "ci")], Some("a")),
    ] {
        let found = losers(&contenders);
        let found: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn entries_give_way_to_those_of_the_holder() {
    for (what, contender, others, expected) in [
        ("a loser", ldap("a", 1, Active), vec![ldap("b", 2, Active)], vec!["LdapConfig b"]),
        ("a loser of another kind", oidc("a", 1, Active), vec![ldap("b", 2, Active)], vec!["LdapConfig b"]),
        (
            "nobody, as a test mode has its own place",
            oidc("a", 1, Active),
            vec![ldap_test_mode("b", 2, Active)],
            vec![],
        ),
        (
            "an older one that is suspended",
            ldap("b", 2, Active),
            vec![ldap("a", 1, Suspended)],
            vec!["LdapConfig a"],
        ),
        (
            "an older one that makes no sense",
            ldap("b", 2, Active),
            vec![ldap("a", 1, Failed)],
            vec!["LdapConfig a"],
        ),
        ("an older one that leaves", ldap("b", 2, Active), vec![ldap("a", 1, Leaving)], vec!["LdapConfig a"]),
        ("a provider that leaves", ldap("b", 2, Active), vec![oidc("a", 1, Leaving)], vec!["OidcProvider a"]),
        (
            "nobody with another target",
            ldap("a", 1, Active),
            vec![ldap_at("other", true, "b", Some(2), Leaving)],
            vec![],
        ),
        ("the oldest has the place", ldap("b", 2, Active), vec![ldap("a", 1, Active)], vec![]),
        (
            "younger issuers",
            jwt("a", 1, Active),
            vec![jwt("b", 2, Active), jwt("c", 3, Suspended)],
            vec!["JwtIssuer b", "JwtIssuer c"],
        ),
        ("an older issuer that leaves", jwt("b", 2, Active), vec![jwt("a", 1, Leaving)], vec!["JwtIssuer a"]),
        (
            "nobody of another kind",
            jwt("b", 2, Active),
            vec![ldap("a", 1, Active), oidc("c", 3, Suspended)],
            vec![],
        ),
    ] {
        let mut all = others.clone();
        all.push(contender.clone());
        for others in [&others, &all] {
            assert_eq!(displaced_names(&contender, others), expected, "{what}");
        }
    }
}

#[test]
fn entries_that_a_spec_does_not_name_any_more_give_way() {
    let left = |mut contender: Contender| {
        contender.delivered = ["Deployment/wandb".to_owned()].into();
        contender
    };
    let moved = |login| left(ldap_at("other", login, "a", Some(1), Active));
    for (what, contender, other, expected) in [
        ("of the kind", ldap("b", 2, Active), moved(true), true),
        ("of the sign-in", oidc("b", 2, Active), moved(true), true),
        ("in test mode", oidc("b", 2, Active), moved(false), false),
        ("of another kind", jwt("b", 2, Active), moved(true), false),
        ("written together", jwt("b", 2, Active), left(jwt_at("other", "a", 1, Active)), true),
        ("elsewhere", ldap_at("third", true, "b", Some(2), Active), moved(true), false),
        ("where they are wanted", ldap("b", 2, Active), works(ldap("a", 1, Active)), false),
    ] {
        assert_eq!(!displaced(&contender, &[other]).is_empty(), expected, "{what}");
    }
    let wandb = Target::parse("Deployment/wandb").unwrap();
    let issuer = |proof| jwt("j", 2, Active).proven(proof);
    for (proof, inherits) in [(Proof::Verified, true), (Proof::Unchecked, true), (Proof::Unverified, false)] {
        assert_eq!(heir(&jwt("i", 1, Leaving), &wandb, &[issuer(proof)]).is_some(), inherits, "{proof:?}");
        let broken = [oidc("o", 2, Active).proven(proof)];
        assert!(
            heir(&ldap("l", 1, Leaving), &wandb, &broken).is_some(),
            "people would have no way to sign in"
        );
    }
    let waiting = [verified(ldap("b", 2, Active)), ldap_at("other", true, "c", Some(2), Active)];
    assert_eq!(heir(&moved(true), &wandb, &waiting).map(|heir| heir.name.as_str()), Some("b"));
    assert!(heir(&moved(true), &wandb, &waiting[1..]).is_none());
    assert!(heir(&moved(false), &wandb, &[oidc("o", 2, Active)]).is_none());
}

#[test]
fn the_oldest_active_issuer_writes_for_all() {
    for (what, contenders, leads, joined) in [
        ("alone", vec![jwt("a", 1, Active)], "a", vec![]),
        ("age", vec![jwt("z", 1, Active), jwt("a", 2, Active), jwt("b", 3, Active)], "z", vec!["a", "b"]),
        ("name", vec![jwt("z", 1, Active), jwt("a", 1, Active)], "a", vec!["z"]),
        (
            "a suspended one keeps its values",
            vec![jwt("a", 1, Suspended), jwt("b", 2, Active)],
            "b",
            vec!["a"],
        ),
        ("a broken one keeps its values", vec![jwt("a", 1, Failed), jwt("b", 2, Active)], "b", vec!["a"]),
        ("a deleted one takes them along", vec![jwt("a", 1, Leaving), jwt("b", 2, Active)], "b", vec![]),
        ("others' targets", vec![jwt("a", 2, Active), jwt_at("other", "b", 1, Active)], "a", vec![]),
        ("other kinds", vec![jwt("a", 2, Active), oidc("b", 1, Active)], "a", vec![]),
    ] {
        let active = contenders.iter().filter(|contender| {
            contender.activity == Activity::Active
                && contender.shares_target(&contenders[0])
                && contender.kind == "JwtIssuer"
        });
        for contender in active {
            assert_eq!(leader(contender, &contenders).name, leads, "{what}, seen by {}", contender.name);
        }
        let first = contenders.iter().find(|contender| contender.name == leads).unwrap();
        assert_eq!(names(partners(first, &contenders)), joined, "{what}");
    }
}

#[test]
fn a_place_that_becomes_free_has_a_successor_or_none() {
    for (what, leaving, others, expected) in [
        (
            "the next of the kind",
            ldap("a", 1, Leaving),
            vec![ldap("c", 3, Active), ldap("b", 2, Active)],
            Some("b"),
        ),
        ("the next of another kind", oidc("a", 1, Leaving), vec![ldap("b", 2, Active)], Some("b")),
        ("a suspended one does not wait", ldap("a", 1, Leaving), vec![ldap("b", 2, Suspended)], None),
        ("nor one that leaves, too", ldap("a", 1, Leaving), vec![ldap("b", 2, Leaving)], None),
        (
            "one that has the place already",
            ldap("a", 2, Leaving),
            vec![oidc("b", 1, Active), ldap("c", 3, Active)],
            Some("b"),
        ),
        ("another place", ldap_test_mode("a", 1, Leaving), vec![oidc("b", 2, Active)], None),
        ("another target", ldap("a", 1, Leaving), vec![ldap_at("other", true, "b", Some(2), Active)], None),
        ("a partner", jwt("a", 1, Leaving), vec![jwt("b", 2, Active)], Some("b")),
    ] {
        let mut all = others.clone();
        all.push(leaving.clone());
        for others in [&others, &all] {
            assert_eq!(successor(&leaving, others).map(|other| other.name.as_str()), expected, "{what}");
        }
    }
}

#[test]
fn only_those_run_again_whose_turn_may_change() {
    let others =
        [ldap("l", 2, Active), oidc("o", 2, Active), jwt("j", 2, Active), ldap_test_mode("t", 2, Active)];
    let moved = ldap_at("other", true, "a", Some(1), Active);
    for (what, before, now, expected) in [
        ("nothing", Some(ldap("a", 1, Active)), Some(ldap("a", 1, Active)), vec![]),
        ("a login appears", None, Some(ldap("a", 1, Active)), vec!["l", "o", "t"]),
        ("a login goes", Some(ldap("a", 1, Active)), None, vec!["l", "o", "t"]),
        ("it begins to leave", Some(ldap("a", 1, Active)), Some(ldap("a", 1, Leaving)), vec!["l", "o", "t"]),
        ("it is suspended", Some(ldap("a", 1, Active)), Some(ldap("a", 1, Suspended)), vec!["l", "o", "t"]),
        ("it moves", Some(ldap("a", 1, Active)), Some(moved.clone()), vec!["l", "o", "t"]),
        ("a test mode appears", None, Some(ldap_test_mode("a", 1, Active)), vec!["l", "t"]),
        (
            "it turns to login",
            Some(ldap_test_mode("a", 1, Active)),
            Some(ldap("a", 1, Active)),
            vec!["l", "o", "t"],
        ),
        ("elsewhere", None, Some(moved), vec![]),
        ("an issuer", None, Some(jwt("a", 1, Active)), vec!["j"]),
        ("itself", None, Some(ldap("l", 2, Active)), vec!["o", "t"]),
    ] {
        assert_eq!(names(affected(before.as_ref(), now.as_ref(), &others)), expected, "{what}");
    }
}

/// The line of a table about each contender, in their order.
fn standings(contenders: &[Contender]) -> Vec<&'static str> {
    let mut reversed = contenders.to_vec();
    reversed.reverse();
    let standing = |contender: &Contender| {
        let claim = judge(contender, contenders);
        assert_eq!(claim, judge(contender, &reversed), "the order of a listing does not matter");
        match claim {
            Claim::Held => "has",
            Claim::Watched(_) => "goes on",
            Claim::Waiting(_) => "waits",
            Claim::Lost(_) => "lost",
        }
    };
    contenders.iter().map(standing).collect()
}

#[test]
fn a_place_at_a_target_goes_to_who_works() {
    let (old, new) = (|| ldap("old", 1, Active), || ldap("new", 2, Active));
    let provider = || oidc("provider", 3, Active);
    for (what, contenders, expected) in [
        ("nobody works", vec![old(), new()], ["has", "lost"].as_slice()),
        ("the younger one is verified first", vec![old(), verified(new())], &["waits", "goes on"]),
        ("and delivers", vec![old(), works(new())], &["waits", "goes on"]),
        ("the older one is verified later", vec![verified(old()), works(new())], &["has", "goes on"]),
        ("and has delivered", vec![works(old()), verified(new())], &["has", "lost"]),
        ("half of a handover is seen", vec![works(old()), works(new())], &["has", "lost"]),
        (
            "the older one holds the last verified values",
            vec![delivered(old()), verified(new())],
            &["has", "lost"],
        ),
        ("both are verified at once", vec![verified(old()), verified(new())], &["has", "lost"]),
        (
            "the younger one holds the last verified values",
            vec![old(), delivered(new())],
            &["waits", "goes on"],
        ),
        ("another kind", vec![old(), works(provider())], &["waits", "goes on"]),
        ("a third one", vec![old(), works(new()), verified(provider())], &["waits", "goes on", "lost"]),
        (
            "nobody waits for one that does not take part",
            vec![ldap("old", 1, Suspended), works(new()), ldap("failed", 1, Failed)],
            &["lost", "has", "lost"],
        ),
        (
            "a test mode that is to become the sign-in, and is not verified so",
            vec![delivered(old()), works(provider())],
            &["waits", "goes on"],
        ),
    ] {
        assert_eq!(standings(&contenders), expected, "{what}");
    }
}

#[test]
fn what_cannot_be_read_keeps_what_it_has_and_takes_nothing() {
    let target = || json!({"target": to("wandb")});
    let unread = |minute, spec| unreadable::<LdapConfig>("unread", minute, spec, &json!({}));
    let rival = || ldap("rival", 5, Active);
    for (what, unread, rival, expected) in [
        ("without entries", unread(1, target()), rival(), "goes on"),
        ("and a rival that works", unread(1, target()), works(rival()), "goes on"),
        ("the older one has entries", delivered(unread(1, target())), verified(rival()), "lost"),
        ("the younger one has entries", delivered(unread(9, target())), verified(rival()), "lost"),
        ("of another kind", delivered(unread(1, target())), verified(oidc("provider", 5, Active)), "lost"),
        ("without a place", unread(1, json!({})), verified(rival()), "has"),
    ] {
        let contenders = [unread, rival];
        assert_eq!(standings(&contenders)[1], expected, "{what}");
        assert!(displaced_names(&contenders[1], &contenders).is_empty(), "{what}: its entries stay");
    }
    let Claim::Lost(problem) = judge(&verified(rival()), &[delivered(unread(9, target()))]) else {
        panic!("it has the place")
    };
    assert_eq!(
        problem.message,
        "The LdapConfig \"unread\" has the LDAP settings of Deployment/wandb, and keeps it although this version of the operator cannot read it. Correct it, or delete one of the two."
    );
}

#[test]
fn an_account_stays_with_who_works_for_it() {
    let identified = |mut contender: Contender, identified| {
        contender.identified = identified;
        contender.publication = PublicationState::Yes;
        contender
    };
    let (old, new) = (|| account("old", Some(1), Active, "ci"), || account("new", Some(2), Active, "ci"));
    let unread = |status: &Value| {
        let spec = json!({"instance": {"baseURL": "https://wandb.example.com/"}, "accountName": "ci"});
        unreadable::<ServiceAccount>("unread", 1, spec, status)
    };
    let published = json!({"secretRef": {"name": "unread-wsa"}});
    for (what, contenders, expected) in [
        ("nobody works", [old(), new()], ["has", "lost"]),
        ("the younger one works", [old(), identified(new(), Identified::Works)], ["lost", "has"]),
        (
            "both do",
            [identified(old(), Identified::Works), identified(new(), Identified::Works)],
            ["has", "lost"],
        ),
        (
            "the older one worked with another account",
            [identified(old(), Identified::Published), identified(new(), Identified::Works)],
            ["lost", "has"],
        ),
        ("the younger one was edited", [old(), identified(new(), Identified::Published)], ["lost", "has"]),
        ("what cannot be read and works", [unread(&published), new()], ["has", "lost"]),
        ("what cannot be read and never worked", [unread(&json!({})), new()], ["has", "has"]),
    ] {
        assert_eq!(standings(&contenders), expected, "{what}");
    }
}

#[test]
fn statuses_tell_who_works() {
    let of = |generation: u64, accepted: &str, reason: &str, verified: &str, observed: u64| {
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({"type": type_, "status": status, "reason": reason, "message": "", "observedGeneration": observed,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let object: LdapConfig = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "generation": generation},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org", "target": to("wandb")},
            "status": {"secretRef": {"name": "corp-ldap"}, "conditions": [
                condition("Accepted", accepted, reason), condition("Verified", verified, "")]},
        }))
        .unwrap();
        let contender = Contender::of(&object).unwrap();
        (contender.proof, contender.identified)
    };
    for (status, expected) in [
        (of(2, "True", "Valid", "True", 2), (Proof::Verified, Identified::Works)),
        (of(2, "True", "Valid", "True", 1), (Proof::Unchecked, Identified::Published)),
        (of(2, "True", "Valid", "False", 2), (Proof::Unverified, Identified::Works)),
        (of(2, "False", "Superseded", "True", 2), (Proof::Verified, Identified::Wants)),
        (of(2, "False", "InvalidSpec", "Unknown", 2), (Proof::Unchecked, Identified::Published)),
    ] {
        assert_eq!(status, expected);
    }
}

#[test]
fn only_those_are_compared_that_share_anything() {
    let mut all: Vec<_> = (0..50u32)
        .flat_map(|number| {
            let target = format!("wandb-{number}");
            let first = ldap_at(&target, true, &format!("first-{number}"), Some(number), Active);
            let second = ldap_at(&target, true, &format!("second-{number}"), Some(number + 1), Active);
            [works(first), verified(second), jwt_at(&target, &format!("jwt-{number}"), number, Active)]
        })
        .collect();
    all.extend(
        (0..50u32)
            .map(|number| account(&format!("a-{number}"), Some(1), Active, &format!("n-{}", number / 2))),
    );
    let shares = |a: &Contender, b: &Contender| {
        a.contested(b).is_some()
            || a.shares_target(b)
            || a.is_left_at(b).is_some()
            || b.is_left_at(a).is_some()
    };
    for contender in &all {
        let others: Vec<_> = all.iter().filter(|other| !other.is(contender)).collect();
        let found = concerned(contender, others.clone());
        assert!((1..=2).contains(&found.len()), "{}: {}", contender.name, found.len());
        let inside: Vec<_> = found.iter().copied().chain([contender]).collect();
        for other in others.iter().filter(|other| !inside.iter().any(|one| one.is(other))) {
            assert!(!inside.iter().any(|one| shares(one, other)), "{} {}", contender.name, other.name);
        }
    }
}
