//! Reads which field manager set which field of an object. The API server records that in `metadata.managedFields`,
//! in the `FieldsV1` format.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::ObjectMeta;
use serde_json::{Map, Value};

/// The field managers of an object, with the fields that each has set.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManagedFields<'a>(&'a [ManagedFieldsEntry]);

/// A field manager that set a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldOwner<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// When the manager last changed any of its fields.
    pub at: Option<Timestamp>,
}

/// A step of a path through the fields of an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldPathStep<'a> {
    /// A field of a structure.
    Field(&'a str),
    /// The entry of a list with this key.
    Entry(&'static str, &'a str),
}

impl<'a> ManagedFields<'a> {
    /// The field managers that the metadata of an object list.
    pub fn of(metadata: &'a ObjectMeta) -> Self {
        Self(metadata.managed_fields.as_deref().unwrap_or_default())
    }

    /// The managers that set exactly the field at this path. The field is a single value, a list or map that the
    /// API server treats as one value, or a map as such, whoever set the fields in it.
    pub fn owners_of(self, path: &[&str]) -> impl Iterator<Item = FieldOwner<'a>> {
        self.0.iter().filter(move |entry| has(entry, path)).map(|entry| FieldOwner {
            manager: entry.manager.as_deref().unwrap_or_default(),
            at: entry.time.as_ref().map(|time| time.0),
        })
    }

    /// When the manager last changed one of its fields, or `None` if it has none.
    pub fn last_change_by(self, manager: &str) -> Option<Timestamp> {
        let entries = self.0.iter().filter(|entry| entry.manager.as_deref() == Some(manager));
        entries.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()
    }
}

/// Whether the field set of the entry contains exactly this path. `FieldsV1` expresses that by an empty map, or by
/// a map that contains `.`.
fn has(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let path: Vec<_> = path.iter().copied().map(FieldPathStep::Field).collect();
    let node = fields(entry).and_then(|fields| descend(fields, &path));
    node.is_some_and(|node| node.is_empty() || node.contains_key("."))
}

/// The fields that the manager of this entry has set.
pub(super) fn fields(entry: &ManagedFieldsEntry) -> Option<&Map<String, Value>> {
    entry.fields_v1.as_ref()?.0.as_object()
}

/// The fields below the path.
pub(super) fn descend<'a>(
    fields: &'a Map<String, Value>,
    path: &[FieldPathStep<'_>],
) -> Option<&'a Map<String, Value>> {
    path.iter().try_fold(fields, |fields, step| match step {
        FieldPathStep::Field(name) => fields.get(&format!("f:{name}"))?.as_object(),
        FieldPathStep::Entry(field, value) => {
            let found = fields.iter().find(|(key, _)| key_of(key, field).as_deref() == Some(value));
            found?.1.as_object()
        }
    })
}

/// The entries of a list, each with the value of its key.
pub(super) fn entries<'a>(
    fields: &'a Map<String, Value>,
    list: &str,
    key: &str,
) -> Vec<(String, &'a Map<String, Value>)> {
    let list = descend(fields, &[FieldPathStep::Field(list)]);
    let entries = list.into_iter().flatten();
    entries.filter_map(|(name, fields)| Some((key_of(name, key)?, fields.as_object()?))).collect()
}

/// The value of this field in a list entry's key, such as `k:{"name":"HOST"}`.
fn key_of(key: &str, field: &str) -> Option<String> {
    let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
    key.get(field)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> ObjectMeta {
        serde_json::from_value(json!({"managedFields": [
            {
                "manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {"f:spec": {"f:map": {"f:mine": {}}, "f:list": {}}},
            },
            {
                "manager": "ours", "operation": "Update", "time": "2026-01-02T00:00:00Z",
                "fieldsV1": {"f:spec": {"f:map": {".": {}, "f:a.b/c": {}, "f:mine": {}}}},
            },
            {"manager": "ours", "operation": "Update", "time": "2026-01-03T00:00:00Z", "subresource": "status"},
            {"manager": "odd", "operation": "Update", "fieldsV1": {"f:spec": []}},
        ]}))
        .unwrap()
    }

    #[test]
    fn owners_are_those_of_the_field_itself() {
        let metadata = metadata();
        let managed = ManagedFields::of(&metadata);
        for (path, owners) in [
            (&["spec", "map", "mine"][..], &["helm", "ours"][..]),
            (&["spec", "map", "a.b/c"], &["ours"]),
            // Whoever set only a field inside of the map did not set the map itself.
            (&["spec", "map"], &["ours"]),
            (&["spec", "list"], &["helm"]),
            (&["spec", "list", "x"], &[]),
            (&["spec"], &[]),
            (&["spec", "map", "."], &[]),
            (&["status"], &[]),
            (&[], &[]),
        ] {
            let found: Vec<_> = managed.owners_of(path).map(|owner| owner.manager).collect();
            assert_eq!(found, owners, "{path:?}");
        }
        assert_eq!(ManagedFields::of(&ObjectMeta::default()).owners_of(&["spec"]).count(), 0);
    }

    #[test]
    fn the_last_change_is_the_newest_of_the_manager() {
        let metadata = metadata();
        let managed = ManagedFields::of(&metadata);
        for (manager, at) in [
            ("ours", Some("2026-01-03T00:00:00Z")),
            ("helm", Some("2026-01-01T00:00:00Z")),
            ("odd", None),
            ("nobody", None),
        ] {
            assert_eq!(managed.last_change_by(manager).map(|at| at.to_string()).as_deref(), at, "{manager}");
        }
    }

    #[test]
    fn entries_of_lists_are_found_by_their_keys() {
        let list = json!({"f:env": {
            ".": {},
            "k:{\"name\":\"A\"}": {"f:value": {}},
            "k:{\"name\":\"B\",\"port\":1}": {},
            "k:{\"port\":1}": {},
            "k:no JSON": {},
            "v:\"A\"": {},
        }});
        let list = list.as_object().unwrap();
        let found = entries(list, "env", "name");
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        for (path, is_there) in [
            (
                &[
                    FieldPathStep::Field("env"),
                    FieldPathStep::Entry("name", "A"),
                    FieldPathStep::Field("value"),
                ][..],
                true,
            ),
            (&[FieldPathStep::Field("env"), FieldPathStep::Entry("name", "B")], true),
            (&[FieldPathStep::Field("env"), FieldPathStep::Entry("name", "C")], false),
            (&[FieldPathStep::Field("env"), FieldPathStep::Entry("port", "1")], false),
            (&[FieldPathStep::Entry("name", "A")], false),
        ] {
            assert_eq!(descend(list, path).is_some(), is_there, "{path:?}");
        }
    }
}
