//! What a test may choose about its directory.

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::Result;

use super::configuration::{self, AnonymousBind};
use super::{Slapd, tree};
use crate::certificates::Certificate;
use crate::free_port;
use crate::process::{LogCapture, run_to_completion};
use crate::run_directory::RunDirectory;
use crate::tools::{self, SlapdInstallation};

/// A directory to be started, made by [`Slapd::builder`].
#[derive(Debug, Clone)]
pub struct SlapdBuilder {
    service_password: String,
    bind_address: IpAddr,
    ports: Option<(u16, u16)>,
    certificate: Option<Certificate>,
    anonymous_bind: AnonymousBind,
    extra_ldif: String,
    first_lines: String,
    database_lines: String,
}

impl SlapdBuilder {
    pub(super) fn new(service_password: &str) -> Self {
        Self {
            service_password: service_password.to_owned(),
            bind_address: Ipv4Addr::LOCALHOST.into(),
            ports: None,
            certificate: None,
            anonymous_bind: AnonymousBind::Allowed,
            extra_ldif: String::new(),
            first_lines: String::new(),
            database_lines: String::new(),
        }
    }

    /// The loopback address to listen on instead of 127.0.0.1.
    #[must_use]
    pub fn bind_address(self, address: IpAddr) -> Self {
        Self { bind_address: address, ..self }
    }

    /// Listens where a Service of a pod expects it: on every address, with LDAP's own ports.
    #[must_use]
    pub fn in_pod(self) -> Self {
        Self { bind_address: Ipv4Addr::UNSPECIFIED.into(), ports: Some((389, 636)), ..self }
    }

    /// Offers `ldaps://` on a port of its own, and StartTLS, with this certificate.
    #[must_use]
    pub fn certificate(self, certificate: &Certificate) -> Self {
        Self { certificate: Some(certificate.clone()), ..self }
    }

    /// Refuses anonymous binds, and reading without a bind.
    #[must_use]
    pub fn forbid_anonymous_bind(self) -> Self {
        Self { anonymous_bind: AnonymousBind::Forbidden, ..self }
    }

    /// Ends TLS connections of clients without a certificate.
    #[must_use]
    pub fn demand_client_certificates(mut self) -> Self {
        self.first_lines.push_str("TLSVerifyClient demand\n");
        self
    }

    /// Adds entries below [`Slapd::SUFFIX`], in LDIF.
    #[must_use]
    pub fn extra_ldif(mut self, ldif: &str) -> Self {
        self.extra_ldif.push('\n');
        self.extra_ldif.push_str(ldif);
        self
    }

    /// Adds lines to the configuration of the data base, before its own access rules.
    #[must_use]
    pub fn database_lines(mut self, lines: &str) -> Self {
        self.database_lines.push_str(lines);
        self.database_lines.push('\n');
        self
    }

    /// Loads the data and starts slapd.
    pub fn start(self) -> Result<Slapd> {
        let installation = tools::slapd()?;
        let directory = RunDirectory::create("slapd")?;
        let root_password = "admin-password".to_owned();
        let configuration = configuration::write(
            &directory,
            &installation,
            &root_password,
            self.certificate.as_ref(),
            self.anonymous_bind,
            &self.database_lines,
        )?;
        let included = format!("{}include {}\n", self.first_lines, configuration.display());
        let configuration = directory.write("main.conf", &included)?;
        let ldif = tree::ldif(&self.service_password) + &self.extra_ldif;
        let ldif = directory.write("tree.ldif", &ldif)?;
        let mut load = slapd_command(&installation)?;
        load.args(["-T", "add", "-f"]).arg(&configuration).arg("-l").arg(&ldif);
        run_to_completion("slapadd", &load, &directory.path().join("slapadd.log"))?;

        let (port, tls_port) = match self.ports {
            Some(ports) => ports,
            None => (free_port()?, free_port()?),
        };
        let address = SocketAddr::from((self.bind_address, port));
        let tls_port = self.certificate.map(|_| tls_port);
        let ldap = format!("ldap://{address}/");
        let urls = match tls_port {
            None => ldap,
            Some(port) => format!("{ldap} ldaps://{}/", SocketAddr::from((self.bind_address, port))),
        };
        let mut command = slapd_command(&installation)?;
        // A debug level keeps it in the foreground, and this one logs every operation.
        command.args(["-d", "stats", "-h", &urls, "-f"]).arg(&configuration);

        let log = LogCapture::open(&directory.path().join("slapd.log"))?;
        let mut slapd =
            Slapd { process: None, log, command, address, tls_port, root_password, _directory: directory };
        slapd.start()?;
        Ok(slapd)
    }
}

fn slapd_command(installation: &SlapdInstallation) -> Result<Command> {
    let mut command = Command::new(&installation.program);
    if !installation.libraries.is_empty() {
        command.env("LD_LIBRARY_PATH", env::join_paths(&installation.libraries)?);
    }
    Ok(command)
}
