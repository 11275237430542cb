//! The server's configuration file: the package's own template with what an instance chooses filled in.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{ADMIN_DN, ADMIN_PASSWORD, Directory389};
use crate::run_directory::RunDirectory;
use crate::tools::Installation389;

/// The name of the back end that holds the suffix.
pub(super) const BACK_END: &str = "userRoot";

/// What a test may set.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// Lines for `cn=config`.
    pub server: String,
    /// Lines for the configuration of the data base.
    pub database: String,
}

/// Writes the configuration, and the directories that it names.
pub(super) fn write(
    directory: &RunDirectory,
    installation: &Installation389,
    settings: &Settings,
    port: u16,
) -> Result<()> {
    let path = directory.path();
    for name in ["schema", "db", "lock", "tmp", "log", "bak", "ldif", "run"] {
        fs::create_dir_all(path.join(name))?;
    }
    copy_files(&installation.schemas, &path.join("schema"))?;
    copy_files(&installation.configuration, path)?;
    let template = fs::read_to_string(&installation.template)
        .with_context(|| format!("cannot read {}", installation.template.display()))?;
    let mut text = fill_in(&template, path, port)?
        .replace(
            "nsslapd-pluginpath: lib",
            &format!("nsslapd-pluginpath: {}/lib", installation.plugins.display()),
        )
        .replacen("cn: config\n", &format!("cn: config\n{SERVER}{}", settings.server), 1)
        .replacen("nsslapd-mode: 600\n", &format!("nsslapd-mode: 600\n{}", settings.database), 1);
    text.truncate(text.trim_end().len());
    text.push_str("\n\n");
    // The server adds these by itself, but looks for them where the system's package would be.
    for (name, library, function, kind) in [
        ("entryuuid_syntax", "libentryuuid-syntax-plugin", "entryuuid_syntax_plugin_init", "syntax"),
        ("entryuuid", "libentryuuid-plugin", "entryuuid_plugin_init", "betxnpreoperation"),
    ] {
        write!(
            text,
            "dn: cn={name},cn=plugins,cn=config\nobjectclass: top\nobjectclass: nsSlapdPlugin\ncn: {name}\n\
             nsslapd-pluginpath: {}/{library}\nnsslapd-plugininitfunc: {function}\n\
             nsslapd-plugintype: {kind}\nnsslapd-pluginenabled: on\nnsslapd-pluginId: {name}\n\
             nsslapd-pluginVersion: none\nnsslapd-pluginVendor: 389 Project\n\
             nsslapd-pluginDescription: {name}\n\n",
            installation.plugins.display()
        )?;
    }
    text.push_str(&default_indexes(&installation.full_template)?);
    write!(
        text,
        "dn: cn=bdb,cn=config,cn=ldbm database,cn=plugins,cn=config\nobjectclass: top\n\
         objectclass: extensibleObject\ncn: bdb\nnsslapd-cache-autosize: 0\nnsslapd-dbcachesize: 2000000\n\
         nsslapd-db-durable-transaction: off\nnsslapd-db-logdirectory: {}\n\n",
        path.join("db").display()
    )?;
    text.push_str(&back_end());
    directory.write("dse.ldif", &text).map(|_| ())
}

/// Listens on loopback only, shows every operation at once in the log, and keeps passwords as they are.
const SERVER: &str = "nsslapd-listenhost: 127.0.0.1\nnsslapd-accesslog-logbuffering: off\n\
                      passwordStorageScheme: CLEAR\nnsslapd-allow-hashed-passwords: on\n";

/// The indexes of every new back end: the smallest configuration lacks them.
fn default_indexes(template: &Path) -> Result<String> {
    let template =
        fs::read_to_string(template).with_context(|| format!("cannot read {}", template.display()))?;
    let records = template.split("\n\n").filter(|record| record.contains("cn=default indexes"));
    Ok(records.flat_map(|record| [record.trim(), "\n\n"]).collect())
}

/// The suffix, and where it is kept.
fn back_end() -> String {
    let suffix = Directory389::SUFFIX;
    format!(
        "dn: cn=\"{suffix}\",cn=mapping tree,cn=config\nobjectclass: top\nobjectclass: extensibleObject\n\
         objectclass: nsMappingTree\ncn: \"{suffix}\"\nnsslapd-state: backend\nnsslapd-backend: {BACK_END}\n\n\
         dn: cn={BACK_END},cn=ldbm database,cn=plugins,cn=config\nobjectclass: top\n\
         objectclass: extensibleObject\nobjectclass: nsBackendInstance\ncn: {BACK_END}\n\
         nsslapd-suffix: {suffix}\n"
    )
}

fn fill_in(template: &str, path: &Path, port: u16) -> Result<String> {
    let below = |name: &str| path.join(name).display().to_string();
    let own = || path.display().to_string();
    let user = Command::new("id").arg("-un").output().context("cannot run id")?;
    let values = [
        ("schema_dir", below("schema")),
        ("lock_dir", below("lock")),
        ("tmp_dir", below("tmp")),
        ("cert_dir", own()),
        ("ldif_dir", below("ldif")),
        ("bak_dir", below("bak")),
        ("run_dir", below("run")),
        ("inst_dir", own()),
        ("log_dir", below("log")),
        ("db_dir", below("db")),
        ("config_dir", own()),
        ("fqdn", "localhost".to_owned()),
        ("ds_port", port.to_string()),
        ("ds_user", String::from_utf8_lossy(&user.stdout).trim().to_owned()),
        ("rootdn", ADMIN_DN.to_owned()),
        ("ds_passwd", format!("{{CLEAR}}{ADMIN_PASSWORD}")),
        ("ldapi_enabled", "off".to_owned()),
        ("ldapi_autobind", "off".to_owned()),
        ("ldapi", below("run/ldapi")),
    ];
    Ok(values
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("%{name}%"), &value)))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
