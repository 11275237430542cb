//! Reads manifests from files, directories and standard input.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use serde::{Deserialize, de::DeserializeOwned};
use serde_yaml::Value;

use super::{
    examine::{Examinable, Loaded},
    misfits::{drop_nulls, misfits},
};
use crate::{
    api::{GROUP, JwtIssuer, LdapConfig, OidcProvider, ServiceAccount, schema},
    engine::{Fetched, FoundResource, Kind, Neighbour, ObjectKey, ReferenceSource},
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
        for path in paths {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin()
                    .take(FILE_LIMIT)
                    .read_to_string(&mut text)
                    .context("standard input is not text")?;
                manifests.add("standard input", &text, default_namespace)?;
                continue;
            }
            for file in files(path)? {
                let origin = file.display().to_string();
                manifests.add(&origin, &read(&file)?, default_namespace)?;
            }
        }
        if manifests.resources.is_empty() {
            bail!(
                "there is no LdapConfig, OidcProvider, JwtIssuer or ServiceAccount of {GROUP}/v1alpha1 in {}; nothing was looked at",
                named(paths)
            );
        }
        Ok(manifests)
    }

    fn add(&mut self, origin: &str, text: &str, default_namespace: &str) -> anyhow::Result<()> {
        for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let place = format!("{origin}, document {}", index + 1);
            let value =
                Value::deserialize(document).with_context(|| format!("{place} is not well-formed YAML"))?;
            self.add_value(&place, value, default_namespace)?;
        }
        Ok(())
    }

    fn add_value(&mut self, place: &str, value: Value, default_namespace: &str) -> anyhow::Result<()> {
        if value.is_null() {
            return Ok(());
        }
        let word = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (word("apiVersion"), word("kind"));
        let namespace = value
            .get("metadata")
            .and_then(|metadata| metadata.get("namespace")?.as_str())
            .unwrap_or(default_namespace)
            .to_owned();
        match (api_version.as_str(), kind.as_str()) {
            ("v1", "List") => {
                for item in value.get("items").and_then(Value::as_sequence).into_iter().flatten() {
                    self.add_value(place, item.clone(), default_namespace)?;
                }
            }
            ("v1", "Secret") => {
                let secret: Secret = decode(place, &kind, value)?;
                let name = secret.metadata.name.clone().unwrap_or_default();
                let key = ObjectKey { source: ReferenceSource::Secret, name };
                self.objects.insert((namespace, key), secret.into());
            }
            ("v1", "ConfigMap") => {
                let map: ConfigMap = decode(place, &kind, value)?;
                let name = map.metadata.name.clone().unwrap_or_default();
                let key = ObjectKey { source: ReferenceSource::ConfigMap, name };
                self.objects.insert((namespace, key), map.into());
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
                bail!(
                    "{place}: {kind} of {other} is not a kind that this version knows; it knows LdapConfig, OidcProvider, JwtIssuer and ServiceAccount of auth.wandb.com/v1alpha1"
                )
            }
            // Whatever else stands in the same file is no concern of the checks.
            _ => {}
        }
        Ok(())
    }

    fn add_resource<K: Kind>(
        &mut self,
        place: &str,
        namespace: String,
        mut value: Value,
    ) -> anyhow::Result<()> {
        let kind = K::kind(&());
        drop_nulls(&mut value);
        let misfits = misfits(&kind, &value);
        if !misfits.is_empty() {
            bail!("{place} is not a valid {kind}: {}", misfits.join("; "));
        }
        let field = first_violation(&kind, &value);
        let mut object: K = decode(place, &kind, value).map_err(|error| match field {
            Some(violation) => anyhow!("{place} is not a valid {kind}: {violation}"),
            None => error,
        })?;
        if object.meta().name.is_none() {
            bail!("{place}: metadata.name is missing");
        }
        object.meta_mut().namespace = Some(namespace.clone());
        if let Some(neighbour) = Neighbour::of::<K>() {
            let source = ReferenceSource::Neighbour(neighbour);
            let key = ObjectKey { source, name: object.name_any() };
            let spec = serde_json::to_value(object.spec())?;
            let found = FoundResource { version: String::new(), spec, status: None };
            self.objects.insert((namespace, key), Fetched::Resource(Box::new(found)));
        }
        self.resources.push(Box::new(Loaded { origin: place.to_owned(), object }));
        Ok(())
    }
}

/// Decoding does not say where it failed; the schema does.
fn first_violation(kind: &str, value: &Value) -> Option<String> {
    let spec = serde_json::to_value(value.get("spec")?).ok()?;
    schema::violation(schema::spec_schema(kind)?, &spec, "spec")
}

/// The paths, as a sentence names them.
fn named(paths: &[PathBuf]) -> String {
    let name = |path: &PathBuf| match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    paths.iter().map(name).collect::<Vec<_>>().join(" and ")
}

fn decode<T: DeserializeOwned>(place: &str, kind: &str, value: Value) -> anyhow::Result<T> {
    serde_yaml::from_value(value).with_context(|| format!("{place} is not a valid {kind}"))
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

fn read(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", file.display());
    let mut text = String::new();
    fs::File::open(file)
        .with_context(cannot)?
        .take(FILE_LIMIT)
        .read_to_string(&mut text)
        .with_context(cannot)?;
    Ok(text)
}
