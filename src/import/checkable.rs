//! Makes a plan of the settings of a running server, as it reads them, so that they can be checked where they are.
//!
//! What a person would have to complete before a resource could be applied does not stop the checks here: a
//! [`StandIn`] takes its place, what depends on it is left out, and a remark says what is missing.

use std::{marker::PhantomData, time::Duration};

use serde_json::Value;

use super::{
    FoundEnvironment, Hole, Recoverable, Recovery, Setting, StandIn,
    draft::{complaint, disagreements, put, recovered, take_out},
    imaginary::ImaginaryObjects,
    remarks::{quoted, remark},
    stand_in::SettingNeed,
    wording::{Wording, field_of, missing},
};
use crate::{
    api::{CheckName, CheckResult, Reason},
    engine::{Checked, Env, Finding, Kind, Planned, Prepared, Values, prepare},
    net::Trust,
    sensitive::{Redactor, Sensitive},
};

/// The name of the resource that is made of the environment. It is in no message.
const NAME: &str = "environment";

/// The settings of one kind that a server has, ready to be checked.
pub struct CheckableSettings<K: Kind> {
    /// What is checked, and how long all checks may take; `None` if too little is known for any of them.
    pub plan: Option<(Planned<K>, Duration)>,
    remarks: Vec<Finding>,
    /// The checks that say nothing, each with why.
    void: Vec<(CheckName, String)>,
    wording: Wording,
    redactor: Redactor,
}

/// Reads the settings of a kind; `None` if the environment has none. `authorities` are the certificates that the
/// server trusts beside the system's.
pub fn checkable<K: Recoverable>(
    found: &FoundEnvironment,
    authorities: Option<&str>,
    system_trust: &Trust,
) -> Option<CheckableSettings<K>> {
    checkable_of(found, authorities, system_trust, None)
}

/// The same for values that may be those of a known resource: what no variable says is then taken from it.
pub fn checkable_of<K: Recoverable>(
    found: &FoundEnvironment,
    authorities: Option<&str>,
    system_trust: &Trust,
    present: Option<&K>,
) -> Option<CheckableSettings<K>> {
    if present.is_none() && !K::is_meant(found) {
        return None;
    }
    let mut objects = ImaginaryObjects::with_authorities(authorities);
    let (mut manifest, recovery) = recovered::<K>(found, objects.identity(NAME));
    let Recovery { optional, holes, made, mut remarks, .. } = recovery;
    for (field, value, _) in optional {
        put(&mut manifest, field, value);
    }
    if let Some(tls) = objects.identity(NAME).tls.cloned() {
        put(&mut manifest, "tls", tls);
    }
    if let Some(present) = present {
        add_unsaid(&mut manifest, present);
    }
    objects.add(&made);
    remarks.extend(disagreements::<K>(found).map(|(first, other)| different(&first, &other)));
    let unquoted = quoted::<K>(found).filter(|new| !remarks.iter().any(|known| known.name == new.name));
    let unquoted: Vec<_> = unquoted.collect();
    remarks.extend(unquoted);

    let mut completion =
        Completion::<K> { found, manifest, remarks, void: Vec::new(), used: Vec::new(), kind: PhantomData };
    let is_complete = completion.fill(&holes) && completion.correct();
    let Completion { manifest, mut remarks, void, .. } = completion;
    let mut wording = Wording::of::<K>(found);
    for key in &made {
        let field = K::FIELDS.iter().find(|(_, env)| K::CREDENTIAL.is_some_and(|own| own == *env));
        if let Some((field, env)) = field {
            let place = (key.reference.name.as_str(), key.reference.key.as_str());
            wording = wording.with_key(place, &format!("spec.{field}"), found.name_of(*env));
        }
    }
    let mut plan = None;
    if is_complete && let Ok(mut object) = K::deserialize(&manifest) {
        if let Some(present) = present {
            object.complete(present);
        }
        // The server sends its values whatever they look like, so nothing else is refused here.
        let held = values::<K>(found);
        match prepare(&object, &[], objects.all(), system_trust, &[&held]) {
            Prepared::Planned(planned) => plan = Some((planned, object.common().check_timeout.get())),
            Prepared::NotAccepted(problem) | Prepared::Unresolved(problem) => {
                let name = K::CREDENTIAL.or(K::ENVIRONMENT.first().copied());
                let name = name.map(|env| found.name_of(env)).unwrap_or_default();
                remarks.push(remark(name, CheckResult::Failed, problem.reason, problem.message));
            }
        }
    }
    remarks.insert(0, set_variables::<K>(found));
    Some(CheckableSettings { plan, remarks, void, wording, redactor: Redactor::new(secrets::<K>(found)) })
}

