//! Adoption of variables that somebody else has set at a target. Their values are read first and become a
//! revision of their own, to which a failed rollout goes back.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;

use crate::{
    api::{AdoptionPolicy, Reason},
    engine::{Fetched, ObjectKey, Reference, Requirement, Values, fetch},
    error::StepError,
    problem::Problem,
    sensitive::Sensitive,
    workloads::{EntryHolder, PresentVariable, Target, ValueOrigin, ValuePart},
};

/// How recently the checks passed, which decides whether anything may be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// All of them passed in this run. Only then is anything adopted.
    Fresh,
    /// All of them passed in an earlier run.
    Stale,
    /// At least one did not pass, or they were not made.
    Open,
}

/// What somebody else has set at a target for variables that a delivery sets.
pub(super) struct Present {
    values: BTreeMap<String, Sensitive>,
    /// The field managers that have set them.
    pub managers: BTreeSet<String>,
}

/// Whether somebody else has set any of the variables.
pub(super) fn is_occupied(present: &[PresentVariable]) -> bool {
    present.iter().any(|variable| variable.holder == EntryHolder::Other)
}

/// Reads the values that others have set.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    target: &Target,
    present: &[PresentVariable],
) -> Result<Present, StepError> {
    let parts = present.iter().flat_map(|variable| match &variable.value {
        ValueOrigin::Parts(parts) => parts.as_slice(),
        ValueOrigin::Unknown(_) => &[],
    });
    let references: Vec<_> = parts
        .filter_map(|part| match part {
            ValuePart::Key(reference) => Some(reference.clone()),
            ValuePart::Text(_) => None,
        })
        .collect();
    let objects = fetch(client, namespace, &references).await?;
    Ok(resolve(target, present, &objects)?)
}

/// The values that others have set, from the objects to which their entries refer.
fn resolve(
    target: &Target,
    present: &[PresentVariable],
    objects: &BTreeMap<ObjectKey, Fetched>,
) -> Result<Present, Problem> {
    // Of two entries with one name in one container, Kubernetes uses the last one.
    let last: BTreeMap<_, _> =
        present.iter().map(|variable| ((&variable.name, &variable.container), variable)).collect();
    let mut values = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    // The resource's own entries are left out, because their revision has their values already.
    for PresentVariable { name, value, .. } in last.values().filter(|each| each.holder != EntryHolder::Own) {
        match value_of(value, objects) {
            Ok(None) => {}
            Ok(Some(value)) => {
                if values.get(name).is_some_and(|other| *other != value) {
                    unknown.insert(name.clone(), "its containers have different values".to_owned());
                }
                values.insert(name.clone(), value);
            }
            Err(why) => {
                unknown.insert(name.clone(), why);
            }
        }
    }
    if unknown.is_empty() {
        let others = present.iter().filter(|variable| variable.holder == EntryHolder::Other);
        let managers = others.flat_map(|variable| variable.managers.iter().cloned()).collect();
        return Ok(Present { values, managers });
    }
    let listed: Vec<_> = unknown.into_iter().map(|(name, why)| format!("{name} ({why})")).collect();
    Err(Problem::new(
        Reason::FieldConflict,
        format!(
            "The operator must read the values that it takes over, so that a rollback can restore them, and it cannot read these variables of {target}: {}. Nothing was changed there. Set the same values as literals, or from a Secret or ConfigMap that exists.",
            listed.join(", ")
        ),
    ))
}

/// The value; `None` if the variable is not set at all, and the reason if the value cannot be determined.
fn value_of(
    origin: &ValueOrigin,
    objects: &BTreeMap<ObjectKey, Fetched>,
) -> Result<Option<Sensitive>, String> {
    let parts = match origin {
        ValueOrigin::Parts(parts) => parts,
        ValueOrigin::Unknown(why) => return Err(why.clone().into_owned()),
    };
    let mut value = String::new();
    for part in parts {
        match part {
            ValuePart::Text(text) => value.push_str(text.expose()),
            ValuePart::Key(reference) => match text_of(reference, objects)? {
                Some(text) => value.push_str(&text),
                None => return Ok(None),
            },
        }
    }
    Ok(Some(value.into()))
}

fn text_of(reference: &Reference, objects: &BTreeMap<ObjectKey, Fetched>) -> Result<Option<String>, String> {
    let Reference { source, name, key, need, .. } = reference;
    let kind = source.kind();
    let missing = |what: String| match need {
        Requirement::Optional => Ok(None),
        Requirement::Required => Err(what),
    };
    match objects.get(&reference.object()) {
        Some(Fetched::Found { data, .. }) => match data.get(key) {
            Some(bytes) => String::from_utf8(bytes.clone())
                .map(Some)
                .map_err(|_| format!("the key {key} of the {kind} \"{name}\" is not text")),
            None => missing(format!("the {kind} \"{name}\" has no key {key}")),
        },
        Some(Fetched::Forbidden) => Err(format!("the operator is not allowed to read the {kind} \"{name}\"")),
        Some(Fetched::Resource(_) | Fetched::Missing { .. }) | None => {
            missing(format!("there is no {kind} \"{name}\""))
        }
    }
}

impl Present {
    /// Whether the policy allows these values to replace what is there.
    pub fn judge(&self, policy: AdoptionPolicy, values: &Values, target: &Target) -> Result<(), Problem> {
        if policy != AdoptionPolicy::Equal {
            return Ok(());
        }
        let different = self.values.iter().filter(|(name, value)| values.get(name) != Some(value));
        let different: Vec<_> = different.map(|(name, _)| name.as_str()).collect();
        if different.is_empty() {
            return Ok(());
        }
        Err(Problem::new(
            Reason::FieldConflict,
            format!(
                "spec.target.adopt is Equal, and these variables of {target} have other values than this resource delivers: {}. Nothing was changed there. Change the spec to the values that the server has, or set spec.target.adopt to Replace: then this resource's values replace them, and the present values come back if the pods do not become available.",
                different.join(", ")
            ),
        ))
    }

