//! Tests of the environments of single applications in the second version, which override everything else.

use super::*;
use crate::api::Reason;

/// A resource with these environments.
fn with_lists(lists: &Value) -> WeightsAndBiases {
    resource(
        Version::V2,
        json!({"wandb": {"hostname": "https://wandb.example.com", "legacyOverrides": lists}}),
    )
}

fn literal(name: &str) -> Value {
    json!({"name": name, "value": "theirs"})
}

fn reference(name: &str, secret: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}})
}

fn names_in(seen: &WeightsAndBiases, application: &str) -> Vec<String> {
    let list = tree::list(&seen.object.data, &["spec", "wandb", "legacyOverrides", application, "env"]);
    list.iter().filter_map(|entry| tree::text(entry, &["name"]).map(ToOwned::to_owned)).collect()
}

#[test]
fn what_beats_a_delivery_is_named_with_its_place() {
    let (oidc_values, ldap_values) = (oidc_values(), ldap_values());
    let oidc_delivery = oidc_delivery(1, &oidc_values);
    let ldap_delivery = ldap_delivery(1, &ldap_values);
    for (owner, delivery, application, name) in [
        // The first two have a field, and the others are in the list of all applications.
        (oidc(), &oidc_delivery, "api", "GORILLA_OIDC_ISSUER"),
        (oidc(), &oidc_delivery, "api", "GORILLA_SESSION_LENGTH"),
        (oidc(), &oidc_delivery, "app", "GORILLA_USE_IDENTIFIER_CLAIMS"),
        (ldap(), &ldap_delivery, "api", "LDAP_ADDRESS"),
    ] {
        for entry in [literal(name), reference(name, "theirs")] {
            let mut seen = with_lists(&json!({application: {"env": [entry]}}));
            let problem = patch_of(&seen, &owner, Some(delivery)).unwrap_err();
            assert_eq!(problem.reason, Reason::FieldConflict);
            let place = format!("spec.wandb.legacyOverrides.{application}.env[{name}] (by helm)");
            assert!(problem.message.contains(&place), "{}", problem.message);
            assert!(!problem.message.contains("theirs"), "{}", problem.message);
            assert_eq!(deliver(&mut seen, &owner, None), None);
        }
    }
}

#[test]
fn an_application_that_answers_no_logins_may_have_its_own() {
    let lists = json!({"executor": {"env": [literal("GORILLA_OIDC_ISSUER"), literal("LDAP_ADDRESS")]}});
    let mut seen = with_lists(&lists);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
    deliver(&mut seen, &ldap(), Some(&ldap_delivery(1, &ldap_values())));
    assert_eq!(names_in(&seen, "executor"), ["GORILLA_OIDC_ISSUER", "LDAP_ADDRESS"]);
}

#[test]
fn what_is_ours_in_the_environment_of_an_application_goes_with_the_delivery() {
    let lists = json!({
        "api": {"env": [literal("FOREIGN"), reference("GORILLA_OIDC_ISSUER", "main-oidc-3")]},
        "executor": {"env": [reference("GORILLA_OIDC_ISSUER", "main-oidc-2")]},
    });
    for delivered in [Some(oidc_values()), None] {
        let mut seen = with_lists(&lists);
        assert_eq!(seen.standing(&oidc()).numbers, [2, 3].into());
        let delivery = delivered.as_ref().map(|values| oidc_delivery(4, values));
        deliver(&mut seen, &oidc(), delivery.as_ref());
        assert_eq!(names_in(&seen, "api"), ["FOREIGN"]);
        assert_eq!(names_in(&seen, "executor"), [""; 0]);
        assert_eq!(seen.standing(&oidc()).numbers, delivery.iter().map(|delivery| delivery.number).collect());
    }
}

