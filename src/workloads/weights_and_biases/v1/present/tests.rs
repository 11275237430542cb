use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    api::Reason,
    engine::Kind,
    values::Values,
    workloads::{
        Change, ValuePart,
        read_target::ReadTarget,
        v1::{ValueSource, ValuesAuthor, effective_environment},
        weights_and_biases::{
            WeightsAndBiases,
            tests::{apply, oidc, oidc_delivery, resource},
            tree,
            version::Version,
        },
    },
};

/// An issuer, a client and its secret, under every name.
fn delivered() -> Values {
    let mut values = Values::default();
    for (name, value) in [
        ("OIDC_ISSUER", "https://ours.example.com"),
        ("OIDC_CLIENT_ID", "our-client"),
        ("OIDC_SECRET", "our-secret"),
    ] {
        let env = crate::api::OidcProvider::ENVIRONMENT.iter().find(|env| env.local == Some(name)).unwrap();
        values.set(*env, value);
    }
    values.set_file("GORILLA_SESSION_LENGTH", "720h");
    values
}

/// The variables that are present under the names of the delivery, as lines of text.
fn told(seen: &WeightsAndBiases) -> BTreeSet<String> {
    let values = delivered();
    let present = seen.present(&oidc(), &oidc_delivery(2, &values), &[]);
    let part = |part: &ValuePart| match part {
        ValuePart::Text(text) => text.expose().to_owned(),
        ValuePart::Key(reference) => format!("<{}/{}>", reference.name, reference.key),
    };
    let value = |origin: &ValueOrigin| match origin {
        ValueOrigin::Parts(parts) => parts.iter().map(part).collect(),
        ValueOrigin::Unknown(why) => format!("? {why}"),
    };
    let line = |each: &PresentVariable| {
        format!("{} {}={} {:?}", each.container, each.name, value(&each.value), each.holder)
    };
    present.iter().map(line).collect()
}

fn at(path: &str, value: Value) -> Value {
    path.split('.').rev().fold(value, |below, key| json!({key: below}))
}

fn with(places: &[(&str, Value)]) -> WeightsAndBiases {
    let mut values = json!({});
    for (path, value) in places {
        tree::put(&mut values, &path.split('.').collect::<Vec<_>>(), value.clone());
    }
    resource(Version::V1, json!({ "values": values }))
}

#[test]
fn what_wins_is_what_is_there_wherever_it_stands() {
    let reference = json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    for (places, expected) in [
        (&[("global.extraEnv.OIDC_ISSUER", json!("a"))][..], &["app OIDC_ISSUER=a Other"][..]),
        (&[("global.env.OIDC_ISSUER", reference)], &["app OIDC_ISSUER=<s/k> Other"]),
        (
            &[("global.extraEnv.OIDC_ISSUER", json!("weak")), ("app.env.OIDC_ISSUER", json!("strong"))],
            &["app OIDC_ISSUER=strong Other"],
        ),
        (
            &[
                ("global.api.enabled", json!(true)),
                ("app.containers.app.env.OIDC_ISSUER", json!("one")),
                ("api.extraEnv.OIDC_ISSUER", json!("two")),
            ],
            &["api OIDC_ISSUER=two Other", "app OIDC_ISSUER=one Other"],
        ),
        // The chart makes these variables of its own settings.
        (
            &[("global.auth.oidc.secret", json!("s")), ("global.auth.sessionLengthHours", json!(24))],
            &[
                "app GORILLA_OIDC_SECRET=s Other",
                "app GORILLA_SESSION_LENGTH=24h Other",
                "app OIDC_SECRET=s Other",
            ],
        ),
        // These belong to another application, or are not the owner's concern.
        (&[("console.env.OIDC_ISSUER", json!("a")), ("app.env.HOST", json!("b"))], &[]),
        // The chart would make another text of these values.
        (
            &[("app.env.OIDC_ISSUER", json!("{{ .Values.global.host }}"))],
            &["app OIDC_ISSUER=? the chart's template engine makes it Other"],
        ),
        (
            &[("app.env.OIDC_CLIENT_ID", json!(1_234_567_890))],
            &["app OIDC_CLIENT_ID=? it is a number, which the chart writes in a form of its own Other"],
        ),
        (&[("app.env.OIDC_CLIENT_ID", json!(123_456))], &["app OIDC_CLIENT_ID=123456 Other"]),
    ] {
        let expected: BTreeSet<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(told(&with(places)), expected, "{places:?}");
    }
}

