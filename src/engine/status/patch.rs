//! Writes the status of a resource, and repairs a status that somebody else wrote.

use std::time::Instant;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use strum::IntoEnumIterator;

use super::{events::transitions, own_writes::Foreign};
use crate::engine::{
    Context, EventDraft, Kind, publish::secret::field_manager, rejection::is_conflict,
    watching::undecodable::Guarded,
};
use crate::{
    api::{CheckResult, ConditionType, Status, names::EventReason},
    error::Error,
};

/// The whole status as it is written: the part of every kind and the kind's own part.
#[derive(Serialize)]
struct WholeStatus<'a, D> {
    #[serde(flatten)]
    common: &'a Status,
    #[serde(flatten)]
    details: &'a D,
}

/// The status that a run saw at its beginning.
pub(in crate::engine) struct SeenStatus<'a, D> {
    /// The resource's version.
    pub(in crate::engine) version: Option<String>,
    pub(in crate::engine) status: Option<&'a Status>,
    pub(in crate::engine) details: D,
}

impl<'a, D> SeenStatus<'a, D> {
    /// The status of this object.
    pub(in crate::engine) fn of<K: Kind<Details = D>>(object: &'a K) -> Self {
        Self { version: object.resource_version(), status: object.status(), details: object.details() }
    }
}

/// How often a write is repeated on a newer version if only other parts of the resource were changed meanwhile.
const TRIES: u32 = 4;

impl<K: Kind> Context<K> {
    /// Writes the status, and returns the events about its transitions. A status that this process has not seen is
    /// not overwritten: a process that was paused must not replace what its successor wrote by an old status.
    pub(in crate::engine) async fn patch_status(
        &self,
        object: &impl Resource<DynamicType = ()>,
        seen: &SeenStatus<'_, K::Details>,
        (status, details): (&Status, &K::Details),
    ) -> Result<Vec<EventDraft>, Error> {
        let previous = self.memory.reported(object, |reported| {
            let previous = reported.own().map(|known| known.status.clone());
            reported.send(status, details);
            previous
        });
        let previous = previous.as_deref().or(seen.status);
        let mut version = self.memory.reported(object, |reported| reported.version(seen.version.as_deref()));
        let mut tries = 0;
        let written = loop {
            tries += 1;
            match self.write(object, version.as_deref(), status, details).await {
                Ok(written) => break written,
                Err(kube::Error::Api(answer)) if answer.is_not_found() => return Err(Error::Gone),
                Err(error) if is_conflict(&error) && tries < TRIES => {
                    version = self.version_with(object, seen).await?.ok_or(error).map(Some)?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let stored = written.0.as_ref().ok();
        let stored = stored.and_then(|stored| Some((stored.shared_status()?.clone(), stored.details())));
        let now = written.resource_version();
        self.memory.reported(object, |reported| reported.wrote((version, now), stored, Instant::now()));
        let failed = status.checks.iter().find(|check| check.result == CheckResult::Failed);
        let transitions = transitions(previous, status);
        for transition in &transitions {
            Self::log_transition(object, transition, failed);
        }
        Ok(transitions.into_iter().filter_map(|transition| transition.notice).collect())
    }

    /// The same for the object of a run, after fields that somebody else added to its status were removed.
    pub(in crate::engine) async fn replace_status(
        &self,
        object: &K,
        (status, details): (&Status, &K::Details),
    ) -> Result<Vec<EventDraft>, Error> {
        if self.memory.is_foreign(object) {
            self.clear_foreign(object, status, details).await?;
        }
        self.patch_status(object, &SeenStatus::of(object), (status, details)).await
    }

    async fn write(
        &self,
        object: &impl Resource<DynamicType = ()>,
        version: Option<&str>,
        status: &Status,
        details: &K::Details,
    ) -> Result<Guarded<K>, kube::Error> {
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The uid makes sure that an object that was deleted and created again meanwhile is not changed.
            "metadata": { "uid": object.uid(), "resourceVersion": version },
            "status": WholeStatus { common: status, details },
        });
        let parameters = PatchParams::apply(&field_manager::<K>()).force();
        let api = self.guarded(object);
        api.patch_status(&object.name_any(), &parameters, &Patch::Apply(patch)).await
    }

    /// The guarded type accepts the API server's answer even if the object's spec cannot be decoded.
    fn guarded(&self, object: &impl Resource<DynamicType = ()>) -> Api<Guarded<K>> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    /// The resource's current version, if its status is still one that this process knows.
    async fn version_with(
        &self,
        object: &impl Resource<DynamicType = ()>,
        seen: &SeenStatus<'_, K::Details>,
    ) -> Result<Option<String>, Error> {
        let Some(now) = self.guarded(object).get_opt(&object.name_any()).await? else {
            return Err(Error::Gone);
        };
        let version = now.resource_version();
        let Ok(resource) = now.0 else { return Ok(None) };
        let is_seen = resource.status() == seen.status && resource.details() == seen.details;
        let is_known = resource.uid() == object.uid() && (is_seen || !self.memory.is_foreign(&resource));
        Ok(version.filter(|_| is_known))
    }

    /// Removes fields from the status that somebody else added and this process has no value for. Server-side
    /// apply would leave them in place.
    async fn clear_foreign(&self, object: &K, status: &Status, details: &K::Details) -> Result<(), Error> {
        let found =
            WholeStatus { common: object.status().unwrap_or(&Status::default()), details: &object.details() }
                .fields();
        let surplus = surplus(&found, &WholeStatus { common: status, details }.fields());
        if surplus.is_empty() {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "uid": object.uid(), "resourceVersion": object.resource_version() },
            "status": surplus,
        });
        let parameters = PatchParams { field_manager: Some(field_manager::<K>()), ..PatchParams::default() };
        let api = self.guarded(object);
        let cleared = api.patch_status(&object.name_any(), &parameters, &Patch::Merge(patch)).await?;
        if let (Some(from), Some(to)) = (object.resource_version(), cleared.resource_version()) {
            self.memory
                .reported(object, |reported| reported.changed((&from, &to), Some(&from), Instant::now()));
        }
        Ok(())
    }
}

