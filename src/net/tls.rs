//! Which certificates are trusted, and the TLS handshake.

use std::{io, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Duplex, dial::os_words, verifier::RecordingVerifier};
use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// The certificate authorities that a server's certificate may come from.
///
/// Each set stays by itself: there are many resources, and copies of the system's set are large.
#[derive(Clone, Debug)]
pub struct Trust {
    system: Option<Arc<WebPkiServerVerifier>>,
    added: Option<Arc<RootCertStore>>,
}

/// The largest CA bundle that is read: many times the size of a whole system's bundle would be a mistake.
const BUNDLE_LIMIT: usize = 1024 * 1024;

impl Trust {
    /// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them).
    ///
    /// Unreadable certificates are left out: what they would have verified fails its check and says so.
    pub fn system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self { system: verifier(Arc::new(roots)), added: None }
    }

    /// No authorities at all, for plans that never dial.
    pub fn nobody() -> Self {
        Self { system: None, added: None }
    }

    /// These authorities and those of a PEM bundle. The W&B pod, too, adds a bundle to its system's.
    ///
    /// The error is what is wrong, to be told after the bundle's own name.
    pub fn with_bundle(&self, pem: &[u8]) -> Result<Self, &'static str> {
        if pem.len() > BUNDLE_LIMIT {
            return Err("is larger than 1 MiB");
        }
        let mut bundle = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| "is not well-formed PEM")?;
            bundle.add(certificate).map_err(|_| "holds a certificate that cannot be parsed")?;
        }
        if bundle.is_empty() {
            return Err("holds no certificate");
        }
        Ok(Self { system: self.system.clone(), added: Some(Arc::new(bundle)) })
    }

    fn verifiers(&self) -> impl Iterator<Item = Arc<WebPkiServerVerifier>> {
        self.added.clone().and_then(verifier).into_iter().chain(self.system.clone())
    }
}

/// There is none for no authority.
fn verifier(roots: Arc<RootCertStore>) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder(roots).build().ok()
}

/// What is known of a server's verified certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// Performs the handshake and verifies chain, name and validity.
pub async fn encrypt<S: Duplex>(
    stream: S,
    name: &ServerName<'static>,
    trust: &Trust,
) -> Result<(TlsStream<S>, Option<Certificate>), Problem> {
    let verifier = Arc::new(RecordingVerifier::new(trust.verifiers())?);
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    // A session that is resumed skips the very verification that is wanted.
    config.resumption = rustls::client::Resumption::disabled();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name.clone(), stream)
        .await
        .map_err(|error| handshake_problem(&error, name, verifier.issuer()))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(read);
    Ok((stream, certificate))
}

/// Reads what is shown of a certificate.
fn read(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    Some(Certificate { not_after })
}

fn handshake_problem(error: &io::Error, name: &ServerName<'_>, issuer: Option<&str>) -> Problem {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => certificate_problem(error, name, issuer),
        Some(rustls::Error::InvalidMessage(_)) => Problem::new(
            Reason::TlsHandshakeFailed,
            "The server answered something that is not TLS. Check that the port is the encrypted one.",
        ),
        Some(error) => Problem::new(
            Reason::TlsHandshakeFailed,
            format!(
                "The TLS handshake failed: {}. Check the server's TLS settings; TLS 1.2 or newer is needed.",
                quote(&error.to_string())
            ),
        ),
        None if error.kind() == io::ErrorKind::UnexpectedEof
            || error.kind() == io::ErrorKind::ConnectionReset =>
        {
            Problem::new(
                Reason::ConnectionClosed,
                "The server closed the connection during the TLS handshake. Check that the port is the encrypted one.",
            )
        }
        None => Problem::new(
            Reason::TlsHandshakeFailed,
            format!(
                "The TLS handshake failed: {}. Check the network between the operator and the server, and look into the server's log.",
                os_words(error)
            ),
        ),
    }
}

fn certificate_problem(error: &CertificateError, name: &ServerName<'_>, issuer: Option<&str>) -> Problem {
    let name = name.to_str();
    let issuer = issuer.map(|issuer| format!(" ({issuer})")).unwrap_or_default();
    match error {
        CertificateError::UnknownIssuer => Problem::new(
            Reason::UnknownAuthority,
            format!(
                "The server's certificate comes from an authority that is not trusted{issuer}. Put that authority's certificate into tls.caBundle."
            ),
        ),
        CertificateError::BadSignature => Problem::new(
            Reason::UnknownAuthority,
            format!(
                "The server's certificate names a trusted authority{issuer}, but another key signed it: the authority was probably made anew. Put its present certificate into tls.caBundle."
            ),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => Problem::new(
            Reason::NameMismatch,
            format!(
                "The server's certificate is for {}, not for {name}. Use a name of the certificate in the address, or set tls.serverName.",
                names(presented)
            ),
        ),
        CertificateError::NotValidForName => Problem::new(
            Reason::NameMismatch,
            format!(
                "The server's certificate is not for {name}. Use a name of the certificate in the address, or set tls.serverName."
            ),
        ),
        CertificateError::ExpiredContext { not_after, .. } => Problem::new(
            Reason::CertificateExpired,
            format!(
                "The server's certificate expired on {}. Renew it on the server.",
                day(not_after.as_secs())
            ),
        ),
        CertificateError::Expired => Problem::new(
            Reason::CertificateExpired,
            "The server's certificate has expired. Renew it on the server.",
        ),
        CertificateError::NotValidYetContext { not_before, .. } => Problem::new(
            Reason::CertificateNotYetValid,
            format!(
                "The server's certificate is valid only from {} on. Check the clocks of the server and of the node.",
                day(not_before.as_secs())
            ),
        ),
        CertificateError::NotValidYet => Problem::new(
            Reason::CertificateNotYetValid,
            "The server's certificate is not valid yet. Check the clocks of the server and of the node.",
        ),
        other => Problem::new(
            Reason::TlsHandshakeFailed,
            format!(
                "The server's certificate was not accepted: {}. Issue a new one for the server.",
                quote(&other.to_string())
            ),
        ),
    }
}

/// The names of a certificate as rustls lists them (`DnsName("a.example")`), for people.
fn names(presented: &[String]) -> String {
    let names: Vec<_> =
        presented.iter().take(5).map(|name| quote(name.split('"').nth(1).unwrap_or(name))).collect();
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

/// The UTC day of a time in seconds since 1970.
fn day(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an unknown day".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
