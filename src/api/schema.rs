//! Judges a spec by the limits of its own schema, as the API server does.
//!
//! The command line reads specs that never met an API server, and a cluster may hold objects that are
//! older than the schema. Of the rules in CEL only those are evaluated that are a pattern; the others have their
//! counterparts where specs are parsed.

mod limits;
pub(crate) mod walk;

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use regex::Regex;
use serde_json::Value;

pub use self::limits::SpecSchema;

use self::walk::{children, parts};
use super::custom_resource_definitions;

/// The schema of each kind's `spec`.
static SPECS: LazyLock<HashMap<String, SpecSchema>> =
    LazyLock::new(|| custom_resource_definitions().iter().filter_map(spec_of).collect());

fn spec_of(definition: &CustomResourceDefinition) -> Option<(String, SpecSchema)> {
    let version = definition.spec.versions.first()?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    let spec = schema.properties.as_ref()?.get("spec")?;
    Some((definition.spec.names.kind.clone(), SpecSchema::of(spec)?))
}

/// Every pattern of the schemas: compiling one takes longer than most of what is done with a resource.
static PATTERNS: LazyLock<HashMap<&'static str, Regex>> = LazyLock::new(|| {
    let mut patterns = HashMap::new();
    SPECS.values().for_each(|schema| compile(schema, &mut patterns));
    patterns
});

fn compile(schema: &'static SpecSchema, patterns: &mut HashMap<&'static str, Regex>) {
    if let Some(pattern) = schema.pattern.as_deref()
        && let Ok(compiled) = Regex::new(pattern)
    {
        patterns.insert(pattern, compiled);
    }
    parts(schema).for_each(|part| compile(part, patterns));
}

/// The schema of a kind's `spec`.
pub fn spec_schema(kind: &str) -> Option<&'static SpecSchema> {
    SPECS.get(kind)
}

/// Every field that is outside its limits, with the limit, each in a sentence.
pub fn violations(schema: &SpecSchema, value: &Value, path: &str) -> Vec<Violation> {
    let own = match value {
        Value::String(text) => text_violation(schema, text),
        Value::Number(number) => number.as_f64().and_then(|number| number_violation(schema, number)),
        Value::Array(items) => list_violation(schema, items),
        Value::Object(members) => {
            size_violation(members.len(), None, schema.max_properties, ["entry", "entries"])
        }
        Value::Null | Value::Bool(_) => None,
    };
    if let Some(complaint) = own {
        return vec![Violation { field: path.to_owned(), sentence: format!("{path} {complaint}.") }];
    }
    let known = children(schema, value, path).into_iter();
    let known = known.filter_map(|child| Some((child.schema?, child)));
    known.flat_map(|(schema, child)| violations(schema, child.value, &child.path)).collect()
}

/// A field that is outside its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `spec.testUsers[0].filter`.
    pub field: String,
    /// The field and its limit.
    pub sentence: String,
}

fn text_violation(schema: &SpecSchema, text: &str) -> Option<String> {
    if let Some(expected) = pattern_rules(schema).find_map(|(pattern, words)| mismatch(pattern, text, words))
    {
        return Some(expected);
    }
    let size = text.chars().count();
    size_violation(size, schema.min_length, schema.max_length, ["character", "characters"]).or_else(|| {
        let pattern = schema.pattern.as_deref()?;
        mismatch(pattern, text, &format!("must match {pattern}"))
    })
}

fn mismatch(pattern: &str, text: &str, words: &str) -> Option<String> {
    let matches = match PATTERNS.get(pattern) {
        Some(compiled) => compiled.is_match(text),
        None => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text)),
    };
    // The text itself is not repeated: it may be a secret that stands in the wrong place.
    (!matches).then(|| format!("{words}, but is another text"))
}

/// Rules in CEL that are nothing but a pattern, with words that say of any field what it must be.
fn pattern_rules(schema: &SpecSchema) -> impl Iterator<Item = (&str, &str)> {
    schema.rules.iter().filter_map(|rule| {
        let pattern = rule.rule.strip_prefix("self.matches('")?.strip_suffix("')")?;
        let words = rule.message.as_deref().filter(|words| words.starts_with("must "))?;
        Some((pattern, words))
    })
}

fn number_violation(schema: &SpecSchema, number: f64) -> Option<String> {
    let least =
        schema.minimum.filter(|least| number < *least).map(|least| format!("must be at least {least}"));
    least.or_else(|| {
        schema.maximum.filter(|most| number > *most).map(|most| format!("must be at most {most}"))
    })
}

