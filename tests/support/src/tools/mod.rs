//! The pinned real components, built or fetched once a machine.
//!
//! They live in `$WANDB_AUTH_TOOLS`, or else in the user's cache directory; a test that needs one
//! for the first time waits for it, and an error says what the machine lacks.

mod browser;
pub(crate) mod cache;
mod crane;
mod debian;
mod directory_389;
mod gitops;
mod go;
mod helm;
mod installed;
mod kubernetes;
mod node;
mod openid_provider;
mod opinion;
mod promtool;
mod slapd;
mod stand_in_server;
mod wandb_client;

pub(crate) use browser::browser;
pub use crane::crane;
pub(crate) use directory_389::{Installation389, directory_389};
pub(crate) use gitops::gitops;
pub use helm::helm;
pub use kubernetes::{KubernetesBinaries, api_server, kubernetes};
pub use node::{NodeBinaries, kubectl, node};
pub use openid_provider::{OpenIdProviderInstallation, openid_provider};
pub(crate) use opinion::opinion;
pub use promtool::promtool;
pub use slapd::{SlapdInstallation, slapd};
pub use stand_in_server::stand_in_server;
pub use wandb_client::{WandbClientInstallation, wandb_client};

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Builds and fetches everything, what most tests wait for first.
pub fn build_all() -> Result<()> {
    kubernetes()?;
    slapd()?;
    openid_provider()?;
    wandb_client()?;
    opinion()?;
    promtool()?;
    helm()?;
    crane()?;
    gitops()?;
    node()?;
    browser()?;
    directory_389()?;
    Ok(())
}

/// Where a program is: on the PATH, or where distributions keep those of the administrator.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/lib/openldap", "/usr/libexec"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
