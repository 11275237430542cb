//! The certificate authorities that a server trusts, read from its file system.

use std::{fs, io};

use anyhow::Context;

use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Finding},
    net::{RootSettings, Trust, only_certificates},
    problem::enumerate,
    workloads::{AUTHORITIES, DIRECTORY_AUTHORITIES},
};

/// How deep and how many files are looked at.
const DEEPEST: usize = 8;
const MOST_FILES: usize = 4096;

/// The authorities of a server.
pub(super) struct ServerAuthorities {
    /// Those of its system.
    pub(super) system: Trust,
    /// The certificates that were added to its image, as PEM.
    pub(super) added: Option<String>,
    /// The same with those for the directory alone.
    pub(super) for_directory: Option<String>,
    /// What a person should know about them.
    notes: Vec<String>,
}

impl ServerAuthorities {
    /// Reads the files. `further` is one with authorities that the server is to get.
    pub(super) fn read(settings: &RootSettings, further: Option<&str>) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let reading = settings.read();
        notes.extend(
            reading
                .unread
                .iter()
                .map(|(place, why)| format!("SSL_CERT_FILE or SSL_CERT_DIR names {place}, but {why}.")),
        );
        let mut added = String::new();
        for file in files(settings, AUTHORITIES) {
            let certificates = certificates(settings, &file);
            if !is_installed(&file) {
                if certificates.as_ref().is_ok_and(|certificates| !certificates.is_empty()) {
                    notes.push(format!(
                        "{file} is not read at the start of the image: its name must end in .crt."
                    ));
                }
                continue;
            }
            match certificates {
                Ok(certificates) if !certificates.is_empty() => added.push_str(&certificates),
                Ok(_) => notes.push(format!("{file} has no certificate in PEM.")),
                Err(_) => notes.push(format!("{file} cannot be read by this process.")),
            }
        }
        if let Some(file) = further {
            let certificates = certificates(settings, file);
            let certificates = certificates.with_context(|| format!("cannot read {file} (--authorities)"))?;
            added.push_str(&certificates);
        }
        if !added.is_empty() && !settings.reads_added() {
            notes.push(format!(
                "SSL_CERT_FILE and SSL_CERT_DIR lead elsewhere, so W&B Server does not trust the authorities in {AUTHORITIES}. Remove one of the two variables."
            ));
            added.clear();
        }
        let own: String = files(settings, DIRECTORY_AUTHORITIES)
            .iter()
            .filter_map(|file| certificates(settings, file).ok())
            .collect();
        let for_directory = [added.as_str(), &own].concat();
        let some = |text: String| (!text.is_empty()).then_some(text);
        let (added, for_directory) = (some(added), some(for_directory));
        Ok(Self { system: reading.trust, added, for_directory, notes })
    }

    /// What was found.
    pub(super) fn finding(&self) -> Finding {
        let checked = if self.notes.is_empty() {
            Checked::passed((), self.words())
        } else {
            let notes = if self.notes.len() > 3 { enumerate(&self.notes) } else { self.notes.join(" ") };
            Checked::warning((), Reason::BundlePartlyRead, format!("{} {notes}", self.words()))
        };
        Finding::noted(CheckName::AuthoritiesRead, checked)
    }

    fn words(&self) -> String {
        let count = |text: &Option<String>| {
            text.as_ref().map_or(0, |text| text.matches("-----BEGIN CERTIFICATE-----").count())
        };
        let (system, added) = (self.system.count(), count(&self.for_directory));
        format!("Trusted are {system} authorities of the system, and {added} that were added to the image.")
    }
}

/// `update-ca-certificates`, which the image runs at its start, takes these files only.
fn is_installed(file: &str) -> bool {
    file.strip_suffix(".crt").is_some()
}

/// The certificates of a file.
fn certificates(settings: &RootSettings, file: &str) -> io::Result<String> {
    let text = fs::read(settings.place(file))?;
    Ok(only_certificates(&String::from_utf8_lossy(&text)))
}

/// Every file below a directory, sorted. Kubernetes keeps copies of what it mounts in entries that begin with a dot.
fn files(settings: &RootSettings, directory: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut pending = vec![(directory.to_owned(), 0)];
    while let Some((directory, depth)) = pending.pop() {
        let Ok(entries) = fs::read_dir(settings.place(&directory)) else { continue };
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let path = format!("{directory}/{name}");
            let place = settings.place(&path);
            if name.starts_with('.') || files.len() >= MOST_FILES {
                continue;
            }
            if place.is_dir() && depth < DEEPEST {
                pending.push((path, depth + 1));
            } else if place.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use test_support::CertificateAuthority;

    use super::*;

    fn pem(name: &str) -> String {
        CertificateAuthority::new(name).unwrap().certificate_pem().to_owned()
    }

    /// A file system with these files.
    fn server(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn read(root: &tempfile::TempDir, file: &str, directories: &str) -> ServerAuthorities {
        let (file, directories) = (file.to_owned(), directories.to_owned());
        let settings = RootSettings { file, directories, root: root.path().to_owned() };
        ServerAuthorities::read(&settings, None).unwrap()
    }

    #[test]
    fn what_the_server_is_to_get_counts_as_what_it_has() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("new.pem"), pem("new")).unwrap();
        let settings =
            RootSettings { file: String::new(), directories: String::new(), root: root.path().to_owned() };
        let found = ServerAuthorities::read(&settings, Some("/new.pem")).unwrap();
        assert!(found.added.is_some() && found.added == found.for_directory);
        assert!(ServerAuthorities::read(&settings, Some("/nowhere")).is_err());
    }

    #[test]
    fn what_the_image_installs_is_trusted() {
        let (one, other, own) = (pem("one"), pem("other"), pem("own"));
        let with_key = format!("{one}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let root = server(&[
            ("/usr/local/share/ca-certificates/a.crt", &with_key),
            ("/usr/local/share/ca-certificates/more/..data/b.crt", &other),
            ("/usr/local/share/ca-certificates/c.pem", &other),
            ("/usr/local/share/ca-certificates/d.crt", "none"),
            ("/var/run/secrets/wandb.ai/ldap/ca.crt", &own),
        ]);
        let folder = root.path().join("usr/local/share/ca-certificates/more");
        symlink("..data/b.crt", folder.join("b.crt")).unwrap();
        let authorities = read(&root, "", "");
        assert_eq!(authorities.added, Some(format!("{one}{other}")));
        assert_eq!(authorities.for_directory, Some(format!("{one}{other}{own}")));
        assert_eq!(
            authorities.notes,
            [
                "/usr/local/share/ca-certificates/c.pem is not read at the start of the image: its name must end in .crt.",
                "/usr/local/share/ca-certificates/d.crt has no certificate in PEM.",
            ]
        );
    }

    #[test]
    fn variables_that_lead_elsewhere_are_told() {
        let root = server(&[("/usr/local/share/ca-certificates/a.crt", &pem("one"))]);
        let authorities = read(&root, "/own.crt", "/own");
        assert_eq!(authorities.added, None);
        assert_eq!(authorities.notes.len(), 3, "{:?}", authorities.notes);
        assert_eq!(authorities.finding().reason, Reason::BundlePartlyRead);
        let calm = read(&server(&[]), "", "").finding();
        assert_eq!(
            (calm.reason, calm.message.as_str()),
            (Reason::Passed, "Trusted are 0 authorities of the system, and 0 that were added to the image.")
        );
    }
}
