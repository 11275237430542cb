//! The control groups below which the node's pods are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// What a new group of the first version must be told before it can hold a process.
const INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Makes the group in each hierarchy.
pub(super) fn create(name: &str) -> Result<()> {
    if Path::new(ROOT).join("cgroup.controllers").exists() {
        return create_unified(name);
    }
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
        for file in INHERITED {
            if let Ok(value) = fs::read(hierarchy.join(file)) {
                fs::write(group.join(file), value)?;
            }
        }
    }
    Ok(())
}

/// The second version has one hierarchy, whose groups hand controllers down.
fn create_unified(name: &str) -> Result<()> {
    let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))?;
    let enabled: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    let group = Path::new(ROOT).join(name);
    fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
    for parent in [Path::new(ROOT), &group] {
        fs::write(parent.join("cgroup.subtree_control"), enabled.join(" "))
            .with_context(|| format!("cannot hand the controllers of {} down", parent.display()))?;
    }
    Ok(())
}

/// Whether groups can be made at all.
pub(super) fn are_writable() -> bool {
    let name = format!("wandb-auth-probe-{}", std::process::id());
    let created = create(&name).is_ok();
    remove(&name);
    created
}

/// Removes the group with all below it, whose processes have ended.
pub(super) fn remove(name: &str) {
    let unified = PathBuf::from(ROOT);
    for hierarchy in hierarchies().unwrap_or_default().into_iter().chain([unified]) {
        // A group that is still in use stays; the next one has another name.
        let _ = remove_below(&hierarchy.join(name));
    }
}

fn remove_below(group: &Path) -> Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(group)?)
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(ROOT)? {
        let path = entry?.path();
        // Some are links to a mount of several controllers.
        if path.is_dir() && !path.is_symlink() && path.join("cgroup.procs").exists() {
            found.push(path);
        }
    }
    Ok(found)
}
