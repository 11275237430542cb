//! Which changes of the resources of a kind lead to a run of them, and when. Pure.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use kube::{
    Resource, ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};

use crate::text::Text;

/// What of each resource leads to a run where it changes, by its namespace and name: a status that the operator wrote
/// itself does not, and a finalizer that somebody removed does.
type Marks = HashMap<(Text, Text), u64>;

/// The changes of a kind's resources.
///
/// Those of a list lead to runs when all of it is known: until then the store has each resource as it was before, or
/// not at all, and a run would be about that.
pub(super) struct Changes<K: Resource> {
    marks: Marks,
    listing: Listing<K>,
}

/// The list that is under way.
struct Listing<K: Resource> {
    marks: Marks,
    changed: Vec<ObjectRef<K>>,
}

impl<K: Resource> Default for Listing<K> {
    fn default() -> Self {
        Self { marks: Marks::new(), changed: Vec::new() }
    }
}

impl<K: Resource<DynamicType = ()>> Changes<K> {
    /// Before the first list.
    pub(super) fn new() -> Self {
        Self { marks: Marks::new(), listing: Listing::default() }
    }

    /// Takes a change in that the store has taken in. Returns the resources that are to run now: those of which
    /// something changed that matters, and those that need a run for another reason.
    pub(super) fn take_in(
        &mut self,
        event: &Event<K>,
        needs_run: impl FnOnce(&K) -> bool,
    ) -> Vec<ObjectRef<K>> {
        match event {
            Event::Init => self.listing = Listing::default(),
            Event::InitApply(object) => {
                let (key, mark) = (key(object), mark(object));
                if needs_run(object) || self.marks.get(&key) != Some(&mark) {
                    self.listing.changed.push(ObjectRef::from_obj(object));
                }
                self.listing.marks.insert(key, mark);
            }
            Event::InitDone => {
                let Listing { marks, changed } = std::mem::take(&mut self.listing);
                self.marks = marks;
                return changed;
            }
            Event::Apply(object) => {
                let mark = mark(object);
                let before = self.marks.insert(key(object), mark);
                if needs_run(object) || before != Some(mark) {
                    return vec![ObjectRef::from_obj(object)];
                }
            }
            Event::Delete(object) => {
                self.marks.remove(&key(object));
            }
        }
        Vec::new()
    }
}

fn key(object: &impl Resource) -> (Text, Text) {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}

fn mark(object: &impl Resource) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = object.meta();
    (&meta.uid, meta.generation, &meta.annotations, &meta.finalizers).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LdapConfig;

    /// A resource of this generation, whose status is of that version.
    fn resource(name: &str, generation: i64, version: &str) -> LdapConfig {
        serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {
                "name": name, "namespace": "team", "uid": "u", "generation": generation,
                "resourceVersion": version,
            },
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"},
        }))
        .unwrap()
    }

    fn names(
        changes: &mut Changes<LdapConfig>,
        event: &Event<LdapConfig>,
        needs_run: impl FnOnce(&LdapConfig) -> bool,
    ) -> Vec<String> {
        changes.take_in(event, needs_run).into_iter().map(|reference| reference.name).collect()
    }

    fn after(changes: &mut Changes<LdapConfig>, event: &Event<LdapConfig>) -> Vec<String> {
        names(changes, event, |_| false)
    }

    #[test]
    fn nobody_runs_before_a_list_is_complete() {
        let mut changes = Changes::new();
        let none = Vec::<String>::new();
        assert_eq!(after(&mut changes, &Event::Init), none);
        for name in ["a", "b", "c"] {
            assert_eq!(after(&mut changes, &Event::InitApply(resource(name, 1, "1"))), none);
        }
        assert_eq!(after(&mut changes, &Event::InitDone), ["a", "b", "c"]);

        // Some pages of the next list come twice, since it begins again.
        for _ in 0..2 {
            assert_eq!(after(&mut changes, &Event::Init), none);
            for (name, generation) in [("a", 1), ("b", 2), ("new", 1)] {
                assert_eq!(after(&mut changes, &Event::InitApply(resource(name, generation, "2"))), none);
            }
        }
        let foreign = names(&mut changes, &Event::InitApply(resource("d", 1, "2")), |_| true);
        assert_eq!(foreign, none);
        assert_eq!(after(&mut changes, &Event::InitDone), ["b", "new", "d"]);
        // It is gone, so that it is another one when it comes back.
        assert_eq!(after(&mut changes, &Event::Apply(resource("c", 1, "3"))), ["c"]);
    }

    #[test]
    fn a_status_is_no_reason_for_a_run() {
        let mut changes = Changes::new();
        let none = Vec::<String>::new();
        assert_eq!(after(&mut changes, &Event::Apply(resource("a", 1, "1"))), ["a"]);
        assert_eq!(after(&mut changes, &Event::Apply(resource("a", 1, "2"))), none);
        assert_eq!(names(&mut changes, &Event::Apply(resource("a", 1, "3")), |_| true), ["a"]);
        let mut finalized = resource("a", 1, "4");
        finalized.metadata.finalizers = Some(vec!["auth.wandb.com/own".to_owned()]);
        assert_eq!(after(&mut changes, &Event::Apply(finalized.clone())), ["a"]);
        finalized.metadata.annotations = Some([("auth.wandb.com/recheck".to_owned(), "1".to_owned())].into());
        assert_eq!(after(&mut changes, &Event::Apply(finalized.clone())), ["a"]);
        assert_eq!(after(&mut changes, &Event::Delete(finalized.clone())), none);
        assert_eq!(after(&mut changes, &Event::Apply(finalized)), ["a"]);
    }
}
