//! Tests by example.

use super::*;
use crate::{
    api::Reason,
    workloads::{ValueOrigin, ValuePart},
};

fn bare(version: Version) -> WeightsAndBiases {
    match version {
        Version::V1 => {
            resource(version, json!({"values": {"global": {"host": "https://wandb.example.com"}}}))
        }
        Version::V2 => resource(version, json!({"wandb": {"hostname": "https://wandb.example.com"}})),
    }
}

/// A resource with the entries of the `OidcProvider` and the `LdapConfig`.
fn full(version: Version) -> WeightsAndBiases {
    let mut seen = bare(version);
    let (oidc_values, ldap_values) = (oidc_values(), ldap_values());
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values)));
    deliver(&mut seen, &ldap(), Some(&ldap_delivery(1, &ldap_values)));
    seen
}

#[test]
fn what_is_written_in_the_first_version() {
    let mut seen = bare(Version::V1);
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
    insta::assert_yaml_snapshot!("v1_oidc", patch);
    let patch = deliver(&mut seen, &ldap(), Some(&ldap_delivery(1, &ldap_values())));
    insta::assert_yaml_snapshot!("v1_ldap", patch);
}

#[test]
fn what_is_written_in_the_second_version() {
    let mut seen = bare(Version::V2);
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
    insta::assert_yaml_snapshot!("v2_oidc", patch);
    let patch = deliver(&mut seen, &ldap(), Some(&ldap_delivery(1, &ldap_values())));
    insta::assert_yaml_snapshot!("v2_ldap", patch);
}

#[test]
fn a_new_revision_changes_names_and_no_more() {
    let values = values(OidcProvider::ENVIRONMENT, &["OIDC_ISSUER", "OIDC_SECRET", "SESSION_LENGTH"]);
    let mut seen = bare(Version::V2);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(2, &values)));
    insta::assert_json_snapshot!(patch, @r#"
        {
          "spec": {
            "wandb": {
              "oidc": {
                "clientSecret": {
                  "name": "main-oidc-2"
                },
                "issuerUrl": {
                  "name": "main-oidc-2"
                }
              }
            }
          }
        }
        "#);
    let mut seen = bare(Version::V1);
    deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &values)));
    let patch = deliver(&mut seen, &oidc(), Some(&oidc_delivery(2, &values)));
    insta::assert_json_snapshot!(patch, @r#"
        {
          "spec": {
            "values": {
              "global": {
                "auth": {
                  "oidc": {
                    "oidcSecret": {
                      "name": "main-oidc-2"
                    }
                  }
                },
                "extraEnv": {
                  "GORILLA_OIDC_ISSUER": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  },
                  "GORILLA_OIDC_SECRET": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  },
                  "GORILLA_SESSION_LENGTH": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  },
                  "OIDC_ISSUER": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  },
                  "OIDC_SECRET": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  },
                  "SESSION_LENGTH": {
                    "valueFrom": {
                      "secretKeyRef": {
                        "name": "main-oidc-2"
                      }
                    }
                  }
                }
              }
            }
          }
        }
        "#);
}

#[test]
fn a_setting_that_goes_takes_its_entry_along() {
    let fewer = values(OidcProvider::ENVIRONMENT, &["OIDC_ISSUER", "OIDC_CLIENT_ID"]);
    for (version, gone) in [
        (
            Version::V1,
            &[
                &["spec", "values", "global", "auth", "oidc", "oidcSecret"][..],
                &["spec", "values", "global", "extraEnv", "OIDC_SECRET"],
                &["spec", "values", "global", "extraEnv", "GORILLA_USE_IDENTIFIER_CLAIMS"],
                &["spec", "values", "global", "extraEnv", "SESSION_LENGTH"],
            ][..],
        ),
        (
            Version::V2,
            &[
                &["spec", "wandb", "oidc", "clientSecret"],
                &["spec", "wandb", "oidc", "sessionLength"],
                &["spec", "wandb", "security"],
            ],
        ),
    ] {
        let mut seen = full(version);
        let before = seen.object.data.clone();
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &fewer)));
        for path in gone {
            assert!(tree::find(&before, path).is_some(), "{path:?}");
            assert_eq!(tree::find(&seen.object.data, path), None);
        }
        assert_eq!(seen.standing(&ldap()).numbers, [1].into());
    }
}