    /// The values that the target has as a whole: these, and beside them those of the revision to which it
    /// refers.
    pub fn with(self, working: Option<&Values>) -> Values {
        let working = working.into_iter().flat_map(Values::iter);
        let working = working.map(|(name, value)| (name.to_owned(), value.clone()));
        working.chain(self.values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::ReferenceSource, workloads::WorkloadAddress};

    fn target() -> Target {
        Target::Deployment(WorkloadAddress { name: "wandb".to_owned(), container: None })
    }

    fn reference(name: &str, key: &str, need: Requirement) -> ValuePart {
        let source = ReferenceSource::Secret;
        ValuePart::Key(Reference {
            source,
            name: name.to_owned(),
            key: key.to_owned(),
            field: "".into(),
            need,
        })
    }

    fn text(text: &str) -> ValuePart {
        ValuePart::Text(text.into())
    }

    fn variable(name: &str, holder: EntryHolder, parts: Vec<ValuePart>) -> PresentVariable {
        let (value, managers) = (ValueOrigin::Parts(parts), ["helm".to_owned()].into());
        PresentVariable { name: name.to_owned(), container: "wandb".to_owned(), holder, value, managers }
    }

    fn objects() -> BTreeMap<ObjectKey, Fetched> {
        let key = |name: &str| ObjectKey { source: ReferenceSource::Secret, name: name.into() };
        let data = [("key", b"secret".to_vec()), ("bytes", vec![0xff])];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let found = Fetched::Found { version: String::new(), data };
        [
            (key("there"), found),
            (key("gone"), Fetched::Missing { similar: None }),
            (key("hidden"), Fetched::Forbidden),
        ]
        .into()
    }

    fn values(entries: &[(&str, &str)]) -> Values {
        entries.iter().map(|(name, value)| ((*name).to_owned(), Sensitive::from(*value))).collect()
    }

    #[test]
    fn reads_what_the_pods_have() {
        let present = [
            variable(
                "A",
                EntryHolder::Other,
                vec![text("a-"), reference("there", "key", Requirement::Required), text("!")],
            ),
            variable("B", EntryHolder::Other, vec![text("first")]),
            variable("C", EntryHolder::Other, vec![reference("gone", "key", Requirement::Optional)]),
            variable("D", EntryHolder::Own, vec![reference("gone", "key", Requirement::Required)]),
            variable("E", EntryHolder::Yielding, vec![reference("there", "key", Requirement::Required)]),
            variable("B", EntryHolder::Other, vec![text("last")]),
            variable("F", EntryHolder::Other, Vec::new()),
        ];
        assert!(is_occupied(&present) && !is_occupied(&present[3..5]));
        let Ok(found) = resolve(&target(), &present, &objects()) else { panic!("unreadable") };
        let told = [("A", "a-secret!"), ("B", "last"), ("E", "secret"), ("F", "")];
        assert!(found.with(None) == values(&told));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        let unknown = PresentVariable {
            name: "E".to_owned(),
            container: "wandb".to_owned(),
            holder: EntryHolder::Other,
            value: ValueOrigin::Unknown("it comes from a field of the pod or a file".into()),
            managers: BTreeSet::new(),
        };
        let required = |name, of: &str, key: &str| {
            variable(name, EntryHolder::Other, vec![reference(of, key, Requirement::Required)])
        };
        let present = [
            required("A", "gone", "key"),
            required("B", "hidden", "key"),
            required("C", "there", "other"),
            required("D", "there", "bytes"),
            unknown,
            variable("F", EntryHolder::Other, vec![text("hunter2")]),
            PresentVariable {
                container: "another".to_owned(),
                ..variable("F", EntryHolder::Other, vec![text("hunter3")])
            },
        ];
        let Err(problem) = resolve(&target(), &present, &objects()) else { panic!("readable") };
        assert_eq!(problem.reason, Reason::FieldConflict);
        insta::assert_snapshot!(problem.message);
    }

    #[test]
    fn equal_means_the_very_same_values() {
        let present = |entries: &[(&str, &str)]| {
            let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), Sensitive::from(*value)));
            Present { values: entries.collect(), managers: BTreeSet::new() }
        };
        let ours = values(&[("A", "a"), ("B", "b"), ("C", "c")]);
        for (there, policy, different) in [
            (&[("A", "a")][..], AdoptionPolicy::Equal, None),
            (&[("A", "a"), ("B", "b ")], AdoptionPolicy::Equal, Some("deliver: B.")),
            (&[("A", ""), ("B", "B"), ("C", "c")], AdoptionPolicy::Equal, Some("A, B.")),
            (&[("A", "x"), ("B", "y")], AdoptionPolicy::Replace, None),
            (&[], AdoptionPolicy::Equal, None),
        ] {
            let judged = present(there).judge(policy, &ours, &target());
            let expected = different.map(|names| names.replace("deliver: ", ""));
            match (judged, expected) {
                (Ok(()), None) => {}
                (Err(problem), Some(names)) => {
                    assert!(problem.message.contains(&names) && problem.reason == Reason::FieldConflict);
                }
                (judged, _) => panic!("{there:?}: {judged:?}"),
            }
        }
    }

    #[test]
    fn the_whole_is_what_is_there_over_what_the_revision_has() {
        let values_there = [("B".to_owned(), "theirs".into())].into();
        let present = Present { values: values_there, managers: BTreeSet::new() };
        let whole = present.with(Some(&values(&[("A", "a"), ("B", "b")])));
        assert!(whole == values(&[("A", "a"), ("B", "theirs")]));
    }
}
