//! slapd's configuration file.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{Slapd, tree};
use crate::certificates::Certificate;
use crate::run_directory::RunDirectory;
use crate::tools::SlapdInstallation;

/// Whether a client may read without saying who it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnonymousBind {
    Allowed,
    Forbidden,
}

pub(super) fn write(
    directory: &RunDirectory,
    installation: &SlapdInstallation,
    root_password: &str,
    certificate: Option<&Certificate>,
    anonymous_bind: AnonymousBind,
    database_lines: &str,
) -> Result<PathBuf> {
    let mut text = String::new();
    for schema in ["core", "cosine", "inetorgperson", "nis"] {
        writeln!(text, "include {}/{schema}.schema", installation.schemas.display())?;
    }
    writeln!(text, "modulepath {}", installation.modules.display())?;
    for module in ["back_mdb", "memberof", "ppolicy"] {
        // Some distributions build them into the program.
        if installation.modules.join(format!("{module}.so")).exists() {
            writeln!(text, "moduleload {module}")?;
        }
    }
    if let Some(certificate) = certificate {
        text.push_str(&tls(directory, certificate)?);
    }
    let database = directory.path().join("data");
    fs::create_dir_all(&database)?;
    text.push_str(match anonymous_bind {
        AnonymousBind::Allowed => "",
        AnonymousBind::Forbidden => "disallow bind_anon\n",
    });
    writeln!(text, "database mdb")?;
    writeln!(text, "suffix {}", Slapd::SUFFIX)?;
    writeln!(text, "directory {}", database.display())?;
    writeln!(text, "rootdn {}", Slapd::ADMIN_DN)?;
    writeln!(text, "rootpw {root_password}")?;
    text.push_str(match anonymous_bind {
        AnonymousBind::Allowed => "",
        AnonymousBind::Forbidden => "require authc\n",
    });
    writeln!(text, "dbnosync")?;
    text.push_str(database_lines);
    writeln!(text, "access to attrs=userPassword by anonymous auth by * none")?;
    writeln!(text, "access to * by * read")?;
    writeln!(text, "overlay memberof")?;
    writeln!(text, "overlay ppolicy")?;
    writeln!(text, "ppolicy_default {}", tree::POLICY_DN)?;
    writeln!(text, "ppolicy_use_lockout")?;
    directory.write("slapd.conf", &text)
}

fn tls(directory: &RunDirectory, certificate: &Certificate) -> Result<String> {
    let authority = directory.write("authority.pem", &certificate.authority_pem)?;
    let chain = directory.write("server.pem", &certificate.certificate_pem)?;
    let key = directory.write("server.key", &certificate.key_pem)?;
    Ok(format!(
        "TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n",
        authority.display(),
        chain.display(),
        key.display()
    ))
}