impl<K: Kind> CheckableSettings<K> {
    /// Everything that people should know, in order: what the server makes of its variables, and what the checks found.
    pub fn report(self, found: Vec<Finding>) -> Vec<Finding> {
        let Self { remarks, void, wording, redactor, .. } = self;
        let of_checks =
            found.into_iter().map(|finding| match void.iter().find(|(name, _)| *name == finding.name) {
                Some((_, why)) => Finding {
                    result: CheckResult::Skipped,
                    reason: Reason::NotRequested,
                    message: why.as_str().into(),
                    ..finding
                },
                None => finding,
            });
        let worded = |finding: Finding| {
            let message = redactor.redact(wording.reword(&finding.message));
            Finding { message: message.into(), ..finding }
        };
        remarks.into_iter().chain(of_checks).map(worded).collect()
    }
}

/// A manifest on the way to one that can be checked.
struct Completion<'a, K: Recoverable> {
    found: &'a FoundEnvironment,
    manifest: Value,
    remarks: Vec<Finding>,
    void: Vec<(CheckName, String)>,
    /// The fields that were replaced already.
    used: Vec<&'static str>,
    kind: PhantomData<K>,
}

impl<K: Recoverable> Completion<'_, K> {
    /// Replaces what no variable gives. The result is false if something has no replacement.
    fn fill(&mut self, holes: &[Hole]) -> bool {
        let mut is_complete = true;
        for hole in holes {
            let Hole::Unknown { field, .. } = hole else { continue };
            let env = K::FIELDS.iter().find(|(own, _)| own == field).map(|(_, env)| *env);
            let stand_in = K::STAND_INS.iter().find(|stand_in| stand_in.field == *field);
            is_complete &= stand_in.is_some();
            // A variable that is set and cannot be used has its remark already.
            let is_new = env.is_none_or(|env| !self.found.is_set(env));
            if is_new {
                self.tell_missing(hole, env, stand_in);
            }
            if let Some(stand_in) = stand_in {
                let why = if is_new { "is not set" } else { "cannot be used" };
                self.replace(stand_in, why);
            }
        }
        is_complete
    }

    fn tell_missing(&mut self, hole: &Hole, env: Option<Env>, stand_in: Option<&StandIn>) {
        let Some(env) = env else {
            let name = K::ENVIRONMENT.first().map(|env| self.found.name_of(*env)).unwrap_or_default();
            let message = K::UNSAID.unwrap_or_default();
            self.remarks.push(remark(name, CheckResult::Skipped, Reason::NotRequested, message));
            return;
        };
        let name = self.found.name_of(env);
        let result = match stand_in.map(|stand_in| stand_in.need) {
            Some(SettingNeed::Expected | SettingNeed::Unjudged) => CheckResult::Warning,
            Some(SettingNeed::Required) | None => CheckResult::Failed,
        };
        self.remarks.push(remark(name, result, Reason::VariableMissing, missing(hole, name)));
    }

    /// Replaces what the kind does not accept. The result is false if something has no replacement.
    fn correct(&mut self) -> bool {
        while let Some(complaint) = complaint::<K>(&self.manifest) {
            if complaint.contains("spec.tls") && self.manifest.pointer("/spec/tls").is_some() {
                // No connection is encrypted, so the authorities have no effect.
                take_out(&mut self.manifest, "tls");
                continue;
            }
            let named = field_of::<K>(&complaint);
            let (name, stand_in) = match named {
                Some((field, env)) => {
                    (self.found.name_of(env), K::STAND_INS.iter().find(|each| each.field == field))
                }
                None => {
                    (K::ENVIRONMENT.first().map(|env| self.found.name_of(*env)).unwrap_or_default(), None)
                }
            };
            if stand_in.is_none_or(|stand_in| stand_in.need != SettingNeed::Unjudged) {
                self.remarks.push(remark(name, CheckResult::Failed, Reason::VariableMalformed, complaint));
            }
            match stand_in.filter(|stand_in| !self.used.contains(&stand_in.field)) {
                Some(stand_in) => self.replace(stand_in, "cannot be used"),
                None => return false,
            }
        }
        true
    }

    fn replace(&mut self, stand_in: &StandIn, why: &str) {
        self.used.push(stand_in.field);
        if let Some(spec) = self.manifest.get_mut("spec").and_then(Value::as_object_mut) {
            stand_in.put_into(spec);
        }
        let why = format!("Not run, since spec.{} {why}.", stand_in.field);
        self.void.extend(stand_in.void.iter().map(|check| (check.clone(), why.clone())));
    }
}

