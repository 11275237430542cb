//! Reasons and checks.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use strum::IntoEnumIterator;
use wandb_auth_operator::api::{CheckName, Reason, names::Resolution};

use super::{Kept, Member, NOTE, Table, check, code, members};

const REASONS: &str = "docs/reference/reasons.md";
const CHECKS: &str = "docs/reference/checks.md";

/// Reasons of what is as it should be, or was not looked at.
const GOOD: [Reason; 10] = [
    Reason::Valid,
    Reason::Resolved,
    Reason::ChecksPassed,
    Reason::Published,
    Reason::Ready,
    Reason::Passed,
    Reason::RolledOut,
    Reason::NotChecked,
    Reason::NotReached,
    Reason::NotRequested,
];

/// The text with a heading for each group.
fn grouped(
    names: &[Member],
    head: &[&str],
    cells: impl Fn(&Member) -> Result<Vec<String>>,
) -> Result<String> {
    let mut text = String::new();
    for group in names.chunk_by(|before, after| before.group == after.group) {
        let title = group.first().map(|name| name.group.as_str()).unwrap_or_default();
        text = text + "## " + title + "\n\n";
        let mut table = Table::new(head);
        for name in group {
            table.row(cells(name)?);
        }
        text += &table.end();
    }
    Ok(text)
}

#[test]
fn reasons_are_up_to_date() -> Result<()> {
    let names = members("src/api/names/reason.rs", "Reason")?;
    ensure!(names.len() == Reason::iter().count());
    let kept = Kept::of(REASONS);
    let tables = grouped(&names, &["reason", "what was seen", "ends", "what to do"], |name| {
        let reason = Reason::from_str(&name.name).with_context(|| name.name.clone())?;
        let ends = match reason.remedy() {
            _ if GOOD.contains(&reason) => "–",
            Resolution::Person => "by a person",
            Resolution::Retry => "by itself, perhaps",
        };
        Ok(vec![code(&name.name), name.meaning.clone(), ends.to_owned(), kept.cell(&name.name)])
    })?;
    let text = format!(
        "# Reasons\n\n{NOTE}The one word of a condition or a check. The message beside it says what was seen in your case, what \
         was expected and what to do. *Ends by a person* means that the operator does not expect it to pass: the resource is \
         `Stalled` where it is a condition's reason. *Ends by itself, perhaps* means that the operator goes on trying.\n\n{tables}"
    );
    check(REASONS, &(text.trim_end().to_owned() + "\n"))
}

#[test]
fn checks_are_up_to_date() -> Result<()> {
    let names = members("src/api/names/check_name.rs", "CheckName")?;
    ensure!(names.len() == CheckName::iter().count());
    let kept = Kept::of(CHECKS);
    let tables =
        grouped(&names, &["check", "what is right when it passes", "look here when it does not"], |name| {
            let shown = match name.name.as_str() {
                "TestUser" => "TestUser/<number>",
                "Sample" => "Sample/<name>",
                "Variable" => "Variable/<name>",
                other => other,
            };
            Ok(vec![code(shown), name.meaning.clone(), kept.cell(shown)])
        })?;
    let password: Vec<_> =
        CheckName::iter().filter(CheckName::sends_credentials).map(|it| code(it.family())).collect();
    let target: Vec<_> =
        CheckName::iter().filter(CheckName::looks_at_target).map(|it| code(it.family())).collect();
    let text = format!(
        "# Checks\n\n{NOTE}The checks of `status.checks`, in the order in which a run makes them. A failed check skips those that \
         depend on it. A warning holds nothing back.\n\n\
         - A check that sends a password that a directory may count is not repeated after a refusal: {}.\n\
         - These look at the target, and so are not made by the command `check` on files: {}.\n\n{tables}",
        password.join(", "),
        target.join(", ")
    );
    check(CHECKS, &(text.trim_end().to_owned() + "\n"))
}
