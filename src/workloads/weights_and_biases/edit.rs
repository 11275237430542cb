//! Edits a copy of the resource for one owner. Each step compares one place with the original, and then puts the
//! owner's entry there, removes it, or records that somebody else has set the place.

use serde_json::{Value, json};

use super::{authorities, conflicts::Conflicts, origin, reference::Form, tree};
use crate::{
    api::MANAGER,
    problem::Problem,
    workloads::{EntryHolder, Owner, PresentVariable, ValueOrigin, managed_fields::ManagedFields},
};

/// A field that contains its value itself, instead of referring to a Secret.
pub(super) struct Literal<'a> {
    pub path: &'a [&'a str],
    /// The environment variable under which the same value is published, if there is one.
    pub name: Option<&'a str>,
    /// The value of the field while nobody sets it; null means that it is absent.
    pub unset: Value,
}

/// A copy of the resource in which the entries of one owner change.
pub(super) struct Edit<'a> {
    owner: &'a Owner,
    displaced: &'a [Owner],
    /// The name of the Secret to which the entries must refer.
    revision: Option<String>,
    managed: ManagedFields<'a>,
    seen: &'a Value,
    copy: Value,
    conflicts: Conflicts,
    others: ForeignEntries,
    /// The variables that others have set and that the owner needs.
    occupied: Vec<PresentVariable>,
}

/// What to do with entries that somebody else has set where the owner needs its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignEntries {
    /// Report them as a conflict.
    Refuse,
    /// Replace them.
    TakeOver,
}

impl<'a> Edit<'a> {
    /// Begins with an unchanged copy of the resource.
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

    /// The same edit, which now replaces the entries of others.
    #[must_use]
    pub fn taking_over(self) -> Self {
        Self { others: ForeignEntries::TakeOver, ..self }
    }

    /// The variables that others have set and that the owner needs.
    pub fn occupied(self) -> Vec<PresentVariable> {
        self.occupied
    }

