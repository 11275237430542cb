//! Which files the image has.
//!
//! The program is static, so there is neither a shell nor a library beside it. Names are resolved by the
//! program's own C library, which reads `/etc/nsswitch.conf` here, and `/etc/hosts` and `/etc/resolv.conf`
//! that the container engine puts there.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};

use crate::{certificates, settings::PROGRAM};

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is, without the leading slash.
    pub path: String,
    /// Who may read and execute it.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Every file of the image, sorted by path.
pub fn files(program: Vec<u8>, bill_of_materials: &[u8]) -> Vec<File> {
    let file = |path: &str, content: &[u8]| File {
        path: path.trim_start_matches('/').to_owned(),
        mode: 0o644,
        content: content.to_vec(),
    };
    let mut files = vec![
        File { mode: 0o755, content: program, ..file(PROGRAM, &[]) },
        file(
            "/etc/passwd",
            b"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
        ),
        file("/etc/group", b"root:x:0:\nnonroot:x:65532:\n"),
        file("/etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n"),
        file("/etc/ssl/certs/ca-certificates.crt", certificates::bundle().as_bytes()),
        file("/usr/share/doc/wandb-auth-operator/LICENSE", include_bytes!("../../LICENSE")),
        file("/usr/share/doc/wandb-auth-operator/sbom.cdx.json", bill_of_materials),
    ];
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// Writes the files into a directory of their own, each as of that time in seconds since 1970.
pub fn write(files: &[File], directory: &Path, time: u64) -> Result<()> {
    let at = |path: &Path| format!("{} cannot be written", path.display());
    fs::create_dir_all(directory).with_context(|| at(directory))?;
    let mut entries = fs::read_dir(directory).with_context(|| at(directory))?;
    ensure!(entries.next().is_none(), "{} is not empty; name a new directory", directory.display());
    for file in files {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| at(parent))?;
        }
        fs::write(&path, &file.content).with_context(|| at(&path))?;
        fs::set_permissions(&path, PermissionsExt::from_mode(file.mode)).with_context(|| at(&path))?;
    }
    let written = files.iter().flat_map(|file| Path::new(&file.path).ancestors());
    for path in written.map(|path| directory.join(path)).collect::<BTreeSet<_>>() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
        fs::File::open(&path).and_then(|file| file.set_modified(time)).with_context(|| at(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_can_be_executed_and_the_user_has_a_name() {
        let files = files(b"program".to_vec(), b"{}");
        let executable: Vec<_> = files.iter().filter(|file| file.mode != 0o644).collect();
        assert_eq!(executable.len(), 1);
        assert_eq!(format!("/{}", executable[0].path), PROGRAM);
        let passwd = files.iter().find(|file| file.path == "etc/passwd").unwrap();
        let (user, group) = crate::settings::USER.split_once(':').unwrap();
        assert!(String::from_utf8_lossy(&passwd.content).contains(&format!("nonroot:x:{user}:{group}:")));
        assert!(files.is_sorted_by(|one, other| one.path < other.path));
    }

    #[test]
    fn a_directory_gets_the_files_and_is_not_written_twice() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("new/root");
        let files = files(b"program".to_vec(), b"{}");
        write(&files, &root, 86_400).unwrap();
        let day = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        for path in ["", "etc", PROGRAM.trim_start_matches('/')] {
            assert_eq!(root.join(path).metadata().unwrap().modified().unwrap(), day, "{path}");
        }
        for file in &files {
            let path = root.join(&file.path);
            assert_eq!(fs::read(&path).unwrap(), file.content);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, file.mode);
        }
        let refusal = write(&files, &root, 86_400).unwrap_err().to_string();
        assert!(refusal.ends_with("is not empty; name a new directory"), "{refusal}");
    }
}
