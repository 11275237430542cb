//! What a release says of itself is true.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> Result<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).with_context(|| format!("{path} cannot be read"))
}

#[test]
fn the_changelog_has_a_section_for_this_version() -> Result<()> {
    let changelog = read("CHANGELOG.md")?;
    let version = env!("CARGO_PKG_VERSION");
    let sections: Vec<_> = changelog.lines().filter_map(|line| line.strip_prefix("## [")).collect();
    let names = |section: &str, name: &str| section.split(']').next() == Some(name);
    ensure!(
        sections.iter().any(|section| names(section, "Unreleased") || names(section, version)),
        "CHANGELOG.md has neither a section Unreleased nor one for {version}"
    );
    for section in sections.iter().filter(|section| !names(section, "Unreleased")) {
        let day = section.split_once("] - ").map(|(_, day)| day);
        ensure!(day.is_some_and(|day| day.len() == "2026-01-31".len()), "a release has a day: {section}");
    }
    Ok(())
}

/// Every text between backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_threat_model_points_at_what_exists() -> Result<()> {
    let model = read("docs/threat-model.md")?;
    let tests = all_sources(&Path::new(ROOT).join("tests/it"))?;
    let mut shown = 0;
    for quote in quoted(&model) {
        let is_name = quote.contains('_') && quote.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if Path::new(quote).extension().is_some_and(|extension| extension == "rs") {
            let places = [quote.to_owned(), format!("tests/it/{quote}")];
            ensure!(
                places.iter().any(|place| Path::new(ROOT).join(place).is_file()),
                "there is no file {quote}"
            );
            shown += 1;
        } else if is_name {
            ensure!(tests.contains(&format!("fn {quote}()")), "there is no test {quote}");
            shown += 1;
        }
    }
    ensure!(shown > 20, "the threat model shows {shown} claims only");
    Ok(())
}

fn all_sources(directory: &Path) -> Result<String> {
    let mut sources = String::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources += &all_sources(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources += &fs::read_to_string(&path)?;
        }
    }
    Ok(sources)
}
