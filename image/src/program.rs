//! The program of the image: the operator, built for release as a static executable.
//!
//! The target stays the GNU one, with its C library linked in: since version 2.34 glibc resolves names by
//! `files` and `dns` without loading anything (it built the two into itself), so nothing is left that a base
//! image would be needed for.

use std::{ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    command::{cargo, output, rustc},
    libraries,
    packages::Packages,
    settings::NAME,
};

/// The oldest glibc whose static form resolves names by itself.
const OLDEST_GLIBC: (u32, u32) = (2, 34);

/// The oldest glibc whose static form applies packed relocations, which take half a megabyte less.
const PACKED_RELOCATIONS: (u32, u32) = (2, 36);

/// What the image is built for.
pub struct Target {
    /// The name by which rustc knows the target.
    pub triple: String,
    /// The commit of the compiler, which stands in paths of the standard library.
    compiler_commit: String,
    /// The architecture in the words of container engines.
    pub architecture: &'static str,
    /// The C compiler for it, which links, too.
    pub compiler: String,
    /// Whether that is another one than this machine's.
    is_foreign: bool,
}

impl Target {
    /// The target of this name, or else the machine's own. Fails where this machine cannot build for it.
    pub fn choose(name: Option<String>) -> Result<Self> {
        let version = output(rustc().arg("-vV"))?;
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let machine = field("host: ").context("rustc does not say what machine it is for")?;
        let compiler_commit = field("commit-hash: ").unwrap_or_default();
        let is_foreign = name.as_ref().is_some_and(|name| *name != machine);
        let triple = name.unwrap_or(machine);
        let (architecture, foreign_compiler) = architecture(&triple)?;
        let compiler = if is_foreign { foreign_compiler } else { "cc" }.to_owned();
        if is_foreign {
            let libraries = output(rustc().args(["--print", "target-libdir", "--target", &triple]))?;
            let has_library = Path::new(libraries.trim()).is_dir();
            let has_compiler = Command::new(&compiler).arg("--version").output().is_ok();
            let missing = missing(&triple, &compiler, has_library, has_compiler);
            ensure!(missing.is_empty(), "an image for {triple} cannot be built here: {}", missing.join("; "));
        }
        Ok(Self { triple, compiler_commit, architecture, compiler, is_foreign })
    }
}

impl Target {
    /// What the linker is told beside the usual, with this glibc.
    fn linker_arguments(&self, glibc: (u32, u32)) -> Option<&'static str> {
        // Not every linker for ARM64 packs relocations.
        let packs = self.architecture == "amd64" && glibc >= PACKED_RELOCATIONS;
        packs.then_some("-Clink-arg=-Wl,-z,pack-relative-relocs")
    }
}

/// The architecture in the words of container engines, and the compiler for it on other machines.
fn architecture(triple: &str) -> Result<(&'static str, &'static str)> {
    match triple {
        "x86_64-unknown-linux-gnu" => Ok(("amd64", "x86_64-linux-gnu-gcc")),
        "aarch64-unknown-linux-gnu" => Ok(("arm64", "aarch64-linux-gnu-gcc")),
        other => bail!(
            "images are for Linux with glibc, on x86-64 or ARM64, and not for {other}; use the Dockerfile"
        ),
    }
}

/// What a machine needs to build for another one, and does not have.
fn missing(triple: &str, compiler: &str, has_library: bool, has_compiler: bool) -> Vec<String> {
    let library = format!("the standard library is not installed (rustup target add {triple})");
    let package = compiler.trim_end_matches("-gcc").replace('_', "-");
    let linker = format!("there is no {compiler} (on Debian: apt-get install gcc-{package})");
    let wanted = [(has_library, library), (has_compiler, linker)];
    wanted.into_iter().filter(|(is_there, _)| !is_there).map(|(_, what)| what).collect()
}

/// Builds the operator by a profile of `Cargo.toml` that is not `dev`, and returns the executable.
pub fn build(target: &Target, packages: &Packages, profile: &str) -> Result<Vec<u8>> {
    let glibc = libraries::glibc_version(&target.compiler)?;
    let version = libraries::major_and_minor(&glibc).filter(|version| *version >= OLDEST_GLIBC);
    let version = version.with_context(|| {
        let compiler = &target.compiler;
        format!("the image needs glibc 2.34 or newer, whose static form resolves names, and {compiler} has {glibc}")
    })?;
    let mut command = cargo();
    // Only this package: with its neighbours in the workspace it would get their features, too.
    command.args(["rustc", "--profile", profile, "--locked", "--package", NAME, "--bin", NAME]);
    command.args(["--target", &target.triple]);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(target, packages)?);
    if target.is_foreign {
        let variable = format!("CARGO_TARGET_{}_LINKER", target.triple.to_uppercase().replace('-', "_"));
        command.env(variable, &target.compiler);
    }
    // For the program alone: its dependencies need not be built anew for another linker.
    command.args(target.linker_arguments(version).into_iter().flat_map(|argument| ["--", argument]));
    let status = command.current_dir(&packages.workspace).status().context("cargo cannot be run")?;
    ensure!(status.success(), "the operator was not built ({status})");
    let path = packages.target_directory.join(&target.triple).join(profile).join(NAME);
    fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Flags for the compiler: static, and without any path of this machine.
fn flags(target: &Target, packages: &Packages) -> Result<OsString> {
    let system_root = output(rustc().args(["--print", "sysroot"]))?;
    let standard_library = Path::new(system_root.trim()).join("lib/rustlib/src/rust");
    let compiler = format!("/rustc/{}", target.compiler_commit);
    // Of several that match, the last one counts: the target directory may be in the workspace.
    let mut renamed =
        vec![(packages.workspace.as_path(), "/workspace"), (&packages.target_directory, "/target")];
    renamed.extend(packages.registries().into_iter().map(|directory| (directory, "/registry")));
    renamed.push((&standard_library, &compiler));
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    for (path, name) in renamed {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(path);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_command_that_brings_it() {
        let (arm, compiler) = ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc");
        assert!(missing(arm, compiler, true, true).is_empty());
        assert_eq!(
            missing(arm, compiler, false, false),
            [
                "the standard library is not installed (rustup target add aarch64-unknown-linux-gnu)",
                "there is no aarch64-linux-gnu-gcc (on Debian: apt-get install gcc-aarch64-linux-gnu)",
            ]
        );
        assert_eq!(
            missing("x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc", true, false),
            ["there is no x86_64-linux-gnu-gcc (on Debian: apt-get install gcc-x86-64-linux-gnu)"]
        );
    }

    #[test]
    fn relocations_are_packed_where_all_can_read_them() {
        let target = |triple: &str| Target {
            triple: triple.to_owned(),
            compiler_commit: String::new(),
            architecture: architecture(triple).unwrap().0,
            compiler: "cc".to_owned(),
            is_foreign: false,
        };
        let amd = target("x86_64-unknown-linux-gnu");
        assert!(
            amd.linker_arguments((2, 36)).is_some_and(|argument| argument.contains("pack-relative-relocs"))
        );
        assert_eq!(amd.linker_arguments((2, 35)), None);
        assert_eq!(target("aarch64-unknown-linux-gnu").linker_arguments((2, 40)), None);
    }

    #[test]
    fn images_are_for_the_platforms_that_are_published() {
        assert_eq!(architecture("aarch64-unknown-linux-gnu").unwrap().0, "arm64");
        let refusal =
            Target::choose(Some("riscv64gc-unknown-linux-gnu".to_owned())).err().unwrap().to_string();
        assert!(refusal.contains("not for riscv64gc-unknown-linux-gnu"), "{refusal}");
    }
}
