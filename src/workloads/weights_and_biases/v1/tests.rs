use serde_json::json;

use super::*;
use crate::{
    api::Reason,
    workloads::{
        read_target::ReadTarget,
        weights_and_biases::{
            WeightsAndBiases,
            tests::{apply, deliver, ldap, oidc, oidc_delivery, oidc_values, patch_of, resource, values},
            version::Version,
        },
    },
};
use crate::{api::oidc_provider::OidcProvider, engine::Kind};

/// A resource with these values, and a System Console with those.
fn beside(spec: Value, console: Value) -> WeightsAndBiases {
    let mut seen = resource(Version::V1, spec);
    seen.sources.merged =
        vec![ValueSource { origin: ValuesAuthor::Console, values: console, chart: Value::Null }];
    seen
}

/// The problem because of which the `OidcProvider` cannot be delivered.
fn refusal(seen: &WeightsAndBiases) -> String {
    let problem = patch_of(seen, &oidc(), Some(&oidc_delivery(1, &full_values()))).unwrap_err();
    assert_eq!(problem.reason, Reason::FieldConflict);
    assert!(!problem.message.contains("theirs"), "{}", problem.message);
    problem.message
}

/// The values of a provider with a flow.
fn full_values() -> crate::values::Values {
    let mut values = oidc_values();
    for (name, value) in [
        ("OIDC_CLIENT_ID", "wandb"),
        ("OIDC_ISSUER", "https://login.example.com"),
        ("OIDC_AUTH_METHOD", "pkce"),
    ] {
        let env = OidcProvider::ENVIRONMENT.iter().find(|env| env.local == Some(name)).unwrap();
        values.set(*env, value);
    }
    values
}

