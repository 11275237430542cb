//! Values in the place of settings that a server does not have, so that the rest of its settings can be checked.

use serde_json::{Map, Value};

use crate::api::CheckName;

/// What a spec has in the place of a field that the environment does not give, or gives in no usable form.
pub struct StandIn {
    /// The field of the spec.
    pub field: &'static str,
    /// The fields that the spec gets instead; null removes one.
    pub spec: fn() -> Value,
    /// The checks that say nothing then.
    pub void: &'static [CheckName],
    /// Whether W&B Server can do without the setting.
    pub need: SettingNeed,
}

/// Whether W&B Server can do without a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingNeed {
    /// Nobody can log in without it.
    Required,
    /// It works without, but a person should know.
    Expected,
    /// It makes of the value what is meant, although no resource can have it.
    Unjudged,
}

impl StandIn {
    /// Replaces the field in a spec.
    pub(super) fn put_into(&self, spec: &mut Map<String, Value>) {
        let Value::Object(fields) = (self.spec)() else { return };
        for (name, value) in fields {
            if value.is_null() {
                spec.remove(&name);
            } else {
                spec.insert(name, value);
            }
        }
    }
}
