//! Tests of the OIDC fields of the second version: their contents while nobody has set them, and their two shapes.

use super::{edit::WANDB_OPERATOR, *};
use crate::api::Reason;

const SHAPES: [OidcFieldShape; 2] = [OidcFieldShape::Selector, OidcFieldShape::ValueOrSource];
const NAMES: [&str; 4] = ["issuerUrl", "clientId", "clientSecret", "authMethod"];
const OIDC: &[&str] = &["spec", "wandb", "oidc"];

/// A resource in which each field has this value.
fn with_fields(shape: OidcFieldShape, value: &Value) -> WeightsAndBiases {
    let fields: Map<_, _> = NAMES.map(|name| (name.to_owned(), value.clone())).into_iter().collect();
    resource_with(shape, json!({"wandb": {"hostname": "https://wandb.example.com", "oidc": fields}}))
}

/// The fields that refer to this Secret in exactly this shape.
fn fields_to(seen: &WeightsAndBiases, shape: OidcFieldShape, secret: &str) -> Vec<&'static str> {
    let refers = |name: &&str| {
        let field =
            tree::find(&seen.object.data, OIDC).and_then(|oidc| oidc.get(*name)).unwrap_or(&Value::Null);
        let selector = match shape {
            OidcFieldShape::Selector => Some(field),
            OidcFieldShape::ValueOrSource => field.pointer("/valueFrom/secretKeyRef"),
        };
        let is_whole = field
            .as_object()
            .is_some_and(|field| field.len() == if shape == OidcFieldShape::Selector { 2 } else { 1 });
        is_whole && selector.and_then(|selector| tree::text(selector, &["name"])) == Some(secret)
    };
    NAMES.into_iter().filter(refers).collect()
}

#[test]
fn what_nobody_set_is_taken_and_left_as_it_was() {
    let values = oidc_values();
    for shape in SHAPES {
        for vacant in [json!({}), json!({"key": ""}), json!({"name": ""}), json!({"name": "", "key": ""})] {
            let mut seen = with_fields(shape, &vacant);
            assert_eq!(seen.standing(&oidc()), AppliedState::default());
            deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
            assert_eq!(fields_to(&seen, shape, "main-oidc-1"), ["issuerUrl", "clientId", "clientSecret"]);
            deliver(&mut seen, &oidc(), None);
            // The W&B operator writes removed fields again as empty ones, which needs no further change.
            let again = json!({"spec": {"wandb": {"oidc": {
                "issuerUrl": vacant, "clientId": vacant, "clientSecret": vacant,
            }}}});
            apply(&mut seen, WANDB_OPERATOR, &again);
            assert_eq!(seen.object.data, with_fields(shape, &vacant).object.data);
            assert_eq!(patch_of(&seen, &oidc(), None), Ok(None));
            assert_eq!(seen.standing(&oidc()).numbers, [].into());
        }
    }
}

#[test]
fn what_somebody_set_is_theirs_in_either_shape() {
    for shape in SHAPES {
        for value in [
            json!({"name": "theirs", "key": "k"}),
            json!({"key": "k"}),
            json!({"value": "theirs"}),
            json!({"valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k"}}}),
            json!({"value": "theirs", "valueFrom": {"secretKeyRef": {"name": "main-oidc-1", "key": "k"}}}),
        ] {
            let seen = with_fields(shape, &value);
            let values = oidc_values();
            let problem = patch_of(&seen, &oidc(), Some(&oidc_delivery(1, &values))).unwrap_err();
            assert_eq!(problem.reason, Reason::FieldConflict);
            assert!(problem.message.contains("spec.wandb.oidc.issuerUrl"), "{}", problem.message);
            assert!(!problem.message.contains("theirs"), "{}", problem.message);
            assert_eq!(patch_of(&seen, &oidc(), None), Ok(None));
        }
    }
}

#[test]
fn the_shape_of_the_installed_definition_is_written() {
    let mut seen = resource_with(OidcFieldShape::ValueOrSource, json!({"wandb": {}}));
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
    insta::assert_yaml_snapshot!(patch);
}

#[test]
fn an_entry_in_the_other_shape_is_ours_until_it_is_to_say_something_else() {
    let values = oidc_values();
    for (written, installed) in [(SHAPES[0], SHAPES[1]), (SHAPES[1], SHAPES[0])] {
        let mut seen = resource_with(written, json!({"wandb": {}}));
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
        seen.shape = installed;
        assert_eq!(seen.standing(&oidc()).numbers, [1].into());
        assert_eq!(patch_of(&seen, &oidc(), Some(&oidc_delivery(1, &values))), Ok(None));
        let mut other = seen.clone();
        deliver(&mut other, &oidc(), Some(&oidc_delivery(2, &values)));
        assert_eq!(fields_to(&other, installed, "main-oidc-2"), ["issuerUrl", "clientId", "clientSecret"]);
        deliver(&mut seen, &oidc(), None);
        assert_eq!(tree::find(&seen.object.data, OIDC), None);
    }
}

#[test]
fn what_the_wandb_operator_rewrites_was_not_moved() {
    let values = oidc_values();
    let mut seen = resource_with(OidcFieldShape::ValueOrSource, json!({"wandb": {}}));
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
    let rewritten = |secret: &str| {
        let source = json!({"secretKeyRef": {"name": secret, "key": "GORILLA_OIDC_ISSUER"}});
        json!({"spec": {"wandb": {"oidc": {"issuerUrl": {"valueFrom": source}}}}})
    };
    for (manager, by) in [(WANDB_OPERATOR, None), ("kubectl-edit", Some("kubectl-edit"))] {
        // The field is removed first, so that the new value has only one manager.
        apply(&mut seen, manager, &json!({"spec": {"wandb": {"oidc": {"issuerUrl": null}}}}));
        apply(&mut seen, manager, &rewritten("main-oidc-1"));
        let moved = seen.standing(&oidc()).moved;
        assert_eq!(moved.as_ref().map(|moved| moved.by.as_str()), by);
    }
}

#[test]
fn a_switch_that_the_wandb_operator_wrote_is_nobodys() {
    let mut seen = resource(Version::V2, json!({"wandb": {}}));
    let unset = json!({"spec": {"wandb": {
        "oidc": {"sessionLength": ""}, "security": {"disableSSOProvisioning": false},
    }}});
    apply(&mut seen, WANDB_OPERATOR, &unset);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
    let wandb = |path: &[&str]| tree::find(&seen.object.data, &[&["spec", "wandb"], path].concat()).cloned();
    assert_eq!(wandb(&["oidc", "sessionLength"]), Some(json!("8h")));
    assert_eq!(wandb(&["security", "disableSSOProvisioning"]), Some(json!(true)));
}
