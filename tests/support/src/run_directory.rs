//! Directories for the data of running components, which do not pile up when a test is killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tools::cache;

/// Held by the process that owns the directory; the kernel lets go of it however that process ends,
/// which a process id in a file could not tell.
const OWNER_LOCK: &str = "owner.lock";

/// A directory that is removed on drop, or by the next one made if its process was killed.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    _owner: File,
}

impl RunDirectory {
    pub(crate) fn create(component: &str) -> Result<Self> {
        let parent = cache::root()?.join("run");
        fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let _sweep = sweep_lock(&parent)?;
        remove_orphans(&parent)?;

        let path = tempfile::Builder::new()
            .prefix(&format!("{component}-"))
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?
            .keep();
        let owner = File::create(path.join(OWNER_LOCK))?;
        owner.lock()?;
        Ok(Self { path, _owner: owner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and says where it is; the directory is readable by its owner only.
    pub(crate) fn write(&self, name: &str, contents: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Held by whoever makes a directory: without it a sweep could see another's new one before it has an owner.
fn sweep_lock(parent: &Path) -> Result<File> {
    let lock = File::create(parent.join(".sweep.lock"))?;
    lock.lock().context("cannot lock the directory of running components")?;
    Ok(lock)
}

fn remove_orphans(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.is_dir() && is_orphan(&path) {
            // Its owner may be removing it at this moment.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

fn is_orphan(directory: &Path) -> bool {
    match File::open(directory.join(OWNER_LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_whose_process_is_gone_is_swept() -> Result<()> {
        let living = RunDirectory::create("sweep-test")?;
        let parent = living.path().parent().context("it is in no directory")?;
        // Another test may start something at any time, and another run of this test may be at the same.
        let lock = sweep_lock(parent)?;
        let orphan = tempfile::Builder::new().prefix("sweep-test-orphan-").tempdir_in(parent)?.keep();
        File::create(orphan.join(OWNER_LOCK))?;
        drop(lock);

        let next = RunDirectory::create("sweep-test")?;
        assert!(!orphan.exists());
        assert!(living.path().exists());
        assert!(next.path().exists());
        Ok(())
    }
}
