//! Every rule in CEL has cases that it takes and cases that it refuses.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use test_support::Workspace;
use wandb_auth_operator::api::custom_resource_definitions;

use super::{
    cases::{Cases, Judged, KINDS, Rule},
    opinion::{Opinion, opinion},
};
use crate::world::workspace;

#[tokio::test]
async fn the_api_server_takes_and_refuses_what_it_should() -> Result<()> {
    let workspace = workspace().await?;
    let mut surprises = Vec::new();
    for kind in KINDS {
        let cases = Cases::of(kind)?;
        for rule in &cases.rules {
            for case in &rule.accepts {
                if let Err(refusal) = answer(&workspace, kind, &cases, rule, case).await? {
                    surprises.push(format!("{kind} with {case} should be taken, but: {refusal}"));
                }
            }
            for case in &rule.rejects {
                match answer(&workspace, kind, &cases, rule, case).await? {
                    Err(refusal) if refusal.contains(&rule.message) => {
                        if says_several_things(&refusal) && !is_a_common_case_of_a_kind_without(kind, rule) {
                            surprises.push(format!("{kind} with {case} is one mistake, but: {refusal}"));
                        }
                    }
                    Err(refusal) => surprises.push(format!(
                        "{kind} with {case} should be refused with \"{}\", but: {refusal}",
                        rule.message
                    )),
                    Ok(()) => {
                        surprises.push(format!("{kind} with {case} is taken despite \"{}\"", rule.message));
                    }
                }
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    Ok(())
}

/// Whether the API server has more than one complaint: it lists them in brackets.
fn says_several_things(refusal: &str) -> bool {
    refusal.contains(" is invalid: [")
}

/// A `ServiceAccount` is not to have a target at all, so a target that is wrong in itself is two mistakes.
fn is_a_common_case_of_a_kind_without(kind: &str, rule: &Rule) -> bool {
    kind == "ServiceAccount"
        && (rule.message.contains("target") || rule.message.contains("additionalContainers"))
}

/// What people write most, with all that the API server says of it.
#[tokio::test]
async fn a_mistake_is_told_once_and_in_our_words() -> Result<()> {
    let workspace = workspace().await?;
    let mut told = String::new();
    for (kind, spec) in [
        ("LdapConfig", json!({"address": "ldap.example.com"})),
        ("LdapConfig", json!({"address": ""})),
        (
            "LdapConfig",
            json!({"address": "ldap.example.com", "tls": {"caBundle": {"secretKeyRef": {"name": "a", "key": "b"}}}}),
        ),
        (
            "LdapConfig",
            json!({"address": "ldap://ldap.example.com", "tls": {"caBundle": {"secretKeyRef": {"name": "a", "key": "b"}}}}),
        ),
        ("LdapConfig", json!({"baseDN": ""})),
        ("LdapConfig", json!({"checkInterval": "5 minutes"})),
        ("LdapConfig", json!({"checkTimeout": ""})),
        ("LdapConfig", json!({"attributes": {"email": "", "group": "gidNumber"}})),
        ("LdapConfig", json!({"secretName": ""})),
        ("OidcProvider", json!({"issuer": "login.example.com"})),
        ("OidcProvider", json!({"issuer": "http://login.example.com"})),
        ("OidcProvider", json!({"host": "wandb.example.com"})),
        ("OidcProvider", json!({"sessionLength": "30d"})),
        ("JwtIssuer", json!({"issuer": "token.example.com"})),
        ("ServiceAccount", json!({"instance": {"baseURL": "wandb.example.com"}})),
    ] {
        let object = Cases::of(kind)?.changed(&json!({ "spec": spec }));
        let refusal = workspace.try_create(&object.to_string()).await?.err().context("it is a mistake")?;
        let (_, said) = refusal.split_once(" is invalid: ").with_context(|| refusal.clone())?;
        let said = said.split(": ApiError").next().unwrap_or(said);
        assert!(!says_several_things(&refusal), "{kind} {spec}: {refusal}");
        told.extend([kind, " ", &spec.to_string(), "\n  ", said, "\n"]);
    }
    insta::assert_snapshot!(told);
    Ok(())
}

/// What the API server says to one case.
async fn answer(
    workspace: &Workspace,
    kind: &str,
    cases: &Cases,
    rule: &Rule,
    case: &Value,
) -> Result<Result<(), String>> {
    if rule.judges != Judged::Transition {
        return workspace.try_create(&cases.changed(case).to_string()).await;
    }
    let mut before = cases.changed(&case["from"]);
    before["metadata"] = json!({"generateName": "changed-"});
    let api = workspace.resources(kind)?;
    let created = api.create(&PostParams::default(), &serde_json::from_value(before)?).await?;
    let name = created.metadata.name.context("a created object has a name")?;
    // Some rules hold only once the operator has told of something.
    if let Some(status) = case["from"].get("status") {
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(&name, &PatchParams::default(), &patch).await?;
    }
    workspace.try_patch(kind, &name, &case["to"]).await
}

#[test]
fn the_operator_agrees_with_the_rules() -> Result<()> {
    let mut disagreements = Vec::new();
    for kind in KINDS {
        let cases = Cases::of(kind)?;
        for rule in cases.rules.iter().filter(|rule| rule.judges == Judged::Spec) {
            for case in &rule.accepts {
                let opinion = opinion(&cases.changed(case))?;
                if opinion != Opinion::Accepted {
                    disagreements.push(format!("{kind} with {case} is valid, but: {opinion:?}"));
                }
            }
            for case in &rule.rejects {
                if opinion(&cases.changed(case))? == Opinion::Accepted {
                    disagreements
                        .push(format!("{kind} with {case} is accepted despite \"{}\"", rule.message));
                }
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    Ok(())
}

#[test]
fn every_rule_has_both_sorts_of_cases() -> Result<()> {
    for definition in custom_resource_definitions() {
        let kind = &definition.spec.names.kind;
        let mut rules = BTreeSet::new();
        collect_messages(&serde_json::to_value(&definition)?, &mut rules);
        assert!(!rules.is_empty(), "{kind} has no rules");
        let cases = Cases::of(kind)?;
        let tested: BTreeSet<_> = cases
            .rules
            .iter()
            .filter(|rule| !rule.accepts.is_empty() && !rule.rejects.is_empty())
            .map(|rule| rule.message.clone())
            .collect();
        assert_eq!(rules, tested, "the rules of {kind} (left) and those with cases (right) differ");
    }
    Ok(())
}

/// Every message of a rule, wherever it stands in a definition.
fn collect_messages(schema: &Value, messages: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            let rules = members.get("x-kubernetes-validations").and_then(Value::as_array);
            for rule in rules.into_iter().flatten() {
                messages.insert(rule["message"].as_str().unwrap_or("a rule without a message").to_owned());
            }
            members.values().for_each(|member| collect_messages(member, messages));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_messages(item, messages)),
        _ => {}
    }
}
