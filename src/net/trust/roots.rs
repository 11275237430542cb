//! Reads the system's certificate authorities from files as Go does (`crypto/x509`, `root_unix.go`), for a server
//! whose file system and environment are known. rustls has rules of its own for the same variables.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{Trust, bundle, certificate::Certificate};

/// The first of these that can be read is the system's bundle (`certFiles`).
const BUNDLES: [&str; 6] = [
    GENERATED_BUNDLE,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Every file of these is read, too (`certDirectories`).
const DIRECTORIES: [&str; 2] = [GENERATED_DIRECTORY, "/etc/pki/tls/certs"];

/// What `update-ca-certificates` makes of the image's authorities and of those that were added to it.
const GENERATED_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const GENERATED_DIRECTORY: &str = "/etc/ssl/certs";

/// Symbolic links that lead to each other end nowhere.
const MOST_LINKS: usize = 16;

/// Where a Go program looks for the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootSettings {
    /// `SSL_CERT_FILE`; empty counts as absent.
    pub file: String,
    /// `SSL_CERT_DIR`; empty counts as absent.
    pub directories: String,
    /// The root of the server's file system, below which all of its paths are.
    pub root: PathBuf,
}

/// What was read.
pub struct RootReading {
    /// The system's authorities.
    pub trust: Trust,
    /// The places that `SSL_CERT_FILE` and `SSL_CERT_DIR` name and that give no certificate, each with why.
    pub unread: Vec<(String, String)>,
}

impl RootSettings {
    /// Whether the program reads what the image makes of the authorities that were added to it at its start.
    pub fn reads_added(&self) -> bool {
        let is_generated = |path: &str, generated: &str| path.trim_end_matches('/') == generated;
        let by_file = self.file.is_empty() || is_generated(&self.file, GENERATED_BUNDLE);
        let by_directory = self.directories.is_empty()
            || self.directories.split(':').any(|directory| is_generated(directory, GENERATED_DIRECTORY));
        by_file || by_directory
    }

    /// Reads the authorities.
    pub fn read(&self) -> RootReading {
        let mut found = FoundRoots::default();
        if self.file.is_empty() {
            if let Some(text) = BUNDLES.iter().find_map(|bundle| fs::read(self.place(bundle)).ok()) {
                found.add(&text);
            }
        } else {
            found.file(&self.file, &self.place(&self.file));
        }
        if self.directories.is_empty() {
            for directory in DIRECTORIES {
                let _ = self.directory(directory, &mut found);
            }
        } else {
            for directory in self.directories.split(':') {
                if let Err(why) = self.directory(directory, &mut found) {
                    found.unread.push((directory.to_owned(), why));
                }
            }
        }
        RootReading {
            trust: Trust { system: Arc::from(found.certificates), added: None },
            unread: found.unread,
        }
    }

    /// Reads every file of a directory, apart from links to other files of it.
    fn directory(&self, directory: &str, found: &mut FoundRoots) -> Result<(), String> {
        let entries = fs::read_dir(self.place(directory)).map_err(|error| words(&error))?;
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let mut added = 0;
        for file in files {
            let is_link_within =
                fs::read_link(&file).is_ok_and(|target| !target.to_string_lossy().contains('/'));
            if is_link_within {
                continue;
            }
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            if let Ok(text) = fs::read(self.place(&path)) {
                added += found.add(&text);
            }
        }
        if added == 0 { Err("it has no certificate in PEM".to_owned()) } else { Ok(()) }
    }

    /// Where a path of the server is, as this process reaches it.
    pub fn place(&self, path: &str) -> PathBuf {
        place(&self.root, Path::new(path))
    }
}

/// The certificates so far, each once.
#[derive(Default)]
struct FoundRoots {
    certificates: Vec<Certificate>,
    known: BTreeSet<Arc<[u8]>>,
    unread: Vec<(String, String)>,
}

impl FoundRoots {
    /// Adds the certificates of a text, and says how many it has.
    fn add(&mut self, text: &[u8]) -> usize {
        let (certificates, _) = bundle::read(text);
        let count = certificates.len();
        let new = certificates.into_iter().filter(|certificate| self.known.insert(certificate.der.clone()));
        self.certificates.extend(new);
        count
    }

