//! Fields that somebody else has set.

use crate::{
    api::Reason,
    problem::{Problem, quote},
    target::Owner,
};

/// Fields that somebody else has set, with who did where that is known.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Vec<String>);

/// The most fields that a message names.
const NAMED: usize = 3;

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
    pub fn into_problem(self, name: &str, owner: &Owner) -> Option<Problem> {
        let fields = self.0.get(..NAMED).unwrap_or(&self.0).join(", ");
        let more = match self.0.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!self.0.is_empty()).then(|| {
            Problem::new(
                Reason::FieldConflict,
                format!(
                    "Somebody else has set what {} delivers to the WeightsAndBiases \"{name}\": {fields}{more}. Nothing was changed there: take these out where they come from (a manifest, a chart's values), or take spec.target out of this resource.",
                    owner.title
                ),
            )
        })
    }
}
