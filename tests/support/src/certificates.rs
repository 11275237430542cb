//! Certificates of the tests' own authorities.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const DAY: Duration = Duration::from_hours(24);

/// An authority that clients trust when they are given its certificate.
///
/// Two of them make the case of a certificate that another authority signed.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// What a server's certificate says.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The names it is valid for.
    pub dns_names: Vec<String>,
    /// The addresses it is valid for.
    pub ip_addresses: Vec<IpAddr>,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
}

/// A server's certificate with its key, and the authority to check it with.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The certificate of the authority that signed it.
    pub authority_pem: String,
}

impl CertificateAuthority {
    /// A new authority with this common name, valid for ten years.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = SystemTime::now();
        params.not_before = (now - 365 * DAY).into();
        params.not_after = (now + 3650 * DAY).into();

        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Signs a server's certificate.
    pub fn issue(&self, leaf: &Leaf) -> Result<Certificate> {
        let mut names = leaf.dns_names.clone();
        names.extend(leaf.ip_addresses.iter().map(ToString::to_string));
        let mut params = CertificateParams::new(names).context("a name is not valid")?;
        params.not_before = leaf.not_before.into();
        params.not_after = leaf.not_after.into();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];

        let key = KeyPair::generate().context("cannot make a key")?;
        Ok(Certificate {
            certificate_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
            authority_pem: self.certificate_pem.clone(),
        })
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

impl Leaf {
    /// Valid since yesterday and for a year, for `localhost`, `127.0.0.1` and `::1`.
    pub fn loopback() -> Self {
        let now = SystemTime::now();
        Self {
            dns_names: vec!["localhost".to_owned()],
            ip_addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            not_before: now - DAY,
            not_after: now + 365 * DAY,
        }
    }

    /// The same for this name only, and for no address.
    #[must_use]
    pub fn only_for(self, dns_name: &str) -> Self {
        Self { dns_names: vec![dns_name.to_owned()], ip_addresses: Vec::new(), ..self }
    }

    /// The same, but expired yesterday.
    #[must_use]
    pub fn expired(self) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - 30 * DAY, not_after: now - DAY, ..self }
    }

    /// The same, but expiring after so many days.
    #[must_use]
    pub fn expiring_in_days(self, days: u32) -> Self {
        Self { not_after: SystemTime::now() + days * DAY, ..self }
    }
}

impl Certificate {
    /// The settings of a TLS server that presents this certificate.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config))
    }
}

/// The settings of a TLS client that trusts this authority and no other.
pub(crate) fn client_config(authority_pem: &str) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
