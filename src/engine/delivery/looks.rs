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
    findings.push(Finding::noted(CheckName::RolloutStrategy, rollout_strategy(environment)));
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
    Checked::passed((), format!("{BREAK_GLASS} is not on."))
}

fn rollout_strategy(environment: &Environment) -> Checked {
    if environment.remarks.is_empty() {
        return Checked::passed((), "A rollout leaves pods ready at every moment.");
    }
    Checked::warning((), Reason::RolloutInterrupts, environment.remarks.join(" "))
}
