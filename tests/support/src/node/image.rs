//! The two images of the harness's own pods, made without a builder.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::Node;
use super::configuration::SANDBOX_IMAGE;

/// The empty root on which pods mount the programs of this machine.
pub(super) const MACHINE_IMAGE: &str = "wandb-auth-test/machine:1";

const DIRECTORIES: [&str; 9] = ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"];
/// Where distributions have merged these into `/usr`, which pods mount.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Makes both images and loads them into the node.
pub(super) fn import_all(node: &Node) -> Result<()> {
    let mut sandbox = Builder::new(Vec::new());
    let mut program = File::open(&node.binaries.busybox)?;
    sandbox.append_file("busybox", &mut program)?;
    import(node, SANDBOX_IMAGE, &["/busybox", "sleep", "infinity"], sandbox)?;

    let mut machine = Builder::new(Vec::new());
    for directory in DIRECTORIES {
        machine.append_data(&mut header(EntryType::Directory, 0o755), directory, std::io::empty())?;
    }
    for link in MERGED {
        machine.append_link(&mut header(EntryType::Symlink, 0o777), link, format!("usr/{link}"))?;
    }
    // By which programs know what distribution they run on.
    machine.append_link(&mut header(EntryType::Symlink, 0o777), "etc/os-release", "../usr/lib/os-release")?;
    import(node, MACHINE_IMAGE, &[], machine)
}

fn import(node: &Node, name: &str, entrypoint: &[&str], layer: Builder<Vec<u8>>) -> Result<()> {
    let archive = node.directory.path("image.tar");
    write(&archive, name, entrypoint, &layer.into_inner()?)
        .with_context(|| format!("cannot make the image {name}"))?;
    node.import_image(&archive)
}

/// An OCI image layout: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
fn write(archive: &Path, name: &str, entrypoint: &[&str], layer: &[u8]) -> Result<()> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [address(layer)]},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config),
        "layers": [descriptor("layer.v1.tar", layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut described = descriptor("manifest.v1+json", &manifest);
    if let Some(fields) = described.as_object_mut() {
        let name = format!("docker.io/{name}");
        fields.insert("annotations".to_owned(), json!({"io.containerd.image.name": name}));
    }
    let index = json!({"schemaVersion": 2, "manifests": [described]}).to_string();

    let mut tar = Builder::new(File::create(archive)?);
    let mut add = |name: &str, contents: &[u8]| {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(contents.len() as u64);
        tar.append_data(&mut header, name, contents)
    };
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add("index.json", index.as_bytes())?;
    for blob in [layer, &config, &manifest] {
        add(&format!("blobs/{}", address(blob).replace(':', "/")), blob)?;
    }
    tar.into_inner()?;
    Ok(())
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    let media_type = format!("application/vnd.oci.image.{media_type}");
    json!({"mediaType": media_type, "digest": address(blob), "size": blob.len()})
}

fn address(blob: &[u8]) -> String {
    let hash = digest(&SHA256, blob);
    hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
