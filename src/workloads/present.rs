//! Finds what a target has under the names of a delivery now, and where those values come from. This is pure.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::expansion::{Piece, pieces};
use crate::{
    references::{Reference, ReferenceSource, Requirement},
    sensitive::Sensitive,
};

/// An environment variable that a container of the target has.
#[derive(Clone)]
pub struct PresentVariable {
    /// The name of the variable.
    pub name: String,
    /// The container, as messages name it. Variable names are unique within one container.
    pub container: String,
    /// Who has set the variable.
    pub holder: EntryHolder,
    /// Where the value of the variable comes from.
    pub value: ValueOrigin,
    /// The field managers of the variable, except for the owner's.
    pub managers: BTreeSet<String>,
}

/// Who has set an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryHolder {
    /// The owner of the delivery.
    Own,
    /// A resource that gives way to the owner of the delivery.
    Yielding,
    /// Somebody else.
    Other,
}

/// Where the value of a variable comes from.
#[derive(Clone)]
pub enum ValueOrigin {
    /// The value is these parts, concatenated.
    Parts(Vec<ValuePart>),
    /// The value is unknown. The text says why, as the end of a sentence.
    Unknown(Cow<'static, str>),
}

/// A part of the value of a variable.
#[derive(Clone)]
pub enum ValuePart {
    /// The target contains this part as literal text.
    Text(Sensitive),
    /// The part is a key of a Secret or a ConfigMap.
    Key(Reference),
}

/// Finds where the value of each entry comes from, in the order of the entries. A value can also refer to variables
/// that are not in the list (from `envFrom` or Services); `others` says whether there may be such variables.
pub(super) fn origins(entries: &[EnvVar], others: OtherSources) -> Vec<ValueOrigin> {
    let mut known: BTreeMap<&str, ValueOrigin> = BTreeMap::new();
    let mut origins = Vec::new();
    for entry in entries {
        let origin = match (entry.value.as_deref().filter(|value| !value.is_empty()), reference(entry)) {
            (Some(value), _) => expand(value, &known, others),
            (None, None) => ValueOrigin::Parts(Vec::new()),
            (None, Some(Ok(reference))) => ValueOrigin::Parts(vec![ValuePart::Key(reference)]),
            (None, Some(Err(why))) => ValueOrigin::Unknown(why.into()),
        };
        known.insert(&entry.name, origin.clone());
        origins.push(origin);
    }
    origins
}

/// Whether a container has variables from other sources than its `env` list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherSources {
    /// All variables are in the `env` list.
    #[default]
    ListOnly,
    /// The container also takes whole Secrets or ConfigMaps (`envFrom`).
    Sources,
}

impl OtherSources {
    /// What a container has.
    pub(super) fn of(container: &Container) -> Self {
        let has_sources = container.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
        if has_sources { Self::Sources } else { Self::ListOnly }
    }
}

/// The key that an entry takes its value from, or why that is unknown; `None` for an entry without `valueFrom`.
fn reference(entry: &EnvVar) -> Option<Result<Reference, &'static str>> {
    let from = entry.value_from.as_ref()?;
    let key = |source, name: &str, key: &str, optional: Option<bool>| Reference {
        source,
        name: name.to_owned(),
        key: key.to_owned(),
        field: entry.name.clone().into(),
        need: if optional == Some(true) { Requirement::Optional } else { Requirement::Required },
    };
    Some(match (&from.secret_key_ref, &from.config_map_key_ref) {
        (Some(secret), _) => Ok(key(ReferenceSource::Secret, &secret.name, &secret.key, secret.optional)),
        (None, Some(map)) => Ok(key(ReferenceSource::ConfigMap, &map.name, &map.key, map.optional)),
        (None, None) => Err("it comes from a field of the pod or a file"),
    })
}

