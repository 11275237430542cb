//! `crd`: prints the custom resource definitions.

use std::io::Write;

use super::Verdict;
use crate::api::custom_resource_definitions;

/// Prints every definition as one YAML stream.
pub(super) fn print() -> anyhow::Result<Verdict> {
    let mut output = std::io::stdout().lock();
    for definition in custom_resource_definitions() {
        writeln!(output, "---\n{}", serde_yaml::to_string(&definition)?.trim_end())?;
    }
    Ok(Verdict::Passed)
}
