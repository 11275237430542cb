//! The files of the image are all that the program needs.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{CertificateAuthority, Leaf, Slapd};

use crate::world::PASSWORD;

/// A name that only the servers of this test know.
const NAME: &str = "directory.corp.test";

#[test]
#[ignore = "needs the files of an image (WANDB_AUTH_IMAGE names their directory) and root; .ci/image calls it"]
fn names_and_authorities_are_found_without_anything_else() -> Result<()> {
    let certificate = CertificateAuthority::new("corp")?.issue(&Leaf::loopback().only_for(NAME))?;
    let directory = Slapd::builder(PASSWORD).certificate(&certificate).start()?;
    let port = directory.ldaps_port().context("a port")?;
    let container = Container::new()?;
    // The image's own authorities are not ours, but their place is.
    fs::write(container.path("etc/ssl/certs/ca-certificates.crt"), &certificate.authority_pem)?;
    let name_server = serve_names()?;

    fs::write(container.path("etc/resolv.conf"), format!("nameserver {name_server}\n"))?;
    let checks = container.check(&format!("ldaps://{NAME}:{port}"))?;
    assert_eq!(reason(&checks, "DnsResolves"), "Passed", "{checks:#}");
    assert_eq!(reason(&checks, "TlsVerifies"), "Passed", "{checks:#}");
    assert_eq!(reason(&checks, "BaseDnExists"), "Passed", "{checks:#}");
    let checks = container.check(&format!("ldaps://another.corp.test:{port}"))?;
    assert_eq!(reason(&checks, "DnsResolves"), "NameNotResolved", "{checks:#}");

    // No name server has this one.
    fs::write(container.path("etc/hosts"), "127.0.0.1 hosts.corp.test\n")?;
    let checks = container.check(&format!("ldaps://hosts.corp.test:{port}"))?;
    assert_eq!(reason(&checks, "DnsResolves"), "Passed", "{checks:#}");
    assert_eq!(reason(&checks, "TlsVerifies"), "NameMismatch", "{checks:#}");
    Ok(())
}

/// A copy of the image's files, which a program can be locked into.
struct Container(TempDir);

impl Container {
    fn new() -> Result<Self> {
        let image = std::env::var_os("WANDB_AUTH_IMAGE").context("WANDB_AUTH_IMAGE is not set")?;
        let root = tempfile::tempdir()?;
        let status =
            Command::new("cp").arg("-a").arg(Path::new(&image).join(".")).arg(root.path()).status()?;
        ensure!(status.success(), "the files of the image were not copied");
        // A temporary directory is its maker's only, and the program runs as somebody else.
        fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(root))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// What `check` finds about a directory at that address.
    fn check(&self, address: &str) -> Result<Value> {
        let manifest = format!(
            "apiVersion: auth.wandb.com/v1alpha1\nkind: LdapConfig\nmetadata: {{name: corp}}\n\
             spec: {{address: '{address}', baseDN: '{}'}}\n",
            Slapd::SUFFIX
        );
        fs::write(self.path("corp.yaml"), manifest)?;
        let output = Command::new("chroot")
            .arg("--userspec=65532:65532")
            .arg(self.0.path())
            .args(["/usr/bin/wandb-auth-operator", "check", "-f", "/corp.yaml", "-o", "json"])
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR")
            .output()?;
        let printed = serde_json::from_slice::<Value>(&output.stdout);
        printed.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The reason of the only resource's check of that name.
fn reason<'a>(checks: &'a Value, name: &str) -> &'a str {
    let checks = checks.pointer("/0/checks").and_then(Value::as_array).into_iter().flatten();
    let mut named = checks.filter(|check| check["name"] == name);
    named.next().and_then(|check| check["reason"].as_str()).unwrap_or_default()
}

/// A socket where name servers listen. Their port is given, so each run takes a loopback address that nobody else has.
fn name_server_socket() -> Result<(UdpSocket, Ipv4Addr)> {
    for last in 1..u8::MAX {
        let address = Ipv4Addr::new(127, 53, 65, last);
        match UdpSocket::bind((address, 53)) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("only root may listen where name servers do"),
        }
    }
    bail!("something listens at port 53 of every address");
}

/// Answers questions about names (RFC 1035) until the process ends. Returns the address to ask.
fn serve_names() -> Result<Ipv4Addr> {
    let (socket, address) = name_server_socket()?;
    thread::spawn(move || -> Result<()> {
        let mut question = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut question)?;
            if let Some(answer) = question.get(..length).and_then(answer) {
                socket.send_to(&answer, client)?;
            }
        }
    });
    Ok(address)
}

/// 127.0.0.1 for the name that is known, and no such name for every other; nothing where it is no question.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = question.split_at_checked(12)?;
    let end_of_name = rest.iter().position(|&byte| byte == 0)? + 1;
    let (asked, rest) = rest.split_at_checked(end_of_name)?;
    let type_and_class = rest.get(..4)?;
    let mut name = Vec::new();
    for label in NAME.split('.') {
        name.push(u8::try_from(label.len()).ok()?);
        name.extend(label.as_bytes());
    }
    name.push(0);
    let known = asked.eq_ignore_ascii_case(&name);
    // An address of version 4 (A) is known, and one of version 6 is not.
    let found = known && type_and_class == [0, 1, 0, 1];
    let mut answer = header.get(..2)?.to_vec();
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    answer.extend(asked);
    answer.extend(type_and_class);
    if found {
        // The name of the question, A, IN, a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
