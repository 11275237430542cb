//! A test for each kind: specs are published, and must be found again from the published values.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};

use super::*;
use crate::{
    api::Reason,
    engine::{CA_FILE, Fetched, ObjectKey, Prepared, RenderContext, Values, prepare},
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
    is_read_by_the_server::<K>(&manifest, &objects);
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

/// Asserts that a server with the published values, and with the published authorities where its image looks for
/// them, is checked by the plan of the spec.
fn is_read_by_the_server<K: Recoverable>(manifest: &Value, objects: &BTreeMap<ObjectKey, Fetched>) {
    let mut trusting = manifest.clone();
    trusting["spec"]["tls"] = json!({"caBundle": {"secretKeyRef": {"name": "authority", "key": "key"}}});
    let mut objects = objects.clone();
    let authority = BTreeMap::from([("key".to_owned(), AUTHORITY.as_bytes().to_vec())]);
    objects.insert(subject::secret("authority"), Fetched::Found { version: String::new(), data: authority });
    for manifest in [manifest, &trusting] {
        // Not every spec has a connection that could be encrypted.
        let Some(plan) = plan::<K>(manifest, &objects) else { continue };
        let published = rendered::<K>(&plan);
        let text = |field: &str| manifest["spec"].get(field).and_then(Value::as_str);
        let variables = published.iter().chain(text("host").map(|_| ("HOST", &*HOST)));
        let variables = variables.filter(|(name, _)| *name != CA_FILE).map(|(name, value)| {
            (name.to_owned(), Variable { source: VariableSource::Elsewhere, value: Some(value.clone()) })
        });
        let mut found = FoundEnvironment::of(variables.collect(), None, None);
        found.token_issuer = text("issuer").map(ToOwned::to_owned);
        let authorities = published.get(CA_FILE).map(Sensitive::expose);
        let settings = checkable::<K>(&found, authorities, &Trust::empty()).unwrap();
        let (planned, _) = settings.plan.as_ref().unwrap();
        assert!(rendered::<K>(&planned.plan) == published, "{manifest} is another plan for the server");
        assert_eq!(K::checks(&planned.plan), K::checks(&plan));
        let faults: Vec<_> =
            settings.report(Vec::new()).into_iter().filter(|found| !is_well(found.reason)).collect();
        assert_eq!(faults, [], "{manifest}");
    }
}

/// What is said of a server that has what a resource publishes.
fn is_well(reason: Reason) -> bool {
    matches!(reason, Reason::Passed | Reason::NotRequested)
}

/// The address of every server in these tests, as specs have it.
static HOST: LazyLock<Sensitive> = LazyLock::new(|| Sensitive::from("https://wandb.example.com"));

static AUTHORITY: LazyLock<String> = LazyLock::new(|| {
    test_support::CertificateAuthority::new("authority").unwrap().certificate_pem().to_owned()
});

fn plan<K: Recoverable>(manifest: &Value, objects: &BTreeMap<ObjectKey, Fetched>) -> Option<K::Plan> {
    let object: K = serde_json::from_value(manifest.clone()).unwrap();
    match prepare(&object, &[], objects, &Trust::empty(), &[]) {
        Prepared::Planned(planned) => Some(planned.plan),
        Prepared::NotAccepted(_) | Prepared::Unresolved(_) => None,
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
