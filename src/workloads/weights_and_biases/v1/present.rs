//! Finds what the parts of the server that answer logins have now under the names of a delivery, wherever in the
//! values that comes from. This is pure.

use serde_json::Value;

use super::{V1Snapshot, effective, elsewhere, login_applications};
use crate::workloads::{
    EntryHolder, PresentVariable, ValueOrigin,
    weights_and_biases::{edit::Edit, origin, reference::Form},
};

/// The variables of these names, as the chart gives them to each part that answers logins. If the chart gives none
/// of a name, a value that the edit would replace counts instead.
pub fn present(edit: Edit<'_>, seen: &V1Snapshot<'_>, names: &[&str]) -> Vec<PresentVariable> {
    let layers = seen.layers();
    let mut present = Vec::new();
    for application in login_applications(&layers) {
        let environment = effective::environment(&layers, application);
        let wanted = environment.into_iter().filter(|(name, _)| names.contains(&name.as_str()));
        present.extend(wanted.map(|(name, effective::ChartVariable { value, place })| {
            let path = elsewhere::in_the_resource(&place);
            PresentVariable {
                name,
                container: application.to_owned(),
                holder: edit.holder(&path, Form::Variable.secret(&value)),
                value: rendered(&value),
                managers: edit.foreign_managers(&path).into_iter().map(str::to_owned).collect(),
            }
        }));
    }
    let is_known = |other: &PresentVariable| {
        present.iter().any(|each| each.name == other.name && each.holder == EntryHolder::Other)
    };
    let idle: Vec<_> = edit.occupied().into_iter().filter(|other| !is_known(other)).collect();
    present.extend(idle);
    present
}

/// From this size on, Go prints a number in the chart's values with an exponent.
const PLAIN_NUMBERS: f64 = 1e6;

/// The origin of the value that the chart makes of this one.
fn rendered(value: &Value) -> ValueOrigin {
    let is_plain = |number: &serde_json::Number| {
        number.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < PLAIN_NUMBERS)
    };
    match value {
        Value::Number(number) if !is_plain(number) => {
            ValueOrigin::Unknown("it is a number, which the chart writes in a form of its own".into())
        }
        value if value.to_string().contains("{{") => {
            ValueOrigin::Unknown("the chart's template engine makes it".into())
        }
        value => origin::of_field(value),
    }
}

#[cfg(test)]
mod tests;
