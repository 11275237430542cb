//! What a container gets when it starts: its variables and its files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, KeyToPath, Pod, Secret, Volume, VolumeMount,
};
use kube::{Api, Client, ResourceExt};

type Data = BTreeMap<String, Vec<u8>>;

/// The variables and the files that a container was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInputs {
    /// The values of variables by name.
    pub environment: BTreeMap<String, String>,
    /// The contents of mounted files by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A reference of a pod to what does not exist, seen when a container was to start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenReference {
    /// The pod.
    pub pod: String,
    /// The container that could not start.
    pub container: String,
    /// The kubelet's words.
    pub message: String,
    /// Whether the container has the reference in a volume, and not in a variable.
    pub(super) kind: ReferenceKind,
}

/// How a container refers to something, which decides how the kubelet shows that it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReferenceKind {
    Variable,
    Volume,
}

/// Why a container cannot start now.
pub(super) enum Blocked {
    Broken(BrokenReference),
    Api(kube::Error),
}

impl From<kube::Error> for Blocked {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Secret,
    ConfigMap,
}

/// Reads all that the container refers to, as it is now: each object once, like the kubelet, however many variables come
/// from it.
pub(super) async fn resolve(
    client: &Client,
    pod: &Pod,
    container: &Container,
) -> Result<ContainerInputs, Blocked> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut resolver = Resolver { client, pod, container, namespace, read: BTreeMap::new() };
    let mut inputs = ContainerInputs::default();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let mounts = container.volume_mounts.iter().flatten().filter(|mount| mount.name == volume.name);
        let files = resolver.volume(volume).await?;
        mounts.for_each(|mount| inputs.files.extend(mounted(mount, &files)));
    }
    for source in container.env_from.iter().flatten() {
        resolver.all_of(source, &mut inputs.environment).await?;
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = resolver.variable(variable, &inputs.environment).await? {
            inputs.environment.insert(variable.name.clone(), value);
        }
    }
    Ok(inputs)
}

struct Resolver<'a> {
    client: &'a Client,
    pod: &'a Pod,
    container: &'a Container,
    namespace: String,
    /// The data of what was read so far; nothing where there is no such object.
    read: BTreeMap<(Source, String), Option<Data>>,
}

impl Resolver<'_> {
    /// The data of a Secret or a ConfigMap; nothing where it may be missing and is.
    async fn data(
        &mut self,
        source: Source,
        name: &str,
        optional: Option<bool>,
        kind: ReferenceKind,
    ) -> Result<Option<Data>, Blocked> {
        let key = (source, name.to_owned());
        let found = if let Some(found) = self.read.get(&key) {
            found.clone()
        } else {
            let found = self.request(source, name).await?;
            self.read.insert(key, found.clone());
            found
        };
        if found.is_none() && optional != Some(true) {
            return Err(self.broken(kind, format!("{} \"{name}\" not found", source.noun().to_lowercase())));
        }
        Ok(found)
    }

    /// The data of a Secret or a ConfigMap; nothing where there is none of this name.
    async fn request(&self, source: Source, name: &str) -> kube::Result<Option<Data>> {
        Ok(match source {
            Source::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
                let data = |secret: Secret| secret.data.unwrap_or_default().into_iter();
                let found = api.get_opt(name).await?;
                found.map(|secret| data(secret).map(|(key, value)| (key, value.0)).collect())
            }
            Source::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
                let data = |map: ConfigMap| map.data.unwrap_or_default().into_iter();
                let found = api.get_opt(name).await?;
                found.map(|map| data(map).map(|(key, value)| (key, value.into_bytes())).collect())
            }
        })
    }

    async fn variable(
        &mut self,
        variable: &EnvVar,
        earlier: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Blocked> {
        let Some(from) = &variable.value_from else {
            return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), earlier)));
        };
        if let Some(selector) = &from.secret_key_ref {
            return self.key(Source::Secret, &selector.name, &selector.key, selector.optional).await;
        }
        if let Some(selector) = &from.config_map_key_ref {
            return self.key(Source::ConfigMap, &selector.name, &selector.key, selector.optional).await;
        }
        let field = from.field_ref.as_ref().map(|field| field.field_path.as_str());
        Ok(Some(match field {
            Some("metadata.name") => self.pod.name_any(),
            Some("metadata.namespace") => self.namespace.clone(),
            _ => String::new(),
        }))
    }

    async fn key(
        &mut self,
        source: Source,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, Blocked> {
        let kind = ReferenceKind::Variable;
        let Some(data) = self.data(source, name, optional, kind).await? else { return Ok(None) };
        match data.get(key) {
            Some(value) => Ok(Some(text(value))),
            None if optional == Some(true) => Ok(None),
            None => {
                let (noun, namespace) = (source.noun(), &self.namespace);
                Err(self.broken(kind, format!("couldn't find key {key} in {noun} {namespace}/{name}")))
            }
        }
    }

    async fn all_of(
        &mut self,
        from: &EnvFromSource,
        environment: &mut BTreeMap<String, String>,
    ) -> Result<(), Blocked> {
        let (source, name, optional) = match (&from.secret_ref, &from.config_map_ref) {
            (Some(secret), _) => (Source::Secret, &secret.name, secret.optional),
            (None, Some(map)) => (Source::ConfigMap, &map.name, map.optional),
            (None, None) => return Ok(()),
        };
        let data = self.data(source, name, optional, ReferenceKind::Variable).await?;
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, value) in data.unwrap_or_default() {
            environment.insert(format!("{prefix}{key}"), text(&value));
        }
        Ok(())
    }

    /// The files of a volume by their paths in it.
    async fn volume(&mut self, volume: &Volume) -> Result<Data, Blocked> {
        let (source, name, optional, items) = if let Some(secret) = &volume.secret {
            let name = secret.secret_name.clone().unwrap_or_default();
            (Source::Secret, name, secret.optional, &secret.items)
        } else if let Some(map) = &volume.config_map {
            (Source::ConfigMap, map.name.clone(), map.optional, &map.items)
        } else {
            return Ok(Data::new());
        };
        let data = self.data(source, &name, optional, ReferenceKind::Volume).await?.unwrap_or_default();
        match items {
            None => Ok(data),
            Some(items) => self.selected(&data, items, optional, &volume.name),
        }
    }

    fn selected(
        &self,
        data: &Data,
        items: &[KeyToPath],
        optional: Option<bool>,
        volume: &str,
    ) -> Result<Data, Blocked> {
        let mut files = Data::new();
        for item in items {
            if let Some(value) = data.get(&item.key) {
                files.insert(item.path.clone(), value.clone());
            } else if optional != Some(true) {
                let message = format!(
                    "MountVolume.SetUp failed for volume \"{volume}\" : references non-existent secret key: {}",
                    item.key
                );
                return Err(self.broken(ReferenceKind::Volume, message));
            }
        }
        Ok(files)
    }

    fn broken(&self, kind: ReferenceKind, message: String) -> Blocked {
        Blocked::Broken(BrokenReference {
            pod: self.pod.name_any(),
            container: self.container.name.clone(),
            message,
            kind,
        })
    }
}

