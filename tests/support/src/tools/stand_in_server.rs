//! The program that stands for W&B Server in a pod, a binary of this very package.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::process::run_to_completion;

const NAME: &str = "wandb-stand-in-server";

/// The program, compiled first where it is not up to date.
///
/// Cargo compiles binaries for the integration tests of their own package only, so that a test of another
/// package cannot rely on there being one.
pub fn stand_in_server() -> Result<PathBuf> {
    static PROGRAM: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut program = PROGRAM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = &*program {
        return Ok(program.clone());
    }
    let found = match env::var_os(format!("CARGO_BIN_EXE_{NAME}")) {
        Some(path) => path.into(),
        None => build()?,
    };
    Ok(program.insert(found).clone())
}

fn build() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let own = test.parent().context("the test has no directory")?;
    let is_subdirectory = own.ends_with("deps") || own.ends_with("examples");
    let profile = if is_subdirectory { own.parent().context("the test has no profile")? } else { own };
    let target = profile.parent().context("the profile has no directory")?;

    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.ancestors().nth(2).context("the package is in no workspace")?;
    let mut command = Command::new(env!("CARGO"));
    // The binary comes along with an integration test, whose dependencies have the features of those of the
    // test that runs: nothing else is compiled.
    command
        .args(["test", "--no-run", "--locked", "--quiet", "--test", "stand_in_server"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(workspace);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let logs = tempfile::tempdir()?;
    run_to_completion("cargo test --no-run", &command, &logs.path().join("log"))?;
    Ok(profile.join(NAME))
}
