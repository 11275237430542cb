//! A real directory: OpenLDAP's `slapd` with a small company in it.

mod builder;
mod configuration;
mod modify;
mod tree;

pub use builder::SlapdBuilder;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{ChildProcess, LogCapture, PATIENCE};
use crate::run_directory::RunDirectory;

/// A running slapd, ended on drop.
///
/// Below `dc=example,dc=org` there are
/// - `ou=people`: `uid=alice`, `uid=bob` and `uid=carol` (`inetOrgPerson` and `posixAccount`, with
///   `mail` and `cn`), each with the password `<uid>-password`;
/// - `ou=groups`: `cn=wandb` (`groupOfNames` of alice and bob, who have `memberOf`),
///   `cn=developers` (`posixGroup` with `memberUid` alice and bob) and `cn=empty` (`posixGroup`
///   without a member);
/// - `ou=services`: `cn=wandb` with the service password, and `cn=locked` with the same one, which
///   the password policy has locked. The policy locks an account after five wrong passwords in a row.
#[derive(Debug)]
pub struct Slapd {
    process: Option<ChildProcess>,
    log: LogCapture,
    command: Command,
    address: SocketAddr,
    tls_port: Option<u16>,
    root_password: String,
    _directory: RunDirectory,
}

impl Slapd {
    /// The suffix of the directory.
    pub const SUFFIX: &'static str = "dc=example,dc=org";
    /// The administrator, whom no policy or access rule holds back.
    pub const ADMIN_DN: &'static str = "cn=admin,dc=example,dc=org";
    /// The service account that W&B binds with.
    pub const SERVICE_DN: &'static str = "cn=wandb,ou=services,dc=example,dc=org";
    /// The account that the password policy has locked.
    pub const LOCKED_DN: &'static str = "cn=locked,ou=services,dc=example,dc=org";
    /// Where users are.
    pub const PEOPLE_DN: &'static str = "ou=people,dc=example,dc=org";
    /// Where groups are.
    pub const GROUPS_DN: &'static str = "ou=groups,dc=example,dc=org";

    /// A directory to be started, with this password for its service accounts.
    pub fn builder(service_password: &str) -> SlapdBuilder {
        SlapdBuilder::new(service_password)
    }

    /// The URL for LDAP without TLS or with StartTLS.
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// The URL for LDAP over TLS; an error where it has no certificate.
    pub fn ldaps_url(&self) -> Result<String> {
        let port = self.tls_port.context("this slapd was given no certificate, so it has no ldaps")?;
        Ok(format!("ldaps://{}", SocketAddr::from((self.address.ip(), port))))
    }

    /// The port of [`Slapd::ldap_url`].
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The port of [`Slapd::ldaps_url`].
    pub fn ldaps_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// The address it listens on.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// How many times a client has tried to bind as this entry so far, with
    /// whatever outcome; the empty name counts anonymous ones.
    pub fn bind_attempts(&self, dn: &str) -> Result<usize> {
        let attempt = format!("bind dn=\"{}\" method=", dn.to_lowercase());
        Ok(self.log.read()?.to_lowercase().matches(&attempt).count())
    }

    /// What it has logged over all its starts: a line for each operation and each result.
    pub fn log(&self) -> &LogCapture {
        &self.log
    }

    /// Gives an entry another password, as an administrator would; that also unlocks it.
    pub fn set_password(&self, dn: &str, password: &str) -> Result<()> {
        modify::set_password(self.address, &self.root_password, dn, password)
            .with_context(|| format!("cannot set the password of {dn}"))
    }

    /// Stops it; the data and the ports are kept for [`Slapd::start`].
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(PATIENCE)?;
        }
        Ok(())
    }

    /// Starts it again after [`Slapd::stop`].
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "slapd is running already");
        let mut process = ChildProcess::spawn("slapd", &self.command, self.log.path())?;
        let address = self.address;
        process.wait_until_ready(PATIENCE, || TcpStream::connect(address).is_ok())?;
        self.process = Some(process);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::{bind_request, exchange};
    use crate::certificates::{CertificateAuthority, Leaf};

    fn bind(slapd: &Slapd, dn: &str, password: &str) -> Result<u8> {
        let mut stream = TcpStream::connect(slapd.address)?;
        exchange(&mut stream, &bind_request(dn, password))
    }

    #[test]
    fn it_counts_bind_attempts_and_keeps_data_over_a_restart() -> Result<()> {
        let mut slapd = Slapd::builder("secret").start()?;
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "secret")?, 0);
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "wrong")?, 49);
        assert_eq!(bind(&slapd, Slapd::LOCKED_DN, "secret")?, 49);
        assert_eq!(bind(&slapd, "", "")?, 0);
        assert_eq!(slapd.bind_attempts(Slapd::SERVICE_DN)?, 2);
        assert_eq!(slapd.bind_attempts(Slapd::LOCKED_DN)?, 1);
        assert_eq!(slapd.bind_attempts("")?, 1);

        slapd.set_password(Slapd::SERVICE_DN, "another")?;
        slapd.stop()?;
        assert!(TcpStream::connect(slapd.address).is_err());
        slapd.start()?;
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "secret")?, 49);
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "another")?, 0);
        assert_eq!(bind(&slapd, "uid=alice,ou=people,dc=example,dc=org", "alice-password")?, 0);
        Ok(())
    }

    #[test]
    fn five_wrong_passwords_lock_an_account_until_it_gets_a_new_one() -> Result<()> {
        let slapd = Slapd::builder("secret").start()?;
        for _ in 0..5 {
            assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "wrong")?, 49);
        }
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "secret")?, 49);
        slapd.set_password(Slapd::SERVICE_DN, "fresh")?;
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "fresh")?, 0);
        Ok(())
    }

    #[test]
    fn anonymous_binds_can_be_forbidden() -> Result<()> {
        let slapd = Slapd::builder("secret").forbid_anonymous_bind().start()?;
        assert_eq!(bind(&slapd, "", "")?, 48);
        assert_eq!(bind(&slapd, Slapd::SERVICE_DN, "secret")?, 0);
        Ok(())
    }

    #[test]
    fn it_offers_start_tls_only_with_a_certificate() -> Result<()> {
        let certificate = CertificateAuthority::new("directory")?.issue(&Leaf::loopback())?;
        let secure = Slapd::builder("secret").certificate(&certificate).start()?;
        let plain = Slapd::builder("secret").bind_address("127.0.0.2".parse()?).start()?;
        let start_tls = |slapd: &Slapd| -> Result<u8> {
            exchange(&mut TcpStream::connect(slapd.address)?, &modify::start_tls_request())
        };
        assert_eq!(start_tls(&secure)?, 0);
        assert_ne!(start_tls(&plain)?, 0);
        assert!(secure.ldaps_url()?.starts_with("ldaps://127.0.0.1:"));
        assert!(plain.ldap_url().starts_with("ldap://127.0.0.2:"));
        assert!(plain.ldaps_url().is_err());
        Ok(())
    }
}