#[test]
fn what_is_taken_out_leaves_the_other_ones_entries() {
    for version in VERSIONS {
        let mut seen = full(version);
        deliver(&mut seen, &oidc(), None);
        let mut expected = bare(version);
        deliver(&mut expected, &ldap(), Some(&ldap_delivery(1, &ldap_values())));
        assert_eq!(seen.object.data, expected.object.data);
        deliver(&mut seen, &ldap(), None);
        assert_eq!(seen.object.data, bare(version).object.data);
    }
}

/// The message of the problem when the `OidcProvider` is delivered to a resource with this spec.
fn refusal(version: Version, spec: Value) -> String {
    let mut seen = resource(version, spec);
    let problem = patch_of(&seen, &oidc(), Some(&oidc_delivery(1, &oidc_values()))).unwrap_err();
    assert_eq!(problem.reason, Reason::FieldConflict);
    assert!(!problem.message.contains("theirs"), "{}", problem.message);
    // Removing our entries leaves those of somebody else alone.
    assert_eq!(deliver(&mut seen, &oidc(), None), None);
    problem.message
}

#[test]
fn what_somebody_else_has_set_is_named() {
    let values = |global: Value| json!({"values": {"global": global}});
    let selector = json!({"name": "theirs", "key": "k"});
    let overrides = |entry: Value| json!({"wandb": {"legacyOverrides": {"global": {"env": [entry]}}}});
    for (version, spec, fields) in [
        (
            Version::V1,
            values(json!({"extraEnv": {"OIDC_ISSUER": "theirs"}})),
            "extraEnv.OIDC_ISSUER (by helm)",
        ),
        (
            Version::V1,
            values(json!({"extraEnv": {"OIDC_ISSUER": {"valueFrom": {"secretKeyRef": selector}}}})),
            "spec.values.global.extraEnv.OIDC_ISSUER (by helm)",
        ),
        (Version::V1, values(json!({"extraEnv": "theirs"})), "spec.values.global.extraEnv (by helm)"),
        (Version::V1, values(json!({"extraEnv": ["theirs"]})), "spec.values.global.extraEnv (by helm)"),
        (
            Version::V1,
            values(json!({"auth": {"oidc": {"oidcSecret": {"name": "theirs", "secretKey": "k"}}}})),
            "spec.values.global.auth.oidc.oidcSecret (by helm)",
        ),
        // The chart makes the same variables of these fields.
        (
            Version::V1,
            values(json!({"auth": {"oidc": {"clientId": "theirs", "issuer": ""}}})),
            "spec.values.global.auth.oidc.clientId (by helm)",
        ),
        (
            Version::V1,
            values(json!({"extraEnv": {"GORILLA_OIDC_SECRET": "theirs"}})),
            "spec.values.global.extraEnv.GORILLA_OIDC_SECRET (by helm)",
        ),
        (
            Version::V2,
            json!({"wandb": {"oidc": {"issuerUrl": selector}}}),
            "spec.wandb.oidc.issuerUrl (by helm)",
        ),
        (
            Version::V2,
            overrides(json!({"name": "GORILLA_USE_IDENTIFIER_CLAIMS", "value": "theirs"})),
            "spec.wandb.legacyOverrides.global.env[GORILLA_USE_IDENTIFIER_CLAIMS] (by helm)",
        ),
        (
            Version::V2,
            overrides(json!({"name": "GORILLA_OIDC_ISSUER", "value": "theirs"})),
            "spec.wandb.legacyOverrides.global.env[GORILLA_OIDC_ISSUER] (by helm)",
        ),
        (
            Version::V2,
            json!({"wandb": {"oidc": {"sessionLength": "theirs"}}}),
            "spec.wandb.oidc.sessionLength (by helm)",
        ),
        (
            Version::V2,
            json!({"wandb": {"security": {"disableSSOProvisioning": false}}}),
            "spec.wandb.security.disableSSOProvisioning (by helm)",
        ),
    ] {
        let message = refusal(version, spec);
        assert!(message.contains(fields), "{message}");
    }
}

