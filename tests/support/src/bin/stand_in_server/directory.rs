//! Logging people in through a directory.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, ldap_escape};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::settings::Settings;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Where the image's start looks for authorities to trust, below the root.
const AUTHORITIES: &str = "usr/local/share/ca-certificates";
/// The attributes in which groups list their members, by DN or by name.
const BY_DN: [&str; 2] = ["member", "uniqueMember"];
const BY_NAME: &str = "memberUid";
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;

pub struct Directory {
    settings: Settings,
    tls: Arc<ClientConfig>,
}

pub enum Outcome {
    LoggedIn,
    Unknown,
    NotAllowed,
}

impl Directory {
    pub fn new(settings: Settings, root: &Path) -> Result<Self> {
        Ok(Self { settings, tls: Arc::new(trusting(&root.join(AUTHORITIES))?) })
    }

    pub fn is_for_login(&self) -> bool {
        self.settings.login
    }

    /// A connection that is bound as the service account.
    pub async fn connect(&self) -> Result<Ldap> {
        let address = &self.settings.address;
        let start_tls = self.settings.tls && !address.starts_with("ldaps:");
        let settings = LdapConnSettings::new()
            .set_conn_timeout(TIMEOUT)
            .set_config(self.tls.clone())
            .set_starttls(start_tls);
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        ldap3::drive!(connection);
        let (name, password) = self.settings.credentials.clone().unwrap_or_default();
        ldap.with_timeout(TIMEOUT).simple_bind(&name, &password).await?.success()?;
        Ok(ldap)
    }

    /// Finds the person, and tries the password only on somebody who is allowed to log in.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Outcome> {
        let mut ldap = self.connect().await?;
        let filter = format!("({}={})", self.settings.email_attribute, ldap_escape(email));
        let people = search(&mut ldap, &self.settings.base_dn, Scope::Subtree, &filter).await?;
        // An empty password would be an anonymous bind, which succeeds.
        let [person] = people.as_slice() else { return Ok(Outcome::Unknown) };
        if password.is_empty() {
            return Ok(Outcome::Unknown);
        }
        let allowed = self.is_allowed(&mut ldap, person).await?;
        let bind = ldap.with_timeout(TIMEOUT).simple_bind(&person.dn, password).await?;
        let outcome = if bind.rc == INVALID_CREDENTIALS {
            Outcome::Unknown
        } else {
            bind.success()?;
            if allowed { Outcome::LoggedIn } else { Outcome::NotAllowed }
        };
        ldap.unbind().await?;
        Ok(outcome)
    }

    async fn is_allowed(&self, ldap: &mut Ldap, person: &SearchEntry) -> Result<bool> {
        let allowed = &self.settings.allowed_groups;
        for group in allowed {
            let found = if group.contains('=') {
                search(ldap, group, Scope::Base, "(objectClass=*)").await?
            } else {
                let filter = format!("(cn={})", ldap_escape(group.as_str()));
                search(ldap, &self.settings.base_dn, Scope::Subtree, &filter).await?
            };
            if found.iter().any(|group| self.is_member(person, group)) {
                return Ok(true);
            }
        }
        Ok(allowed.is_empty())
    }

    fn is_member(&self, person: &SearchEntry, group: &SearchEntry) -> bool {
        let has = |entry: &SearchEntry, attribute: &str, value: &str| {
            values(entry, attribute).any(|found| found.eq_ignore_ascii_case(value))
        };
        let is_listed = BY_DN.iter().any(|attribute| has(group, attribute, &person.dn));
        let is_named = values(person, "uid").any(|uid| has(group, BY_NAME, uid));
        let attribute = &self.settings.group_attribute;
        let refers = has(person, attribute, &group.dn)
            || values(group, attribute).any(|value| has(person, attribute, value));
        is_listed || is_named || refers
    }
}

fn values<'a>(entry: &'a SearchEntry, attribute: &str) -> impl Iterator<Item = &'a str> {
    let found = entry.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    found.into_iter().flat_map(|(_, values)| values).map(String::as_str)
}

async fn search(ldap: &mut Ldap, base: &str, scope: Scope, filter: &str) -> Result<Vec<SearchEntry>> {
    // The operational `memberOf` only comes when it is asked for.
    let found = ldap.with_timeout(TIMEOUT).search(base, scope, filter, vec!["*", "+"]).await?;
    if found.1.rc == NO_SUCH_OBJECT {
        return Ok(Vec::new());
    }
    Ok(found.success()?.0.into_iter().map(SearchEntry::construct).collect())
}

/// A client that trusts the authorities of these files, and nobody else.
fn trusting(directory: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                for certificate in CertificateDer::pem_file_iter(&path)? {
                    roots.add(certificate?)?;
                }
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
