//! Functions for free-form JSON: access to fields by their path, and merge patches.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The value at the path; null counts as absent.
pub(super) fn find<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(*name)).filter(|value| !value.is_null())
}

/// The text at the path.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    find(value, path).and_then(Value::as_str)
}

/// The entries of the list at the path; empty if there is no list.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    find(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The shortest beginning of the path that has a value other than a map, so that nothing can be put below it.
pub(super) fn obstacle<'p, 's>(value: &Value, path: &'p [&'s str]) -> Option<&'p [&'s str]> {
    let parents = (1..path.len()).filter_map(|length| path.get(..length));
    parents.into_iter().find(|parent| find(value, parent).is_some_and(|value| !value.is_object()))
}

/// Puts the value at the path. Maps that are missing on the way are created.
pub(super) fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        put(map.entry(*first).or_insert(Value::Null), rest, new);
    }
}

/// Removes the value at the path.
pub(super) fn remove(value: &mut Value, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else { return };
    let parent = parents.iter().try_fold(value, |value, name| value.get_mut(*name));
    if let Some(map) = parent.and_then(Value::as_object_mut) {
        map.remove(*last);
    }
}

/// Sorts lists of named entries into the order of the first value, followed by the new entries. A list that
/// contains a name twice is left as it is.
pub(super) fn keep_order(order: &Value, value: &mut Value) {
    match (order, value) {
        (Value::Object(order), Value::Object(fields)) => {
            for (name, value) in fields {
                if let Some(order) = order.get(name) {
                    keep_order(order, value);
                }
            }
        }
        (Value::Array(order), Value::Array(entries)) => {
            let has_each_name_once = |list: &[Value]| {
                let names: Vec<_> = list.iter().filter_map(|entry| text(entry, &["name"])).collect();
                names.len() == list.len() && names.iter().collect::<BTreeSet<_>>().len() == list.len()
            };
            if has_each_name_once(order) && has_each_name_once(entries) {
                let same =
                    |entry: &Value| order.iter().position(|each| each.get("name") == entry.get("name"));
                entries.sort_by_key(|entry| same(entry).unwrap_or(order.len()));
            }
        }
        _ => {}
    }
}

/// The merge patch (RFC 7386) that turns the first value into the second, or `None` if they are equal.
pub(super) fn difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else { return Some(to.clone()) };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter_map(|(name, value)| match old.get(name) {
        Some(old) => difference(old, value).map(|change| (name.clone(), change)),
        None => Some((name.clone(), value.clone())),
    });
    Some(gone.chain(changed).collect())
}

/// Applies a merge patch by the algorithm of RFC 7386, as an API server does.
#[cfg(test)]
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn puts_into_maps_that_are_there_or_new() {
        for (value, path, expected) in [
            (json!({}), &["a", "b"][..], json!({"a": {"b": 1}})),
            (json!({"a": null}), &["a", "b"], json!({"a": {"b": 1}})),
            (json!({"a": {"c": 2}}), &["a", "b"], json!({"a": {"b": 1, "c": 2}})),
            (json!({"a": {"b": {"c": 2}}}), &["a", "b"], json!({"a": {"b": 1}})),
        ] {
            let mut changed = value.clone();
            assert_eq!(obstacle(&value, path), None);
            put(&mut changed, path, json!(1));
            assert_eq!(changed, expected);
            remove(&mut changed, path);
            assert_eq!(find(&changed, path), None);
        }
    }

    #[test]
    fn what_takes_a_place_stands_there() {
        let list = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let before = json!({"env": list(&["A", "B", "C"]), "plain": ["b", "a"]});
        let mut after = json!({"env": list(&["C", "D", "B"]), "plain": ["a", "b"], "new": list(&["Z"])});
        keep_order(&before, &mut after);
        assert_eq!(after, json!({"env": list(&["B", "C", "D"]), "plain": ["a", "b"], "new": list(&["Z"])}));
    }

    #[test]
    fn nothing_can_be_put_below_a_scalar_or_a_list() {
        for value in [json!({"a": {"b": "x"}}), json!({"a": {"b": []}})] {
            assert_eq!(obstacle(&value, &["a", "b", "c", "d"]), Some(&["a", "b"][..]));
            assert_eq!(obstacle(&value, &["a", "b"]), None);
        }
    }

    /// JSON without null, which a merge patch cannot express.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_difference_leads_from_one_to_the_other(from in document(), to in document()) {
            let mut value = from.clone();
            if let Some(patch) = difference(&from, &to) {
                merge(&mut value, &patch);
                prop_assert_ne!(&from, &to);
            }
            prop_assert_eq!(value, to);
        }
    }
}