#[test]
fn every_conflict_is_named() {
    let selector = json!({"name": "theirs", "key": "k"});
    let fields = json!({
        "issuerUrl": selector, "clientId": selector, "clientSecret": selector, "sessionLength": "theirs",
    });
    insta::assert_snapshot!(refusal(Version::V2, json!({"wandb": {"oidc": fields}})), @r#"Somebody else has set what OidcProvider main delivers to the WeightsAndBiases "wandb": spec.wandb.oidc.issuerUrl (by helm), spec.wandb.oidc.clientId (by helm), spec.wandb.oidc.clientSecret (by helm), spec.wandb.oidc.sessionLength (by helm). Nothing was changed there. Leave what is there in place until this resource has taken it over: set spec.target.adopt to Equal (where the values are the same) or to Replace, as docs/delivery/adopting says."#);
}

/// The origins of the values.
fn sources(present: &[PresentVariable]) -> Vec<String> {
    let part = |part: &ValuePart| match part {
        ValuePart::Text(text) => text.expose().to_owned(),
        ValuePart::Key(reference) => format!("<{} {}>", reference.name, reference.key),
    };
    let source = |value: &ValueOrigin| match value {
        ValueOrigin::Parts(parts) => parts.iter().map(part).collect(),
        ValueOrigin::Unknown(why) => format!("? {why}"),
    };
    present
        .iter()
        .map(|each| format!("{} of {}: {}", each.name, each.container, source(&each.value)))
        .collect()
}

#[test]
fn what_others_have_set_is_told_and_taken_over_by_one_patch() {
    let (values, empty) = (oidc_values(), Values::default());
    let wanted = oidc_delivery(1, &values);
    let mut spec = json!({"wandb": {
        "oidc": {"issuerUrl": {"name": "theirs", "key": "issuer"}, "sessionLength": "1h"},
        "legacyOverrides": {"global": {"env": [
            {"name": "HOST", "value": "https://wandb.example.com"},
            {"name": "GORILLA_OIDC_CLIENT_ID", "value": "their-client"},
            {"name": "GORILLA_USE_IDENTIFIER_CLAIMS", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        ]}},
    }});
    let seen = resource(Version::V2, spec.clone());
    assert!(seen.change(&oidc(), Some(&wanted), &[]).is_err());
    assert_eq!(
        sources(&seen.present(&oidc(), &wanted, &[])),
        [
            "GORILLA_OIDC_ISSUER of spec.wandb.oidc.issuerUrl: <theirs issuer>",
            "GORILLA_SESSION_LENGTH of spec.wandb.oidc.sessionLength: 1h",
            "GORILLA_OIDC_CLIENT_ID of spec.wandb.legacyOverrides.global.env: their-client",
            "GORILLA_USE_IDENTIFIER_CLAIMS of spec.wandb.legacyOverrides.global.env: <m k>",
        ]
    );
    let taken = |seen: &WeightsAndBiases, delivery: &Delivery<'_>| {
        let Some(Change::Merge(patch)) = seen.take_over(&oidc(), delivery).unwrap() else {
            panic!("no patch")
        };
        let mut after = seen.clone();
        apply(&mut after, &oidc().manager, &patch);
        after
    };
    let after = taken(&seen, &wanted);
    assert_eq!(patch_of(&after, &oidc(), Some(&wanted)), Ok(None));
    assert!(after.present(&oidc(), &wanted, &[]).is_empty());
    // The result equals a delivery to a resource without earlier entries, apart from settings that are not
    // delivered.
    let mut bare = resource(Version::V2, json!({"wandb": {}}));
    let others = json!({"spec": {"wandb": {"legacyOverrides": {"global": {"env": [
        {"name": "HOST", "value": "https://wandb.example.com"},
    ]}}}}});
    apply(&mut bare, "helm", &others);
    deliver(&mut bare, &oidc(), Some(&wanted));
    assert_eq!(after.object.data, bare.object.data);

    // A value of a wrong type above the field is still refused.
    spec["wandb"]["oidc"] = json!("theirs");
    let refused = resource(Version::V2, spec).take_over(&oidc(), &wanted);
    assert_eq!(refused.map_err(|problem| problem.reason), Err(Reason::FieldConflict));
    assert!(seen.present(&oidc(), &oidc_delivery(1, &empty), &[]).is_empty());
}

#[test]
fn scalars_of_the_first_version_are_taken_over() {
    let values = ldap_values();
    let wanted = ldap_delivery(1, &values);
    let spec = json!({"values": {"global": {"extraEnv": {
        "LDAP_ADDRESS": "ldap://theirs",
        "LOCAL_LDAP_ADDRESS": {"valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k"}}},
        "HOST": "https://wandb.example.com",
    }}}});
    let mut seen = resource(Version::V1, spec);
    assert_eq!(
        sources(&seen.present(&ldap(), &wanted, &[])),
        ["LDAP_ADDRESS of app: ldap://theirs", "LOCAL_LDAP_ADDRESS of app: <theirs k>"]
    );
    let Some(Change::Merge(patch)) = seen.take_over(&ldap(), &wanted).unwrap() else { panic!("no patch") };
    apply(&mut seen, &ldap().manager, &patch);
    assert_eq!(patch_of(&seen, &ldap(), Some(&wanted)), Ok(None));
    assert_eq!(seen.standing(&ldap()).numbers, [1].into());
}