    fn file(&mut self, name: &str, path: &Path) {
        let why = match fs::read(path) {
            Ok(text) if self.add(&text) > 0 => return,
            Ok(_) => "it has no certificate in PEM".to_owned(),
            Err(error) => words(&error),
        };
        self.unread.push((name.to_owned(), why));
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "this process may not read it".to_owned(),
        _ => "it cannot be read".to_owned(),
    }
}

/// The path below the root. A link of another root with an absolute target leads from that root, not from this
/// process's own.
fn place(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") || root.as_os_str().is_empty() {
        return path.to_owned();
    }
    let mut pending: Vec<PathBuf> = components(path);
    let mut within = PathBuf::new();
    let mut links = 0;
    while let Some(component) = pending.pop() {
        if component == Path::new("..") {
            within.pop();
            continue;
        }
        match fs::read_link(root.join(&within).join(&component)) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                if target.is_absolute() {
                    within = PathBuf::new();
                }
                pending.extend(components(&target));
            }
            _ => within.push(component),
        }
    }
    root.join(within)
}

/// The names of a path, the last one first.
fn components(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use test_support::CertificateAuthority;

    use super::*;

    /// The names of what is trusted, in order.
    fn trusted(settings: &RootSettings) -> Vec<String> {
        settings.read().trust.system.iter().map(|certificate| certificate.subject_name.clone()).collect()
    }

    /// A file system with an authority in each of these files, named like the file.
    fn system(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, CertificateAuthority::new(file).unwrap().certificate_pem()).unwrap();
        }
        root
    }

    fn settings(root: &Path, file: &str, directories: &str) -> RootSettings {
        RootSettings { file: file.to_owned(), directories: directories.to_owned(), root: root.to_owned() }
    }

    /// As `loadSystemRoots` of Go.
    #[test]
    fn reads_what_go_reads() {
        let files = [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/ssl/certs/other.pem",
            "/etc/ssl/cert.pem",
            "/etc/pki/tls/certs/more",
            "/own/ca.crt",
            "/own/folder/a",
            "/own/folder/deeper/b",
        ];
        let root = system(&files);
        let [bundle, other, _, more, own, in_folder, _] = files;
        for (file, directories, expected) in [
            ("", "", vec![bundle, other, more]),
            // The variable for the file leaves the directories as they are.
            (own, "", vec![own, bundle, other, more]),
            ("", "/own/folder", vec![bundle, in_folder]),
            (own, "/own/folder:/own/none", vec![own, in_folder]),
            ("/nowhere", "/nowhere", vec![]),
        ] {
            let found = trusted(&settings(root.path(), file, directories));
            assert_eq!(found.len(), expected.len(), "{file} {directories}: {found:?}");
            for name in expected {
                assert!(found.iter().any(|found| found.contains(name)), "{file} {directories}: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_named_and_gives_nothing_is_told() {
        let root = system(&["/own/folder/a"]);
        fs::write(root.path().join("own/empty"), "none").unwrap();
        let reading = settings(root.path(), "/own/empty", "/own/folder:/own/none").read();
        let unread: Vec<_> =
            reading.unread.iter().map(|(place, why)| (place.as_str(), why.as_str())).collect();
        assert_eq!(
            unread,
            [("/own/empty", "it has no certificate in PEM"), ("/own/none", "it is not there")]
        );
    }

    #[test]
    fn links_stay_in_the_servers_file_system() {
        let root = system(&["/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/usr/share/ca/a.crt"]);
        fs::create_dir_all(root.path().join("etc/pki/tls/certs")).unwrap();
        fs::create_dir_all(root.path().join("etc/ssl")).unwrap();
        let link = |target: &str, name: &str| symlink(target, root.path().join(name)).unwrap();
        link("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/pki/tls/certs/ca-bundle.crt");
        link("../pki/tls/certs", "etc/ssl/certs");
        link("../../../../usr/share/ca/a.crt", "etc/pki/tls/certs/a.pem");
        link("a.pem", "etc/pki/tls/certs/0123.0");
        link("round", "etc/pki/tls/certs/round");
        let found = trusted(&settings(root.path(), "", ""));
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn added_authorities_count_unless_both_variables_lead_elsewhere() {
        for (file, directories, expected) in [
            ("", "", true),
            ("/own.crt", "", true),
            ("", "/own", true),
            ("/own.crt", "/own", false),
            ("/own.crt", "/own:/etc/ssl/certs/", true),
            (GENERATED_BUNDLE, "/own", true),
        ] {
            assert_eq!(settings(Path::new("/"), file, directories).reads_added(), expected, "{file}");
        }
    }
}
