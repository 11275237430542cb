//! The cache of built components, which is outside the source tree so that each is built once a machine.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::progress::Waiting;

/// The directory that holds every built component and the data of running ones.
pub(crate) fn root() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let choose = |tools: Option<OsString>, cache: Option<OsString>, home: Option<OsString>| {
        tools
            .map(PathBuf::from)
            .or_else(|| cache.map(|cache| PathBuf::from(cache).join("wandb-auth-operator")))
            .or_else(|| home.map(|home| PathBuf::from(home).join(".cache/wandb-auth-operator")))
    };
    choose(set("WANDB_AUTH_TOOLS"), set("XDG_CACHE_HOME"), set("HOME"))
        .context("there is no directory to keep the built test components in: set WANDB_AUTH_TOOLS to one")
}

/// The directory of a built component, built first where this machine has none for these pins.
///
/// `build` fills an empty directory. Test binaries run side by side, so a lock lets one build and
/// the others wait, who say so, and the finished directory appears under its name at once or not at all.
pub(crate) fn component(
    name: &str,
    pins: &[&str],
    announcement: &str,
    build: impl FnOnce(&Path, &Waiting) -> Result<()>,
) -> Result<PathBuf> {
    let root = root()?;
    let finished = root.join(format!("{name}-{}", fingerprint(pins)));
    if finished.is_dir() {
        return Ok(finished);
    }

    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    // Of the threads of this process one goes on, and says for all of them what is being waited for.
    let turn = turn(name);
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let lock_path = root.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
    take(&lock, announcement).with_context(|| format!("cannot lock {}", lock_path.display()))?;
    if finished.is_dir() {
        return Ok(finished);
    }

    let unfinished_prefix = format!(".{name}-");
    remove_abandoned(&root, &unfinished_prefix)?;
    let waiting = Waiting::start(announcement);
    let unfinished = tempfile::Builder::new()
        .prefix(&unfinished_prefix)
        .tempdir_in(&root)
        .context("cannot create a directory to build in")?;
    build(unfinished.path(), &waiting).with_context(|| format!("cannot build {name}"))?;
    fs::rename(unfinished.keep(), &finished)
        .with_context(|| format!("cannot move the built {name} to {}", finished.display()))?;
    Ok(finished)
}

/// What the threads of this process take turns by, for a component.
fn turn(component: &str) -> Arc<Mutex<()>> {
    static TURNS: Mutex<BTreeMap<String, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(turns.entry(component.to_owned()).or_default())
}

/// Takes the lock, and says what is being waited for where another process has it, perhaps for minutes.
fn take(lock: &File, announcement: &str) -> io::Result<()> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            let _waiting = Waiting::start(&format!("waiting while another process is {announcement}"));
            lock.lock()
        }
    }
}

/// Removes what killed builds left; the caller holds the component's lock, so none is running.
fn remove_abandoned(root: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn fingerprint(pins: &[&str]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for pin in pins {
        context.update(pin.as_bytes());
        context.update(&[0]);
    }
    // Six bytes tell the versions of one component apart well enough, in a short name.
    let digest = context.finish();
    digest.as_ref().iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
