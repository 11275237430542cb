use super::*;

const OURS: &str = "main-oidc-1";

fn reference(secret: &str) -> Value {
    json!({"valueFrom": {"secretKeyRef": {"name": secret, "key": "OIDC_ISSUER"}}})
}

/// Values in which `global.extraEnv` has our reference.
fn resource() -> Value {
    json!({"global": {"extraEnv": {"OIDC_ISSUER": reference(OURS)}}})
}

/// The value of the variable in an application, as `value at place`.
fn found(layers: &Layers<'_>, application: &str) -> String {
    let environment = environment(layers, application);
    let Some(ChartVariable { value, place }) = environment.get("OIDC_ISSUER") else {
        return "nothing".to_owned();
    };
    let value = tree::text(value, &["valueFrom", "secretKeyRef", "name"])
        .map_or_else(|| value.to_string(), ToOwned::to_owned);
    format!("{value} at {}", place.describe("wandb"))
}

#[test]
fn the_strongest_place_of_the_strongest_source_decides() {
    let at = |path: &str| {
        let mut values = json!({});
        let path: Vec<_> = path.split('.').collect();
        tree::put(&mut values, &path, json!("theirs"));
        values
    };
    for (origin, others, expected) in [
        (ValuesAuthor::Console, json!({}), "main-oidc-1 at spec.values.global.extraEnv.OIDC_ISSUER"),
        // Everything else overrides the chart's own settings.
        (
            ValuesAuthor::Console,
            json!({"global": {"auth": {"oidc": {"issuer": "theirs", "clientId": "theirs"}}}}),
            "main-oidc-1 at spec.values.global.extraEnv.OIDC_ISSUER",
        ),
        (
            ValuesAuthor::Console,
            at("global.env.OIDC_ISSUER"),
            r#""theirs" at global.env.OIDC_ISSUER in the Secret "wandb-spec-user" (System Console > Settings > Advanced > User Spec)"#,
        ),
        (
            ValuesAuthor::Managed,
            at("app.extraEnv.OIDC_ISSUER"),
            r#""theirs" at app.extraEnv.OIDC_ISSUER in the ConfigMap "wandb-spec-managed""#,
        ),
        (
            ValuesAuthor::Channel,
            at("app.env.OIDC_ISSUER"),
            r#""theirs" at app.env.OIDC_ISSUER in the Secret "wandb-latest-cached-release""#,
        ),
        (
            ValuesAuthor::Channel,
            at("app.containers.app.env.OIDC_ISSUER"),
            r#""theirs" at app.containers.app.env.OIDC_ISSUER in the Secret "wandb-latest-cached-release""#,
        ),
        // These belong to another application, or to another container.
        (
            ValuesAuthor::Console,
            at("console.env.OIDC_ISSUER"),
            "main-oidc-1 at spec.values.global.extraEnv.OIDC_ISSUER",
        ),
        // Values that Go considers empty do not count.
        (
            ValuesAuthor::Console,
            json!({"app": {"env": {"OIDC_ISSUER": ""}, "extraEnv": {"OIDC_ISSUER": false}}}),
            "main-oidc-1 at spec.values.global.extraEnv.OIDC_ISSUER",
        ),
    ] {
        let own = resource();
        assert_eq!(
            found(&vec![(ValuesAuthor::Resource, &own), (origin, &others)], "app"),
            expected,
            "{others}"
        );
    }
}