#[test]
fn a_converted_delivery_goes_on_in_the_new_place() {
    // This is what W&B's conversion makes of a delivery to the first version.
    let names = ["GORILLA_OIDC_CLIENT_ID", "GORILLA_OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_ISSUER"];
    let mut list: Vec<_> = names.map(|name| reference(name, "main-oidc-1")).into();
    list.push(reference("LDAP_ADDRESS", "corp-ldap-1"));
    // The conversion moved the values of the chart's own fields into a Secret of W&B.
    let converted = |key: &str| json!({"name": "wandb-oidc-converted", "key": key});
    let spec = json!({"wandb": {
        "oidc": {
            "clientSecret": {"name": "main-oidc-1", "key": "GORILLA_OIDC_SECRET", "optional": false},
            "clientId": converted("clientId"), "issuerUrl": converted("issuerUrl"),
        },
        "legacyOverrides": {"global": {"env": list}},
    }});
    let mut seen = resource(Version::V2, spec);
    seen.object.metadata.managed_fields = None;
    assert_eq!(seen.standing(&oidc()).numbers, [1].into());
    let mut deleted = seen.clone();
    deliver(&mut deleted, &oidc(), None);
    assert_eq!(tree::find(&deleted.object.data, &["spec", "wandb", "oidc"]), Some(&json!({})));
    assert_eq!(names_in(&deleted, "global"), ["LDAP_ADDRESS"]);
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values()))).unwrap();
    // The secret is in the right place already.
    assert_eq!(tree::find(&patch, &["spec", "wandb", "oidc", "clientSecret"]), None);
    let oidc_fields = tree::find(&seen.object.data, &["spec", "wandb", "oidc"]).unwrap();
    for name in ["issuerUrl", "clientId", "clientSecret"] {
        assert_eq!(tree::text(oidc_fields, &[name, "name"]), Some("main-oidc-1"), "{name}");
    }
    assert_eq!(names_in(&seen, "global"), ["LDAP_ADDRESS", "GORILLA_USE_IDENTIFIER_CLAIMS"]);
    deliver(&mut seen, &ldap(), Some(&ldap_delivery(1, &ldap_values())));
    deliver(&mut seen, &oidc(), None);
    deliver(&mut seen, &ldap(), None);
    assert_eq!(names_in(&seen, "global"), [""; 0]);
}

#[test]
fn what_the_applications_that_answer_logins_get_is_told() {
    let on = json!({"name": "LOCAL_RESTORE", "value": "true"});
    let host = |name: &str, host: &str| json!({"name": name, "value": host});
    for (lists, restore, served) in [
        (json!({}), None, Some("https://wandb.example.com")),
        (json!({"global": {"env": [on]}}), Some("true"), Some("https://wandb.example.com")),
        (json!({"api": {"env": [on]}}), Some("true"), Some("https://wandb.example.com")),
        (json!({"app": {"env": [on]}}), Some("true"), Some("https://wandb.example.com")),
        (json!({"executor": {"env": [on]}}), None, Some("https://wandb.example.com")),
        // The environment of an application overrides that of all.
        (
            json!({"global": {"env": [on]}, "api": {"env": [host("LOCAL_RESTORE", "false")]}}),
            Some("false"),
            Some("https://wandb.example.com"),
        ),
        (
            json!({"global": {"env": [on]}, "api": {"env": [reference("LOCAL_RESTORE", "s")]}}),
            None,
            Some("https://wandb.example.com"),
        ),
        (
            json!({"api": {"env": [host("HOST", "https://a.example.com")]}}),
            None,
            Some("https://a.example.com"),
        ),
        (
            json!({"global": {"env": [host("GORILLA_FRONTEND_HOST", "https://a.example.com")]}}),
            None,
            Some("https://a.example.com"),
        ),
        (
            json!({"api": {"env": [host("HOST", "https://a.example.com"), host("GORILLA_FRONTEND_HOST", "https://b.example.com")]}}),
            None,
            Some("https://b.example.com"),
        ),
        (json!({"api": {"env": [reference("GORILLA_FRONTEND_HOST", "s")]}}), None, None),
        (
            json!({"executor": {"env": [host("HOST", "https://a.example.com")]}}),
            None,
            Some("https://wandb.example.com"),
        ),
    ] {
        let environment = with_lists(&lists).environment();
        assert_eq!(environment.literals.get("LOCAL_RESTORE").map(String::as_str), restore, "{lists}");
        assert_eq!(environment.host.as_deref(), served, "{lists}");
    }
}
