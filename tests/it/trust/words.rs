//! Messages are for people: nothing of a Rust value's Debug form stands in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use regex::Regex;

/// What the Debug form of a value has, and plain English has not: `Other(…)`, `Some(…)`, `Name { field: …`.
const DEBUG_FORMS: &str =
    r"\b[A-Z][A-Za-z0-9]*\(|\b[A-Z][A-Za-z0-9]*::[A-Z]|\b[A-Z][A-Za-z0-9]* \{ [a-z_0-9]+: ";

fn snapshots_below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_build_output =
            path.file_name().is_some_and(|name| name == "target") && !path.join("mod.rs").exists();
        if path.is_dir() && !is_build_output {
            snapshots_below(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "snap") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn no_snapshot_has_the_debug_form_of_a_value() -> Result<()> {
    let forms = Regex::new(DEBUG_FORMS)?;
    for example in
        ["IpAddress(127.0.0.1)", "Other(OtherError(CaUsedAsEndEntity))", "Some(2)", "Leaf { name: 1"]
    {
        ensure!(forms.is_match(example), "{example}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut snapshots = Vec::new();
    for folder in ["src", "tests"] {
        snapshots_below(&root.join(folder), &mut snapshots)?;
    }
    ensure!(snapshots.len() > 50, "only {} snapshots", snapshots.len());
    let mut found = Vec::new();
    for path in snapshots {
        let text = fs::read_to_string(&path)?;
        // Before the second line of dashes stands what insta notes for itself.
        let text = text.splitn(3, "---\n").nth(2).unwrap_or_default();
        let lines = text.lines().filter(|line| forms.is_match(line));
        found.extend(lines.map(|line| format!("{}: {line}", path.display())));
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}