impl Source {
    fn noun(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// The files of a volume where the mount puts them.
fn mounted<'a>(mount: &'a VolumeMount, files: &'a Data) -> impl Iterator<Item = (String, Vec<u8>)> + 'a {
    let part = mount.sub_path.as_deref().unwrap_or_default().trim_matches('/');
    let place = mount.mount_path.trim_end_matches('/');
    files.iter().filter_map(move |(path, contents)| {
        let inside = if part.is_empty() {
            Some(format!("/{path}"))
        } else if path == part {
            Some(String::new())
        } else {
            path.strip_prefix(part).filter(|rest| rest.starts_with('/')).map(str::to_owned)
        };
        inside.map(|inside| (format!("{place}{inside}"), contents.clone()))
    })
}

/// Replaces `$(NAME)` by the variable of that name, if there is one; `$$` stands for a dollar.
fn expand(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let reference = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        rest = if let Some((name, behind)) = reference {
            let unknown = || format!("$({name})");
            expanded.push_str(&variables.get(name).cloned().unwrap_or_else(unknown));
            behind
        } else {
            expanded.push('$');
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_the_kubelet_does() {
        let variables = BTreeMap::from([("NAME".to_owned(), "alice".to_owned())]);
        for (value, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("uid=$(NAME),dc=x", "uid=alice,dc=x"),
            ("$(OTHER)", "$(OTHER)"),
            ("$$(NAME)", "$(NAME)"),
            ("$NAME costs 5$", "$NAME costs 5$"),
            ("$(NAME", "$(NAME"),
        ] {
            assert_eq!(expand(value, &variables), expected, "{value}");
        }
    }

    #[test]
    fn files_are_where_the_mount_puts_them() {
        let files = Data::from([("ca.crt".to_owned(), vec![1]), ("more/other.crt".to_owned(), vec![2])]);
        let paths = |mount_path: &str, sub_path: Option<&str>| -> Vec<String> {
            let mount = VolumeMount {
                mount_path: mount_path.to_owned(),
                sub_path: sub_path.map(str::to_owned),
                ..VolumeMount::default()
            };
            mounted(&mount, &files).map(|(path, _)| path).collect()
        };
        assert_eq!(paths("/etc/ca/", None), ["/etc/ca/ca.crt", "/etc/ca/more/other.crt"]);
        assert_eq!(paths("/etc/one.crt", Some("ca.crt")), ["/etc/one.crt"]);
        assert_eq!(paths("/etc/ca", Some("more")), ["/etc/ca/other.crt"]);
        assert!(paths("/etc/ca", Some("none")).is_empty());
    }
}
