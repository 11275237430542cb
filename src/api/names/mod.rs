//! The words that programs match on. Each stands here and nowhere else.

mod check_name;
mod condition_type;
mod event_reason;
mod reason;
mod reference;

pub use check_name::CheckName;
pub use condition_type::ConditionType;
pub use event_reason::EventReason;
pub use reason::{CredentialsAnswer, Reason, Resolution};
pub use reference::{ReferenceEntry, ReferenceTopic};
