//! The chart's values, by the comments of its `values.yaml`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{super::ROOT, NOTE, Table, check, code};

const PAGE: &str = "docs/reference/chart-values.md";
const README: &str = "charts/wandb-auth-operator/README.md";

/// The comment above each key, by the key's path; in the order of the file.
fn comments(yaml: &str) -> Vec<(String, String)> {
    let (mut path, mut comment, mut found) = (Vec::<(usize, String)>::new(), Vec::new(), Vec::new());
    for line in yaml.lines() {
        let indentation = line.len() - line.trim_start().len();
        let line = line.trim();
        if line.is_empty() {
            comment.clear();
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim().to_owned());
        } else if let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with('-')) {
            path.retain(|(of, _)| *of < indentation);
            path.push((indentation, key.trim().to_owned()));
            let path: Vec<_> = path.iter().map(|(_, key)| key.as_str()).collect();
            found.push((path.join("."), std::mem::take(&mut comment).join(" ")));
        }
    }
    found
}

/// Every value that is no group of others, as JSON, by its path.
fn defaults(values: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match values.as_object().filter(|members| !members.is_empty()) {
        Some(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                defaults(value, &path, found);
            }
        }
        None => {
            found.insert(path.to_owned(), values.to_string());
        }
    }
}

#[test]
fn chart_values_are_up_to_date() -> Result<()> {
    let yaml = fs::read_to_string(Path::new(ROOT).join("charts/wandb-auth-operator/values.yaml"))?;
    let mut known = BTreeMap::new();
    defaults(&serde_yaml::from_str(&yaml)?, "", &mut known);
    let mut table = Table::new(&["value", "default", "meaning"]);
    for (path, comment) in comments(&yaml) {
        let Some(default) = known.remove(&path) else {
            ensure!(
                comment.is_empty(),
                "the comment of the group {path} stands in no table: move it to its values"
            );
            continue;
        };
        ensure!(!comment.is_empty(), "{path} has no comment in values.yaml");
        table.row([code(&path), code(&default), comment.replace('|', "\\|")]);
    }
    ensure!(known.is_empty(), "these values have no line of their own in values.yaml: {known:?}");
    let table = table.end();
    let text = format!(
        "# Chart values\n\n{NOTE}The comments of `values.yaml`. `charts/wandb-auth-operator/README.md` has examples. A value that the chart does not know is refused, so a typo does not go unseen.\n\n{table}"
    );
    check(PAGE, &(text.trim_end().to_owned() + "\n"))?;

    // The chart is a package of its own, so its README has the table, too.
    let readme = fs::read_to_string(Path::new(ROOT).join(README))?;
    let (before, rest) =
        readme.split_once("| value | default | meaning |\n").context("the README has no table")?;
    let (_, after) = rest.split_once("\n\n").context("nothing follows the table")?;
    check(README, &format!("{before}{table}{after}"))
}
