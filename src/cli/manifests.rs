//! Reads manifests from files, directories and standard input.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    dyn_resource::{Examinable, Loaded},
    login::LoginKind,
    objects,
    schema_errors::{drop_nulls, schema_errors},
    yaml::{self, Fault, Repeated, YamlDocument},
};
use crate::{
    api::{GROUP, JwtIssuer, LdapConfig, OidcProvider, ServiceAccount, schema},
    engine::{Fetched, FoundResource, ObjectKey, ReferenceSource, ReferencedKind},
    problem::quote,
    similar::most_similar,
};

/// What the files hold, as far as it is of use here.
#[derive(Default)]
pub(super) struct Manifests {
    /// The resources, in the order of the files.
    pub(super) resources: Vec<Box<dyn Examinable>>,
    /// Secrets and ConfigMaps, by namespace.
    pub(super) objects: BTreeMap<(String, ObjectKey), Fetched>,
}

/// The largest file that is read: manifests are smaller than what etcd stores.
const FILE_LIMIT: u64 = 8 * 1024 * 1024;

impl Manifests {
    /// Reads every file; a directory stands for its YAML and JSON files, `-` for standard input.
    pub(super) fn read(paths: &[PathBuf], default_namespace: &str) -> anyhow::Result<Self> {
        let mut manifests = Self::default();
        let mut faults = Vec::new();
        for Placed { place, document } in documents(paths)? {
            faults.extend(manifests.add(&place, document, default_namespace).err());
        }
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{fault:#}")).collect();
            bail!(faults.join("\nerror: "));
        }
        if manifests.resources.is_empty() {
            bail!(
                "there is no LdapConfig, OidcProvider, JwtIssuer or ServiceAccount of {GROUP}/v1alpha1 in {}; nothing was done",
                named(paths)
            );
        }
        Ok(manifests)
    }

    /// Adds what one document holds.
    pub(super) fn add(
        &mut self,
        place: &str,
        YamlDocument { value, repeated }: YamlDocument,
        default_namespace: &str,
    ) -> anyhow::Result<()> {
        if !repeated.is_empty() && concerns(&value) {
            let each = |Repeated { key, line }: &Repeated| {
                format!("the key \"{}\" twice in one map, the second time in its line {line}", quote(key))
            };
            let all: Vec<_> = repeated.iter().map(each).collect();
            bail!("{place} has {}; remove one of them", all.join("; "));
        }
        self.add_value(place, value, default_namespace)
    }

    fn add_value(&mut self, place: &str, value: Value, default_namespace: &str) -> anyhow::Result<()> {
        let (api_version, kind) = (word(&value, "apiVersion").to_owned(), word(&value, "kind").to_owned());
        if let Some(element) = kind.strip_suffix("List")
            && let Some(items) = value.get("items").and_then(Value::as_array)
        {
            for item in items {
                self.add_value(place, typed(item, &api_version, element), default_namespace)?;
            }
            return Ok(());
        }
        let namespace = match value.pointer("/metadata/namespace").and_then(Value::as_str) {
            None | Some("") => default_namespace.to_owned(),
            Some(namespace) => namespace.to_owned(),
        };
        match (api_version.as_str(), kind.as_str()) {
            ("v1", "Secret") => {
                self.add_object(place, ReferenceSource::Secret, namespace, &value, objects::secret)?;
            }
            ("v1", "ConfigMap") => {
                self.add_object(place, ReferenceSource::ConfigMap, namespace, &value, objects::config_map)?;
            }
            ("auth.wandb.com/v1alpha1", "LdapConfig") => {
                self.add_resource::<LdapConfig>(place, namespace, value)?;
            }
            ("auth.wandb.com/v1alpha1", "OidcProvider") => {
                self.add_resource::<OidcProvider>(place, namespace, value)?;
            }
            ("auth.wandb.com/v1alpha1", "JwtIssuer") => {
                self.add_resource::<JwtIssuer>(place, namespace, value)?;
            }
            ("auth.wandb.com/v1alpha1", "ServiceAccount") => {
                self.add_resource::<ServiceAccount>(place, namespace, value)?;
            }
            (other, kind) if other.split('/').next() == Some(GROUP) => {
                let known = similar_kind(kind).map_or_else(
                    || format!("it knows {} of {GROUP}/v1alpha1", KINDS.join(", ")),
                    |known| format!("did you mean {known} of {GROUP}/v1alpha1?"),
                );
                bail!("{place}: {kind} of {other} is not a kind that this version knows; {known}")
            }
            // Whatever else stands in the same file is no concern of the checks.
            _ => {}
        }
        Ok(())
    }

