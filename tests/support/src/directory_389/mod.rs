//! Another real directory: 389 Directory Server, whose limits, locks and words are not those of OpenLDAP.

mod configuration;

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use anyhow::Result;

use configuration::Settings;

use crate::ber::{bind_request, exchange};
use crate::free_port;
use crate::process::{ChildProcess, LogCapture, PATIENCE, run_to_completion};
use crate::run_directory::RunDirectory;
use crate::tools;

const ADMIN_DN: &str = "cn=Directory Manager";
const ADMIN_PASSWORD: &str = "admin-password";

/// A running 389 Directory Server, ended on drop.
///
/// Below `dc=example,dc=org` there are `ou=people` with `uid=alice` (`inetOrgPerson` with `mail` and
/// `departmentNumber`) and as many others as a test asks for, `ou=groups` with `cn=wandb`
/// (`groupOfNames` of alice), and `ou=services` with `cn=wandb`, which has the service password. Three
/// wrong passwords lock an account until an administrator unlocks it.
#[derive(Debug)]
pub struct Directory389 {
    _process: ChildProcess,
    log: LogCapture,
    address: SocketAddr,
    _directory: RunDirectory,
}

/// A server to be started, made by [`Directory389::builder`].
#[derive(Debug, Clone)]
pub struct Directory389Builder {
    service_password: String,
    service_attributes: String,
    settings: Settings,
    people: usize,
}

impl Directory389 {
    /// The suffix of the directory.
    pub const SUFFIX: &'static str = "dc=example,dc=org";
    /// The service account that W&B binds with.
    pub const SERVICE_DN: &'static str = "cn=wandb,ou=services,dc=example,dc=org";

    /// A server to be started, with this password for its service account.
    pub fn builder(service_password: &str) -> Directory389Builder {
        Directory389Builder {
            service_password: service_password.to_owned(),
            service_attributes: String::new(),
            settings: Settings {
                server: "passwordLockout: on\npasswordMaxFailure: 3\npasswordUnlock: off\n".to_owned(),
                database: String::new(),
            },
            people: 0,
        }
    }

    /// The URL for LDAP without TLS.
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// How many times a client has tried to bind as this entry so far, with whatever outcome.
    pub fn bind_attempts(&self, dn: &str) -> Result<usize> {
        Ok(self.log.read()?.matches(&format!("BIND dn=\"{dn}\"")).count())
    }

    /// Binds, and returns the result code.
    pub fn bind(&self, dn: &str, password: &str) -> Result<u8> {
        exchange(&mut TcpStream::connect(self.address)?, &bind_request(dn, password))
    }
}

impl Directory389Builder {
    /// Looks at no more than so many entries for a search that no index helps (`nsslapd-lookthroughlimit`).
    #[must_use]
    pub fn lookthrough_limit(mut self, entries: u32) -> Self {
        push_line(&mut self.settings.database, "nsslapd-lookthroughlimit", &entries.to_string());
        self
    }

    /// Sets an attribute of `cn=config`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        push_line(&mut self.settings.server, name, value);
        self
    }

    /// Gives the service account one more attribute.
    #[must_use]
    pub fn service_attribute(mut self, name: &str, value: &str) -> Self {
        push_line(&mut self.service_attributes, name, value);
        self
    }

    /// Locks the service account, as too many wrong passwords do.
    #[must_use]
    pub fn locked(self) -> Self {
        // The server's word for a lock without an end.
        self.service_attribute("accountUnlockTime", "19700101000000Z")
            .service_attribute("passwordRetryCount", "3")
    }

    /// So many people beside alice.
    #[must_use]
    pub fn people(self, people: usize) -> Self {
        Self { people, ..self }
    }

    /// Loads the data and starts the server.
    pub fn start(self) -> Result<Directory389> {
        let installation = tools::directory_389()?;
        let directory = RunDirectory::create("389-ds")?;
        let port = free_port()?;
        configuration::write(&directory, &installation, &self.settings, port)?;
        let libraries = env::join_paths(&installation.libraries)?;
        let command = |task: &str| {
            let mut command = Command::new(&installation.program);
            command.env("LD_LIBRARY_PATH", &libraries).arg(task);
            command
        };
        let mut serve = command("-D");
        // In the foreground.
        serve.arg(directory.path()).args(["-d", "0"]);
        let output = directory.path().join("ns-slapd.log");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let start = || -> Result<ChildProcess> {
            let mut process = ChildProcess::spawn("ns-slapd", &serve, &output)?;
            process.wait_until_ready(PATIENCE, || TcpStream::connect(address).is_ok())?;
            Ok(process)
        };
        // Its first start completes the configuration, which an import needs.
        start()?.terminate(PATIENCE)?;
        let ldif = directory.write("tree.ldif", &self.ldif())?;
        let mut import = command("ldif2db");
        import.arg("-D").arg(directory.path()).args(["-n", configuration::BACK_END, "-i"]).arg(ldif);
        run_to_completion("ldif2db", &import, &directory.path().join("import.log"))?;
        let process = start()?;
        let log = LogCapture::open(&directory.path().join("log/access"))?;
        Ok(Directory389 { _process: process, log, address, _directory: directory })
    }

    fn ldif(&self) -> String {
        let person = |uid: &str| {
            format!(
                "dn: uid={uid},ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {uid}\n\
                 cn: {uid}\nsn: Example\nmail: {uid}@example.org\ndepartmentNumber: 5001\n\n"
            )
        };
        let others = (0..self.people).map(|number| person(&format!("user{number}")));
        let Self { service_password, service_attributes, .. } = self;
        format!(
            "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\
             aci: (targetattr!=\"userPassword\")(version 3.0; acl \"read\"; allow (read,search,compare) userdn=\"ldap:///all\";)\n\n\
             dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: ou=groups,dc=example,dc=org\nobjectClass: organizationalUnit\nou: groups\n\n\
             dn: ou=services,dc=example,dc=org\nobjectClass: organizationalUnit\nou: services\n\n\
             dn: cn=wandb,ou=services,dc=example,dc=org\nobjectClass: organizationalRole\n\
             objectClass: simpleSecurityObject\ncn: wandb\nuserPassword: {service_password}\n{service_attributes}\n\
             {}{}\
             dn: cn=wandb,ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: wandb\n\
             member: uid=alice,ou=people,dc=example,dc=org\n\n",
            person("alice"),
            others.collect::<String>()
        )
    }
}

/// Adds a line of LDIF.
fn push_line(lines: &mut String, name: &str, value: &str) {
    lines.extend([name, ": ", value, "\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::wait_until;

    #[test]
    fn it_counts_bind_attempts_and_knows_locked_accounts() -> Result<()> {
        let open = Directory389::builder("secret").people(3).start()?;
        let locked = Directory389::builder("secret").locked().start()?;
        assert_eq!(open.bind(Directory389::SERVICE_DN, "secret")?, 0);
        assert_eq!(open.bind(Directory389::SERVICE_DN, "wrong")?, 49);
        assert_eq!(locked.bind(Directory389::SERVICE_DN, "secret")?, 19);
        for (server, attempts) in [(&open, 2), (&locked, 1)] {
            wait_until(PATIENCE, "log of the binds", || {
                Ok(server.bind_attempts(Directory389::SERVICE_DN)? == attempts)
            })?;
        }
        Ok(())
    }
}
