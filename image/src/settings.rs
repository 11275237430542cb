//! What a container of the image is started with, and what the image says of itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The name of the program, and of the image.
pub const NAME: &str = "wandb-auth-operator";

/// The user and the group of the process; they have no name anywhere else and own nothing.
pub const USER: &str = "65532:65532";

/// Where the program is in the image.
pub const PROGRAM: &str = "/usr/bin/wandb-auth-operator";

/// What is the same for every way in which the image is written.
pub struct Settings {
    architecture: &'static str,
    /// The time of the image and of its files, in seconds since 1970.
    pub time: u64,
    created: Timestamp,
}

impl Settings {
    /// The settings of an image for that architecture, made at that time.
    pub fn new(architecture: &'static str, time: u64) -> Result<Self> {
        let seconds = i64::try_from(time).context("SOURCE_DATE_EPOCH is too large")?;
        let created = Timestamp::from_second(seconds).context("SOURCE_DATE_EPOCH is too large")?;
        Ok(Self { architecture, time, created })
    }

    /// The name that engines know the image by.
    pub fn reference() -> String {
        format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
    }

    /// The same name as containerd spells it, in full.
    pub fn full_reference() -> String {
        format!("docker.io/library/{}", Self::reference())
    }

    /// When the image was made, as far as anybody can tell from it.
    pub fn created(&self) -> String {
        self.created.to_string()
    }

    /// What the image is made for.
    pub fn platform(&self) -> Value {
        json!({"architecture": self.architecture, "os": "linux"})
    }

    /// What the image says of itself, in the words of the OCI image specification's annotations.
    pub fn labels() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("org.opencontainers.image.title", NAME),
            (
                "org.opencontainers.image.description",
                "Proves, publishes and keeps the authentication settings of Weights & Biases Server on Kubernetes",
            ),
            ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
            ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
        ])
    }

    /// The image's configuration, for a file system that consists of one layer.
    pub fn configuration(&self, layer: &str) -> Value {
        json!({
            "created": self.created(),
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [PROGRAM],
                "WorkingDir": "/",
                "Labels": Self::labels(),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": self.created(), "created_by": "cargo image"}],
        })
    }
}