#[test]
fn literal_fields_that_nobody_owns_may_be_set_and_equal_ones_stay() {
    for (length, disabled, manager, is_changed) in [
        // These are the defaults of the API server.
        ("720h", false, None, true),
        ("8h", true, Some("helm"), false),
        ("1h", false, Some("wandb-auth-operator/oidcprovider/former"), true),
    ] {
        let mut seen = bare(Version::V2);
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
        let mut other = bare(Version::V2);
        let fields = json!({"spec": {"wandb": {
            "oidc": {"sessionLength": length}, "security": {"disableSSOProvisioning": disabled},
        }}});
        apply(&mut other, manager.unwrap_or("nobody"), &fields);
        if manager.is_none() {
            other.object.metadata.managed_fields = None;
        }
        let patch = deliver(&mut other, &oidc(), Some(&oidc_delivery(1, &oidc_values()))).unwrap();
        let session = ["spec", "wandb", "oidc", "sessionLength"];
        let security = ["spec", "wandb", "security", "disableSSOProvisioning"];
        assert_eq!(tree::find(&patch, &session).is_some(), is_changed, "{length}");
        assert_eq!(tree::find(&patch, &security).is_some(), is_changed, "{length}");
        assert_eq!(other.object.data, seen.object.data);
        // Values of somebody else that are equal to ours were not taken over.
        deliver(&mut other, &oidc(), None);
        assert_eq!(tree::find(&other.object.data, &session).is_none(), is_changed, "{length}");
    }
}

#[test]
fn a_default_that_comes_back_is_no_reason_for_another_change() {
    let mut seen = full(Version::V2);
    let manager = oidc().manager;
    // The API server restores the default, in the name of the manager that created the map.
    apply(&mut seen, &manager, &json!({"spec": {"wandb": {"security": {"hideUpgradeBanner": false}}}}));
    deliver(&mut seen, &oidc(), None);
    apply(&mut seen, &manager, &json!({"spec": {"wandb": {"security": {"disableSSOProvisioning": false}}}}));
    assert_eq!(patch_of(&seen, &oidc(), None), Ok(None));
}