#[test]
fn what_wins_over_the_entries_is_named_with_its_place() {
    let at = |path: &[&str]| {
        let mut values = json!({});
        tree::put(&mut values, path, json!("theirs"));
        values
    };
    let reference = json!({"valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k"}}});
    for (own, console, place) in [
        (at(&["app", "env", "OIDC_ISSUER"]), json!({}), "spec.values.app.env.OIDC_ISSUER (by helm)"),
        (
            at(&["app", "extraEnv", "OIDC_ISSUER"]),
            json!({}),
            "spec.values.app.extraEnv.OIDC_ISSUER (by helm)",
        ),
        (at(&["global", "env", "OIDC_ISSUER"]), json!({}), "spec.values.global.env.OIDC_ISSUER (by helm)"),
        (
            at(&["app", "containers", "app", "env", "OIDC_ISSUER"]),
            json!({}),
            "spec.values.app.containers.app.env.OIDC_ISSUER (by helm)",
        ),
        (
            json!({}),
            at(&["global", "extraEnv", "GORILLA_OIDC_SECRET"]),
            r#"global.extraEnv.GORILLA_OIDC_SECRET in the Secret "wandb-spec-user" (System Console > Settings > Advanced > User Spec)"#,
        ),
        (
            json!({}),
            json!({"global": {"extraEnv": {"OIDC_ISSUER": reference}}}),
            r#"global.extraEnv.OIDC_ISSUER in the Secret "wandb-spec-user""#,
        ),
        (
            json!({}),
            at(&["app", "extraEnv", "OIDC_SECRET"]),
            r#"app.extraEnv.OIDC_SECRET in the Secret "wandb-spec-user" (System Console > Settings > Advanced > User Spec)"#,
        ),
        (
            json!({}),
            at(&["global", "auth", "oidc", "clientId"]),
            r#"global.auth.oidc.clientId in the Secret "wandb-spec-user" (System Console > Settings > Authentication)"#,
        ),
        (
            json!({}),
            at(&["global", "auth", "oidc", "secret"]),
            r#"global.auth.oidc.secret in the Secret "wandb-spec-user" (System Console > Settings > Authentication)"#,
        ),
        // A scalar is in the place where ours would be a map, or above it.
        (json!({}), at(&["global", "extraEnv"]), r#"global.extraEnv in the Secret "wandb-spec-user""#),
        (json!({}), at(&["global", "auth"]), r#"global.auth in the Secret "wandb-spec-user""#),
    ] {
        let message = refusal(&beside(json!({"values": own}), console));
        assert!(message.contains(place), "{place}: {message}");
    }
}

#[test]
fn what_does_not_win_is_no_conflict() {
    for console in [
        json!({"global": {"host": "https://wandb.example.com", "extraEnv": {"LIMIT": 5, "OIDC_ISSUER": ""}}}),
        json!({"console": {"env": {"OIDC_ISSUER": "theirs"}}, "api": {"env": {"OIDC_ISSUER": "theirs"}}}),
        // These are equal to ours.
        json!({"global": {"auth": {"oidc": {
            "clientId": "wandb", "issuer": "https://login.example.com", "authMethod": "pkce",
        }}}}),
    ] {
        let is_empty_scalar = console.pointer("/global/extraEnv/OIDC_ISSUER").is_some();
        let seen = beside(json!({"values": {}}), console.clone());
        let change = patch_of(&seen, &oidc(), Some(&oidc_delivery(1, &full_values())));
        // Even an empty text makes the W&B operator stop if another source has a map there.
        assert_eq!(change.is_err(), is_empty_scalar, "{console}");
    }
}

#[test]
fn what_comes_into_another_source_later_is_told_and_taking_out_still_works() {
    let mut seen = resource(Version::V1, json!({"values": {}}));
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &full_values())));
    let values = json!({"global": {"extraEnv": {"OIDC_ISSUER": "theirs"}}});
    seen.sources.merged = vec![ValueSource { origin: ValuesAuthor::Channel, values, chart: Value::Null }];
    let message = refusal(&seen);
    assert!(message.contains(r#"in the Secret "wandb-latest-cached-release""#), "{message}");
    deliver(&mut seen, &oidc(), None);
    assert_eq!(seen.object.data, json!({"spec": {"values": {}}}));
}

#[test]
fn the_charts_own_fields_have_what_the_variables_have() {
    let mut seen = resource(Version::V1, json!({"values": {"global": {"auth": {"oidc": {"clientId": ""}}}}}));
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &full_values()))).unwrap();
    assert_eq!(
        patch.pointer("/spec/values/global/auth/oidc").unwrap(),
        &json!({
            "clientId": "wandb", "issuer": "https://login.example.com", "authMethod": "pkce",
            "oidcSecret": {"name": "main-oidc-1", "secretKey": "GORILLA_OIDC_SECRET"},
        })
    );
    for name in ["OIDC_SECRET", "GORILLA_OIDC_SECRET"] {
        let entry = tree::find(&patch, &variable(name));
        assert_eq!(entry, Some(&Form::Variable.to("main-oidc-1", name)));
    }
    assert_eq!(tree::find(&patch, &variable(CORS_ORIGINS)), None);
    // The delivery of the other resource does not change them.
    assert_eq!(deliver(&mut seen, &ldap(), None), None);
    deliver(&mut seen, &oidc(), None);
    assert_eq!(
        tree::find(&seen.object.data, &["spec", "values", "global", "auth", "oidc", "clientId"]),
        None
    );
}

#[test]
fn a_client_that_the_chart_cannot_render_gets_the_variable_that_the_chart_would_make() {
    let mut numeric = full_values();
    let env = OidcProvider::ENVIRONMENT.iter().find(|env| env.local == Some("OIDC_CLIENT_ID")).unwrap();
    numeric.set(*env, "1234567890");
    let delivery = oidc_delivery(1, &numeric);
    for (values, expected) in [
        (json!({}), Some("{{ .Values.global.host }},null")),
        (
            json!({"app": {"extraCors": ["https://a.example.com"]}}),
            Some("https://a.example.com,{{ .Values.global.host }},null"),
        ),
        // The value of somebody else stays.
        (
            json!({"api": {"env": {"GORILLA_CORS_ORIGINS": "theirs"}}, "app": {"install": false}, "global": {"api": {"enabled": true}}}),
            None,
        ),
    ] {
        let mut seen = beside(json!({"values": {}}), values);
        let before = seen.object.data.clone();
        deliver(&mut seen, &oidc(), Some(&delivery));
        assert_eq!(tree::text(&seen.object.data, &variable(CORS_ORIGINS)), expected);
        for (_, path) in OWN_FIELDS {
            assert_eq!(tree::find(&seen.object.data, path), None);
        }
        deliver(&mut seen, &oidc(), None);
        assert_eq!(seen.object.data, before);
    }
    let mut seen =
        resource(Version::V1, json!({"values": {"global": {"extraEnv": {"GORILLA_CORS_ORIGINS": "x"}}}}));
    deliver(&mut seen, &oidc(), Some(&delivery));
    assert_eq!(tree::text(&seen.object.data, &variable(CORS_ORIGINS)), Some("x"));
}

