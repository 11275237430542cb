//! The alerts fire when they should, and what they and the dashboard read is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{Helm, tools};

use super::{documents, file};

/// Where promtool's unit tests of the alerts stand.
const UNIT_TESTS: &str = "tests/cases/alerts/rules.test.yaml";

/// The rules that the chart makes of these values, which are those of `prometheusRule`.
fn rules(mut values: Value) -> Result<Value> {
    values["enabled"] = json!(true);
    let rendered = Helm::new()?.template(&json!({"prometheusRule": values, "crds": {"enabled": false}}))?;
    let rule = documents(&rendered)?.into_iter().find(|object| object["kind"] == "PrometheusRule");
    Ok(rule.context("no PrometheusRule")?["spec"].take())
}

/// Lets promtool read those rules, as a file `rules.json` in its working directory beside the unit tests.
fn promtool(rules: &Value, arguments: &[&str]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("rules.json"), rules.to_string())?;
    fs::copy(unit_tests(), directory.path().join("rules.test.yaml"))?;
    let output = Command::new(tools::promtool()?).args(arguments).current_dir(directory.path()).output()?;
    let told = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    Ok(())
}

fn unit_tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(UNIT_TESTS)
}

/// The names in the one place where they stand, without the old ones that have a successor.
fn metrics() -> BTreeSet<String> {
    let source = include_str!("../../../src/engine/metrics/registration.rs");
    let all: BTreeSet<_> = source.split('"').filter(|text| text.starts_with("wandb_auth_")).collect();
    let is_old = |name: &str| {
        name.strip_suffix("_seconds").is_some_and(|name| all.contains(&*format!("{name}_timestamp_seconds")))
    };
    all.iter().filter(|name| !is_old(name)).map(|name| (*name).to_owned()).collect()
}

/// The metrics that a text names, without what the text format appends to the names of some types.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
    words
        .filter(|word| word.starts_with("wandb_auth_") && *word != "wandb_auth_operator")
        .map(|word| {
            let suffixes = ["_bucket", "_count", "_sum", "_total", "_info"];
            let series = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            series.to_owned()
        })
        .collect()
}

/// An alert of the rules.
struct Alert {
    expression: String,
    severity: String,
    runbook: String,
}

fn alerts() -> Result<BTreeMap<String, Alert>> {
    alerts_of(&rules(json!({}))?)
}

fn alerts_of(rules: &Value) -> Result<BTreeMap<String, Alert>> {
    let groups = rules["groups"].as_array().context("no groups")?.iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let alerts = rules.filter(|rule| rule["alert"].is_string()).map(|rule| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = Alert {
            expression: text(&rule["expr"]),
            severity: text(&rule["labels"]["severity"]),
            runbook: text(&rule["annotations"]["runbook_url"]),
        };
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
    promtool(&rules(json!({}))?, &["check", "rules", "rules.json"])
}

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    promtool(&rules(json!({}))?, &["test", "rules", "rules.test.yaml"])
}

#[test]
fn every_alert_is_seen_to_fire_and_to_keep_quiet() -> Result<()> {
    let tests: Value = serde_yaml::from_str(&fs::read_to_string(unit_tests())?)?;
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

/// Where an alert leads people: a heading of the page, as a URL where the documentation is published.
#[test]
fn every_alert_leads_to_its_part_of_the_documentation() -> Result<()> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate/alerts.md"))?;
    let published = alerts_of(&rules(json!({"documentationURL": "https://docs.example.com/auth"}))?)?;
    let alerts = alerts()?;
    ensure!(alerts.len() >= 10, "{:?}", alerts.keys());
    for (name, alert) in alerts {
        let anchor = name.to_lowercase();
        ensure!(
            page.lines().any(|line| line == format!("## {name}")),
            "docs/operate/alerts.md has no {name}"
        );
        ensure!(alert.runbook == format!("docs/operate/alerts.md#{anchor}"), "{}", alert.runbook);
        let url = format!("https://docs.example.com/auth/operate/alerts.html#{anchor}");
        ensure!(
            published.get(&name).is_some_and(|alert| alert.runbook == url),
            "{name} does not lead to {url}"
        );
    }
    Ok(())
}

/// A threshold that nothing reads would be a value without effect.
#[test]
fn every_threshold_and_label_reaches_the_alerts() -> Result<()> {
    let values: Value = serde_yaml::from_str(&file("values.yaml")?)?;
    let thresholds = values["prometheusRule"]["thresholds"].as_object().context("no thresholds")?;
    let defaults = rules(json!({}))?;
    let text = defaults.to_string();
    ensure!(!text.contains("THRESHOLD_") && !text.contains("RUNBOOK"), "{text}");
    for (name, default) in thresholds {
        let other = if default.is_string() { json!("37m") } else { json!(37) };
        let changed = rules(json!({"thresholds": {name: other}}))?;
        ensure!(changed.to_string().contains("37") && changed != defaults, "{name} changes nothing");
        promtool(&changed, &["check", "rules", "rules.json"]).context(name.clone())?;
    }
    let labelled = rules(json!({"alertLabels": {"team": "platform"}}))?;
    promtool(&labelled, &["check", "rules", "rules.json"])?;
    for rule in labelled["groups"][0]["rules"].as_array().context("no rules")? {
        ensure!(rule["labels"]["team"] == "platform" && rule["labels"]["severity"].is_string(), "{rule}");
    }
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
    let known = metrics();
    ensure!(known.len() >= 8, "src/engine/metrics/registration.rs names the metrics: {known:?}");
    for path in ["files/rules.yaml", "files/dashboard.json"] {
        let unknown: Vec<_> = named(&file(path)?).difference(&known).cloned().collect();
        ensure!(
            unknown.is_empty(),
            "{path} reads {unknown:?}, which src/engine/metrics/registration.rs does not have"
        );
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
            let expression = target["expr"].as_str().unwrap_or_default();
            let selectors = expression.matches("{cluster=~\"$cluster\"").count();
            ensure!(selectors == 1, "{title} does not show the chosen cluster's: {expression}");
        }
        for target in targets {
            ensure!(target["datasource"]["uid"] == "${datasource}", "{title} reads a data source of its own");
        }
    }
    Ok(())
}