#[test]
fn owners_that_yield_are_taken_over() {
    let settings = ["FEDERATED_AUTH_AUDIENCES"];
    let values = values(JwtIssuer::ENVIRONMENT, &settings);
    let delivery = Delivery { number: 3, environment: JwtIssuer::ENVIRONMENT, values: &values };
    let older = owner::<JwtIssuer>("older");
    for version in VERSIONS {
        let mut seen = bare(version);
        deliver(&mut seen, &jwt(), Some(&delivery));
        let problem = seen.change(&older, Some(&delivery), &[]).unwrap_err();
        assert_eq!(problem.reason, Reason::FieldConflict);
        let displaced = [jwt()];
        let Some(Change::Merge(patch)) = seen.change(&older, Some(&delivery), &displaced).unwrap() else {
            panic!("nothing is taken over")
        };
        apply(&mut seen, &older.manager, &patch);
        assert_eq!(seen.change(&older, Some(&delivery), &displaced), Ok(None));
        assert_eq!(seen.standing(&older).numbers, [3].into());
        assert_eq!(seen.standing(&jwt()).numbers, [].into());
        // The owner that was replaced has nothing left to remove.
        assert_eq!(deliver(&mut seen, &jwt(), None), None);
    }
}

#[test]
fn what_gives_way_goes_in_the_change_that_takes_its_place() {
    for version in VERSIONS {
        let values = ldap_values();
        let delivery = ldap_delivery(1, &values);
        let mut expected = bare(version);
        deliver(&mut expected, &ldap(), Some(&delivery));
        let mut seen = bare(version);
        deliver(&mut seen, &oidc(), Some(&oidc_delivery(1, &oidc_values())));
        let change = seen.change(&ldap(), Some(&delivery), &[oidc()]).unwrap();
        let Some(Change::Merge(patch)) = change else { panic!("{change:?}") };
        apply(&mut seen, &ldap().manager, &patch);
        assert_eq!(seen.object.data, expected.object.data);
        assert_eq!(deliver(&mut seen, &oidc(), None), None, "nothing is left to take out");
    }
}

#[test]
fn entries_of_others_keep_their_order_and_a_second_one_of_ours_goes() {
    let entry = |name: &str, secret: &str| {
        let mut entry = Form::Variable.to(secret, name);
        tree::put(&mut entry, &["name"], json!(name));
        entry
    };
    let foreign = |name: &str| json!({"name": name, "value": "theirs"});
    let present = json!([
        foreign("B"),
        entry("LDAP_ADDRESS", "corp-ldap-1"),
        foreign("A"),
        entry("LDAP_ADDRESS", "corp-ldap-2"),
        entry("LDAP_LOGIN", "corp-ldap-1"),
        foreign("B"),
        entry("SOMETHING_ELSE", "corp-ldap-x"),
    ]);
    let spec = json!({"wandb": {"legacyOverrides": {"global": {"env": present}}}});
    let mut seen = resource(Version::V2, spec);
    assert_eq!(seen.standing(&ldap()).numbers, [1, 2].into());
    deliver(&mut seen, &ldap(), Some(&ldap_delivery(3, &ldap_values())));
    let list = tree::list(&seen.object.data, &["spec", "wandb", "legacyOverrides", "global", "env"]);
    assert_eq!(
        list,
        [
            foreign("B"),
            entry("LDAP_ADDRESS", "corp-ldap-3"),
            foreign("A"),
            foreign("B"),
            entry("SOMETHING_ELSE", "corp-ldap-x"),
            entry("LDAP_GROUP_ALLOW_LIST", "corp-ldap-3"),
            entry("LOCAL_LDAP_GROUP_ALLOW_LIST", "corp-ldap-3"),
        ]
    );
}

