//! Finds which release of W&B's chart is installed, and whether it supports references to Secrets. This is pure.

use std::fmt;

use serde_json::Value;

use crate::{api::Reason, problem::Problem, workloads::weights_and_biases::tree};

/// A release of the chart: major, minor and patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u64, u64, u64);

/// The first release that supports references. Earlier ones write a reference into a variable of `wandb/local` as
/// the text `map[valueFrom:…]`.
const TAKES_REFERENCES: Release = Release(0, 33, 0);

/// The name of W&B's chart. Charts of other names have other release numbers.
const NAME: &str = "operator-wandb";

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The release of the first chart that the W&B operator can use, or `None` if the release of that chart is unknown.
pub fn release<'a>(mut charts: impl Iterator<Item = &'a Value>) -> Option<Release> {
    charts.find_map(ChartOrigin::of)?.release()
}

/// Fails if the release does not support references. An unknown release passes.
pub fn check(release: Option<Release>, name: &str) -> Result<(), Problem> {
    match release {
        Some(release) if release < TAKES_REFERENCES => Err(Problem::new(
            Reason::TargetRefused,
            format!(
                "The WeightsAndBiases \"{name}\" runs W&B's chart {NAME} {release}, which cannot take a reference to a Secret in global.extraEnv: before {TAKES_REFERENCES}, the server would read the text \"map[valueFrom:…]\" instead. Upgrade the chart to {TAKES_REFERENCES} or later. Nothing was changed there."
            ),
        )),
        _ => Ok(()),
    }
}

/// The location of a chart, as the W&B operator interprets it.
enum ChartOrigin<'a> {
    /// A file, whose release is unknown.
    Local,
    /// A chart of this name in a repository or a registry.
    Remote { name: &'a str, version: &'a str },
}

impl<'a> ChartOrigin<'a> {
    /// The location that the W&B operator can use, or `None` if it would continue with the next source.
    fn of(chart: &'a Value) -> Option<Self> {
        let text = |key| tree::text(chart, &[key]).filter(|text| !text.is_empty());
        if text("path").is_some() {
            return Some(Self::Local);
        }
        let url = text("url")?;
        let Some(reference) = url.strip_prefix("oci://") else {
            return Some(Self::Remote { name: text("name")?, version: text("version").unwrap_or_default() });
        };
        let (_, last) = reference.rsplit_once('/')?;
        let (name, tag) = last.split_once([':', '@']).unwrap_or((last, ""));
        Some(Self::Remote { name, version: text("version").unwrap_or(tag) })
    }

    fn release(self) -> Option<Release> {
        match self {
            Self::Remote { name: NAME, version } => parse(version),
            Self::Remote { .. } | Self::Local => None,
        }
    }
}

/// Parses a complete version. A range or a word gives `None`.
fn parse(version: &str) -> Option<Release> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let numbers = version.split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(str::parse);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()) {
        (major, minor, patch, None) => Some(Release(major, minor, patch)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn in_repository(version: &str) -> Value {
        json!({"url": "https://charts.example.com", "name": NAME, "version": version})
    }

    #[test]
    fn the_release_is_that_of_the_first_usable_chart() {
        let found = Some(Release(0, 32, 9));
        let later = in_repository("0.43.8");
        for (chart, expected) in [
            (in_repository("0.32.9"), found),
            (in_repository("v0.32.9"), found),
            (in_repository("0.32.9-rc.1+build"), found),
            (json!({"url": "oci://example.com/charts/operator-wandb", "version": "0.32.9"}), found),
            (json!({"url": "oci://example.com/charts/operator-wandb:0.32.9"}), found),
            // The latest version, a range, a digest, a file and another chart do not show the release.
            (in_repository(""), None),
            (in_repository("0.32.x"), None),
            (in_repository("~0.32"), None),
            (json!({"url": "oci://example.com/charts/operator-wandb@sha256:00"}), None),
            (json!({"path": "/charts/operator-wandb-0.32.9.tgz"}), None),
            (json!({"url": "https://charts.example.com", "name": "our-wandb", "version": "0.1.0"}), None),
            // The W&B operator cannot use these, so it continues with the next source.
            (json!({"url": "https://charts.example.com", "version": "0.32.9"}), parse("0.43.8")),
            (json!({}), parse("0.43.8")),
            (Value::Null, parse("0.43.8")),
        ] {
            assert_eq!(release([&chart, &later].into_iter()), expected, "{chart}");
        }
        assert_eq!(release([].into_iter()), None);
    }

    #[test]
    fn a_release_that_cannot_take_references_is_refused_with_its_number() {
        for version in ["0.33.0", "0.43.8", "1.0.0"] {
            assert_eq!(check(parse(version), "wandb"), Ok(()), "{version}");
        }
        assert_eq!(check(None, "wandb"), Ok(()));
        let problem = check(parse("0.32.9"), "wandb").unwrap_err();
        assert_eq!(problem.reason, Reason::TargetRefused);
        insta::assert_snapshot!(problem.message, @r#"The WeightsAndBiases "wandb" runs W&B's chart operator-wandb 0.32.9, which cannot take a reference to a Secret in global.extraEnv: before 0.33.0, the server would read the text "map[valueFrom:…]" instead. Upgrade the chart to 0.33.0 or later. Nothing was changed there."#);
    }
}
