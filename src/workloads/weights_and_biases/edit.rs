//! One owner's entries in a copy of the resource: each step looks at what was seen, and either puts the
//! owner's entry there, or takes it out, or notes that somebody else has the place.

use serde_json::{Value, json};

use super::{authorities, conflicts::Conflicts, origin, reference::Form, tree};
use crate::{
    api::MANAGER,
    problem::Problem,
    workloads::{EntryHolder, Owner, PresentVariable, ValueOrigin, managed_fields::ManagedFields},
};

/// A field that holds a value itself.
pub(super) struct Literal<'a> {
    pub path: &'a [&'a str],
    /// The name under which its value is published, where it is.
    pub name: Option<&'a str>,
    /// What it holds while nobody sets it; null for nothing.
    pub unset: Value,
}

/// A copy of the resource in which one owner's entries change.
pub(super) struct Edit<'a> {
    owner: &'a Owner,
    displaced: &'a [Owner],
    /// The name of the Secret that the entries are to refer to.
    revision: Option<String>,
    managed: ManagedFields<'a>,
    seen: &'a Value,
    copy: Value,
    conflicts: Conflicts,
    others: ForeignEntries,
    /// What others have set of what is wanted.
    occupied: Vec<PresentVariable>,
}

/// What becomes of what somebody else has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignEntries {
    /// It is in the way.
    Refuse,
    /// It gives its place up.
    TakeOver,
}

impl<'a> Edit<'a> {
    /// A copy as it was seen.
    pub fn new(
        seen: &'a Value,
        managed: ManagedFields<'a>,
        owner: &'a Owner,
        number: Option<u64>,
        displaced: &'a [Owner],
    ) -> Self {
        let revision = number.map(|number| owner.revision(number));
        let conflicts = Conflicts::default();
        let (copy, others, occupied) = (seen.clone(), ForeignEntries::Refuse, Vec::new());
        Self { owner, displaced, revision, managed, seen, copy, conflicts, others, occupied }
    }

    /// The same, where others give their places up.
    #[must_use]
    pub fn taking_over(self) -> Self {
        Self { others: ForeignEntries::TakeOver, ..self }
    }

    /// What others have set of what is wanted.
    pub fn occupied(self) -> Vec<PresentVariable> {
        self.occupied
    }

