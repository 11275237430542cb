//! Metrics and events.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::{
    super::{ROOT, add_files},
    Kept, NOTE, Table, check, code, members,
};

const PAGE: &str = "docs/reference/metrics-and-events.md";

/// The source that registers the metrics, wherever it is.
fn source() -> Result<String> {
    let mut files = Vec::new();
    add_files(Path::new("src"), "rs", &mut files)?;
    for file in files {
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        if text.contains("registry.register(") {
            return Ok(text);
        }
    }
    anyhow::bail!("no source registers a metric")
}

/// The labels of each struct of labels.
fn labels(source: &str) -> Result<BTreeMap<String, String>> {
    let structure = Regex::new(r"(?s)EncodeLabelSet\)\]\nstruct (\w+) \{\n(.*?)\n\}")?;
    let field = Regex::new(r"(?m)^    (\w+):")?;
    let found = structure.captures_iter(source).map(|found| {
        let (_, [name, body]) = found.extract();
        let fields: Vec<_> = field.captures_iter(body).map(|found| code(&found[1])).collect();
        (name.to_owned(), fields.join(", "))
    });
    Ok(found.collect())
}

#[test]
fn metrics_and_events_are_up_to_date() -> Result<()> {
    let source = source()?;
    let labels = labels(&source)?;
    let kept = Kept::of(PAGE);
    let mut metrics = Table::new(&["metric", "type", "labels", "value", "what it is for"]);
    let registered = Regex::new(r#"register\(\s*"(\w+)",\s*"([^"]+)",\s*self\.(\w+)"#)?;
    let mut count = 0;
    for found in registered.captures_iter(&source) {
        let (_, [name, help, field]) = found.extract();
        let type_ = Regex::new(&format!(r"(?m)^    {field}: (.+),$"))?;
        let type_ = type_.captures(&source).with_context(|| format!("{field} is no field"))?[1].to_owned();
        let of = labels.iter().find(|(name, _)| type_.contains(&format!("<{name},")));
        let kind = if type_.contains("Histogram") { "histogram" } else { "gauge" };
        let labels = of.map(|(_, labels)| labels.clone()).unwrap_or_default();
        metrics.row([code(name), kind.to_owned(), labels, help.to_owned(), kept.cell(name)]);
        count += 1;
    }
    ensure!(count >= 10, "the source registers {count} metrics only");
    let mut events = Table::new(&["event", "what happened", "what to do"]);
    for event in members("src/api/names/event_reason.rs", "EventReason")? {
        events.row([code(&event.name), event.meaning.clone(), kept.cell(&event.name)]);
    }
    let text = format!(
        "# Metrics and events\n\n{NOTE}## Metrics\n\n`/metrics` serves them at port 8080 (`--metrics-address`). The chart has \
         [alerts](../operate/alerts.md) and a dashboard of them.\n\n{}## Events\n\nEvents are written on transitions only, \
         and the good news of a run are one event: with the reason of its last step. \
         `kubectl events -n wandb --for ldapconfig/corp` shows those of a resource.\n\n{}",
        metrics.end(),
        events.end()
    );
    check(PAGE, &(text.trim_end().to_owned() + "\n"))
}
