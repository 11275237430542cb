//! Finds what does not fit a kind's definition, and says where: the API server does, plain decoding does not.

use serde_json::Value;

use crate::{
    api::schema::{
        SpecSchema, spec_schema,
        walk::{Child, children},
    },
    similar::most_similar,
};

/// One sentence for each field that is unknown or missing, or holds what it cannot hold.
pub(super) fn schema_errors(kind: &str, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match (spec_schema(kind), object.get("spec")) {
        (Some(schema), Some(spec)) => walk(schema, spec, "spec", &mut found),
        _ => found.push("spec is missing".to_owned()),
    }
    found
}

/// Takes fields without a value out, as the API server does.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn walk(schema: &SpecSchema, value: &Value, path: &str, found: &mut Vec<String>) {
    let wanted = schema.type_.as_deref().unwrap_or_default();
    match (wanted, value) {
        ("object", Value::Object(members)) => {
            let required = schema.required.iter().filter(|name| !members.contains_key(*name));
            found.extend(required.map(|name| format!("{path}.{name} is missing")));
            for member in children(schema, value, path) {
                walk_member(schema, member, found);
            }
        }
        ("array", Value::Array(_)) => {
            for item in children(schema, value, path) {
                if let Some(schema) = item.schema {
                    walk(schema, item.value, &item.path, found);
                }
            }
        }
        ("string", Value::String(text)) => {
            let values: Vec<_> = schema.enum_.iter().filter_map(Value::as_str).collect();
            if !values.is_empty() && !values.contains(&text.as_str()) {
                found.push(format!("{path} must be {}, but is another text", values.join(" or ")));
            }
        }
        ("string", Value::Bool(_)) => {
            found.push(format!(
                "{path} must be a text, but is true or false (yes and on mean true, no and off mean false); put it in quotes"
            ));
        }
        ("boolean", Value::Bool(_)) => {}
        ("integer", Value::Number(number)) if number.is_u64() || number.is_i64() => {}
        _ => {
            let seen = if wanted == "boolean" { in_words(value) } else { name_of(value).to_owned() };
            found.push(format!("{path} must be {}, but is {seen}", name_of_type(wanted)));
        }
    }
}

fn walk_member(parent: &SpecSchema, member: Child<'_>, found: &mut Vec<String>) {
    let Child { name, path, schema, value } = member;
    match schema {
        Some(schema) => walk(schema, value, &path, found),
        None if parent.keeps_unknown => {}
        None => found.push(match similar(parent, name.unwrap_or_default()) {
            Some(known) => format!("there is no field {path}; did you mean {known}?"),
            None => format!("there is no field {path}; check its spelling and its place"),
        }),
    }
}

/// The field that was meant, if one is spelled like that.
fn similar<'a>(schema: &'a SpecSchema, name: &str) -> Option<&'a str> {
    most_similar(schema.properties.keys().map(String::as_str), name)
}

fn name_of_type(type_: &str) -> &'static str {
    match type_ {
        "object" => "a map of fields",
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a text",
    }
}

/// What a value is, without the value: it may be a password that stands in the wrong place.
fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map of fields",
    }
}

/// Words that people write for true and false, in small letters.
const YES_AND_NO: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];

/// What stands in place of true or false: the text itself only if it is one of a few words that mean that.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) if YES_AND_NO.contains(&text.to_ascii_lowercase().as_str()) => {
            format!("the text \"{text}\"")
        }
        value => name_of(value).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_field_that_does_not_fit() {
        let object = serde_yaml::from_str(
            "spec:\n  address: ldaps://a\n  starTLS: true\n  login: 'no'\n  checkInterval: 5\n  publishPolicy: Never\n  attributes: {anything: goes}\n  bind: {dn: x, password: y}\n  testUsers: [{filter: (a=b), whatever: {}}]\n  groupAllowList: wandb\n",
        )
        .unwrap();
        assert_eq!(
            schema_errors("LdapConfig", &object),
            [
                "spec.baseDN is missing",
                "spec.bind.passwordSecretRef is missing",
                "there is no field spec.bind.password; did you mean passwordSecretRef?",
                "spec.checkInterval must be a text, but is a number",
                "spec.groupAllowList must be a list, but is a text",
                "spec.login must be true or false, but is the text \"no\"",
                "spec.publishPolicy must be WhenVerified or Always, but is another text",
                "there is no field spec.starTLS; did you mean startTLS?",
                "there is no field spec.testUsers[0].whatever; check its spelling and its place",
            ]
        );
        assert_eq!(schema_errors("LdapConfig", &Value::Null), ["spec is missing"]);
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_repeated() {
        for bind in [
            "{dn: x, passwordSecretRef: 4711}",
            "{dn: x, passwordSecretRef: '4711'}",
            "{dn: x, passwordSecretRef: ['4711']}",
            "{dn: x, passwordSecretRef: {name: 4711, key: 4711.5}}",
            "{dn: 4711, passwordSecretRef: {name: a, key: {'b': 4711}}}",
            "4711",
            "'4711'",
            "[4711]",
            "{dn: x, passwordSecretRef: {name: a, key: b}}, login: 4711",
            "{dn: x, passwordSecretRef: {name: a, key: b}}, login: '4711'",
            "{dn: x, passwordSecretRef: {name: a, key: b}}, publishPolicy: '4711'",
        ] {
            let text = format!("spec: {{address: ldaps://a, baseDN: dc=a, bind: {bind}}}");
            let told = schema_errors("LdapConfig", &serde_yaml::from_str(&text).unwrap()).join("; ");
            assert!(told.contains("spec.") && told.contains(", but is "), "{bind}: {told}");
            assert!(!told.contains("4711"), "{bind}: {told}");
        }
    }

    #[test]
    fn a_field_without_a_value_is_no_field() {
        let mut object = serde_yaml::from_str("a: null\nb: [{c: null, d: 1}]\n").unwrap();
        drop_nulls(&mut object);
        assert_eq!(serde_yaml::to_string(&object).unwrap(), "b:\n- d: 1\n");
    }
}
