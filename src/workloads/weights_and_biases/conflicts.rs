//! Fields that somebody else has set.

use super::edit::ForeignEntries;
use crate::{
    api::Reason,
    problem::{Problem, quote},
    workloads::{ADVICE_TO_ADOPT, Owner},
};

/// Fields that somebody else has set, with who did where that is known.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Vec<String>);

impl Conflicts {
    /// Notes a field, once.
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

    /// The problem that the fields are, if there are any.
    pub fn into_problem(self, name: &str, owner: &Owner, others: ForeignEntries) -> Option<Problem> {
        let advice = match others {
            ForeignEntries::Refuse => ADVICE_TO_ADOPT,
            ForeignEntries::TakeOver => {
                "They cannot be taken over from there. First give the same values at the same places of the resource's own spec, which changes nothing of what the server gets, and then take them out where they are named here: from the resource they are taken over."
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
