//! The findings of `check` for people.

use super::{check::ResourceFindings, dyn_resource::Title};
use crate::api::{CheckResult, CheckStatus, Reason};

/// The findings of one resource, a line a check; checks that were not reached are one line together.
pub(super) fn draw(report: &ResourceFindings, advice: Option<&str>) -> String {
    let Title { kind, namespace, name } = &report.title;
    let mut lines = vec![format!("{kind} {namespace}/{name}  ({})", report.origin)];
    if let Some(obstacle) = &report.obstacle {
        lines.push(format!("└─ ✗ {}: {}", obstacle.condition, obstacle.reason));
        lines.push(format!("     {}", obstacle.message));
        lines.extend(advice.map(|advice| format!("     {advice}")));
    }
    let findings: Vec<_> = report.checks.iter().zip(&report.durations_milliseconds).collect();
    let chains: Vec<_> = findings.chunk_by(|(before, _), (after, _)| is_chain(before, after)).collect();
    let last = chains.len().saturating_sub(1);
    for (index, chain) in chains.into_iter().enumerate() {
        let (branch, indent) = if index == last { ("└─", "     ") } else { ("├─", "│    ") };
        match chain {
            [(check, milliseconds)] => {
                let (mark, aside) = (mark(check.result), aside(check, **milliseconds));
                lines.push(format!("{branch} {mark} {}{aside}", check.name));
                lines.push(format!("{indent}{}", check.message));
            }
            [(first, _), ..] => {
                let rest = first.message.strip_prefix("Not run, ").unwrap_or(&first.message);
                let rest = rest.trim_end_matches('.');
                lines.push(format!("{branch} - {} checks not run, {rest}", chain.len()));
            }
            [] => {}
        }
    }
    lines.join("\n") + "\n"
}

/// Whether both were not run for the same cause.
fn is_chain(before: &CheckStatus, after: &CheckStatus) -> bool {
    let is_unreached = |check: &CheckStatus| check.reason == Reason::NotReached.as_str();
    is_unreached(before)
        && is_unreached(after)
        && [before.result, after.result] == [CheckResult::Skipped; 2]
        && before.message == after.message
}

fn mark(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Passed => "✓",
        CheckResult::Warning => "!",
        CheckResult::Failed => "✗",
        CheckResult::Skipped => "-",
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
