//! The program of the image: the operator, built for release as a static executable.
//!
//! The target stays the GNU one, with its C library linked in: since version 2.34 glibc resolves names by
//! `files` and `dns` without loading anything (it built the two into itself), so nothing is left that a base
//! image would be needed for.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    command::{cargo, output, rustc},
    libraries,
    packages::Packages,
    settings::NAME,
};

/// The oldest glibc whose static form resolves names by itself.
const OLDEST_GLIBC: (u32, u32) = (2, 34);

/// What the image is built for, which is what it is built on.
pub struct Target {
    /// The name by which rustc knows the target.
    pub triple: String,
    /// The commit of the compiler, which stands in paths of the standard library.
    compiler_commit: String,
    /// The architecture in the words of container engines.
    pub architecture: &'static str,
}

/// The machine's own target.
pub fn target() -> Result<Target> {
    let version = output(rustc().arg("-vV"))?;
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let triple = field("host: ").context("rustc does not say what machine it is for")?;
    let architecture = match triple.as_str() {
        "x86_64-unknown-linux-gnu" => "amd64",
        "aarch64-unknown-linux-gnu" => "arm64",
        other => bail!(
            "images are built on Linux with glibc, on x86-64 or ARM64, and not on {other}; use the Dockerfile"
        ),
    };
    let compiler_commit = field("commit-hash: ").unwrap_or_default();
    Ok(Target { triple, compiler_commit, architecture })
}

/// Builds the operator by a profile of `Cargo.toml` that is not `dev`, and returns the executable.
pub fn build(target: &Target, packages: &Packages, profile: &str) -> Result<Vec<u8>> {
    let glibc = libraries::glibc_version()?;
    ensure!(
        libraries::major_and_minor(&glibc).is_some_and(|version| version >= OLDEST_GLIBC),
        "the image needs glibc 2.34 or newer, whose static form resolves names, and this machine has {glibc}"
    );
    let mut command = cargo();
    // Only this package: with its neighbours in the workspace it would get their features, too.
    command.args(["build", "--profile", profile, "--locked", "--package", NAME, "--target", &target.triple]);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(target, packages)?);
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
