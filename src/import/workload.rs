//! Reads the environment of the container that runs the server from the pod template of a Deployment or
//! StatefulSet.

use k8s_openapi::api::core::v1::{Container, EnvVar, KeyToPath, PodSpec, Volume, VolumeMount};

use super::{
    Certificates, EntryOrigin, EnvironmentEntry, ServerShape, TrustPurpose,
    certificates::CertificatePlace,
    subject::{config_map, secret},
};
use crate::{
    engine::{ObjectKey, Requirement},
    problem::enumerate,
    workloads::{AUTHORITIES, DIRECTORY_AUTHORITIES, Dialect},
};

/// The settings of the server in a pod template.
#[derive(Debug)]
pub struct TemplateSettings {
    /// The name of the container that runs the server.
    pub container: String,
    /// Whether the pod has other containers, so that a target must name this one.
    pub company: Company,
    /// Which names the image reads first, if its name shows that.
    pub shape: Option<ServerShape>,
    /// The environment of the container.
    pub entries: Vec<EnvironmentEntry>,
    /// The certificate authorities that are mounted into the container.
    pub certificates: Vec<Certificates>,
}

/// Whether the pod has several containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// The pod has only this container.
    Alone,
    /// The pod has other containers, too.
    Others,
}

/// Reads the container of this name or, without a name, the one that runs the server.
pub fn read(pod: &PodSpec, name: Option<&str>) -> Result<TemplateSettings, String> {
    let container = choose(&pod.containers, name)?;
    let company = if pod.containers.len() > 1 { Company::Others } else { Company::Alone };
    Ok(TemplateSettings {
        container: container.name.clone(),
        company,
        shape: shape(container.image.as_deref().unwrap_or_default()),
        entries: entries(container),
        certificates: certificates(container, pod.volumes.as_deref().unwrap_or_default()),
    })
}

/// The named container or, without a name, the only container or the only one with an image of W&B Server.
fn choose<'a>(containers: &'a [Container], name: Option<&str>) -> Result<&'a Container, String> {
    let of_server = |container: &&Container| shape(container.image.as_deref().unwrap_or_default()).is_some();
    let candidates: Vec<_> = match name {
        Some(name) => containers.iter().filter(|container| container.name == name).collect(),
        None if containers.len() > 1 => containers.iter().filter(of_server).collect(),
        None => containers.iter().collect(),
    };
    match (candidates.as_slice(), name) {
        ([only], _) => Ok(only),
        (_, name) => {
            let names = enumerate(containers.iter().map(|container| &container.name));
            let seen = match name {
                Some(name) => format!("it has no container \"{name}\", but these: {names}"),
                None => format!("it has these containers: {names}"),
            };
            Err(format!("{seen}. Name the one that runs W&B Server with --container."))
        }
    }
}

/// The shape of the server, if the name of the image shows it.
fn shape(image: &str) -> Option<ServerShape> {
    match Dialect::of_image(image) {
        Dialect::Local => Some(ServerShape::Local),
        Dialect::Split => Some(ServerShape::Split),
        Dialect::Both => None,
    }
}

fn entries(container: &Container) -> Vec<EnvironmentEntry> {
    let sources = container.env_from.iter().flatten();
    let every = sources.filter_map(|source| {
        let object = match (&source.secret_ref, &source.config_map_ref) {
            (Some(reference), _) => secret(&reference.name),
            (None, Some(reference)) => config_map(&reference.name),
            (None, None) => return None,
        };
        Some(EnvironmentEntry::Every { object, prefix: source.prefix.clone().unwrap_or_default() })
    });
    let variables = container
        .env
        .iter()
        .flatten()
        .map(|variable| EnvironmentEntry::Variable { name: variable.name.clone(), origin: origin(variable) });
    every.chain(variables).collect()
}

/// Where the value of a variable comes from.
pub(super) fn origin(variable: &EnvVar) -> EntryOrigin {
    let Some(from) = &variable.value_from else {
        return EntryOrigin::Text(variable.value.clone().unwrap_or_default());
    };
    let key = |object: ObjectKey, key: &str, optional: Option<bool>| EntryOrigin::Key {
        object,
        key: key.to_owned(),
        need: need(optional),
    };
    match (&from.secret_key_ref, &from.config_map_key_ref) {
        (Some(selector), _) => key(secret(&selector.name), &selector.key, selector.optional),
        (None, Some(selector)) => key(config_map(&selector.name), &selector.key, selector.optional),
        (None, None) => EntryOrigin::Elsewhere,
    }
}

/// The certificates that are mounted where the server looks for authorities.
fn certificates(container: &Container, volumes: &[Volume]) -> Vec<Certificates> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .flat_map(|mount| {
            let purpose = purpose(&mount.mount_path);
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let places = volume.map(|volume| places(volume, mount)).unwrap_or_default();
            places
                .into_iter()
                .filter_map(move |(place, need)| Some(Certificates { purpose: purpose?, place, need }))
        })
        .collect()
}

