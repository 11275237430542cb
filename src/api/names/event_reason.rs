//! The reasons of events.

use strum::{Display, EnumIter, IntoStaticStr};

/// The reason of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum EventReason {
    /// The spec does not make sense by itself.
    NotAccepted,
    /// A reference leads to nothing usable.
    UnresolvedReference,
    /// No check failed.
    Verified,
    /// A check failed.
    CheckFailed,
    /// A check passed with a warning that was not there before.
    CheckWarned,
    /// The Secret was written.
    Published,
    /// The Secret keeps the last verified values.
    HoldingLastVerified,
    /// The Secret could not be written.
    PublishFailed,
    /// Somebody else changed the Secret or the target, and it was put right again.
    Repaired,
    /// The target's pods run with the published values.
    RolledOut,
    /// The target went back to what it had before.
    RolledBack,
    /// The published values cannot be delivered to the target.
    DeliveryFailed,
    /// The issuer's keys are not the ones of before.
    KeysChanged,
    /// The API key was replaced.
    KeyRotated,
    /// The replaced API keys were revoked before their time, since a person asked for that.
    OverlapEnded,
    /// The deletion waits for the server or the target.
    DeletionWaits,
    /// Entries and revisions stay in a target, since pods could not be replaced.
    LeftInTarget,
    /// What was made at the server stays there.
    CredentialsOrphaned,
    /// `spec.suspend` was set to true.
    Suspended,
    /// `spec.suspend` was set to false.
    Resumed,
    /// Somebody else wrote the status.
    StatusChanged,
}

impl EventReason {
    /// Whether it is a step of an ordinary run, whose good news are told together. Other events ask for something, or
    /// answer to something that a person did, and stand for themselves.
    pub fn is_step_of_run(self) -> bool {
        matches!(self, Self::Verified | Self::Published | Self::HoldingLastVerified | Self::RolledOut)
    }
}
