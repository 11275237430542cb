//! What a release says of itself is true.

use std::{fs, path::Path};

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
    let released: Vec<_> = sections.iter().filter(|section| !names(section, "Unreleased")).collect();
    // Before the first release there is only what is to come.
    let newest = released.first().map_or(sections.first(), |section| Some(*section));
    ensure!(
        newest
            .is_some_and(|section| names(section, if released.is_empty() { "Unreleased" } else { version })),
        "the newest release in CHANGELOG.md is not {version}: {newest:?}"
    );
    for section in released {
        let day = section.split_once("] - ").map(|(_, day)| day);
        ensure!(day.is_some_and(|day| day.len() == "2026-01-31".len()), "a release has a day: {section}");
    }
    Ok(())
}

/// Every text between backticks, in order.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_threat_model_points_at_what_exists() -> Result<()> {
    let model = read("docs/security/threat-model.md")?;
    let mut shown = 0;
    let mut file = String::new();
    for quote in quoted(&model) {
        let is_name = quote.contains('_') && quote.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if Path::new(quote).extension().is_some_and(|extension| extension == "rs") {
            let places = [quote.to_owned(), format!("tests/it/{quote}")];
            let place = places.iter().find(|place| Path::new(ROOT).join(place).is_file());
            file = read(place.with_context(|| format!("there is no file {quote}"))?)?;
            shown += 1;
        } else if is_name {
            ensure!(file.contains(&format!("fn {quote}()")), "the file named before has no test {quote}");
            shown += 1;
        }
    }
    ensure!(shown > 20, "the threat model shows {shown} claims only");
    Ok(())
}

/// Where a test of this name would be: in the integration tests or in a module of the crate.
fn defines(name: &str) -> Result<bool> {
    let (modules, function) = name.rsplit_once("::").with_context(|| format!("{name} names no module"))?;
    let path = modules.replace("::", "/");
    let inner = path.strip_suffix("/tests").unwrap_or(&path);
    let places = ["tests/it", "src"].into_iter().flat_map(|root| {
        [&path, inner]
            .into_iter()
            .flat_map(move |path| [format!("{root}/{path}.rs"), format!("{root}/{path}/mod.rs")])
    });
    let is_there = |place: String| {
        fs::read_to_string(Path::new(ROOT).join(place))
            .is_ok_and(|text| text.contains(&format!("fn {function}()")))
    };
    Ok(places.into_iter().any(is_there))
}

#[test]
fn each_invariant_of_the_crate_names_tests_that_exist() -> Result<()> {
    let map = read("src/lib.rs")?;
    let invariants = map.split("//! Invariants").nth(1).context("src/lib.rs has no invariants")?;
    let text: String = invariants.lines().skip(1).map_while(|line| line.strip_prefix("//!")).collect();
    let promises: Vec<_> = text.split(" - ").skip(1).collect();
    ensure!(promises.len() > 15, "only {} invariants were found", promises.len());
    for promise in promises {
        let (_, tests) =
            promise.rsplit_once("Tests:").with_context(|| format!("no test beside: {promise}"))?;
        ensure!(quoted(tests).next().is_some(), "no test beside: {promise}");
        for test in quoted(tests) {
            ensure!(defines(test)?, "there is no test {test}, which stands beside: {promise}");
        }
    }
    Ok(())
}
