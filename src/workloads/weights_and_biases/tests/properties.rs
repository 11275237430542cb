//! Properties that hold whatever else the resource contains.

use proptest::prelude::*;

use super::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof!["[a-z]{0,3}".prop_map(Value::from), any::<bool>().prop_map(Value::from)]
}

/// Entries of others for the list of v2 and the map of v1. Their names differ from ours.
fn foreign_names() -> impl Strategy<Value = Vec<(String, Value)>> {
    let reference = "[b-d]{1,4}-(ldap|oidc)(-[0-9a-z])?".prop_map(|name| Form::Variable.to(&name, "k"));
    prop::collection::vec(("X_[A-C]{1,2}", prop_oneof![scalar(), reference]), 0..5)
}

fn spec(version: Version, entries: &[(String, Value)], certificates: &[String], is_bare: bool) -> Value {
    if is_bare {
        return json!({});
    }
    match version {
        Version::V1 => json!({"chart": {"a": "b"}, "values": {
            "global": {
                "extraEnv": entries.iter().cloned().collect::<Map<_, _>>(),
                "customCACerts": certificates,
            },
            "app": {"extraEnv": {}},
        }}),
        Version::V2 => {
            let list = entries.iter().map(|(name, value)| {
                let mut entry = if value.is_object() { value.clone() } else { json!({"value": value}) };
                tree::put(&mut entry, &["name"], json!(name));
                entry
            });
            json!({
                "global": {"customCACerts": certificates},
                "wandb": {"hostname": "h", "legacyOverrides": {
                    "global": {"env": list.collect::<Vec<_>>()},
                    "api": {"env": []},
                }},
            })
        }
    }
}

proptest! {
    #[test]
    fn what_was_delivered_can_be_taken_out_without_a_trace(
        version in prop::sample::select(VERSIONS.to_vec()),
        entries in foreign_names(),
        certificates in prop::collection::vec("[a-z]{0,3}", 0..3),
        is_bare in any::<bool>(),
        numbers in (1..9u64, 1..9u64),
    ) {
        let mut seen = resource(version, spec(version, &entries, &certificates, is_bare));
        let before = seen.object.data.clone();
        let (oidc_values, ldap_values) = (oidc_values(), ldap_values());
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(numbers.0, &oidc_values)));
        deliver(&mut seen, &ldap(), Some(&ldap_delivery(numbers.0, &ldap_values)));
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(numbers.1, &oidc_values)));
        // The entries of the other owner are unchanged, and need no further change.
        prop_assert_eq!(seen.standing(&ldap()).numbers, [numbers.0].into());
        prop_assert_eq!(seen.standing(&oidc()).numbers, [numbers.1].into());
        prop_assert_eq!(deliver(&mut seen, &ldap(), Some(&ldap_delivery(numbers.0, &ldap_values))), None);
        deliver(&mut seen, &oidc(), None);
        prop_assert_eq!(deliver(&mut seen, &ldap(), Some(&ldap_delivery(numbers.0, &ldap_values))), None);
        deliver(&mut seen, &ldap(), None);
        prop_assert_eq!(seen.standing(&oidc()).numbers.len() + seen.standing(&ldap()).numbers.len(), 0);
        // A list that somebody emptied counts as absent, since the last manager to change it owns it.
        let lists: &[&[&str]] = match version {
            Version::V1 => &[&["spec", "values", "global", "customCACerts"]],
            Version::V2 => &[
                &["spec", "global", "customCACerts"],
                &["spec", "wandb", "legacyOverrides", "global", "env"],
            ],
        };
        let mut expected = before;
        for path in lists {
            if tree::find(&expected, path) == Some(&json!([])) {
                tree::remove(&mut expected, path);
            }
        }
        prop_assert_eq!(&seen.object.data, &expected);
    }
}
