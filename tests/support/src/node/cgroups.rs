//! The control groups below which the node's pods are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// What a new group of the first version must be told before it can hold a process.
const INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// What a kubelet asks for.
const FOR_PODS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];

/// Makes the group in each hierarchy.
pub(super) fn create(name: &str) -> Result<()> {
    if is_unified() {
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

fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The second version has one hierarchy, whose groups hand controllers down.
fn create_unified(name: &str) -> Result<()> {
    let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))?;
    let wanted = controllers.split_whitespace().filter(|name| FOR_PODS.contains(name));
    let enabled: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
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
    let hierarchies = hierarchies().unwrap_or_default();
    let created = !hierarchies.is_empty()
        && hierarchies.iter().all(|hierarchy| fs::create_dir(hierarchy.join(&name)).is_ok());
    remove(&name);
    created
}

/// Removes the groups that are called after this prefix and a process that is gone: those of tests that were
/// killed.
pub(super) fn remove_abandoned(prefix: &str) {
    for hierarchy in hierarchies().unwrap_or_default() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = name.strip_prefix(prefix);
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                remove(&name);
            }
        }
    }
}

/// Removes the group with all below it, whose processes have ended.
pub(super) fn remove(name: &str) {
    for hierarchy in hierarchies().unwrap_or_default() {
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
    let root = Path::new(ROOT);
    if is_unified() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        // Some are links to a mount of several controllers.
        if path.is_dir() && !path.is_symlink() && path.join("cgroup.procs").exists() {
            found.push(path);
        }
    }
    Ok(found)
}
