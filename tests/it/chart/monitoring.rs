//! The alerts fire when they should, and what they and the dashboard read is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{Helm, helm::chart, tools};

use super::file;

/// Where promtool's unit tests of the alerts stand.
const UNIT_TESTS: &str = "tests/cases/alerts/rules.test.yaml";

fn promtool(arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(tools::promtool()?).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    let told = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    Ok(())
}

/// The names in the one place where they stand.
fn metrics() -> BTreeSet<&'static str> {
    let source = include_str!("../../../src/engine/metrics.rs");
    source.split('"').filter(|text| text.starts_with("wandb_auth_")).collect()
}

/// The metrics that a text names, histograms without what Prometheus appends to them.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
    words
        .filter(|word| word.starts_with("wandb_auth_") && *word != "wandb_auth_operator")
        .map(|word| {
            let suffixes = ["_bucket", "_count", "_sum"];
            let series = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            series.to_owned()
        })
        .collect()
}

/// An alert of the rules.
struct Alert {
    expression: String,
    severity: String,
}

fn alerts() -> Result<BTreeMap<String, Alert>> {
    let rules: Value = serde_yaml::from_str(&file("files/rules.yaml")?)?;
    let groups = rules["groups"].as_array().context("no groups")?.iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let alerts = rules.filter(|rule| rule["alert"].is_string()).map(|rule| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = Alert { expression: text(&rule["expr"]), severity: text(&rule["labels"]["severity"]) };
        (text(&rule["alert"]), alert)
    });
    Ok(alerts.collect())
}

impl Alert {
    /// The metric that the expression is about, which it names first.
    fn metric(&self) -> Result<&str> {
        let words = self.expression.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
        let mut metrics = words.filter(|word| *word == "up" || word.starts_with("wandb_auth_"));
        metrics.next().with_context(|| format!("no metric in {}", self.expression))
    }
}

#[test]
fn promtool_understands_the_alerts() -> Result<()> {
    let rules = chart().join("files/rules.yaml");
    promtool(&["check", "rules", rules.to_str().context("a path is not Unicode")?])
}

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    promtool(&["test", "rules", UNIT_TESTS])
}

#[test]
fn every_alert_is_seen_to_fire_and_to_keep_quiet() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(UNIT_TESTS);
    let tests: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
    let alerts = alerts()?;
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().context("no tests")? {
        let series = test["input_series"].as_array().context("no series")?;
        for expectation in test["alert_rule_test"].as_array().context("no expectations")? {
            let name = expectation["alertname"].as_str().context("no name")?;
            let expected = expectation["exp_alerts"].as_array().map_or(0, Vec::len);
            if expected > 0 {
                fires.insert(name);
                continue;
            }
            // Without a series to look at every alert keeps quiet.
            let metric = alerts.get(name).with_context(|| format!("there is no {name}"))?.metric()?;
            let mut names = series.iter().filter_map(|each| each["series"].as_str()?.split('{').next());
            if names.any(|name| name == metric) {
                quiet.insert(name);
            }
        }
    }
    let known: BTreeSet<_> = alerts.keys().map(String::as_str).collect();
    assert_eq!(fires, known, "alerts that fire in a test (left) and alerts (right) differ");
    assert_eq!(quiet, known, "alerts that keep quiet in a test (left) and alerts (right) differ");
    Ok(())
}

#[test]
fn the_readme_and_the_rules_have_the_same_alerts() -> Result<()> {
    let readme = file("README.md")?;
    let documented: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `WandbAuth")?.split_once("` | ")?;
            Some((format!("WandbAuth{name}"), rest.split(" | ").next()?.to_owned()))
        })
        .collect();
    let rules: BTreeSet<_> = alerts()?.into_iter().map(|(name, alert)| (name, alert.severity)).collect();
    assert_eq!(documented, rules, "the alerts of the chart's README (left) and of the rules (right) differ");
    Ok(())
}

#[test]
fn an_alert_of_a_release_names_it() -> Result<()> {
    let values = json!({"fullnameOverride": "auth", "prometheusRule": {"enabled": true}});
    let rendered = Helm::new()?.template(&values)?;
    let absent = r#"absent(up{job="wandb-auth-operator", namespace="wandb", service="auth"} == 1)"#;
    ensure!(rendered.contains(absent), "not in {rendered}");
    ensure!(!rendered.contains("RELEASE_"), "a name is missing in {rendered}");
    Ok(())
}

#[test]
fn alerts_and_dashboard_read_metrics_that_there_are() -> Result<()> {
    let known: BTreeSet<String> = metrics().into_iter().map(str::to_owned).collect();
    ensure!(known.len() >= 8, "src/engine/metrics.rs names the metrics: {known:?}");
    for path in ["files/rules.yaml", "files/dashboard.json"] {
        let unknown: Vec<_> = named(&file(path)?).difference(&known).cloned().collect();
        ensure!(unknown.is_empty(), "{path} reads {unknown:?}, which src/engine/metrics.rs does not have");
    }
    let unseen: Vec<_> = known.difference(&named(&file("files/dashboard.json")?)).cloned().collect();
    ensure!(unseen.is_empty(), "the dashboard does not show {unseen:?}");
    Ok(())
}

#[test]
fn the_dashboard_shows_each_panel_in_its_place() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&file("files/dashboard.json")?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let mut places = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().context("a panel has no title")?;
        ensure!(ids.insert(panel["id"].as_i64().context("no id")?), "{title} has the id of another panel");
        let place = |name: &str| panel["gridPos"][name].as_i64().with_context(|| title.to_owned());
        let (x, y) = (place("x")?, place("y")?);
        ensure!(x + place("w")? <= 24, "{title} is wider than the dashboard");
        for x in x..x + place("w")? {
            for y in y..y + place("h")? {
                ensure!(places.insert((x, y)), "{title} covers another panel");
            }
        }
        let targets = panel["targets"].as_array().with_context(|| title.to_owned())?;
        ensure!(!targets.is_empty(), "{title} shows nothing");
        for target in targets {
            ensure!(target["datasource"]["uid"] == "${datasource}", "{title} reads a data source of its own");
        }
    }
    Ok(())
}
