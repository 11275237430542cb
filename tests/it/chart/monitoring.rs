//! The alerts fire when they should, and what they and the dashboard read is there.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::{helm::chart, tools};

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
    let source = include_str!("../../../src/metrics.rs");
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

fn alerts() -> Result<BTreeSet<String>> {
    let rules: Value = serde_yaml::from_str(&file("files/rules.yaml")?)?;
    let groups = rules["groups"].as_array().context("no groups")?.iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    Ok(rules.filter_map(|rule| rule["alert"].as_str().map(str::to_owned)).collect())
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
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().context("no tests")? {
        // A series that is there and not among the expected ones keeps quiet, too.
        let series = test["input_series"].as_array().context("no series")?.len();
        for expectation in test["alert_rule_test"].as_array().context("no expectations")? {
            let alert = expectation["alertname"].as_str().context("no name")?.to_owned();
            let expected = expectation["exp_alerts"].as_array().map_or(0, Vec::len);
            if expected < series {
                quiet.insert(alert.clone());
            }
            if expected > 0 {
                fires.insert(alert);
            }
        }
    }
    assert_eq!(fires, alerts()?, "alerts that fire in a test (left) and alerts (right) differ");
    assert_eq!(quiet, alerts()?, "alerts that keep quiet in a test (left) and alerts (right) differ");
    Ok(())
}

#[test]
fn the_readme_names_every_alert() -> Result<()> {
    let readme = file("README.md")?;
    let missing: Vec<_> =
        alerts()?.into_iter().filter(|alert| !readme.contains(&format!("| `{alert}` |"))).collect();
    ensure!(missing.is_empty(), "the chart's README does not name {missing:?}");
    Ok(())
}

#[test]
fn alerts_and_dashboard_read_metrics_that_there_are() -> Result<()> {
    let known: BTreeSet<String> = metrics().into_iter().map(str::to_owned).collect();
    ensure!(known.len() >= 8, "src/metrics.rs names the metrics: {known:?}");
    for path in ["files/rules.yaml", "files/dashboard.json"] {
        let unknown: Vec<_> = named(&file(path)?).difference(&known).cloned().collect();
        ensure!(unknown.is_empty(), "{path} reads {unknown:?}, which src/metrics.rs does not have");
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
