//! An operator within the limits of a pod.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use test_support::Operator;

use crate::world::program;

/// A script that does something to itself and then becomes the operator.
pub fn operator_after(directory: &Path, first: &str) -> Result<PathBuf> {
    let script = directory.join("operator");
    fs::write(&script, format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", program().display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// A control group with a limit of memory, as the kubelet makes one for a container; removed when dropped.
pub struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// The group, where this machine lets one be made.
    pub fn new(name: &str, bytes: u64) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let is_unified = root.join("cgroup.controllers").exists();
        let parent = if is_unified { root.to_owned() } else { root.join("memory") };
        let group = parent.join(format!("{name}-{}", std::process::id()));
        let files = if is_unified {
            fs::write(parent.join("cgroup.subtree_control"), "+memory")
                .context("the controller of memory is not handed down")?;
            [("memory.max", bytes), ("memory.swap.max", 0)]
        } else {
            [("memory.limit_in_bytes", bytes), ("memory.memsw.limit_in_bytes", bytes)]
        };
        fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
        let limit = Self(group);
        for (file, value) in files {
            let path = limit.0.join(file);
            // A kernel without swap accounting has no file for it.
            if path.exists() {
                fs::write(&path, value.to_string())
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(limit)
    }

    /// What a shell does to be in it.
    pub fn enter(&self) -> String {
        format!("echo $$ > '{}' || exit 1", self.0.join("cgroup.procs").display())
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // The kernel takes a moment to let the last process go; a group that stays is empty.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The most memory that the process has had so far, in bytes.
pub fn peak(operator: &Operator) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", operator.id())).context("this needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
    let kibibytes = line.split_whitespace().next().context("no number")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}
