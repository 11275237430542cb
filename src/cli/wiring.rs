//! What a person writes into a pod by hand, where a resource has no target: entries, and files with their volume.

use serde_json::json;

use super::{dyn_resource::Rendered, yaml};
use crate::{engine::CA_FILE, workloads::AUTHORITIES};

/// The entries of a container, and the volumes of its pod.
pub(super) fn by_hand(rendered: &Rendered) -> anyhow::Result<String> {
    let names = rendered.environment.iter().flat_map(|env| env.names());
    let names = names.filter(|name| rendered.values.get(name).is_some());
    let entries: Vec<_> = names
        .map(|name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": rendered.secret_name, "key": name}}}))
        .collect();
    let (volume, secret) = (&rendered.owner.volume, &rendered.secret_name);
    let (mount, source) = match file(rendered) {
        None => {
            let container = yaml::write(&json!({ "env": entries }))?;
            return Ok(format!("---\n# {}\n{container}", rendered.destination));
        }
        Some(MountedFile { path, key: None }) => {
            (json!({"name": volume, "mountPath": path, "readOnly": true}), json!({"secretName": secret}))
        }
        Some(MountedFile { path, key: Some(key) }) => (
            json!({"name": volume, "mountPath": path, "subPath": key, "readOnly": true}),
            json!({"secretName": secret, "items": [{"key": key, "path": key}]}),
        ),
    };
    let container = yaml::write(&json!({ "env": entries, "volumeMounts": [mount] }))?;
    let pod = yaml::write(&json!({"volumes": [{"name": volume, "secret": source}]}))?;
    Ok(format!("---\n# {}\n{container}---\n# The volume of the pod.\n{pod}", rendered.destination))
}

/// What is mounted, and where.
struct MountedFile {
    path: String,
    /// The one key that is mounted; nothing for the whole Secret.
    key: Option<&'static str>,
}

/// A Secret whose values name files of its own is mounted where they are looked for. W&B Server trusts the
/// authorities that stand in a certain folder when it starts.
fn file(rendered: &Rendered) -> Option<MountedFile> {
    let values = &rendered.values;
    let folder = values.iter().find_map(|(_, value)| {
        let (folder, key) = value.expose().rsplit_once('/')?;
        (folder.starts_with('/') && values.get(key).is_some()).then(|| folder.to_owned())
    });
    let whole = folder.map(|path| MountedFile { path, key: None });
    whole.or_else(|| {
        let path = format!("{AUTHORITIES}/{}.crt", rendered.owner.volume);
        values.get(CA_FILE).map(|_| MountedFile { path, key: Some(CA_FILE) })
    })
}