fn purpose(path: &str) -> Option<TrustPurpose> {
    let is_within = |folder: &str| {
        path.trim_end_matches('/') == folder
            || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    if is_within(AUTHORITIES) {
        return Some(TrustPurpose::Everything);
    }
    is_within(DIRECTORY_AUTHORITIES).then_some(TrustPurpose::Directory)
}

/// The certificates of a volume that a mount makes visible, each with whether it may be missing.
fn places(volume: &Volume, mount: &VolumeMount) -> Vec<(CertificatePlace, Requirement)> {
    let shown = |object: ObjectKey, items: Option<&[KeyToPath]>, optional: Option<bool>| {
        (shown(object, items, mount.sub_path.as_deref()), need(optional))
    };
    let own = volume.secret.as_ref().and_then(|source| {
        let name = source.secret_name.as_deref()?;
        Some(shown(secret(name), source.items.as_deref(), source.optional))
    });
    let map = volume.config_map.as_ref();
    let map = map.map(|source| shown(config_map(&source.name), source.items.as_deref(), source.optional));
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let projected = projected.filter_map(|source| match (&source.secret, &source.config_map) {
        (Some(source), _) => Some(shown(secret(&source.name), source.items.as_deref(), source.optional)),
        (None, Some(source)) => {
            Some(shown(config_map(&source.name), source.items.as_deref(), source.optional))
        }
        (None, None) => None,
    });
    own.into_iter().chain(map).chain(projected).collect()
}

fn need(optional: Option<bool>) -> Requirement {
    if optional == Some(true) { Requirement::Optional } else { Requirement::Required }
}

fn shown(object: ObjectKey, items: Option<&[KeyToPath]>, sub_path: Option<&str>) -> CertificatePlace {
    match (items, sub_path) {
        (None, None) => CertificatePlace::Object(object),
        (None, Some(path)) => CertificatePlace::Keys(object, vec![path.to_owned()]),
        (Some(items), path) => {
            let shown = items.iter().filter(|item| path.is_none_or(|path| item.path == path));
            CertificatePlace::Keys(object, shown.map(|item| item.key.clone()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(yaml: &str) -> PodSpec {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn the_container_of_the_server_is_found() {
        let two = "{containers: [{name: proxy, image: envoy}, {name: server, image: 'a.example/wandb/local:1@sha256:0'}]}";
        let alike = "{containers: [{name: a, image: 'wandb/local:1'}, {name: b, image: wandb/megabinary}]}";
        for (yaml, name, expected) in [
            ("{containers: [{name: any, image: custom}]}", None, Ok("any")),
            (two, None, Ok("server")),
            (two, Some("proxy"), Ok("proxy")),
            (two, Some("b"), Err("it has no container \"b\", but these: proxy, server. Name the one")),
            (alike, None, Err("it has these containers: a, b. Name the one")),
            (alike, Some("b"), Ok("b")),
        ] {
            let read = read(&pod(yaml), name).map(|template| template.container);
            match (read, expected) {
                (Ok(container), Ok(expected)) => assert_eq!(container, expected),
                (Err(complaint), Err(expected)) => assert!(complaint.starts_with(expected), "{complaint}"),
                (read, expected) => panic!("{yaml}: {read:?}, but expected {expected:?}"),
            }
        }
    }

    #[test]
    fn images_tell_which_names_are_read_first() {
        for (image, expected) in [
            ("wandb/local:0.75.1", Some(ServerShape::Local)),
            ("registry.example.com:5000/mirror/wandb/local", Some(ServerShape::Local)),
            ("us-docker.pkg.dev/wandb/megabinary@sha256:00", Some(ServerShape::Split)),
            ("localhost/redis:7", None),
            ("", None),
        ] {
            assert_eq!(shape(image), expected, "{image}");
        }
    }

    #[test]
    fn mounted_authorities_are_found_wherever_they_come_from() {
        let yaml = "
containers:
- name: wandb
  image: wandb/local
  volumeMounts:
  - {name: all, mountPath: /usr/local/share/ca-certificates/}
  - {name: one, mountPath: /usr/local/share/ca-certificates/a.crt, subPath: a.crt}
  - {name: items, mountPath: /usr/local/share/ca-certificates/b.crt, subPath: b.crt}
  - {name: several, mountPath: /usr/local/share/ca-certificates/more}
  - {name: directory, mountPath: /var/run/secrets/wandb.ai/ldap/ca.crt, subPath: ca.crt}
  - {name: all, mountPath: /usr/local/share/ca-certificates-of-others}
  - {name: data, mountPath: /usr/local/share/ca-certificates/data}
volumes:
- {name: all, configMap: {name: m}}
- {name: one, secret: {secretName: s}}
- {name: items, secret: {secretName: s, items: [{key: k, path: b.crt}, {key: l, path: c.crt}]}}
- {name: several, projected: {sources: [{configMap: {name: m}}, {secret: {name: s, items: [{key: k, path: x}]}}]}}
- {name: directory, configMap: {name: m, items: [{key: ca.pem, path: ca.crt}]}}
- {name: data, emptyDir: {}}
";
        let found = read(&pod(yaml), None).unwrap().certificates;
        let keys = |object: ObjectKey, keys: &[&str]| {
            CertificatePlace::Keys(object, keys.iter().map(|key| (*key).to_owned()).collect())
        };
        let expected = [
            (TrustPurpose::Everything, CertificatePlace::Object(config_map("m"))),
            (TrustPurpose::Everything, keys(secret("s"), &["a.crt"])),
            (TrustPurpose::Everything, keys(secret("s"), &["k"])),
            (TrustPurpose::Everything, CertificatePlace::Object(config_map("m"))),
            (TrustPurpose::Everything, keys(secret("s"), &["k"])),
            (TrustPurpose::Directory, keys(config_map("m"), &["ca.pem"])),
        ];
        assert_eq!(
            found,
            expected.map(|(purpose, place)| Certificates { purpose, place, need: Requirement::Required })
        );
    }
}
