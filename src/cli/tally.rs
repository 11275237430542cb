//! The last line of a tree: how many there are of what.

use std::fmt;

use super::check::ResourceFindings;
use crate::api::CheckResult;

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    unusable: usize,
    failed: usize,
    warnings: usize,
    passed: usize,
    not_run: usize,
}

impl Tally {
    /// Counts what a resource's checks found.
    pub(super) fn add(&mut self, report: &ResourceFindings) {
        self.unusable += usize::from(report.obstacle.is_some());
        for check in &report.checks {
            let count = match check.result {
                CheckResult::Failed => &mut self.failed,
                CheckResult::Warning => &mut self.warnings,
                CheckResult::Passed => &mut self.passed,
                CheckResult::Skipped => &mut self.not_run,
            };
            *count += 1;
        }
    }
}

/// The worst comes first; what there is nothing of is left out.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unusable, failed, warnings, passed, not_run } = *self;
        let parts = [
            (unusable, "resource not usable", "resources not usable"),
            (failed, "failed", "failed"),
            (warnings, "warning", "warnings"),
            (passed, "passed", "passed"),
            (not_run, "not run", "not run"),
        ];
        f.write_str(&counted(&parts))
    }
}

/// How many there are of each; what there is nothing of is left out. Each has its words for one and for several.
pub(super) fn counted(parts: &[(usize, &str, &str)]) -> String {
    let parts = parts.iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<_> = parts
        .map(|(count, one, several)| format!("{count} {}", if *count == 1 { one } else { several }))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first() {
        for (tally, line) in [
            (
                Tally { failed: 1, warnings: 1, passed: 8, ..Tally::default() },
                "1 failed, 1 warning, 8 passed",
            ),
            (Tally { passed: 9, not_run: 1, ..Tally::default() }, "9 passed, 1 not run"),
            (Tally { warnings: 2, ..Tally::default() }, "2 warnings"),
            (Tally { unusable: 1, passed: 3, ..Tally::default() }, "1 resource not usable, 3 passed"),
            (Tally { unusable: 2, ..Tally::default() }, "2 resources not usable"),
        ] {
            assert_eq!(tally.to_string(), line);
        }
    }
}
