//! A condition before it gets its times.

use crate::{
    api::{ConditionType, Reason},
    problem::Problem,
};

/// A condition without its times.
pub(super) struct ConditionDraft {
    pub(super) type_: ConditionType,
    pub(super) state: ConditionState,
    pub(super) reason: Reason,
    pub(super) message: String,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum ConditionState {
    True,
    False,
    Unknown,
}

impl ConditionState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl ConditionDraft {
    pub(super) fn new(
        type_: ConditionType,
        state: ConditionState,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, state, reason, message: message.into() }
    }

    pub(super) fn not_checked(type_: ConditionType, because: ConditionType) -> Self {
        let message = format!("{}, since {because} is not True.", left_undone(type_));
        Self::new(type_, ConditionState::Unknown, Reason::NotChecked, message)
    }

    /// Of a resource that was suspended before anything was found out.
    pub(super) fn suspended(type_: ConditionType) -> Self {
        let message = format!("{}, since spec.suspend is true.", left_undone(type_));
        Self::new(type_, ConditionState::Unknown, Reason::Suspended, message)
    }

    pub(super) fn broken(type_: ConditionType, problem: &Problem) -> Self {
        Self::new(type_, ConditionState::False, problem.reason, problem.message.clone())
    }

    /// The condition and its status, as a beginning of a sentence.
    pub(super) fn standing(&self) -> String {
        format!("{} is {}", self.type_, self.state.as_str())
    }
}

/// What did not happen where a condition says nothing: a sentence of its own for each.
fn left_undone(type_: ConditionType) -> &'static str {
    match type_ {
        ConditionType::ResolvedRefs => "No reference was followed",
        ConditionType::Verified => "No check was made",
        ConditionType::Published => "The Secret was not written",
        ConditionType::RolledOut => "Nothing was delivered",
        _ => "The spec was not looked at",
    }
}