    /// What was seen.
    pub fn seen(&self) -> &'a Value {
        self.seen
    }

    /// What it is to become.
    pub fn edited(&self) -> &Value {
        &self.copy
    }

    /// Whether others give their places up.
    pub fn is_taking_over(&self) -> bool {
        self.others == ForeignEntries::TakeOver
    }

    /// Whether it is to become anything else.
    pub fn is_changed(&self) -> bool {
        self.copy != *self.seen
    }

    /// The merge patch of the changes.
    pub fn finish(self, name: &str) -> Result<Option<Value>, Problem> {
        let change = tree::difference(self.seen, &self.copy);
        self.conflicts.into_problem(name, self.owner, self.others).map_or(Ok(change), Err)
    }

    /// The same for an object that has more than what was edited. What takes the place of an entry there stands where
    /// that stood.
    pub fn finish_over(mut self, base: &Value, name: &str) -> Result<Option<Value>, Problem> {
        tree::keep_order(base, &mut self.copy);
        let change = tree::difference(base, &self.copy);
        self.conflicts.into_problem(name, self.owner, self.others).map_or(Ok(change), Err)
    }

    /// The field refers to this key, or not to the owner.
    pub fn reference(&mut self, path: &[&str], form: Form, key: Option<&str>) {
        let present = tree::find(self.seen, path).filter(|value| !form.is_vacant(value));
        self.refer(path, form, present, key);
    }

    /// The field refers to this key, or not to the owner. Under a variable of the owner that beats the field there
    /// is nothing but what came with that variable by conversion from the first version.
    pub fn field(&mut self, path: &[&str], form: Form, key: Option<&str>, (list, name): (&[&str], &str)) {
        let is_beaten = tree::list(self.seen, list).iter().any(|entry| {
            tree::text(entry, &["name"]) == Some(name) && self.is_own(Form::Variable.secret(entry))
        });
        let present = tree::find(self.seen, path).filter(|value| !form.is_vacant(value));
        let stays = present.filter(|value| !is_beaten || self.is_own(form.secret(value)));
        if present.is_some() && stays.is_none() {
            self.take_out(path);
        }
        self.refer(path, form, stays, key);
    }

    fn refer(&mut self, path: &[&str], form: Form, present: Option<&Value>, key: Option<&str>) {
        let secret = present.and_then(|value| form.secret(value));
        let wanted = self.revision.clone().zip(key);
        match (present, wanted) {
            (Some(present), Some((revision, key))) if form.says(present, &revision, key) => {}
            (Some(present), Some((_, key)))
                if !self.may_replace(secret)
                    && !self.takes_over(path, Some(key), origin::of_field(present)) =>
            {
                self.conflict(path);
            }
            (_, Some((revision, key))) => self.put(path, form.to(&revision, key)),
            (Some(_), None) if self.is_own(secret) => self.take_out(path),
            (_, None) => {}
        }
    }

    /// A variable at the path gives way to another place of the owner, over which it would win. Whose it is otherwise
    /// is for the caller to tell.
    pub fn give_way(&mut self, path: &[&str]) {
        let Some(present) = tree::find(self.seen, path) else { return };
        if self.is_taking_over() || self.may_replace(Form::Variable.secret(present)) {
            self.take_out(path);
        }
    }

    /// Who has set the field: the owner, one that gives way to it, or somebody else.
    pub fn holder(&self, path: &[&str], secret: Option<&str>) -> EntryHolder {
        if self.is_own(secret) || (secret.is_none() && self.is_made_here(path)) {
            EntryHolder::Own
        } else if self.may_replace(secret) {
            EntryHolder::Yielding
        } else {
            EntryHolder::Other
        }
    }

    /// Nobody sets these environment variables, since another place of the owner stands for them.
    pub fn vacant_variables(&mut self, path: &[&str], names: &[&str]) {
        let entries = tree::list(self.seen, path);
        for (entry, value) in entries.iter().zip(origin::of_list(entries)) {
            let name = tree::text(entry, &["name"]).unwrap_or_default();
            if names.contains(&name)
                && !self.may_replace(Form::Variable.secret(entry))
                && !self.takes_over(path, Some(name), value)
            {
                self.conflict_in_list(path, name);
            }
        }
    }

    /// The list of environment variables has these of the owner, each from the key of its name.
    pub fn variables(&mut self, path: &[&str], names: &[&str]) {
        let form = Form::Variable;
        let entry = |name: &str| {
            let mut entry = self.revision.as_deref().map(|revision| form.to(revision, name))?;
            tree::put(&mut entry, &["name"], json!(name));
            Some(entry)
        };
        let mut wanted: Vec<_> = names.iter().filter_map(|name| Some((*name, entry(name)?))).collect();
        let mut entries = Vec::new();
        let displaced = self.displaced(path);
        let present = tree::list(self.seen, path);
        for (present, value) in present.iter().zip(origin::of_list(present)) {
            let name = tree::text(present, &["name"]).unwrap_or_default();
            let secret = form.secret(present);
            let is_wanted = self.revision.is_some() && names.contains(&name);
            // Another place stands for it.
            if displaced.iter().any(|other| other == name) {
                continue;
            }
            if is_wanted && !self.may_replace(secret) && !self.takes_over(path, Some(name), value) {
                self.conflict_in_list(path, name);
            } else if is_wanted || self.is_own(secret) {
                // The first entry of a name keeps its place, and a second one goes.
                let position = wanted.iter().position(|(wanted, _)| *wanted == name);
                entries.extend(position.map(|position| wanted.remove(position).1));
            } else {
                entries.push(present.clone());
            }
        }
        entries.extend(wanted.into_iter().map(|(_, entry)| entry));
        self.put_list(path, entries);
    }

    /// The field holds this value, or none of the owner's.
    pub fn literal(&mut self, literal: &Literal<'_>, wanted: Option<Value>) {
        let path = literal.path;
        let present = tree::find(self.seen, path);
        let is_unset = present.is_some_and(|value| *value == literal.unset || value.as_str() == Some(""));
        let mut others = self.foreign_managers(path);
        // The W&B operator writes what nobody set.
        others.retain(|manager| !is_unset || *manager != WANDB_OPERATOR);
        let is_foreign = !others.is_empty();
        match (present, wanted) {
            (Some(present), Some(wanted)) if *present == wanted => {}
            (Some(present), Some(_))
                if is_foreign
                    && present.as_str() != Some("")
                    && !self.takes_over(path, literal.name, origin::of_field(present)) =>
            {
                self.conflict(path);
            }
            (_, Some(wanted)) => self.put(path, wanted),
            // The API server puts the default back, so that the field never goes.
            (Some(_), None) if is_unset || is_foreign => {}
            (Some(_), None) => {
                let mut owners = self.managed.owners_of(path);
                if owners.any(|owner| owner.manager == self.owner.manager) {
                    self.take_out(path);
                }
            }
            (None, None) => {}
        }
    }

    /// The list of authorities has these certificates.
    pub fn authorities(&mut self, path: &[&str], certificates: Option<&str>) {
        match tree::find(self.seen, path) {
            Some(present) if !present.is_array() => {
                if certificates.is_some() {
                    self.conflict(path);
                }
            }
            _ => {
                let list = authorities::listed(tree::list(self.seen, path), self.owner, certificates);
                self.put_list(path, list);
            }
        }
    }

    /// Notes what somebody else has set of what is published under the name, and whether it gives its place up.
    fn takes_over(&mut self, path: &[&str], name: Option<&str>, value: ValueOrigin) -> bool {
        let (ForeignEntries::TakeOver, Some(name)) = (self.others, name) else { return false };
        let managers = self.foreign_managers(path).into_iter().map(str::to_owned).collect();
        let (name, container, holder) = (name.to_owned(), path.join("."), EntryHolder::Other);
        self.occupied.push(PresentVariable { name, container, holder, value, managers });
        true
    }

    /// The names of what gives its place at the path up.
    fn displaced(&self, path: &[&str]) -> Vec<String> {
        let container = path.join(".");
        let here = self.occupied.iter().filter(|other| other.container == container);
        here.map(|other| other.name.clone()).collect()
    }

    /// Notes that somebody else has set the field.
    fn conflict(&mut self, path: &[&str]) {
        self.conflicts.add(&path.join("."), &self.foreign_managers(path));
    }

    /// Notes that somebody else has set a value at a place of this description, which may be a path here.
    pub fn conflict_at(&mut self, place: &str, path: &[&str]) {
        self.conflicts.add(place, &self.foreign_managers(path));
    }

    fn conflict_in_list(&mut self, path: &[&str], name: &str) {
        self.conflicts.add(&format!("{}[{name}]", path.join(".")), &self.foreign_managers(path));
    }

    fn is_own(&self, secret: Option<&str>) -> bool {
        secret.is_some_and(|secret| self.owner.number_of(secret).is_some())
    }

    fn may_replace(&self, secret: Option<&str>) -> bool {
        let yields = |secret| self.displaced.iter().any(|owner| owner.number_of(secret).is_some());
        self.is_own(secret) || secret.is_some_and(yields)
    }

    /// Who set the field, apart from this operator: which of its resources has a place is decided elsewhere.
    pub fn foreign_managers(&self, path: &[&str]) -> Vec<&'a str> {
        self.managed
            .owners_of(path)
            .map(|owner| owner.manager)
            .filter(|manager| !is_operator(manager))
            .collect()
    }

    fn put(&mut self, path: &[&str], value: Value) {
        match tree::obstacle(self.seen, path) {
            Some(obstacle) => self.conflict(obstacle),
            None => tree::put(&mut self.copy, path, value),
        }
    }

    fn put_list(&mut self, path: &[&str], list: Vec<Value>) {
        if list == tree::list(self.seen, path) {
            return;
        }
        if list.is_empty() && self.is_made_here(path) {
            self.take_out(path);
        } else {
            self.put(path, Value::from(list));
        }
    }

    /// Takes the field out, and the maps around it that were made for it and are empty now.
    fn take_out(&mut self, path: &[&str]) {
        tree::remove(&mut self.copy, path);
        let Some((_, parent)) = path.split_last() else { return };
        let is_empty =
            tree::find(&self.copy, parent).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
        if is_empty && self.is_made_here(parent) {
            self.take_out(parent);
        }
    }

    /// Whether this operator made the field, and nobody else says that it is to be there.
    pub fn is_made_here(&self, path: &[&str]) -> bool {
        let mut owners = self.managed.owners_of(path).peekable();
        owners.peek().is_some() && owners.all(|owner| is_operator(owner.manager))
    }
}

/// The field manager of the W&B operator, which is the name of its program. It writes entries anew, and points none
/// of them elsewhere.
pub(super) const WANDB_OPERATOR: &str = "manager";

/// Whether a field manager is one of this operator's.
pub(super) fn is_operator(manager: &str) -> bool {
    manager.strip_prefix(MANAGER).is_some_and(|rest| rest.starts_with('/'))
}
