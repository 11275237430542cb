//! What W&B Server makes of single variables, where that may not be what is meant.

use std::time::Duration;

use super::FoundEnvironment;
use crate::{
    api::{CheckFrom, CheckName, CheckResult, Reason},
    engine::{Finding, Kind},
    text::Text,
};

/// What a person should know about a variable.
pub(super) fn remark(name: &str, result: CheckResult, reason: Reason, message: impl Into<Text>) -> Finding {
    let name = CheckName::Variable(name.into());
    Finding {
        name,
        result,
        reason,
        message: message.into(),
        duration: Duration::ZERO,
        from: CheckFrom::Operator,
    }
}

/// The variables of a kind whose values are in quotation marks. A shell takes them off, and neither Kubernetes nor
/// docker's `--env-file` does.
pub(super) fn quoted<K: Kind>(found: &FoundEnvironment) -> impl Iterator<Item = Finding> {
    let is_quoted = |name: &&str| {
        let value = found.variables.get(*name).and_then(|variable| variable.value.as_ref());
        value.is_some_and(|value| {
            let within =
                |mark: char| value.expose().strip_prefix(mark).is_some_and(|rest| rest.ends_with(mark));
            within('"') || within('\'')
        })
    };
    let names = K::ENVIRONMENT.iter().flat_map(|env| env.names()).filter(is_quoted);
    names.map(|name| {
        let message = format!(
            "{name} begins and ends with a quotation mark, and both are a part of its value. Take them off, unless they are meant."
        );
        remark(name, CheckResult::Warning, Reason::VariableMalformed, message)
    })
}
