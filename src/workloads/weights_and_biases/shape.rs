//! Finds the shape in which the fields for OIDC refer to a key of a Secret. The schema that the API server serves
//! shows it without any permission.

use std::sync::{Mutex, PoisonError};

use hyper::Request;
use kube::Client;
use serde_json::Value;

use super::version::{GROUP, KIND};

/// The shape of the fields of `spec.wandb.oidc` in the installed definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OidcFieldShape {
    /// A Secret key selector. This is also the assumption if the schema cannot be read.
    #[default]
    Selector,
    /// Either a literal value or its source, which can be a selector.
    ValueOrSource,
}

/// The path of the index of schemas, which lists the schema of every group and version.
const INDEX: &str = "/openapi/v3";

/// The shape in the served schema. The schema is large, so it is read only once for each hash of its content.
pub(super) async fn served(client: &Client) -> Result<OidcFieldShape, kube::Error> {
    static KNOWN: Mutex<Option<(String, OidcFieldShape)>> = Mutex::new(None);
    let Some(index) = get(client, INDEX).await? else { return Ok(OidcFieldShape::default()) };
    let Some(address) = address_in(&index) else { return Ok(OidcFieldShape::default()) };
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, shape)) = known.filter(|(known, _)| known == address) {
        return Ok(shape);
    }
    let shape = get(client, address).await?.as_ref().map(OidcFieldShape::of).unwrap_or_default();
    if address.contains("hash=") {
        *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some((address.to_owned(), shape));
    }
    Ok(shape)
}

/// The path of the schema of the second version.
fn address_in(index: &Value) -> Option<&str> {
    index.get("paths")?.get(format!("apis/{GROUP}/v2"))?.get("serverRelativeURL")?.as_str()
}

/// Reads the document. It is `None` if it does not exist or may not be read: by default every account may read it,
/// but an administrator can change that.
async fn get(client: &Client, address: &str) -> Result<Option<Value>, kube::Error> {
    let request = Request::get(address).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request(request).await {
        Ok(document) => Ok(Some(document)),
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl OidcFieldShape {
    /// The shape in this schema document.
    fn of(document: &Value) -> Self {
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        let mut schemas = schemas.into_iter().flat_map(serde_json::Map::values);
        let has_source = |schema: &Value| {
            let fields = "/properties/spec/properties/wandb/properties/oidc/properties";
            let fields = schema.pointer(fields).and_then(Value::as_object);
            fields.is_some_and(|fields| {
                fields.values().any(|field| field.pointer("/properties/valueFrom").is_some())
            })
        };
        if schemas.any(|schema| is_resource(schema) && has_source(schema)) {
            Self::ValueOrSource
        } else {
            Self::Selector
        }
    }
}

/// Whether this is the schema of the W&B operator's own resource in the second version.
fn is_resource(schema: &Value) -> bool {
    let names = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    let is = |name: &Value, field: &str, text: &str| name.get(field).and_then(Value::as_str) == Some(text);
    names
        .into_iter()
        .flatten()
        .any(|name| is(name, "group", GROUP) && is(name, "version", "v2") && is(name, "kind", KIND))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(kind: &str, version: &str, client: &Value) -> Value {
        json!({"components": {"schemas": {
            "com.example.Other": {"type": "object"},
            "com.wandb.apps.v2.WeightsAndBiases": {
                "x-kubernetes-group-version-kind": [{"group": GROUP, "version": version, "kind": kind}],
                "properties": {"spec": {"properties": {"wandb": {"properties": {"oidc": {"properties": {
                    "clientId": client, "sessionLength": {"type": "string"},
                }}}}}}},
            },
        }}})
    }

    #[test]
    fn the_schema_tells_the_shape() {
        let selector = json!({"properties": {"key": {"type": "string"}, "name": {"type": "string"}}});
        let source = json!({"properties": {"name": {"type": "string"}, "valueFrom": {"type": "object"}}});
        for (document, shape) in [
            (document(KIND, "v2", &selector), OidcFieldShape::Selector),
            (document(KIND, "v2", &source), OidcFieldShape::ValueOrSource),
            (document(KIND, "v1", &source), OidcFieldShape::Selector),
            (document("WeightsAndBiasesList", "v2", &source), OidcFieldShape::Selector),
            (json!({}), OidcFieldShape::Selector),
        ] {
            assert_eq!(OidcFieldShape::of(&document), shape, "{document}");
        }
    }

    #[test]
    fn the_index_tells_where_the_schema_is() {
        let address = "/openapi/v3/apis/apps.wandb.com/v2?hash=AB";
        let index = json!({"paths": {
            "apis/apps.wandb.com/v1": {"serverRelativeURL": "/openapi/v3/apis/apps.wandb.com/v1?hash=CD"},
            "apis/apps.wandb.com/v2": {"serverRelativeURL": address},
        }});
        assert_eq!(address_in(&index), Some(address));
        assert_eq!(address_in(&json!({"paths": {}})), None);
    }
}
