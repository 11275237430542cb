//! The first generation: free-form values, which a chart makes objects of.

use serde_json::{Value, json};

use super::{
    controller::{self, Outcome},
    objects::{self, Variables},
    values::merge,
};

pub(super) struct Renderer {
    /// The values of other sources than the resource.
    pub(super) other_values: Value,
}

impl controller::Renderer for Renderer {
    const VERSION: &'static str = "v1";
    const WATCHES_DEPLOYMENTS: bool = false;

    fn render(&self, name: &str, spec: &Value) -> Result<Vec<Value>, String> {
        let mut values = chart_values();
        merge(&mut values, &self.other_values, "")?;
        merge(&mut values, spec.get("values").unwrap_or(&Value::Null), "")?;
        let certificates = values.pointer("/global/customCACerts").and_then(Value::as_array);
        let certificates = certificates.cloned().unwrap_or_default();
        let environment = environment(&values).into_entries();
        let deployment =
            |component, image| objects::deployment(name, component, image, &environment, &certificates);
        let deployments =
            [deployment("app-bc", "wandb/local:0.76.1"), deployment("api", "wandb/megabinary:0.76.1")];
        Ok(objects::config_map(name, &certificates).into_iter().chain(deployments).collect())
    }

    fn status(_spec: &Value, _generation: i64, outcome: Outcome) -> Value {
        let phase = match outcome {
            Outcome::Made { .. } => "Completed",
            Outcome::Invalid => "Invalid Config",
        };
        json!({"phase": phase})
    }
}

/// What the chart itself has.
fn chart_values() -> Value {
    json!({"global": {
        "host": "http://localhost:8080",
        "extraEnv": {},
        "customCACerts": [],
        "auth": {
            "sessionLengthHours": 720,
            "oidc": {
                "clientId": "", "issuer": "", "authMethod": "",
                "oidcSecret": {"name": "", "secretKey": "OIDC_SECRET"},
            },
        },
    }})
}

fn environment(values: &Value) -> Variables {
    let global = |path: &str| values.pointer(&format!("/global/{path}")).unwrap_or(&Value::Null);
    let text = |path: &str| scalar(global(path)).filter(|text| !text.is_empty());
    let mut variables = Variables::default();
    for (path, names) in [
        ("host", ["HOST", "GORILLA_FRONTEND_HOST"]),
        ("auth/oidc/clientId", ["OIDC_CLIENT_ID", "GORILLA_OIDC_CLIENT_ID"]),
        ("auth/oidc/issuer", ["OIDC_ISSUER", "GORILLA_OIDC_ISSUER"]),
        ("auth/oidc/authMethod", ["OIDC_AUTH_METHOD", "GORILLA_AUTH_METHOD"]),
    ] {
        if let Some(value) = text(path) {
            for name in names {
                variables.literal(name, &value);
            }
        }
    }
    let secret = text("auth/oidc/oidcSecret/name").zip(text("auth/oidc/oidcSecret/secretKey"));
    if let Some((name, key)) = secret {
        let selector = json!({"name": name, "key": key});
        for name in ["OIDC_SECRET", "GORILLA_OIDC_SECRET"] {
            variables.secret(name, &selector);
        }
    }
    for (name, value) in global("extraEnv").as_object().into_iter().flatten() {
        match value {
            Value::Object(source) => {
                let mut entry = source.clone();
                entry.insert("name".to_owned(), name.clone().into());
                variables.set(entry.into());
            }
            value => variables.literal(name, &scalar(value).unwrap_or_default()),
        }
    }
    variables
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_set_and_extra_variables_win() -> Result<(), String> {
        let selector = json!({"name": "oidc-1", "key": "OIDC_SECRET"});
        let source = json!({"secretKeyRef": {"name": "oidc-1", "key": "OIDC_ISSUER"}});
        let mut values = chart_values();
        let own = json!({"global": {
            "auth": {"oidc": {"issuer": "https://a.example.com", "oidcSecret": {"name": "oidc-1"}}},
            "extraEnv": {"OIDC_ISSUER": {"valueFrom": source}, "LIMIT": 5},
        }});
        merge(&mut values, &own, "")?;
        assert_eq!(
            environment(&values).into_entries(),
            [
                json!({"name": "HOST", "value": "http://localhost:8080"}),
                json!({"name": "GORILLA_FRONTEND_HOST", "value": "http://localhost:8080"}),
                json!({"name": "OIDC_ISSUER", "valueFrom": source}),
                json!({"name": "GORILLA_OIDC_ISSUER", "value": "https://a.example.com"}),
                json!({"name": "OIDC_SECRET", "valueFrom": {"secretKeyRef": selector}}),
                json!({"name": "GORILLA_OIDC_SECRET", "valueFrom": {"secretKeyRef": selector}}),
                json!({"name": "LIMIT", "value": "5"}),
            ]
        );
        Ok(())
    }
}
