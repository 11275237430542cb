//! What the API server stores, put aside and brought back, as by a restore of etcd from a snapshot.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{ControlPlane, components};
use crate::process::PATIENCE;

const DATA: &str = "etcd";
const BACKUP: &str = "etcd-backup";

impl ControlPlane {
    /// Puts aside what is stored. The API server is away meanwhile.
    pub fn back_up(&mut self) -> Result<()> {
        self.stop_storage()?;
        copy(&self.directory.path().join(DATA), &self.directory.path().join(BACKUP))?;
        self.start_storage()
    }

    /// Brings back what was put aside, and forgets what was stored since.
    pub fn restore(&mut self) -> Result<()> {
        self.stop_storage()?;
        let data = self.directory.path().join(DATA);
        fs::remove_dir_all(&data)?;
        copy(&self.directory.path().join(BACKUP), &data)?;
        self.start_storage()
    }

    fn stop_storage(&mut self) -> Result<()> {
        self.stop_api_server()?;
        self.etcd.terminate(PATIENCE)?;
        Ok(())
    }

    fn start_storage(&mut self) -> Result<()> {
        self.etcd = components::start_etcd(&self.binaries, &self.directory, self.etcd_port)?;
        self.start_api_server()
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
