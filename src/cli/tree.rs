//! Trees for people: branches below a title, with signs, and lines that end before the edge of the terminal.

use anstyle::Style;
use serde::Serialize;

use super::{
    check::ResourceFindings,
    terminal::{BAD, DOUBTFUL, FAINT, GOOD, Glyphs, TITLE, styled, wrapped},
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

/// How a tree is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// How many characters fit into a line, if that is known.
    pub(super) width: Option<usize>,
    /// Which findings are shown.
    pub(super) detail: Detail,
    /// The signs that the terminal can show.
    pub(super) glyphs: Glyphs,
}

/// How the thing is that a branch speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mark {
    /// As it should be.
    Good,
    /// It works, and deserves a look.
    Doubtful,
    /// It does not work.
    Bad,
    /// Nobody looks at it.
    Idle,
    /// It is under way.
    Moving,
    /// Nothing is judged.
    None,
}

impl Mark {
    /// The style of what it stands before.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Good => GOOD,
            Self::Doubtful | Self::Moving => DOUBTFUL,
            Self::Bad => BAD,
            Self::Idle => FAINT,
            Self::None => Style::new(),
        }
    }

    fn sign(self, glyphs: Glyphs) -> &'static str {
        match self {
            Self::Good => glyphs.good,
            Self::Doubtful => glyphs.doubtful,
            Self::Bad => glyphs.bad,
            Self::Idle => glyphs.idle,
            Self::Moving => glyphs.moving,
            Self::None => "",
        }
    }
}

/// A branch of a tree.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// The sign before the label.
    pub(super) mark: Mark,
    /// The line of the branch itself; it may have styles.
    pub(super) label: String,
    /// What stands below the label, each on lines of its own.
    pub(super) texts: Vec<String>,
    /// The branches of this branch.
    pub(super) branches: Vec<Self>,
}

impl Branch {
    /// A branch with nothing below it.
    pub(super) fn new(mark: Mark, label: impl Into<String>) -> Self {
        Self { mark, label: label.into(), texts: Vec::new(), branches: Vec::new() }
    }

    /// The branch with another text below its label; one with nothing in it is left out.
    #[must_use]
    pub(super) fn saying(mut self, text: impl Into<String>) -> Self {
        self.texts.extend(Some(text.into()).filter(|text| !text.is_empty()));
        self
    }

    /// The branch with these below it.
    #[must_use]
    pub(super) fn with(mut self, branches: impl IntoIterator<Item = Self>) -> Self {
        self.branches.extend(branches);
        self
    }

    /// The branch of a check, with what was seen.
    pub(super) fn of_check(check: &CheckStatus) -> Self {
        let is_told = check.reason == Reason::Passed.as_str() || check.result == CheckResult::Skipped;
        let reason = if is_told { String::new() } else { format!(": {}", check.reason) };
        Self::new(mark(check.result), format!("{}{reason}", check.name)).saying(check.message.as_str())
    }
}

/// A title, with its texts and branches below it.
pub(super) fn draw_tree(root: &Branch, layout: Layout) -> String {
    let mut lines = vec![heading(root, layout)];
    let indent = if root.mark == Mark::None { "" } else { "  " };
    for text in &root.texts {
        lines.extend(indented(text, indent, layout));
    }
    grow(&root.branches, "", layout, &mut lines);
    lines.join("\n") + "\n"
}

/// A sentence that belongs to no branch.
pub(super) fn remark(mark: Mark, text: &str, layout: Layout) -> String {
    let width = layout.width.map(|width| width.saturating_sub(2));
    heading(&Branch::new(mark, wrapped(text, width).join("\n  ")), layout) + "\n"
}

/// The sign and the label.
fn heading(branch: &Branch, layout: Layout) -> String {
    match branch.mark {
        Mark::None => branch.label.clone(),
        mark => format!("{} {}", styled(mark.style(), mark.sign(layout.glyphs)), branch.label),
    }
}

/// Adds the lines of these branches, each of which begins with the prefix.
fn grow(branches: &[Branch], prefix: &str, layout: Layout, lines: &mut Vec<String>) {
    let glyphs = layout.glyphs;
    let last = branches.len().saturating_sub(1);
    for (index, branch) in branches.iter().enumerate() {
        let (joint, trunk) =
            if index == last { (glyphs.corner, "  ") } else { (glyphs.branch, glyphs.trunk) };
        let below = format!("{prefix}{trunk} ");
        lines.push(format!("{prefix}{joint} {}", heading(branch, layout)));
        // Texts stand below the label, with the line to the branches that follow them at its left.
        let rail = if branch.branches.is_empty() { "  " } else { glyphs.trunk };
        let indent = if branch.mark == Mark::None && branch.branches.is_empty() {
            below.clone()
        } else {
            format!("{below}{rail}")
        };
        for text in &branch.texts {
            lines.extend(indented(text, &indent, layout));
        }
        grow(&branch.branches, &below, layout, lines);
    }
}

fn indented(text: &str, indent: &str, layout: Layout) -> Vec<String> {
    let width = layout.width.map(|width| width.saturating_sub(indent.chars().count()));
    wrapped(text, width).into_iter().map(|line| format!("{indent}{line}")).collect()
}

/// The findings of one resource, a line a check; checks that were not reached are one line together. Nothing where
/// there is nothing to be shown.
pub(super) fn draw(report: &ResourceFindings, advice: Option<&str>, layout: Layout) -> String {
    let obstacle = report.obstacle.as_ref().map(|obstacle| {
        Branch::new(Mark::Bad, format!("{}: {}", obstacle.condition, obstacle.reason))
            .saying(&obstacle.message)
            .saying(advice.unwrap_or_default())
    });
    let findings = report.checks.iter().zip(report.durations_milliseconds.iter().copied());
    let findings: Vec<_> = findings.filter(|(check, _)| is_shown(check, layout.detail)).collect();
    let branches: Vec<_> = obstacle.into_iter().chain(of_checks(&findings)).collect();
    if branches.is_empty() {
        return String::new();
    }
    let title = format!("{}  ({})", styled(TITLE, &report.title), report.origin);
    draw_tree(&Branch::new(Mark::None, title).with(branches), layout)
}

/// A branch for each check, with how long it took; those that were not reached for one cause are one together.
pub(super) fn of_checks(findings: &[(&CheckStatus, f64)]) -> Vec<Branch> {
    let chains = findings.chunk_by(|(before, _), (after, _)| is_chain(before, after));
    let branches = chains.filter_map(|chain| match chain {
        [(check, milliseconds)] => {
            let mut branch = Branch::of_check(check);
            if *milliseconds > 0.0 {
                branch.label = format!("{}  ({milliseconds:.1} ms)", branch.label);
            }
            Some(branch)
        }
        [(first, _), ..] => {
            let rest = first.message.strip_prefix("Not run, ").unwrap_or(&first.message);
            let rest = rest.trim_end_matches('.');
            let label = format!("{} checks not run, {rest}", chain.len());
            Some(Branch::new(Mark::Idle, styled(FAINT, label)))
        }
        [] => None,
    });
    branches.collect()
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

fn mark(result: CheckResult) -> Mark {
    match result {
        CheckResult::Passed => Mark::Good,
        CheckResult::Warning => Mark::Doubtful,
        CheckResult::Failed => Mark::Bad,
        CheckResult::Skipped => Mark::Idle,
    }
}