/// Expands a value as the kubelet does: `$(NAME)` is replaced by the variable of that name if an earlier entry
/// defines it, `$$` becomes a dollar, and a reference to an unknown variable stays as it is.
fn expand(value: &str, known: &BTreeMap<&str, ValueOrigin>, others: OtherSources) -> ValueOrigin {
    let mut parts = Vec::new();
    let mut text = String::new();
    for piece in pieces(value) {
        let name = match piece {
            Piece::Text(piece) => {
                text.push_str(piece);
                continue;
            }
            Piece::Variable(name) => name,
        };
        match known.get(name) {
            Some(ValueOrigin::Unknown(why)) => return ValueOrigin::Unknown(why.clone()),
            Some(ValueOrigin::Parts(of_variable)) => {
                // If the variable may be missing, it is not known whether the kubelet replaces the reference.
                let may_be_missing = |part: &ValuePart| matches!(part, ValuePart::Key(reference) if reference.need == Requirement::Optional);
                if of_variable.iter().any(may_be_missing) {
                    return ValueOrigin::Unknown(format!("it uses $({name}), which may be missing").into());
                }
                parts.push(ValuePart::Text(std::mem::take(&mut text).into()));
                parts.extend(of_variable.iter().cloned());
            }
            None if others == OtherSources::Sources || is_of_service(name) => {
                return ValueOrigin::Unknown(
                    format!("it uses $({name}), which is not set in the same list before it").into(),
                );
            }
            None => text.extend(["$(", name, ")"]),
        }
    }
    parts.push(ValuePart::Text(text.into()));
    ValueOrigin::Parts(parts)
}

/// Whether Kubernetes may define a variable of this name for a Service.
fn is_of_service(name: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the entries as text, with placeholders for values that are kept elsewhere.
    fn told(yaml: &str, others: OtherSources) -> Vec<String> {
        let entries: Vec<EnvVar> = serde_yaml::from_str(yaml).unwrap();
        let part = |part: &ValuePart| match part {
            ValuePart::Text(text) => text.expose().to_owned(),
            ValuePart::Key(reference) => {
                format!(
                    "<{} {} {} {:?}>",
                    reference.source.kind(),
                    reference.name,
                    reference.key,
                    reference.need
                )
            }
        };
        let origin = |origin: &ValueOrigin| match origin {
            ValueOrigin::Parts(parts) => parts.iter().map(part).collect(),
            ValueOrigin::Unknown(why) => format!("? {why}"),
        };
        origins(&entries, others).iter().map(origin).collect()
    }

    #[test]
    fn literals_are_expanded_as_the_kubelet_does() {
        for (value, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("uid=$(NAME),dc=x", "uid=alice,dc=x"),
            ("$(NAME)$(NAME)", "alicealice"),
            ("$(OTHER)", "$(OTHER)"),
            ("$$(NAME)", "$(NAME)"),
            ("$$$(NAME)", "$alice"),
            ("$NAME costs 5$", "$NAME costs 5$"),
            ("$$", "$"),
            ("$(NAME", "$(NAME"),
            ("$(NA$(NAME)", "$(NA$(NAME)"),
            ("$()", "$()"),
        ] {
            let yaml = format!("[{{name: NAME, value: alice}}, {{name: A, value: '{value}'}}]");
            assert_eq!(told(&yaml, OtherSources::ListOnly).last().unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn values_are_followed_to_where_they_stand() {
        let yaml = "
- {name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}
- {name: B, value: 'x-$(A)-y'}
- {name: C, valueFrom: {configMapKeyRef: {name: m, key: k, optional: true}}}
- {name: D, value: $(C)}
- {name: E, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: F, value: $(E)}
- {name: G}
- {name: H, value: $(LATER)}
- {name: I, value: 'http://$(WANDB_SERVICE_HOST)'}
- {name: LATER, value: z}
";
        assert_eq!(
            told(yaml, OtherSources::ListOnly),
            [
                "<Secret s k Required>",
                "x-<Secret s k Required>-y",
                "<ConfigMap m k Optional>",
                "? it uses $(C), which may be missing",
                "? it comes from a field of the pod or a file",
                "? it comes from a field of the pod or a file",
                "",
                "$(LATER)",
                "? it uses $(WANDB_SERVICE_HOST), which is not set in the same list before it",
                "z",
            ]
        );
        let told = told(yaml, OtherSources::Sources);
        assert_eq!(told.get(7).unwrap(), "? it uses $(LATER), which is not set in the same list before it");
    }
}