#[test]
fn of_two_sources_with_the_same_place_the_first_decides() {
    let own = json!({"app": {"env": {"OIDC_ISSUER": "first"}}});
    let user = json!({"app": {"env": {"OIDC_ISSUER": "second"}}});
    let layers = vec![(ValuesAuthor::Resource, &own), (ValuesAuthor::Console, &user)];
    assert_eq!(found(&layers, "app"), r#""first" at spec.values.app.env.OIDC_ISSUER"#);
    let path = ["app", "env", "OIDC_ISSUER"];
    assert_eq!(
        holders(&layers, &path).iter().map(|place| place.origin).collect::<Vec<_>>(),
        [ValuesAuthor::Resource, ValuesAuthor::Console]
    );
}

#[test]
fn maps_of_two_sources_are_merged_key_by_key() {
    let own = json!({"app": {"env": {"A": {"valueFrom": {"secretKeyRef": {"name": "ours"}}}}}, "list": [1]});
    let user = json!({"app": {"env": {"A": {"valueFrom": {"secretKeyRef": {"name": "theirs", "optional": true}}}}}, "list": [2]});
    let layers = vec![(ValuesAuthor::Resource, &own), (ValuesAuthor::Console, &user)];
    assert_eq!(
        at(&layers, &["app", "env", "A"]),
        Some((
            json!({"valueFrom": {"secretKeyRef": {"name": "ours", "optional": true}}}),
            ValuesAuthor::Resource
        ))
    );
    assert_eq!(at(&layers, &["list"]), Some((json!([1, 2]), ValuesAuthor::Resource)));
    assert_eq!(misfits(&layers), []);
}

#[test]
fn a_value_of_another_kind_stops_the_other_operator() {
    let own =
        json!({"global": {"extraEnv": {"A": {"valueFrom": {}}, "B": "1", "C": "x", "D": [1], "E": "x"}}});
    let user =
        json!({"global": {"extraEnv": {"A": "theirs", "B": 1, "C": "y", "D": {}, "E": null, "F": {}}}});
    let channel = json!({"global": {"extraEnv": {"F": "late"}}, "app": 7});
    let layers = vec![
        (ValuesAuthor::Resource, &own),
        (ValuesAuthor::Console, &user),
        (ValuesAuthor::Channel, &channel),
    ];
    let places: Vec<_> = misfits(&layers).iter().map(|place| (place.origin, place.path.join("."))).collect();
    let of = |name: &str| format!("global.extraEnv.{name}");
    assert_eq!(
        places,
        [
            (ValuesAuthor::Console, of("A")),
            (ValuesAuthor::Console, of("B")),
            (ValuesAuthor::Console, of("D")),
            (ValuesAuthor::Console, of("E")),
            (ValuesAuthor::Channel, of("F")),
        ]
    );
    assert_eq!(misfits(&Layers::new()), []);
}

#[test]
fn the_applications_that_answer_logins_are_those_that_are_installed() {
    for (values, expected) in [
        (json!({}), &["app"][..]),
        (json!({"global": {"api": {"enabled": true}}}), &["app", "api"]),
        (json!({"global": {"api": {"enabled": true}}, "app": {"install": false}}), &["api"]),
    ] {
        let found: Vec<_> = login_applications(&vec![(ValuesAuthor::Channel, &values)]).collect();
        assert_eq!(found, expected, "{values}");
    }
}

#[test]
fn the_chart_makes_variables_of_its_own_settings() {
    let own = json!({"global": {
        "host": "https://wandb.example.com",
        "auth": {"oidc": {
            "clientId": "wandb", "issuer": "https://login.example.com", "authMethod": "pkce",
            "oidcSecret": {"name": "theirs"},
        }},
        "extraEnv": {"OIDC_CLIENT_ID": "stronger", "LIMIT": 5},
    }});
    let environment = environment(&vec![(ValuesAuthor::Resource, &own)], "api");
    let values: Vec<_> = environment.iter().map(|(name, found)| format!("{name}={}", found.value)).collect();
    let secret = r#"{"valueFrom":{"secretKeyRef":{"key":"OIDC_SECRET","name":"theirs"}}}"#;
    let expected = [
        r#"GORILLA_AUTH_METHOD="pkce""#.to_owned(),
        r#"GORILLA_FRONTEND_HOST="https://wandb.example.com""#.to_owned(),
        r#"GORILLA_OIDC_CLIENT_ID="wandb""#.to_owned(),
        r#"GORILLA_OIDC_ISSUER="https://login.example.com""#.to_owned(),
        format!("GORILLA_OIDC_SECRET={secret}"),
        r#"HOST="https://wandb.example.com""#.to_owned(),
        "LIMIT=5".to_owned(),
        r#"OIDC_AUTH_METHOD="pkce""#.to_owned(),
        r#"OIDC_CLIENT_ID="stronger""#.to_owned(),
        r#"OIDC_ISSUER="https://login.example.com""#.to_owned(),
        format!("OIDC_SECRET={secret}"),
    ];
    assert_eq!(values, expected);
    // Without a client id, the chart ignores its other OIDC settings.
    let own = json!({"global": {"auth": {"oidc": {"issuer": "https://login.example.com"}}}});
    assert_eq!(super::environment(&vec![(ValuesAuthor::Resource, &own)], "api"), BTreeMap::new());
}

#[test]
fn places_of_the_console_are_told_with_the_way_there() {
    let of = |path: &[&str]| ValuePlace::new(ValuesAuthor::Console, path).describe("main");
    assert_eq!(
        of(&["global", "auth", "oidc", "issuer"]),
        r#"global.auth.oidc.issuer in the Secret "main-spec-user" (System Console > Settings > Authentication)"#
    );
}
