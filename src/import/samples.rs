//! A test for each kind: specs are published, and must be found again from the published values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    engine::{Fetched, ObjectKey, Prepared, RenderContext, Values, prepare},
    net::Trust,
    sensitive::Sensitive,
};

/// The value of every secret in these tests.
const SECRET: &str = "hunter2-long";

/// Publishes the spec, finds a spec from the published values, and asserts that this second spec publishes the
/// same. It does so for either shape of the server, and with every secret in a Secret or as plain text.
pub fn comes_back<K: Recoverable>(spec: &Value) {
    let manifest = json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": K::kind(&()),
        "metadata": {"name": "wandb", "namespace": "team"}, "spec": spec,
    });
    let data = BTreeMap::from([("key".to_owned(), SECRET.as_bytes().to_vec())]);
    let mut objects =
        BTreeMap::from([(subject::secret("secret"), Fetched::Found { version: String::new(), data })]);
    let published = values::<K>(&manifest, &objects);
    let present: K = serde_json::from_value(manifest.clone()).unwrap();
    let plan = plan_of(&present, &published, &Trust::empty()).unwrap();
    assert!(rendered::<K>(&plan) == published, "{spec} was read back otherwise");
    for shape in [ServerShape::Local, ServerShape::Split] {
        for is_literal in [true, false] {
            let found = found(&published, shape, is_literal, spec);
            let identity = ResourceIdentity {
                name: "wandb",
                namespace: "team",
                target: None,
                tls: None,
                objects: &BTreeMap::new(),
            };
            let draft = draft::<K>(&found, identity).unwrap();
            assert_eq!(draft.holes, []);
            assert_eq!(draft.losses, []);
            for NewSecretKey { reference, value } in &draft.made {
                let data = BTreeMap::from([(reference.key.clone(), value.expose().as_bytes().to_vec())]);
                let made = Fetched::Found { version: String::new(), data };
                objects.insert(subject::secret(&reference.name), made);
            }
            let again = values::<K>(&draft.manifest, &objects);
            assert!(again == published, "{spec} came back as {}", draft.manifest);
        }
    }
}

fn values<K: Recoverable>(manifest: &Value, objects: &BTreeMap<ObjectKey, Fetched>) -> Values {
    let object: K = serde_json::from_value(manifest.clone()).unwrap();
    match prepare(&object, &[], objects, &Trust::empty(), &[]) {
        Prepared::Planned(planned) => rendered::<K>(&planned.plan),
        Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => panic!("{}", problem.message),
    }
}

fn rendered<K: Recoverable>(plan: &K::Plan) -> Values {
    let context = RenderContext { verified: true, current: None };
    K::render(plan, &K::placeholder_evidence(plan), &context).unwrap()
}

fn found(published: &Values, shape: ServerShape, is_literal: bool, spec: &Value) -> FoundEnvironment {
    let variables = published.iter().map(|(name, value)| {
        let in_secret = !is_literal && value.expose() == SECRET;
        let reference = crate::api::KeyReference { name: "secret".to_owned(), key: "key".to_owned() };
        let source = if in_secret { VariableSource::Secret(reference) } else { VariableSource::Elsewhere };
        (name.to_owned(), Variable { source, value: Some(Sensitive::clone(value)) })
    });
    let text = |field: &str| spec.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
    FoundEnvironment {
        shape,
        variables: variables.collect(),
        host: text("host"),
        token_issuer: text("issuer"),
    }
}
