//! Metrics and events.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::{
    super::{ROOT, add_files},
    Kept, NOTE, Table, check, code, members,
};

const PAGE: &str = "docs/reference/metrics-and-events.md";

/// The sources that define or register metrics or their labels, wherever they are.
fn sources() -> Result<String> {
    let mut files = Vec::new();
    add_files(Path::new("src"), "rs", &mut files)?;
    let mut sources = String::new();
    for file in files {
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        if text.contains("prometheus_client") {
            sources += &text;
        }
    }
    ensure!(sources.contains("registry.register("), "no source registers a metric");
    Ok(sources)
}

/// The labels of each struct of labels.
fn labels(source: &str) -> Result<BTreeMap<String, String>> {
    let structure = Regex::new(r"(?s)EncodeLabelSet\)\]\n(?:pub\S* )?struct (\w+) \{\n(.*?)\n\}")?;
    let field = Regex::new(r"(?m)^    (?:pub\S* )?(\w+):")?;
    let found = structure.captures_iter(source).map(|found| {
        let (_, [name, body]) = found.extract();
        let fields: Vec<_> = field.captures_iter(body).map(|found| code(&found[1])).collect();
        (name.to_owned(), fields.join(", "))
    });
    Ok(found.collect())
}

#[test]
fn metrics_and_events_are_up_to_date() -> Result<()> {
    let source = sources()?;
    let labels = labels(&source)?;
    let kept = Kept::of(PAGE);
    let mut metrics = Table::new(&["metric", "type", "labels", "value", "what it is for"]);
    // The series of resources are made when somebody reads them, each by what it takes of what is shown.
    let registered =
        Regex::new(r#"register\(\s*"(\w+)",\s*"([^"]+)",\s*self\s*\.(\w+)(?:\s*\.view\(Figure::(\w+))?"#)?;
    let mut count = 0;
    for found in registered.captures_iter(&source) {
        let (name, help, field) = (&found[1], &found[2], &found[3]);
        let figure = found.get(4).map(|figure| figure.as_str());
        let type_ = Regex::new(&format!(r"(?m)^    {field}: (.+),$"))?;
        let type_ = type_.captures(&source).with_context(|| format!("{field} is no field"))?[1].to_owned();
        let alias = Regex::new(&format!(r"(?m)^pub type {type_} = (.+);$"))?;
        let type_ = alias.captures(&source).map_or(type_, |alias| alias[1].to_owned());
        let is_of = |name: &str| match figure {
            Some("Checks") => name == "CheckLabels",
            Some(_) => name == "ResourceLabels",
            None => type_.contains(&format!("<{name},")),
        };
        let of = labels.iter().find(|(name, _)| is_of(name));
        let (kind, end) = match &type_ {
            histogram if histogram.contains("Histogram") => ("histogram", ""),
            counter if counter.contains("Counter") || figure == Some("Count") => ("counter", "_total"),
            _ => ("gauge", ""),
        };
        let (name, labels) =
            (format!("{name}{end}"), of.map(|(_, labels)| labels.clone()).unwrap_or_default());
        metrics.row([code(&name), kind.to_owned(), labels, help.to_owned(), kept.cell(&name)]);
        count += 1;
    }
    ensure!(count >= 10, "the source registers {count} metrics only");
    let built = Regex::new(r#"register\(\s*"(\w+)",\s*"([^"]+)",\s*Info::new\((\w+)"#)?;
    let found = built.captures(&source).context("nothing tells of the build")?;
    let (_, [name, help, of]) = found.extract();
    let (name, labels) = (format!("{name}_info"), labels.get(of).cloned().unwrap_or_default());
    metrics.row([code(&name), "info".to_owned(), labels, help.to_owned(), kept.cell(&name)]);
    let of_the_process = Regex::new(r#"(counter|gauge)\(\s*encoder,\s*"(process_\w+)",\s*"([^"]+)""#)?;
    for found in of_the_process.captures_iter(&source) {
        let (_, [kind, name, help]) = found.extract();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        metrics.row([code(&name), kind.to_owned(), String::new(), help.to_owned(), kept.cell(&name)]);
    }
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
