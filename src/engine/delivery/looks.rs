//! What a look at a target tells people: pure.

use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Finding, Kind},
    target::Environment,
};

/// W&B's own way back in, when nobody can log in any more.
const BREAK_GLASS: &str = "LOCAL_RESTORE";

/// What the target tells beside how the rollout goes. Nothing of it fails a resource.
pub(in crate::engine) fn looks<K: Kind>(object: &K, environment: &Environment) -> Vec<Finding> {
    let mut findings = vec![Finding::noted(CheckName::RestoreMode, restore_mode(environment))];
    findings.extend(
        rollout_strategy(environment).map(|checked| Finding::noted(CheckName::RolloutStrategy, checked)),
    );
    findings
        .extend(object.look(environment).into_iter().map(|(name, checked)| Finding::noted(name, checked)));
    findings
}

fn restore_mode(environment: &Environment) -> Checked {
    let is_on = environment.literals.get(BREAK_GLASS).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_on {
        return Checked::warning(
            (),
            Reason::RestoreModeOn,
            format!(
                "{BREAK_GLASS} is true in the target: single sign-on is off, and a temporary password stands in the log. Remove it once people can log in again."
            ),
        );
    }
    if environment.references.contains(BREAK_GLASS) {
        return Checked::passed(
            (),
            format!(
                "{BREAK_GLASS} takes its value from elsewhere, which was not read. Look there if single sign-on is off."
            ),
        );
    }
    Checked::passed((), format!("{BREAK_GLASS} is not on."))
}

fn rollout_strategy(environment: &Environment) -> Option<Checked> {
    let remarks = environment.remarks.as_ref()?;
    if remarks.is_empty() {
        return Some(Checked::passed((), "A rollout leaves pods ready at every moment."));
    }
    Some(Checked::warning((), Reason::RolloutInterrupts, remarks.join(" ")))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn says_only_what_was_looked_at() {
        let literal = |value: &str| Environment {
            literals: [(BREAK_GLASS.to_owned(), value.to_owned())].into(),
            ..Environment::default()
        };
        let reference = Environment { references: [BREAK_GLASS.to_owned()].into(), ..Environment::default() };
        let remarked = |remarks: &[&str]| Environment {
            remarks: Some(remarks.iter().map(|remark| (*remark).to_owned()).collect()),
            ..Environment::default()
        };
        let mut found = String::new();
        for environment in
            [literal("True"), literal("false"), reference, remarked(&[]), remarked(&["A.", "B."])]
        {
            let restore = Finding::noted(CheckName::RestoreMode, restore_mode(&environment));
            writeln!(found, "{:?}: {}", restore.result, restore.message).unwrap();
            if let Some(checked) = rollout_strategy(&environment) {
                let strategy = Finding::noted(CheckName::RolloutStrategy, checked);
                writeln!(found, "  {:?}: {}", strategy.result, strategy.message).unwrap();
            }
        }
        insta::assert_snapshot!(found);
    }
}
