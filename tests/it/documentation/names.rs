//! Pages that list things list all of them.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strum::IntoEnumIterator;
use wandb_auth_operator::api::names::ConditionType;

use super::{Page, ROOT, documents};

#[test]
fn every_condition_is_explained() -> Result<()> {
    let page = Page::read("docs/concepts/conditions.md")?;
    for condition in ConditionType::iter() {
        ensure!(page.text.contains(&format!("`{condition}`")), "{} does not name it", page.path.display());
    }
    Ok(())
}

#[test]
fn every_alert_says_what_to_do() -> Result<()> {
    let page = Page::read("docs/operate/alerts.md")?;
    let headings: Vec<_> = page.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let rules = fs::read_to_string(Path::new(ROOT).join("charts/wandb-auth-operator/files/rules.yaml"))?;
    let rules: Value = serde_yaml::from_str(&rules)?;
    let rules = rules.pointer("/groups/0/rules").and_then(Value::as_array).context("there are no rules")?;
    let alerts: Vec<_> = rules.iter().filter_map(|rule| rule.get("alert")?.as_str()).collect();
    assert_eq!(
        headings,
        alerts,
        "the sections of {} (left) and the alerts (right) differ",
        page.path.display()
    );
    Ok(())
}

/// A right: the API group, the resource and the verb.
type Right = (String, String, String);

/// What the manifests for people without Helm grant, with every kind of target and the right to request tokens.
fn granted() -> Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for file in ["operator.yaml", "token-request.yaml"] {
        let text = fs::read_to_string(Path::new(ROOT).join("deploy").join(file))?;
        for role in
            documents(&text)?.iter().filter(|object| object.get("kind").is_some_and(|kind| kind == "Role"))
        {
            for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
                let list = |name: &str| -> Vec<String> {
                    let items = rule.get(name).and_then(Value::as_array).into_iter().flatten();
                    items.filter_map(Value::as_str).map(str::to_owned).collect()
                };
                for group in list("apiGroups") {
                    for resource in list("resources") {
                        let verbs = list("verbs").into_iter();
                        rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
                    }
                }
            }
        }
    }
    Ok(rights)
}

#[test]
fn every_right_is_explained() -> Result<()> {
    let page = Page::read("docs/security/rights.md")?;
    let mut explained = BTreeSet::new();
    for row in page.text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [group, resources, verbs, why] = cells.as_slice() else { continue };
        ensure!(!why.is_empty(), "it does not say why: {row}");
        let group = if *group == "core" { "" } else { group.trim_matches('`') };
        for resource in resources.split('`').skip(1).step_by(2) {
            let verbs = verbs.split(", ").map(str::to_owned);
            explained.extend(verbs.map(|verb| (group.to_owned(), resource.to_owned(), verb)));
        }
    }
    assert_eq!(explained, granted()?, "{} (left) and deploy/ (right) differ", page.path.display());
    Ok(())
}

#[test]
fn contributing_names_what_exists() -> Result<()> {
    let page = Page::read("CONTRIBUTING.md")?;
    // Of files that an example would add.
    let invented = ["src/ldap/access.rs", "docs/providers/ping-federate.md"];
    let folders = ["src/", "tests/", "charts/", "docs/", "deploy/", "gitops/", "examples/"];
    let is_path = |named: &&str| folders.iter().any(|folder| named.starts_with(folder));
    let mut count = 0;
    for file in ["CONTRIBUTING.md", "docs/contributing/map.md", "docs/contributing/testing.md"] {
        let text = Page::read(file)?.text;
        let quoted = text.split('`').skip(1).step_by(2).filter(|named| !named.contains(char::is_whitespace));
        for named in quoted.filter(is_path).filter(|named| !invented.contains(named)) {
            count += 1;
            ensure!(Path::new(ROOT).join(named).exists(), "{file} names {named}, which does not exist");
        }
    }
    ensure!(count > 50, "the pages for contributors name {count} places only");
    for (file, word) in [
        ("src/engine/checks/history.rs", "refused"),
        ("src/engine/status/conditions.rs", "ConditionType::Ready"),
        ("charts/wandb-auth-operator/templates/_rules.tpl", "statefulSet"),
        ("src/service_account/api_key/decide.rs", "Revoke"),
        ("src/ldap/probe.rs", "CheckName::"),
    ] {
        ensure!(page.text.contains(file), "CONTRIBUTING.md does not lead to {file}");
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        ensure!(text.contains(word), "a search for {word} in {file} finds nothing");
    }
    Ok(())
}
