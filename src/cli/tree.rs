//! The findings of `check` for people.

use anstyle::Style;

use super::{
    check::ResourceFindings,
    terminal::{BAD, DOUBTFUL, FAINT, GOOD, TITLE, styled, wrapped},
};
use crate::api::{CheckResult, CheckStatus, Reason};

/// Which findings people want to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// All of them.
    Everything,
    /// Those that did not pass.
    Complaints,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// How many characters fit into a line, if that is known.
    pub(super) width: Option<usize>,
    /// Which findings are shown.
    pub(super) detail: Detail,
}

/// The width of the branches before each message.
const INDENT: usize = 5;

/// The findings of one resource, a line a check; checks that were not reached are one line together. Nothing where
/// there is nothing to be shown.
pub(super) fn draw(report: &ResourceFindings, advice: Option<&str>, layout: Layout) -> String {
    let mut lines = Vec::new();
    if let Some(obstacle) = &report.obstacle {
        lines.push(format!("└─ {} {}: {}", styled(BAD, "✗"), obstacle.condition, obstacle.reason));
        for text in [Some(obstacle.message.as_str()), advice].into_iter().flatten() {
            lines.extend(indented(text, "     ", layout));
        }
    }
    let findings = report.checks.iter().zip(&report.durations_milliseconds);
    let findings: Vec<_> = findings.filter(|(check, _)| is_shown(check, layout.detail)).collect();
    let chains: Vec<_> = findings.chunk_by(|(before, _), (after, _)| is_chain(before, after)).collect();
    let last = chains.len().saturating_sub(1);
    for (index, chain) in chains.into_iter().enumerate() {
        let (branch, indent) = if index == last { ("└─", "     ") } else { ("├─", "│    ") };
        match chain {
            [(check, milliseconds)] => {
                let (style, mark) = mark(check.result);
                let aside = aside(check, **milliseconds);
                lines.push(format!("{branch} {} {}{aside}", styled(style, mark), check.name));
                lines.extend(indented(&check.message, indent, layout));
            }
            [(first, _), ..] => {
                let rest = first.message.strip_prefix("Not run, ").unwrap_or(&first.message);
                let rest = rest.trim_end_matches('.');
                lines.push(styled(FAINT, format!("{branch} - {} checks not run, {rest}", chain.len())));
            }
            [] => {}
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let title = format!("{}  ({})", styled(TITLE, &report.title), report.origin);
    [title].into_iter().chain(lines).collect::<Vec<_>>().join("\n") + "\n"
}

fn indented(text: &str, indent: &str, layout: Layout) -> Vec<String> {
    let width = layout.width.map(|width| width.saturating_sub(INDENT));
    wrapped(text, width).into_iter().map(|line| format!("{indent}{line}")).collect()
}

/// Whether people want to see a finding.
pub(super) fn is_shown(check: &CheckStatus, detail: Detail) -> bool {
    detail == Detail::Everything || matches!(check.result, CheckResult::Failed | CheckResult::Warning)
}

/// Whether both were not run for the same cause.
fn is_chain(before: &CheckStatus, after: &CheckStatus) -> bool {
    let is_unreached = |check: &CheckStatus| check.reason == Reason::NotReached.as_str();
    is_unreached(before)
        && is_unreached(after)
        && [before.result, after.result] == [CheckResult::Skipped; 2]
        && before.message == after.message
}

fn mark(result: CheckResult) -> (Style, &'static str) {
    match result {
        CheckResult::Passed => (GOOD, "✓"),
        CheckResult::Warning => (DOUBTFUL, "!"),
        CheckResult::Failed => (BAD, "✗"),
        CheckResult::Skipped => (FAINT, "-"),
    }
}

/// The reason where it says more than the mark, and the duration where there was one.
fn aside(check: &CheckStatus, milliseconds: f64) -> String {
    let reason = if check.reason == Reason::Passed.as_str() || check.result == CheckResult::Skipped {
        String::new()
    } else {
        format!(": {}", check.reason)
    };
    let duration = if milliseconds > 0.0 { format!("  ({milliseconds:.1} ms)") } else { String::new() };
    reason + &duration
}
