//! The image as one file: an OCI image layout in a tar archive.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{layer, layout::File, settings::Settings};

/// A whole image.
pub struct Image {
    /// The archive.
    pub archive: Vec<u8>,
    /// The digest by which registries and nodes name the image.
    pub digest: String,
}

/// Part of an image that is named by its digest.
struct Blob {
    media_type: &'static str,
    content: Vec<u8>,
}

impl Blob {
    fn of(media_type: &'static str, document: &Value) -> Result<Self> {
        Ok(Self { media_type, content: serde_json::to_vec(document)? })
    }

    fn digest(&self) -> String {
        digest(&self.content)
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest().replace(':', "/"))
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.content.len()})
    }

    fn into_file(self) -> File {
        File { path: self.path(), mode: 0o644, content: self.content }
    }
}

/// Assembles the image of these files.
pub fn image(files: &[File], settings: &Settings) -> Result<Image> {
    let tar = layer::tar(files, settings.time)?;
    let layer =
        Blob { media_type: "application/vnd.oci.image.layer.v1.tar+gzip", content: layer::compress(&tar)? };
    let configuration =
        Blob::of("application/vnd.oci.image.config.v1+json", &settings.configuration(&digest(&tar)))?;
    let manifest = Blob::of(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": configuration.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": Settings::labels(),
        }),
    )?;
    let index = index(&manifest, settings)?;
    // Docker reads this file instead of the index unless it keeps its images in containerd.
    let docker = json!([{
        "Config": configuration.path(),
        "RepoTags": [Settings::reference()],
        "Layers": [layer.path()],
    }]);
    let digest = manifest.digest();
    let mut files = vec![
        document("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?,
        document("index.json", &index)?,
        document("manifest.json", &docker)?,
        layer.into_file(),
        configuration.into_file(),
        manifest.into_file(),
    ];
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Image { archive: layer::tar(&files, settings.time)?, digest })
}

fn index(manifest: &Blob, settings: &Settings) -> Result<Value> {
    let mut descriptor = manifest.descriptor();
    let members = descriptor.as_object_mut().context("a descriptor is an object")?;
    members.insert("platform".to_owned(), settings.platform());
    members.insert(
        "annotations".to_owned(),
        json!({
            "io.containerd.image.name": Settings::full_reference(),
            "org.opencontainers.image.ref.name": Settings::reference(),
        }),
    );
    Ok(json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    }))
}

fn document(path: &str, content: &Value) -> Result<File> {
    Ok(File { path: path.to_owned(), mode: 0o644, content: serde_json::to_vec(content)? })
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;
    use crate::layout;

    const TIME: u64 = 1_700_000_000;

    fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), TIME);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(files.insert(path, content).is_none(), "twice the same path");
        }
        files
    }

    /// The content that a descriptor stands for, after a look at what it says of it.
    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let name = descriptor["digest"].as_str().unwrap();
        let content = &files[&format!("blobs/{}", name.replace(':', "/"))];
        assert_eq!(digest(content), name);
        assert_eq!(descriptor["size"], content.len());
        content
    }

    #[test]
    fn engines_find_their_way_from_the_index_to_the_files() {
        let files = layout::files(b"program".to_vec(), b"{}");
        let settings = Settings::new("arm64", TIME).unwrap();
        let image = image(&files, &settings).unwrap();
        let archive = unpacked(&image.archive);

        let layout: Value = serde_json::from_slice(&archive["oci-layout"]).unwrap();
        assert_eq!(layout, json!({"imageLayoutVersion": "1.0.0"}));
        let index: Value = serde_json::from_slice(&archive["index.json"]).unwrap();
        let descriptor = &index["manifests"][0];
        assert_eq!(descriptor["digest"], image.digest);
        assert_eq!(descriptor["platform"], json!({"architecture": "arm64", "os": "linux"}));
        let name = format!("docker.io/library/wandb-auth-operator:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(descriptor["annotations"]["io.containerd.image.name"], name);

        let manifest: Value = serde_json::from_slice(blob(&archive, descriptor)).unwrap();
        let configuration: Value = serde_json::from_slice(blob(&archive, &manifest["config"])).unwrap();
        assert_eq!(configuration["config"]["User"], "65532:65532");
        assert_eq!(configuration["created"], "2023-11-14T22:13:20Z");

        let compressed = blob(&archive, &manifest["layers"][0]);
        let mut layer = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut layer).unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"], json!([digest(&layer)]));
        let entries = unpacked(&layer);
        for file in &files {
            assert_eq!(entries[&file.path], file.content);
        }
        assert!(entries.contains_key("usr/bin"), "directories have entries, too");

        let docker: Value = serde_json::from_slice(&archive["manifest.json"]).unwrap();
        let path = |descriptor: &Value| {
            format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
        };
        assert_eq!(docker[0]["Config"], path(&manifest["config"]));
        assert_eq!(docker[0]["Layers"], json!([path(&manifest["layers"][0])]));
    }

    #[test]
    fn the_digest_depends_on_content_and_time_only() {
        let digest = |program: &str, time| {
            let files = layout::files(program.into(), b"{}");
            image(&files, &Settings::new("amd64", time).unwrap()).unwrap().digest
        };
        assert_eq!(digest("program", TIME), digest("program", TIME));
        assert_ne!(digest("program", TIME), digest("another", TIME));
        assert_ne!(digest("program", TIME), digest("program", 0));
    }
}
