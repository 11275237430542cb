//! Programs built from the Go module proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{cache, find_program, is_program};
use crate::{process::run_to_completion, progress::Waiting};

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

/// How much of the processor a build takes while others want it, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// As much as any of them.
    Usual,
    /// Less, since a person waits for something else first. It is not the least: on a busy machine a build would not
    /// come to an end.
    Low,
}

/// The directory of the built programs in that of the component, apart from sources of the same names.
const PROGRAMS: &str = "bin";

impl GoModule {
    /// The directory of the built programs.
    pub(super) fn build(&self) -> Result<PathBuf> {
        self.build_with(Priority::Usual)
    }

    /// The same, with that priority where they are not built yet.
    pub(super) fn build_with(&self, priority: Priority) -> Result<PathBuf> {
        let mut pins: Vec<&str> = self.files.iter().map(|(_, content)| *content).collect();
        pins.extend(self.packages);
        // A component whose programs lie elsewhere is another one.
        pins.push(PROGRAMS);
        let directory = cache::component(self.name, &pins, self.announcement, |directory, waiting| {
            self.build_in(directory, waiting, priority)
        })?;
        Ok(directory.join(PROGRAMS))
    }

    fn build_in(&self, directory: &Path, waiting: &Waiting, priority: Priority) -> Result<()> {
        for (name, content) in self.files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap_or(directory))?;
            fs::write(path, content)?;
        }
        // Downloads what is needed, too.
        let packages = self.go(priority, directory, "list", &["-deps"])?;
        waiting.consists_of(packages.lines().count(), &directory.join("build.log"));
        let linker_flags = format!("-s -w {}", self.linker_flags);
        // The slash makes a directory of it, also where only one program is built.
        let output = format!("{PROGRAMS}/");
        let flags: &[&str] = &["-v", "-trimpath", "-ldflags", &linker_flags, "-o", &output];
        self.go(priority, directory, "build", flags)?;
        Ok(())
    }

    /// Runs a command of Go's on the packages, and returns what it prints.
    fn go(&self, priority: Priority, directory: &Path, subcommand: &str, flags: &[&str]) -> Result<String> {
        let go = find_program("go").context("go is not on the PATH").context(self.remedy)?;
        let mut command = match find_program("nice") {
            Some(nice) if priority == Priority::Low => {
                let mut command = Command::new(nice);
                command.args(["-n", "5"]).arg(go);
                command
            }
            _ => Command::new(go),
        };
        command
            .args([subcommand, "-buildvcs=false"])
            .args(flags)
            .args(self.packages)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .current_dir(directory);
        let log = directory.join(format!("{subcommand}.log"));
        run_to_completion(&format!("go {subcommand}"), &command, &log).context(self.remedy)
    }
}

/// A program that must be in that directory.
pub(super) fn program(directory: &Path, name: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    ensure!(is_program(&path), "there is no {name} in {}", directory.display());
    Ok(path)
}
