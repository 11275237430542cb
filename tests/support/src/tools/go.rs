//! Programs built from the Go module proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{cache, find_program, is_program};
use crate::process::run_to_completion;

/// Programs that one pinned Go module builds.
pub(super) struct GoModule {
    /// The name of the component in the cache.
    pub name: &'static str,
    /// What is printed when it is built, which takes minutes.
    pub announcement: &'static str,
    /// `go.mod`, `go.sum` and, where the main package is the module's own, its sources.
    pub files: &'static [(&'static str, &'static str)],
    /// What to build: packages, or `tool` for those that `go.mod` names as tools.
    pub packages: &'static [&'static str],
    /// Flags for the linker beside those that strip.
    pub linker_flags: &'static str,
    /// What to do on a machine that cannot build it.
    pub remedy: &'static str,
}

impl GoModule {
    /// The directory of the built programs.
    pub(super) fn build(&self) -> Result<PathBuf> {
        let mut pins: Vec<&str> = self.files.iter().map(|(_, content)| *content).collect();
        pins.extend(self.packages);
        cache::component(self.name, &pins, self.announcement, |directory| self.build_in(directory))
    }

    fn build_in(&self, directory: &Path) -> Result<()> {
        let go = find_program("go").context("go is not on the PATH").context(self.remedy)?;
        for (name, content) in self.files {
            fs::write(directory.join(name), content)?;
        }
        let mut command = Command::new(go);
        command
            .args(["build", "-buildvcs=false", "-trimpath", "-ldflags"])
            .arg(format!("-s -w {}", self.linker_flags))
            .arg("-o")
            .arg(directory)
            .args(self.packages)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .current_dir(directory);
        run_to_completion("go build", &command, &directory.join("build.log")).context(self.remedy)?;
        Ok(())
    }
}

/// A program that must be in that directory.
pub(super) fn program(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    ensure!(is_program(&path), "there is no {name} in {}", directory.display());
    Ok(path)
}
