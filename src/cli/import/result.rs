//! The result of importing one installation: its resources, and the objects that they need.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{manifests::Manifests, yaml},
    ImportArguments,
    subjects::document,
};
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider},
    engine::{CA_FILE, Fetched, ObjectKey, ReferenceSource, Requirement},
    import::{
        Authorities, FoundEnvironment, Installation, ResourceDraft, ResourceIdentity, TrustPurpose, draft,
        resolve,
    },
    sensitive::Sensitive,
};

/// The result of importing one installation.
pub(super) struct Imported {
    pub(super) subject: Installation,
    pub(super) found: FoundEnvironment,
    pub(super) drafts: Vec<ResourceDraft>,
    /// The ConfigMaps with certificate authorities that must be created.
    pub(super) config_maps: Vec<Value>,
}

impl Imported {
    pub(super) fn of(
        mut subject: Installation,
        objects: &BTreeMap<ObjectKey, Fetched>,
        arguments: &ImportArguments,
    ) -> Self {
        let mut found = resolve(&subject, objects);
        found.host = arguments.host.clone().or(found.host);
        found.token_issuer.clone_from(&arguments.jwt_issuer);
        let for_all = |purpose: TrustPurpose| purpose == TrustPurpose::Everything;
        let general = Trusted::of(&subject, objects, "authorities", for_all);
        let directory = Trusted::of(&subject, objects, "ldap-authorities", |_| true);
        let has_own = subject.certificates.iter().any(|each| each.purpose == TrustPurpose::Directory);
        let directory = if has_own { &directory } else { &general };
        let tls = |trusted: &Option<Trusted>| trusted.as_ref().map(|trusted| trusted.tls.clone());
        let (directory_tls, tls) = (tls(directory), tls(&general));
        let identity = |tls| ResourceIdentity {
            name: &subject.name,
            namespace: &subject.namespace,
            target: subject.target.as_ref(),
            tls,
            objects,
        };
        let drafts: Vec<_> = [
            draft::<LdapConfig>(&found, identity(directory_tls.as_ref())),
            draft::<OidcProvider>(&found, identity(tls.as_ref())),
            draft::<JwtIssuer>(&found, identity(tls.as_ref())),
        ]
        .into_iter()
        .flatten()
        .collect();
        let used = |map: &Value| {
            let name = map.pointer("/metadata/name");
            drafts
                .iter()
                .any(|draft| name == draft.manifest.pointer("/spec/tls/caBundle/configMapKeyRef/name"))
        };
        let mut config_maps: Vec<Value> = Vec::new();
        for map in [directory, &general].into_iter().flatten().filter_map(|trusted| trusted.made.clone()) {
            if used(&map) && !config_maps.contains(&map) {
                config_maps.push(map);
            }
        }
        subject.notes.extend(unread_authorities(&subject, objects));
        Self { subject, found, drafts, config_maps }
    }

    /// The Secrets that must be created, by name.
    pub(super) fn secrets(&self) -> BTreeMap<&str, BTreeMap<&str, &Sensitive>> {
        let mut secrets: BTreeMap<&str, BTreeMap<&str, &Sensitive>> = BTreeMap::new();
        for made in self.drafts.iter().flat_map(|draft| &draft.made) {
            let keys = secrets.entry(&made.reference.name).or_default();
            keys.insert(&made.reference.key, &made.value);
        }
        secrets
    }

    /// Adds the complete resources, as they were printed, and the objects to which they refer.
    pub(super) fn add_to(&self, manifests: &mut Manifests) -> anyhow::Result<()> {
        let namespace = &self.subject.namespace;
        for (name, keys) in self.secrets() {
            let data =
                keys.iter().map(|(key, value)| ((*key).to_owned(), value.expose().as_bytes().to_vec()));
            let key = ObjectKey { source: ReferenceSource::Secret, name: name.into() };
            let made = Fetched::Found { version: String::new(), data: data.collect() };
            manifests.objects.insert((namespace.clone(), key), made);
        }
        for map in &self.config_maps {
            manifests.add("the result", document(map.clone()), namespace)?;
        }
        for draft in self.complete() {
            for (_, document) in yaml::documents(&yaml::write(&draft.manifest)?)
                .map_err(|fault| anyhow::anyhow!("the result is not well-formed YAML: {}", fault.what))?
            {
                manifests.add("the result", document, namespace)?;
            }
        }
        Ok(())
    }

    /// The resources that can be applied as they are.
    pub(super) fn complete(&self) -> impl Iterator<Item = &ResourceDraft> {
        self.drafts.iter().filter(|draft| draft.holes.is_empty())
    }
}

/// Notes about authorities that the server trusts, but the checks would not, because they could not be read.
fn unread_authorities(subject: &Installation, objects: &BTreeMap<ObjectKey, Fetched>) -> Vec<String> {
    let missing = subject.certificates.iter().filter(|each| each.need == Requirement::Required);
    let missing = missing.filter_map(|each| each.object());
    let missing = missing.filter(|object| !matches!(objects.get(object), Some(Fetched::Found { .. })));
    let note = |object: &ObjectKey| {
        format!(
            "The server trusts the authorities in the {} {}, which could not be read: where a server needs them, give the resource spec.tls.caBundle",
            object.source.kind(),
            object.name
        )
    };
    missing.map(note).collect()
}

/// The installation's own certificate authorities, as a spec refers to them.
struct Trusted {
    tls: Value,
    /// The ConfigMap that must be created for them, if they are in several places or in no object.
    made: Option<Value>,
}

impl Trusted {
    fn of(
        subject: &Installation,
        objects: &BTreeMap<ObjectKey, Fetched>,
        suffix: &str,
        is_meant: impl Fn(TrustPurpose) -> bool,
    ) -> Option<Self> {
        let meant = subject.certificates.iter().filter(|each| is_meant(each.purpose));
        let Authorities { pem, only } = Authorities::read(meant, objects)?;
        if let Some((object, key)) = only {
            let field = match object.source {
                ReferenceSource::Secret => "secretKeyRef",
                ReferenceSource::ConfigMap | ReferenceSource::Neighbour(_) => "configMapKeyRef",
            };
            let tls = json!({"caBundle": {field: {"name": object.name, "key": key}}});
            return Some(Self { tls, made: None });
        }
        let name = format!("{}-{suffix}", subject.name);
        let tls = json!({"caBundle": {"configMapKeyRef": {"name": name, "key": CA_FILE}}});
        let made = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": subject.namespace}, "data": {CA_FILE: pem},
        });
        Some(Self { tls, made: Some(made) })
    }
}