/// The variables of an application, as the chart renders them.
fn effective(seen: &WeightsAndBiases, application: &str) -> Vec<(String, Value)> {
    let layers = seen.sources.values(&seen.object.data).collect();
    let environment = effective_environment(&layers, application);
    environment.into_iter().map(|(name, found)| (name, found.value)).collect()
}

#[test]
fn one_patch_takes_over_from_every_place_of_the_resource() {
    let names = ["OIDC_ISSUER", "GORILLA_OIDC_ISSUER", "OIDC_SECRET", "GORILLA_OIDC_SECRET"];
    for place in ["global.extraEnv", "global.env", "app.extraEnv", "app.env", "app.containers.app.env"] {
        let places: Vec<_> = names.iter().map(|name| (format!("{place}.{name}"), json!("theirs"))).collect();
        let mut places: Vec<_> = places.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        places.push(("global.api.enabled", json!(true)));
        places.push(("app.env.FOREIGN", json!("kept")));
        let mut seen = with(&places);
        let values = delivered();
        for number in [2, 1] {
            let Some(Change::Merge(patch)) =
                seen.take_over(&oidc(), &oidc_delivery(number, &values)).unwrap()
            else {
                panic!("{place}: no patch")
            };
            apply(&mut seen, &oidc().manager, &patch);
            for application in ["app", "api"] {
                let found = effective(&seen, application);
                for name in names {
                    let ours = Form::Variable.to(&format!("main-oidc-{number}"), name);
                    assert!(found.contains(&(name.to_owned(), ours)), "{place}: {found:#?}");
                }
            }
        }
        assert_eq!(tree::text(&seen.object.data, &["spec", "values", "app", "env", "FOREIGN"]), Some("kept"));
        let lines = told(&seen);
        assert!(lines.iter().all(|line| line.ends_with("Own")), "{place}: {lines:#?}");
        // After that, a normal change has nothing left to do.
        let again = seen.change(&oidc(), Some(&oidc_delivery(1, &values)), &[]);
        assert_eq!(again, Ok(None), "{place}");
    }
}

#[test]
fn a_stronger_place_of_another_source_stays_a_conflict() {
    let place = "app.env.OIDC_ISSUER";
    for own in [json!({}), at(place, json!("theirs"))] {
        let mut seen = resource(Version::V1, json!({ "values": own }));
        let values = at(place, json!("theirs"));
        seen.sources.merged = vec![ValueSource { origin: ValuesAuthor::Console, values, chart: Value::Null }];
        let problem = seen.take_over(&oidc(), &oidc_delivery(2, &delivered())).unwrap_err();
        assert_eq!(problem.reason, Reason::FieldConflict);
        let named = "app.env.OIDC_ISSUER in the Secret \"wandb-spec-user\" (System Console > Settings > Advanced > User Spec)";
        assert!(
            problem.message.contains(named) && !problem.message.contains("theirs"),
            "{}",
            problem.message
        );
    }
}

#[test]
fn without_leave_to_take_over_no_setting_of_the_chart_is_replaced_in_silence() {
    let values = delivered();
    for (path, value, is_refused) in [
        ("global.auth.oidc.secret", json!("theirs"), true),
        ("global.auth.oidc.secret", json!("our-secret"), false),
        ("global.auth.sessionLengthHours", json!(24), true),
        ("global.auth.sessionLengthHours", json!(720), false),
    ] {
        let mut seen = with(&[(path, value.clone())]);
        let change = seen.change(&oidc(), Some(&oidc_delivery(1, &values)), &[]);
        match change {
            Err(problem) => {
                let place = format!("spec.values.{path} (by helm)");
                assert!(is_refused && problem.message.contains(&place), "{}", problem.message);
            }
            Ok(_) => assert!(!is_refused, "{path}: {value}"),
        }
        // After the takeover, a normal change keeps the entries.
        let Some(Change::Merge(patch)) = seen.take_over(&oidc(), &oidc_delivery(1, &values)).unwrap() else {
            panic!("no patch")
        };
        apply(&mut seen, &oidc().manager, &patch);
        assert_eq!(seen.change(&oidc(), Some(&oidc_delivery(1, &values)), &[]), Ok(None), "{path}");
        assert!(told(&seen).iter().all(|line| line.ends_with("Own")), "{:#?}", told(&seen));
    }
}