impl<D: Serialize> WholeStatus<'_, D> {
    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }
}

/// The fields that are only in the status that was found, as a merge patch that removes them. One surplus
/// condition removes all conditions, because they are written again right after that.
fn surplus(found: &Map<String, Value>, own: &Map<String, Value>) -> Map<String, Value> {
    let has = |fields: &Map<String, Value>, type_: ConditionType| {
        let conditions = fields.get("conditions").and_then(Value::as_array);
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.get("type").and_then(Value::as_str) == Some(type_.as_str()))
    };
    let has_more = ConditionType::iter().any(|type_| has(found, type_) && !has(own, type_));
    let fields = found.keys().filter(|field| !own.contains_key(*field));
    let fields = fields.map(String::as_str).chain(has_more.then_some("conditions"));
    fields.map(|field| (field.to_owned(), Value::Null)).collect()
}

/// Whether a resource must run because somebody else wrote its status, which is told.
pub(in crate::engine) fn mend_status<K: Kind>(context: &Context<K>, object: &Guarded<K>) -> bool {
    let Ok(resource) = &object.0 else { return false };
    let note = match context.memory.judge_status(resource, Instant::now()) {
        Foreign::No | Foreign::Leave => return false,
        Foreign::Mend => {
            "Somebody else changed the status, and the operator wrote it again. Find out who does that: only this operator should write it."
        }
        Foreign::MendOnceMore => {
            "Somebody else keeps changing the status. The operator writes it once more, and then for some minutes only after a regular check. Find out who does that, such as a second operator in this namespace."
        }
    };
    context
        .publish_event(resource, &EventDraft::warning(EventReason::StatusChanged, "Mend", note.to_owned()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_applying_would_leave_is_removed() {
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let own = fields(json!({"observedGeneration": 1, "conditions": [{"type": "Ready"}]}));
        for (found, expected) in [
            (json!({"observedGeneration": 7, "conditions": [{"type": "Ready"}]}), json!({})),
            (json!({"conditions": [{"type": "Ready"}], "revision": 3}), json!({"revision": null})),
            (json!({"conditions": [{"type": "Ready"}, {"type": "Stalled"}]}), json!({"conditions": null})),
            // A condition of another tool stays.
            (json!({"conditions": [{"type": "Ready"}, {"type": "example.com/Seen"}]}), json!({})),
        ] {
            assert_eq!(Value::Object(surplus(&fields(found.clone()), &own)), expected, "{found}");
        }
    }
}