    fn add_object(
        &mut self,
        place: &str,
        source: ReferenceSource,
        namespace: String,
        value: &Value,
        read: fn(&Value) -> Result<Fetched, Vec<String>>,
    ) -> anyhow::Result<()> {
        let kind = source.kind();
        let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str) else {
            bail!("{place}: metadata.name of the {kind} is missing or is not a text");
        };
        let object =
            read(value).map_err(|faults| anyhow!("{place} is not a valid {kind}: {}", faults.join("; ")))?;
        self.objects.insert((namespace, ObjectKey { source, name: name.into() }), object);
        Ok(())
    }

    /// The namespaces in which the files have an object of this kind and name.
    pub(super) fn namespaces_of<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = &'a str> {
        self.objects.keys().filter(move |(_, each)| each == key).map(|(namespace, _)| namespace.as_str())
    }

    /// The name of another object of the kind and namespace that may have been meant.
    pub(super) fn similar_name(&self, namespace: &str, key: &ObjectKey) -> Option<String> {
        let there = self.objects.keys().filter(|(own, each)| own == namespace && each.source == key.source);
        most_similar(there.map(|(_, each)| each.name.as_str()), &key.name).map(str::to_owned)
    }

    fn add_resource<K: LoginKind>(
        &mut self,
        place: &str,
        namespace: String,
        mut value: Value,
    ) -> anyhow::Result<()> {
        let kind = K::kind(&());
        drop_nulls(&mut value);
        let schema_errors = schema_errors(&kind, &value);
        let violations = violations(&kind, &value);
        if !schema_errors.is_empty() {
            let limits = violations.iter().map(|violation| violation.trim_end_matches('.').to_owned());
            let all: Vec<_> = schema_errors.into_iter().chain(limits).collect();
            bail!("{place} is not a valid {kind}: {}", all.join("; "));
        }
        let mut object: K = decode(place, &kind, &value).map_err(|error| match violations.as_slice() {
            [] => error,
            violations => anyhow!("{place} is not a valid {kind}: {}", violations.join(" ")),
        })?;
        if object.meta().name.is_none() {
            bail!("{place}: metadata.name is missing");
        }
        object.meta_mut().namespace = Some(namespace.clone());
        if let Some(neighbour) = ReferencedKind::of::<K>() {
            let source = ReferenceSource::Neighbour(neighbour);
            let key = ObjectKey { source, name: object.name_any().into() };
            let spec = serde_json::to_value(object.spec())?;
            let found = FoundResource { version: String::new(), generation: None, spec, status: None };
            self.objects.insert((namespace, key), Fetched::Resource(Box::new(found)));
        }
        self.resources.push(Box::new(Loaded { origin: place.to_owned(), object }));
        Ok(())
    }
}

/// A document, and where it was read.
pub(super) struct Placed {
    pub(super) place: String,
    pub(super) document: YamlDocument,
}

/// Every document of the files that holds something; a directory stands for its YAML and JSON files, `-` for
/// standard input.
pub(super) fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<Placed>> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = read(std::io::stdin()).context("cannot read standard input")?;
            documents.extend(placed("standard input", &text)?);
            continue;
        }
        for file in files(path)? {
            let origin = file.display().to_string();
            let cannot = || format!("cannot read {origin}");
            let text = read(fs::File::open(&file).with_context(cannot)?).with_context(cannot)?;
            documents.extend(placed(&origin, &text)?);
        }
    }
    Ok(documents)
}

fn placed(origin: &str, text: &str) -> anyhow::Result<Vec<Placed>> {
    let documents = yaml::documents(text).map_err(|Fault { document, line, what }| {
        anyhow!("{origin}, document {document} is not well-formed YAML: line {line}: {what}")
    })?;
    let placed = documents.into_iter();
    Ok(placed
        .map(|(number, document)| Placed { place: format!("{origin}, document {number}"), document })
        .collect())
}

/// The kinds of the operator's own.
const KINDS: [&str; 4] = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];

/// The kind that was meant, if one is spelled like that.
fn similar_kind(kind: &str) -> Option<&'static str> {
    most_similar(KINDS, kind)
}

/// Decoding does not say where it failed; the schema does.
fn violations(kind: &str, value: &Value) -> Vec<String> {
    let found = schema::spec_schema(kind).zip(value.get("spec"));
    let found = found.map(|(schema, spec)| schema::violations(schema, spec, "spec")).unwrap_or_default();
    found.into_iter().map(|violation| violation.sentence).collect()
}

/// The paths, as a sentence names them.
pub(super) fn named(paths: &[PathBuf]) -> String {
    let name = |path: &PathBuf| match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    paths.iter().map(name).collect::<Vec<_>>().join(" and ")
}

fn decode<T: DeserializeOwned>(place: &str, kind: &str, value: &Value) -> anyhow::Result<T> {
    T::deserialize(value).with_context(|| format!("{place} is not a valid {kind}"))
}

/// The file itself, or a directory's manifests in the order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let file = entry?.path();
        let is_manifest = file
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        if is_manifest && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file, or of as much of it as is read.
fn read(file: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    yaml::text_of(&bytes).context("it is not text in UTF-8")
}

/// The text of a field; empty where there is none.
fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the document is of a kind that is looked at here.
fn concerns(value: &Value) -> bool {
    let (api_version, kind) = (word(value, "apiVersion"), word(value, "kind"));
    api_version.split('/').next() == Some(GROUP)
        || kind.ends_with("List")
        || (api_version == "v1" && ["Secret", "ConfigMap"].contains(&kind))
}

/// An item of a list, which may leave its type to the list's.
fn typed(item: &Value, api_version: &str, kind: &str) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut().filter(|fields| !fields.contains_key("kind")) {
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_stands_twice_is_named() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  name: b\nstringData:\n  c: x\n  d: x\n  d: y\n";
        let told: Vec<_> = placed("a.yaml", text)
            .unwrap()
            .into_iter()
            .map(|Placed { place, document }| {
                Manifests::default().add(&place, document, "default").unwrap_err().to_string()
            })
            .collect();
        assert_eq!(
            told,
            [
                "a.yaml, document 1 has the key \"name\" twice in one map, the second time in its line 5; the key \"d\" twice in one map, the second time in its line 9; remove one of them"
            ]
        );
    }
}