#[test]
fn a_list_of_authorities_that_is_none_is_left_alone() {
    let seen = resource(Version::V1, json!({"values": {"global": {"customCACerts": "theirs"}}}));
    let problem = patch_of(&seen, &ldap(), Some(&ldap_delivery(1, &ldap_values()))).unwrap_err();
    assert!(problem.message.contains("spec.values.global.customCACerts (by helm)"), "{}", problem.message);
    assert_eq!(patch_of(&seen, &ldap(), None), Ok(None));
}

#[test]
fn who_moved_an_entry_is_known() {
    let v1 = json!({"extraEnv": {"OIDC_ISSUER": {"valueFrom": {"secretKeyRef": {"name": "main-oidc-2"}}}}});
    for (version, patch) in [
        (Version::V1, json!({"spec": {"values": {"global": v1}}})),
        (Version::V2, json!({"spec": {"wandb": {"oidc": {"issuerUrl": {"name": "main-oidc-2"}}}}})),
    ] {
        let mut seen = full(version);
        assert_eq!(seen.standing(&oidc()).moved, None);
        assert!(seen.standing(&oidc()).applied_at.is_some());
        apply(&mut seen, "kubectl-edit", &patch);
        let standing = seen.standing(&oidc());
        assert_eq!(standing.numbers, [1, 2].into());
        assert_eq!(seen.standing(&ldap()).moved, None);
        // In v2 the API server treats this form as one value, but the imitation in these tests knows only maps.
        if version == Version::V1 {
            assert_eq!(standing.moved.map(|moved| moved.by).as_deref(), Some("kubectl-edit"));
        }
    }
    let nothing = bare(Version::V2).standing(&oidc());
    assert_eq!(nothing, AppliedState::default());
}

#[test]
fn the_list_of_v2_is_moved_by_whoever_changed_it_last_unless_that_is_this_operator() {
    let mut seen = full(Version::V2);
    // The `LdapConfig` wrote the list after the `OidcProvider`.
    assert_eq!(seen.standing(&oidc()).moved, None);
    let mut list =
        tree::list(&seen.object.data, &["spec", "wandb", "legacyOverrides", "global", "env"]).to_vec();
    list.push(json!({"name": "X", "value": "theirs"}));
    let patch = json!({"spec": {"wandb": {"legacyOverrides": {"global": {"env": list}}}}});
    apply(&mut seen, "kubectl-edit", &patch);
    for owner in [oidc(), ldap()] {
        assert_eq!(seen.standing(&owner).moved.map(|moved| moved.by).as_deref(), Some("kubectl-edit"));
    }
}

#[test]
fn what_the_resource_tells_of_the_server() {
    let v1 = json!({"values": {"global": {
        "host": "https://wandb.example.com",
        "extraEnv": {"A": "text", "B": 7, "C": true, "D": null, "E": {"valueFrom": {}}},
    }}});
    let v2 = json!({"wandb": {
        "hostname": "wandb.example.com",
        "legacyOverrides": {"global": {"env": [{"name": "A", "value": "text"}, {"name": "B", "valueFrom": {}}]}},
    }});
    insta::assert_debug_snapshot!([
        resource(Version::V1, v1).environment(),
        resource(Version::V2, v2).environment(),
        resource(Version::V2, json!({})).environment(),
    ], @r#"
        [
            Environment {
                literals: {
                    "A": "text",
                    "B": "7",
                    "C": "true",
                },
                references: {
                    "E",
                },
                other_sources: ListOnly,
                host: Some(
                    "https://wandb.example.com",
                ),
                dialect: Both,
                remarks: None,
            },
            Environment {
                literals: {
                    "A": "text",
                },
                references: {
                    "B",
                },
                other_sources: ListOnly,
                host: Some(
                    "wandb.example.com",
                ),
                dialect: Split,
                remarks: None,
            },
            Environment {
                literals: {},
                references: {},
                other_sources: ListOnly,
                host: None,
                dialect: Split,
                remarks: None,
            },
        ]
        "#);
}
