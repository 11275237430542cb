//! Every limit of the schema is enforced just beyond it, by the API server and by the operator.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wandb_auth_operator::api::custom_resource_definitions;

use super::{
    cases::{Cases, KINDS},
    opinion::{Opinion, opinion},
};
use crate::world::workspace;

/// Makes a value beyond a limit from one within; nothing means that the field is left out.
type Exceed = dyn Fn(&Value) -> Option<Value> + Send + Sync;

/// One limit of a schema, and a value beyond it.
struct Limit {
    /// Where the value stands in an object, as a JSON pointer.
    pointer: String,
    /// Leads beyond the limit.
    beyond: Box<Exceed>,
    /// The API server's words.
    words: &'static str,
}

#[tokio::test]
async fn every_limit_is_enforced() -> Result<()> {
    let workspace = workspace().await?;
    let mut surprises = Vec::new();
    for kind in KINDS {
        let complete = Cases::of(kind)?.complete;
        for object in &complete {
            if let Err(refusal) = workspace.try_create(&object.to_string()).await? {
                surprises.push(format!("a complete {kind} should be taken, but: {refusal}"));
            }
        }
        for limit in limits_of(kind)? {
            let Limit { pointer, words, .. } = &limit;
            let Some(object) = complete.iter().find(|object| object.pointer(pointer).is_some()) else {
                surprises.push(format!("no complete {kind} has {pointer}"));
                continue;
            };
            let changed = limit.exceeded_in(object)?;
            let answer = workspace.try_create(&changed.to_string()).await?;
            if !answer.as_ref().is_err_and(|refusal| refusal.contains(words)) {
                surprises
                    .push(format!("{kind} {pointer} should be refused with \"{words}\", but: {answer:?}"));
            }
            if opinion(&changed)? == Opinion::Accepted {
                surprises.push(format!("{kind} {pointer} beyond its limit ({words}) is accepted"));
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    Ok(())
}

impl Limit {
    fn new(
        pointer: &str,
        words: &'static str,
        beyond: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        Self { pointer: pointer.to_owned(), beyond: Box::new(beyond), words }
    }

    fn exceeded_in(&self, object: &Value) -> Result<Value> {
        let mut object = object.clone();
        let value = object.pointer(&self.pointer).context("the object has the field")?;
        if let Some(value) = (self.beyond)(value) {
            *object.pointer_mut(&self.pointer).context("it is there")? = value;
        } else {
            let (parent, name) = self.pointer.rsplit_once('/').context("it has a parent")?;
            let parent = object.pointer_mut(parent).and_then(Value::as_object_mut);
            parent.context("the parent is an object")?.remove(name);
        }
        Ok(object)
    }
}

fn limits_of(kind: &str) -> Result<Vec<Limit>> {
    let definitions = custom_resource_definitions();
    let definition = definitions.iter().find(|definition| definition.spec.names.kind == kind);
    let definition = serde_json::to_value(definition.context("the kind has a definition")?)?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut limits = Vec::new();
    collect(schema, "/spec", &mut limits);
    Ok(limits)
}

fn collect(schema: &Value, pointer: &str, limits: &mut Vec<Limit>) {
    let size = |name: &str| schema[name].as_u64().and_then(|size| usize::try_from(size).ok());
    if size("minLength").is_some() {
        limits.push(Limit::new(pointer, "should be at least", |_| Some(json!(""))));
    }
    if let Some(most) = size("maxLength") {
        limits.push(Limit::new(pointer, "Too long", move |_| Some(json!("a".repeat(most + 1)))));
    }
    if schema["pattern"].is_string() {
        limits.push(Limit::new(pointer, "should match", |_| Some(json!(" ,"))));
    }
    if schema["enum"].is_array() {
        limits.push(Limit::new(pointer, "Unsupported value", |_| Some(json!("Nonsense"))));
    }
    if let Some(least) = schema["minimum"].as_f64() {
        limits.push(Limit::new(pointer, "should be greater than or equal to", move |_| {
            Some(json!(least - 1.0))
        }));
    }
    if let Some(most) = schema["maximum"].as_f64() {
        limits.push(Limit::new(pointer, "should be less than or equal to", move |_| Some(json!(most + 1.0))));
    }
    if let Some(most) = size("maxItems") {
        limits.push(Limit::new(pointer, "Too many", move |list| Some(json!(numbered(&list[0], most + 1)))));
    }
    if schema["x-kubernetes-list-type"] == "set" {
        limits.push(Limit::new(pointer, "Duplicate value", |list| Some(json!([list[0], list[0]]))));
    }
    if let Some(most) = size("maxProperties") {
        limits.push(Limit::new(pointer, "Too many", move |members| {
            let mut members = members.clone();
            (0..=most).for_each(|number| members[format!("extra{number}")] = json!("cn"));
            Some(members)
        }));
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        limits.push(Limit::new(&format!("{pointer}/{required}"), "Required value", |_| None));
    }
    let rules = schema["x-kubernetes-validations"].as_array();
    // What a kind is not to have at all has no value within its limits.
    let is_barred = |name: &str| {
        rules.is_some_and(|rules| rules.iter().any(|rule| rule["rule"] == format!("!has(self.{name})")))
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (name, property) in properties.filter(|(name, _)| !is_barred(name)) {
        collect(property, &format!("{pointer}/{name}"), limits);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{pointer}/0"), limits);
    }
    if schema["additionalProperties"].is_object() {
        // The maps of the API are the attributes of LDAP and the parameters of token requests.
        let member = if pointer.ends_with("/parameters") { "audience" } else { "email" };
        collect(&schema["additionalProperties"], &format!("{pointer}/{member}"), limits);
    }
}

/// As many items as wanted, all different where they are texts.
fn numbered(item: &Value, count: usize) -> Vec<Value> {
    let number = |index| item.as_str().map_or_else(|| item.clone(), |text| json!(format!("{text}{index}")));
    (0..count).map(number).collect()
}