/// Adds to the spec the fields of the resource that no variable of a server has, such as test users. A sample that is a
/// token stands in a Secret that is not known here.
fn add_unsaid<K: Recoverable>(manifest: &mut Value, present: &K) {
    let Ok(Value::Object(fields)) = serde_json::to_value(present.spec()) else { return };
    let is_said = |name: &str| K::FIELDS.iter().any(|(field, _)| field.split('.').next() == Some(name));
    let is_elsewhere = |name: &str| ["target", "checkFrom", "secretName", "tls"].contains(&name);
    for (name, mut value) in fields {
        if is_said(&name) || is_elsewhere(&name) || manifest.pointer(&format!("/spec/{name}")).is_some() {
            continue;
        }
        if let Some(list) = value.as_array_mut() {
            list.retain(|each| each.get("tokenSecretRef").is_none());
        }
        put(manifest, &name, value);
    }
}

/// The values of the kind's variables.
fn values<K: Kind>(found: &FoundEnvironment) -> Values {
    let names = K::ENVIRONMENT.iter().flat_map(|env| env.names());
    let values = names.filter_map(|name| Some((name.to_owned(), found.variables.get(name)?.value.clone()?)));
    values.collect()
}

/// The values that no message may have, under whatever name the environment has them.
fn secrets<K: Recoverable>(found: &FoundEnvironment) -> impl Iterator<Item = Sensitive> {
    let names = K::CREDENTIAL.into_iter().flat_map(Env::names).chain(K::UNREAD.iter().map(|(name, _)| *name));
    names.filter_map(|name| found.variables.get(name)?.value.clone())
}

/// The variables that count, by name.
fn set_variables<K: Kind>(found: &FoundEnvironment) -> Finding {
    let names = K::ENVIRONMENT.iter().filter_map(|env| found.setting(*env)).map(|setting| setting.name);
    let names: Vec<_> = names.collect();
    Finding::noted(CheckName::VariablesRead, Checked::passed((), format!("Set are {}.", names.join(", "))))
}

fn different(first: &Setting<'_>, other: &Setting<'_>) -> Finding {
    let (first, other) = (first.name, other.name);
    remark(
        other,
        CheckResult::Warning,
        Reason::VariablesDiffer,
        format!(
            "{first} and {other} are the same setting and have different values. {first} was checked, which this server reads first, as far as its variables show what it is, and {other} was not. Find out with which of the two people log in today, and give both that value."
        ),
    )
}

#[cfg(test)]
mod tests;