fn list_violation(schema: &SpecSchema, items: &[Value]) -> Option<String> {
    size_violation(items.len(), schema.min_items, schema.max_items, ["item", "items"]).or_else(|| {
        let is_set = schema.list_type.as_deref() == Some("set");
        let distinct: BTreeSet<_> = items.iter().map(Value::to_string).collect();
        (is_set && distinct.len() < items.len()).then(|| "must not have the same item twice".to_owned())
    })
}

/// Compares a size with its limits; `nouns` are the singular and the plural of what is counted.
fn size_violation(
    size: usize,
    least: Option<i64>,
    most: Option<i64>,
    [one, several]: [&str; 2],
) -> Option<String> {
    let beyond = |limit: i64| if limit == 1 { format!("1 {one}") } else { format!("{limit} {several}") };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if let Some(least) = least.filter(|least| size < *least) {
        return Some(format!("must have at least {}, but has {size}", beyond(least)));
    }
    most.filter(|most| size > *most).map(|most| format!("must have at most {}, but has {size}", beyond(most)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_pattern_is_compiled_for_each_spec() {
        let mut stated = 0;
        for definition in custom_resource_definitions() {
            let kind = &definition.spec.names.kind;
            assert!(spec_schema(kind).is_some(), "{kind}");
            let schema = definition.spec.versions[0].schema.as_ref().unwrap();
            let properties = schema.open_api_v3_schema.as_ref().unwrap().properties.as_ref().unwrap();
            let spec = serde_json::to_string(&properties["spec"]).unwrap();
            for pattern in spec.split("\"pattern\":").skip(1) {
                let text = serde_json::Deserializer::from_str(pattern).into_iter::<String>().next();
                let text = text.unwrap().unwrap();
                assert!(PATTERNS.contains_key(text.as_str()), "{text}");
                stated += 1;
            }
        }
        assert!(stated > 0);
    }

    #[test]
    fn names_the_field_and_the_limit() {
        let schema = spec_schema("LdapConfig").unwrap();
        for (spec, sentence) in [
            (
                json!({"groupAllowList": [""]}),
                "spec.groupAllowList[0] must have at least 1 character, but has 0.",
            ),
            (
                json!({"checkInterval": "5 minutes"}),
                "spec.checkInterval must be a duration such as 30s, 5m or 1h30m, but is another text.",
            ),
            (json!({"failureThreshold": 0}), "spec.failureThreshold must be at least 1."),
            (json!({"groupAllowList": ["a", "a"]}), "spec.groupAllowList must not have the same item twice."),
            (
                json!({"userSearch": {"objectClass": "a b"}}),
                "spec.userSearch.objectClass must match ^[A-Za-z0-9][A-Za-z0-9.-]*$, but is another text.",
            ),
            (
                json!({"testUsers": [{"filter": "(a=b)"}, {"filter": "x", "expect": {"email": ""}}]}),
                "spec.testUsers[1].expect.email must have at least 1 character, but has 0.",
            ),
        ] {
            let found = violations(schema, &spec, "spec");
            assert_eq!(found.iter().map(|found| found.sentence.as_str()).collect::<Vec<_>>(), [sentence]);
        }
        assert_eq!(violations(schema, &json!({"baseDN": "dc=é"}), "spec"), []);
        let several = json!({"failureThreshold": 0, "secretName": "A", "testUsers": [{"filter": "()"}]});
        let fields: Vec<_> =
            violations(schema, &several, "spec").into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["spec.failureThreshold", "spec.secretName"]);
    }

    #[test]
    fn a_text_in_the_wrong_place_is_not_repeated() {
        let schema = spec_schema("LdapConfig").unwrap();
        let secret = "Hunter 2";
        for (field, spec) in [
            ("spec.secretName", json!({"secretName": secret})),
            ("spec.checkInterval", json!({"checkInterval": secret})),
            ("spec.userSearch.objectClass", json!({"userSearch": {"objectClass": secret}})),
            ("spec.bind.passwordSecretRef.name", json!({"bind": {"passwordSecretRef": {"name": secret}}})),
        ] {
            let found = violations(schema, &spec, "spec");
            assert_eq!(found.iter().map(|found| found.field.as_str()).collect::<Vec<_>>(), [field]);
            assert!(!found[0].sentence.contains(secret), "{}", found[0].sentence);
        }
    }
}
