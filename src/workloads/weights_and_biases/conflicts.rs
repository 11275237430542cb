//! Collects fields that somebody else has set, and makes one problem of them.

use super::edit::ForeignEntries;
use crate::{
    api::Reason,
    problem::{Problem, quote},
    workloads::{ADVICE_TO_ADOPT, Owner},
};

/// Fields that somebody else has set, as texts with the field managers where these are known.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Vec<String>);

impl Conflicts {
    /// Adds a field, unless it has been added already.
    pub fn add(&mut self, field: &str, managers: &[&str]) {
        let field = quote(field);
        let text = match managers {
            [] => field,
            managers => format!("{field} (by {})", quote(&managers.join(", "))),
        };
        if !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    /// The problem that reports the fields, or `None` if there are none.
    pub fn into_problem(self, name: &str, owner: &Owner, others: ForeignEntries) -> Option<Problem> {
        let advice = match others {
            ForeignEntries::Refuse => ADVICE_TO_ADOPT,
            ForeignEntries::TakeOver => {
                "They cannot be taken over from there. First set the same values at the same places of the resource's own spec: the server still gets what it gets now. Then remove them where they are named here: the operator takes them over from the resource."
            }
        };
        (!self.0.is_empty()).then(|| {
            Problem::new(
                Reason::FieldConflict,
                format!(
                    "Somebody else has set what {} delivers to the WeightsAndBiases \"{name}\": {}. Nothing was changed there. {advice}",
                    owner.title,
                    self.0.join(", ")
                ),
            )
        })
    }
}
