//! What this operator computes of values, against what the W&B operator and Go's templates make of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_support::WandbChart;
use wandb_auth_operator::workloads::v1::{Layers, ValuesAuthor, effective_environment, login_applications};

/// What the chart's ConfigMaps and the container give an application, as Kubernetes puts both together.
fn rendered(objects: &[Value], application: &str) -> Result<BTreeMap<String, Value>> {
    let is_named =
        |object: &&Value, name: &str| object.pointer("/metadata/name").is_some_and(|found| found == name);
    let labels = json!({"app.kubernetes.io/name": application, "app.kubernetes.io/instance": "wandb"});
    let selects = |object: &&Value| object.pointer("/spec/selector/matchLabels") == Some(&labels);
    let deployment = objects.iter().find(selects).context("no Deployment")?;
    let container = deployment.pointer("/spec/template/spec/containers/0").context("no container")?;
    let list = |name: &str| container.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut variables = BTreeMap::new();
    for source in list("envFrom") {
        let name = source.pointer("/configMapRef/name").and_then(Value::as_str).context("no name")?;
        let map = objects.iter().find(|object| is_named(object, name)).context("no ConfigMap")?;
        let data = map.get("data").and_then(Value::as_object).context("no data")?;
        variables.extend(data.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    for entry in list("env") {
        let mut entry = entry.as_object().context("no entry")?.clone();
        let name = entry.remove("name").context("no name")?;
        let value = entry.remove("value").unwrap_or(Value::Object(entry));
        variables.insert(name.as_str().context("no text")?.to_owned(), value);
    }
    Ok(variables)
}

/// The values of the sources as the W&B operator hands them to the chart.
fn merged(sources: &[Value]) -> Value {
    let mut sources = sources.to_vec();
    let weakest = sources.pop().unwrap_or_default();
    sources.into_iter().rev().fold(weakest, |below, mut over| {
        fill(&mut over, &below);
        over
    })
}

fn fill(over: &mut Value, below: &Value) {
    if let (Some(over), Some(below)) = (over.as_object_mut(), below.as_object()) {
        for (key, value) in below {
            if let Some(present) = over.get_mut(key) {
                fill(present, value);
            } else {
                over.insert(key.clone(), value.clone());
            }
        }
    }
}

fn reference(secret: &str, key: &str) -> Value {
    json!({"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

/// A scalar as a container gets it.
fn text(value: &Value) -> Value {
    match value {
        Value::Object(_) | Value::String(_) => value.clone(),
        scalar => json!(scalar.to_string()),
    }
}

#[test]
fn the_environment_is_the_one_that_the_chart_renders() -> Result<()> {
    let chart = WandbChart::release("0.43.8")?;
    let ours = || json!({"A": reference("main-oidc-1", "A"), "B": reference("main-oidc-1", "B")});
    let own = || json!({"global": {"extraEnv": ours()}});
    let with = |path: &str, value: Value| {
        let keys = path.split('.').rev();
        keys.fold(value, |below, key| json!({key: below}))
    };
    let both = json!({"global": {"api": {"enabled": true}}});
    let table = [
        vec![own(), json!({})],
        vec![own(), with("global.env.A", json!("theirs"))],
        vec![own(), with("app.env.A", json!("theirs"))],
        vec![own(), with("app.extraEnv.A", json!(7))],
        vec![own(), with("app.containers.app.env.A", json!(true))],
        vec![own(), with("api.env.A", reference("theirs", "k"))],
        vec![own(), with("api.containers.api.env.A", json!("theirs"))],
        vec![own(), with("console.env.A", json!("theirs"))],
        // What Go takes for empty.
        vec![own(), with("app.env.A", json!("")), with("app.extraEnv.A", json!(false))],
        vec![own(), with("app.env.A", json!(0)), with("global.env.A", json!({}))],
        // One place in two sources, and two places in one.
        vec![own(), with("app.env.A", json!("first")), with("app.env.A", json!("second"))],
        vec![
            json!({"global": {"extraEnv": ours(), "env": {"A": "weak"}}, "app": {"extraEnv": {"A": "strong"}}}),
            with("app.env.B", json!("strongest")),
        ],
        // Maps are merged key by key.
        vec![
            with("app.env.A", json!({"valueFrom": {"secretKeyRef": {"name": "first"}}})),
            with("app.env.A", json!({"valueFrom": {"secretKeyRef": {"name": "second", "key": "k"}}})),
        ],
        // The chart's own settings.
        vec![
            json!({"global": {"extraEnv": {"OIDC_ISSUER": reference("main-oidc-1", "OIDC_ISSUER")}}}),
            json!({"global": {"host": "https://wandb.example.com", "auth": {"oidc": {
                "clientId": "theirs", "issuer": "https://theirs", "authMethod": "implicit",
                "oidcSecret": {"name": "theirs"},
            }}}}),
        ],
        vec![own(), with("global.auth.oidc.issuer", json!("https://without-a-client"))],
    ];
    for mut sources in table {
        sources.push(both.clone());
        let objects = chart.render("wandb", "wandb", &merged(&sources))?;
        let layers: Layers<'_> = sources.iter().map(|values| (ValuesAuthor::Channel, values)).collect();
        assert_eq!(login_applications(&layers).collect::<Vec<_>>(), ["app", "api"]);
        for application in ["app", "api"] {
            let rendered = rendered(&objects, application)?;
            let computed = effective_environment(&layers, application);
            for (name, variable) in &computed {
                // `wandb/local` alone gets the bare names of the chart's own settings.
                if rendered.contains_key(name) || application == "app" {
                    let found = rendered.get(name);
                    assert_eq!(Some(&text(&variable.value)), found, "{application}, {name}: {sources:#?}");
                }
            }
            for name in ["A", "B", "GORILLA_OIDC_ISSUER", "GORILLA_OIDC_CLIENT_ID", "GORILLA_OIDC_SECRET"] {
                let (is_computed, is_rendered) = (computed.contains_key(name), rendered.contains_key(name));
                assert_eq!(is_computed, is_rendered, "{application}, {name}: {sources:#?}");
            }
        }
    }
    Ok(())
}
