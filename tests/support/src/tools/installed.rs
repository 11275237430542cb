//! The programs of a control plane that the machine has already.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{KubernetesBinaries, find_program, go::program};

/// The oldest versions that the operator supports, and that such an API server needs.
const OLDEST_KUBERNETES: Version = Version(1, 33);
const OLDEST_ETCD: Version = Version(3, 5);

/// The major and the minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// The newest usable ones on the PATH or where `setup-envtest` of Kubernetes' SIGs puts them.
pub(super) fn find() -> Option<KubernetesBinaries> {
    let on_path = find_program("kube-apiserver").zip(find_program("etcd"));
    let on_path = on_path.and_then(|(kube_apiserver, etcd)| usable(kube_apiserver, etcd).ok());
    on_path.or_else(|| {
        let directories = directories(
            env::var_os("XDG_DATA_HOME").map(PathBuf::from),
            env::var_os("HOME").map(PathBuf::from),
        );
        directories.iter().find_map(|directory| in_directory(directory).ok())
    })
}

/// Those of a directory; an error says why they are of no use.
pub(super) fn in_directory(directory: &Path) -> Result<KubernetesBinaries> {
    usable(program(directory, "kube-apiserver")?, program(directory, "etcd")?)
}

/// The same with a controller manager, without which little happens to objects.
pub(super) fn with_controllers(directory: &Path) -> Result<KubernetesBinaries> {
    let controller_manager = program(directory, "kube-controller-manager")?;
    supported(&controller_manager, OLDEST_KUBERNETES)?;
    Ok(KubernetesBinaries { kube_controller_manager: Some(controller_manager), ..in_directory(directory)? })
}

fn usable(kube_apiserver: PathBuf, etcd: PathBuf) -> Result<KubernetesBinaries> {
    supported(&kube_apiserver, OLDEST_KUBERNETES)?;
    supported(&etcd, OLDEST_ETCD)?;
    Ok(KubernetesBinaries { etcd, kube_apiserver, kube_controller_manager: None })
}

/// Fails where the program does not have at least this version.
fn supported(program: &Path, oldest: Version) -> Result<()> {
    new_enough(&says(program)?, oldest).with_context(|| program.display().to_string())
}

/// Fails where what a program says of its version is not at least this one.
fn new_enough(said: &str, Version(major, minor): Version) -> Result<()> {
    let found = parse(said).context("it does not say which version it is")?;
    ensure!(
        found >= Version(major, minor),
        "it has version {}.{}, and {major}.{minor} or newer is needed",
        found.0,
        found.1
    );
    Ok(())
}

/// Where `setup-envtest` keeps its downloads, the newest first, and where its predecessor did.
fn directories(data: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let data = data.or_else(|| home.as_ref().map(|home| home.join(".local/share")));
    let stores = [
        data.map(|data| data.join("kubebuilder-envtest/k8s")),
        home.map(|home| home.join("Library/Application Support/io.kubebuilder.envtest/k8s")),
    ];
    let downloads = stores.into_iter().flatten().filter_map(|store| fs::read_dir(store).ok()).flatten();
    let mut downloads: Vec<PathBuf> = downloads.flatten().map(|entry| entry.path()).collect();
    downloads.sort_by_key(|path| path.file_name().and_then(|name| parse(&name.to_string_lossy())));
    downloads.reverse();
    downloads.push(PathBuf::from("/usr/local/kubebuilder/bin"));
    downloads
}

fn says(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("{} does not start", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first version in a text such as `Kubernetes v1.36.3`, `etcd Version: 3.6.8` or `1.34.1-linux-amd64`.
fn parse(text: &str) -> Option<Version> {
    text.split(|separator: char| separator.is_whitespace() || separator == '-').find_map(|word| {
        let mut numbers = word.strip_prefix('v').unwrap_or(word).split('.').map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        for (text, version) in [
            ("Kubernetes v1.36.3", Some(Version(1, 36))),
            ("etcd Version: 3.6.8\nGit SHA: 1234.5\n", Some(Version(3, 6))),
            ("1.34.1-linux-amd64", Some(Version(1, 34))),
            ("no version at all", None),
        ] {
            assert_eq!(parse(text), version, "{text}");
        }
    }

    #[test]
    fn the_newest_download_is_looked_at_first() -> Result<()> {
        let data = tempfile::tempdir()?;
        let store = data.path().join("kubebuilder-envtest/k8s");
        for name in ["1.9.1-linux-amd64", "1.34.1-linux-amd64", "1.33.0-linux-amd64"] {
            fs::create_dir_all(store.join(name))?;
        }
        let names: Vec<_> = directories(Some(data.path().to_owned()), None)
            .iter()
            .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["1.34.1-linux-amd64", "1.33.0-linux-amd64", "1.9.1-linux-amd64", "bin"]);
        Ok(())
    }

    #[test]
    fn only_supported_versions_are_used() {
        for (said, oldest, refusal) in [
            ("Kubernetes v1.33.0", OLDEST_KUBERNETES, None),
            (
                "Kubernetes v1.32.9",
                OLDEST_KUBERNETES,
                Some("it has version 1.32, and 1.33 or newer is needed"),
            ),
            ("etcd Version: 3.5.21", OLDEST_ETCD, None),
            ("etcd Version: 3.4.23", OLDEST_ETCD, Some("it has version 3.4, and 3.5 or newer is needed")),
            ("not a version", OLDEST_ETCD, Some("it does not say which version it is")),
        ] {
            let error = new_enough(said, oldest).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), refusal, "{said}");
        }
    }

    /// A directory with these programs, each a script that prints so.
    ///
    /// A shell writes them: what this process has just written cannot be started while a thread is starting something
    /// else, which has the written file open for a moment.
    fn directory(programs: &[(&str, &str)]) -> Result<tempfile::TempDir> {
        const WRITE: &str = r#"printf '#!/bin/sh\necho "%s"\n' "$2" > "$1" && chmod 755 "$1""#;
        let directory = tempfile::tempdir()?;
        for (name, printed) in programs {
            let mut shell = Command::new("sh");
            shell.args(["-c", WRITE, "sh"]).arg(directory.path().join(name)).arg(printed);
            ensure!(shell.status()?.success(), "{name} was not written");
        }
        Ok(directory)
    }

    #[test]
    fn a_directory_has_all_programs_in_supported_versions_or_is_of_no_use() -> Result<()> {
        let server = ("kube-apiserver", "Kubernetes v1.33.0");
        let etcd = ("etcd", "etcd Version: 3.6.8");
        let found = directory(&[server, etcd])?;
        assert!(in_directory(found.path())?.kube_controller_manager.is_none());
        let error = with_controllers(found.path()).unwrap_err();
        assert!(error.to_string().starts_with("there is no kube-controller-manager in "), "{error}");
        let found = directory(&[server, etcd, ("kube-controller-manager", "Kubernetes v1.32.9")])?;
        let error = format!("{:#}", with_controllers(found.path()).unwrap_err());
        assert!(error.ends_with("it has version 1.32, and 1.33 or newer is needed"), "{error}");
        let found = directory(&[server, etcd, ("kube-controller-manager", "Kubernetes v1.33.4")])?;
        assert!(with_controllers(found.path())?.kube_controller_manager.is_some());
        Ok(())
    }
}