#[test]
fn what_the_chart_can_render_bare_and_quoted_is_plain_text() {
    for (text, expected) in [
        ("wandb", true),
        ("0oa1b2c3wxyz", true),
        ("8f14e45f-ceea-467f-a0b1-1234567890ab", true),
        ("1234567890-abcdef.apps.googleusercontent.com", true),
        ("1234567890", false),
        ("12e45", false),
        ("1e-5", false),
        ("0x1f", false),
        ("0b101", false),
        ("0o17", false),
        ("2024-01-01", false),
        ("true", false),
        ("No", false),
        ("y", false),
        ("", false),
        ("a b", false),
        ("wandb:server", false),
        ("{{ .Values }}", false),
        ("\"wandb\"", false),
    ] {
        assert_eq!(is_plain_text(text), expected, "{text}");
    }
}

#[test]
fn a_release_that_cannot_take_references_is_refused_wherever_it_is_told() {
    let old = json!({"url": "https://charts.example.com", "name": "operator-wandb", "version": "0.32.9"});
    let delivery_values = full_values();
    let delivery = oidc_delivery(1, &delivery_values);
    let mut own = resource(Version::V1, json!({"chart": old, "values": {}}));
    let mut channel = resource(Version::V1, json!({"chart": {}, "values": {}}));
    channel.sources.merged =
        vec![ValueSource { origin: ValuesAuthor::Channel, values: json!({}), chart: old.clone() }];
    let mut installed = resource(Version::V1, json!({"values": {}}));
    installed.sources.installed = old;
    for seen in [&mut own, &mut channel, &mut installed] {
        let problem = patch_of(seen, &oidc(), Some(&delivery)).unwrap_err();
        assert_eq!(problem.reason, Reason::TargetRefused);
        assert!(problem.message.contains("operator-wandb 0.32.9"), "{}", problem.message);
        assert_eq!(patch_of(seen, &oidc(), None), Ok(None));
    }
}

#[test]
fn nothing_is_written_beside_values_that_cannot_be_read_and_taking_out_still_works() {
    let mut seen = resource(Version::V1, json!({"values": {}}));
    let values = full_values();
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
    let problem = Problem::new(Reason::TargetRefused, "No JSON.");
    seen.sources.unreadable = Some(problem.clone());
    assert_eq!(patch_of(&seen, &oidc(), Some(&oidc_delivery(2, &values))), Err(problem));
    deliver(&mut seen, &oidc(), None);
    assert_eq!(seen.object.data, json!({"spec": {"values": {}}}));
}

#[test]
fn the_break_glass_and_the_host_are_found_in_every_source() {
    let console = json!({"global": {"host": "https://wandb.example.com"}, "app": {"extraEnv": {"LOCAL_RESTORE": true}}});
    let environment = beside(json!({"values": {}}), console).environment();
    assert_eq!(environment.literals.get("LOCAL_RESTORE").map(String::as_str), Some("true"));
    assert_eq!(environment.host.as_deref(), Some("https://wandb.example.com"));
}

#[test]
fn a_repair_changes_a_value_that_the_chart_does_not_read_and_leaves_no_trace() {
    let mut seen = resource(Version::V1, json!({"values": {}}));
    let values = values(OidcProvider::ENVIRONMENT, &["OIDC_ISSUER"]);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
    let undone = crate::workloads::Undone {
        numbers: BTreeSet::new(),
        workloads: vec![("Deployment/wandb-app-bc".to_owned(), Some(7))],
        by: crate::workloads::RepointedBy { by: "kubectl".to_owned(), at: None },
    };
    let Some(crate::workloads::Change::Merge(patch)) = seen.repair(&oidc(), &undone).unwrap() else {
        panic!()
    };
    assert_eq!(tree::text(&patch, REAPPLY), Some("Deployment/wandb-app-bc at generation 7"));
    apply(&mut seen, &oidc().manager, &patch);
    // After one resource has requested the repair, no resource requests it again.
    assert_eq!(seen.repair(&oidc(), &undone), Ok(None));
    assert_eq!(seen.repair(&ldap(), &undone), Ok(None));
    assert_eq!(deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values))), None);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(2, &values)));
    assert_eq!(tree::find(&seen.object.data, REAPPLY), None);
    deliver(&mut seen, &oidc(), None);
    assert_eq!(seen.object.data, json!({"spec": {"values": {}}}));
}