    /// The original resource.
    pub fn seen(&self) -> &'a Value {
        self.seen
    }

    /// The edited copy.
    pub fn edited(&self) -> &Value {
        &self.copy
    }

    /// Whether entries of others are replaced.
    pub fn is_taking_over(&self) -> bool {
        self.others == ForeignEntries::TakeOver
    }

    /// Whether the edit has changed anything.
    pub fn is_changed(&self) -> bool {
        self.copy != *self.seen
    }

    /// The merge patch of all changes, or the problem if there were conflicts.
    pub fn finish(self, name: &str) -> Result<Option<Value>, Problem> {
        let change = tree::difference(self.seen, &self.copy);
        self.conflicts.into_problem(name, self.owner, self.others).map_or(Ok(change), Err)
    }

    /// Like `finish`, for a `base` that has more entries than the edited object. An entry that replaces one of
    /// `base` gets its position.
    pub fn finish_over(mut self, base: &Value, name: &str) -> Result<Option<Value>, Problem> {
        tree::keep_order(base, &mut self.copy);
        let change = tree::difference(base, &self.copy);
        self.conflicts.into_problem(name, self.owner, self.others).map_or(Ok(change), Err)
    }

    /// Makes the field refer to this key. Without a key, a reference of the owner is removed.
    pub fn reference(&mut self, path: &[&str], form: Form, key: Option<&str>) {
        let present = tree::find(self.seen, path).filter(|value| !form.is_vacant(value));
        self.refer(path, form, present, key);
    }

    /// Makes a typed field refer to this key, or removes a reference of the owner. If the list at `list` has a
    /// variable of the owner called `name`, that variable overrides the field, so a foreign value in the field is
    /// only a by-product of the conversion from the first version and may be replaced.
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

    /// Removes the variable at the path, which would otherwise override an entry of the owner elsewhere. A variable
    /// of somebody else stays; the caller must report it.
    pub fn give_way(&mut self, path: &[&str]) {
        let Some(present) = tree::find(self.seen, path) else { return };
        if self.is_taking_over() || self.may_replace(Form::Variable.secret(present)) {
            self.take_out(path);
        }
    }

    /// Who has set the field: the owner, a resource that gives way to it, or somebody else.
    pub fn holder(&self, path: &[&str], secret: Option<&str>) -> EntryHolder {
        if self.is_own(secret) || (secret.is_none() && self.is_made_here(path)) {
            EntryHolder::Own
        } else if self.may_replace(secret) {
            EntryHolder::Yielding
        } else {
            EntryHolder::Other
        }
    }

    /// Checks that nobody else sets these environment variables in the list, since the owner has an entry for them
    /// in another place.
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

    /// Makes the list of environment variables contain these of the owner. Each refers to the key of its own name.
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
            // The owner has an entry for this variable in another place.
            if displaced.iter().any(|other| other == name) {
                continue;
            }
            if is_wanted && !self.may_replace(secret) && !self.takes_over(path, Some(name), value) {
                self.conflict_in_list(path, name);
            } else if is_wanted || self.is_own(secret) {
                // The first entry of a name keeps its position, and duplicates are removed.
                let position = wanted.iter().position(|(wanted, _)| *wanted == name);
                entries.extend(position.map(|position| wanted.remove(position).1));
            } else {
                entries.push(present.clone());
            }
        }
        entries.extend(wanted.into_iter().map(|(_, entry)| entry));
        self.put_list(path, entries);
    }

    /// Makes the field contain this value. Without a value, the owner's value is removed.
    pub fn literal(&mut self, literal: &Literal<'_>, wanted: Option<Value>) {
        let path = literal.path;
        let present = tree::find(self.seen, path);
        let is_unset = present.is_some_and(|value| *value == literal.unset || value.as_str() == Some(""));
        let mut others = self.foreign_managers(path);
        // The W&B operator writes the default into fields that nobody has set.
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
            // The API server restores the default, so removing it again would never end.
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

    /// Makes the list of certificate authorities contain these certificates.
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

    /// If foreign entries are replaced, records the variable that somebody else has set and returns true.
    fn takes_over(&mut self, path: &[&str], name: Option<&str>, value: ValueOrigin) -> bool {
        let (ForeignEntries::TakeOver, Some(name)) = (self.others, name) else { return false };
        let managers = self.foreign_managers(path).into_iter().map(str::to_owned).collect();
        let (name, container, holder) = (name.to_owned(), path.join("."), EntryHolder::Other);
        self.occupied.push(PresentVariable { name, container, holder, value, managers });
        true
    }

    /// The names of the variables at the path that are being replaced.
    fn displaced(&self, path: &[&str]) -> Vec<String> {
        let container = path.join(".");
        let here = self.occupied.iter().filter(|other| other.container == container);
        here.map(|other| other.name.clone()).collect()
    }

    /// Records that somebody else has set the field.
    fn conflict(&mut self, path: &[&str]) {
        self.conflicts.add(&path.join("."), &self.foreign_managers(path));
    }

    /// Records that somebody else has set a value in the place of this description. The path is that of the place
    /// in the resource, or empty if it is in another object.
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

    /// The field managers that set the field, without those of this operator. Which resource of this operator has a
    /// place is decided elsewhere.
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

    /// Removes the field, and the maps around it that this operator created and that are empty now.
    fn take_out(&mut self, path: &[&str]) {
        tree::remove(&mut self.copy, path);
        let Some((_, parent)) = path.split_last() else { return };
        let is_empty =
            tree::find(&self.copy, parent).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
        if is_empty && self.is_made_here(parent) {
            self.take_out(parent);
        }
    }

    /// Whether only this operator has set the field, so that nobody else wants it to exist.
    pub fn is_made_here(&self, path: &[&str]) -> bool {
        let mut owners = self.managed.owners_of(path).peekable();
        owners.peek().is_some() && owners.all(|owner| is_operator(owner.manager))
    }
}

/// The field manager of the W&B operator, which is the name of its program. It rewrites entries, but never points
/// one to another revision.
pub(super) const WANDB_OPERATOR: &str = "manager";

/// Whether the field manager belongs to a resource of this operator.
pub(super) fn is_operator(manager: &str) -> bool {
    manager.strip_prefix(MANAGER).is_some_and(|rest| rest.starts_with('/'))
}
