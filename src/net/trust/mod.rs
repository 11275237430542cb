//! Whom the operator trusts, and what it makes of a server's certificates: the same as W&B Server, which is
//! written in Go.
//!
//! The libraries of Go and of this program differ in many small ways (an authority's own validity, the
//! server's own certificate as a trusted one, which text is PEM at all), and each difference would be a
//! false verdict. So the rules stand here, over libraries that parse and verify signatures, and
//! `tests/it/trust` compares the verdicts.

mod budget;
mod bundle;
mod certificate;
mod chain;
mod constraints;
mod key;
mod names;
mod pem;
mod policies;
mod refusal;
mod uri;
mod verifier;

use std::sync::Arc;

use rustls::pki_types::ServerName;

pub use bundle::{BundleFault, BundleReading, CaBundle, certificates_in, only_certificates};
use certificate::Certificate;
pub use chain::{CertificateSubject, ChainLink, Role, VerifiedChain};
pub(super) use verifier::Verifier;

use crate::problem::Problem;

/// Why Go, and so W&B Server, cannot read a certificate, if it cannot.
pub fn certificate_fault(der: &[u8]) -> Option<&'static str> {
    Certificate::parse(der).err()
}

/// The certificate authorities that a server's certificate may come from.
///
/// Each set stays by itself: there are many resources, and copies of the system's set are large.
#[derive(Clone, Debug)]
pub struct Trust {
    system: Arc<[Certificate]>,
    added: Option<CaBundle>,
}

impl Trust {
    /// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them).
    ///
    /// Unreadable certificates are left out: what they would have verified fails its check and says so.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        let readable = found.iter().filter_map(|certificate| Certificate::parse(certificate).ok());
        Self { system: readable.collect(), added: None }
    }

    /// Whether both trust the same authorities for the same reason.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.system, &other.system) && self.added == other.added
    }

    /// No authorities at all, for plans that never dial.
    pub fn empty() -> Self {
        Self { system: Arc::default(), added: None }
    }

    /// These authorities and those of a bundle. The W&B pod, too, adds a bundle to its system's.
    #[must_use]
    pub fn with_bundle(&self, bundle: &CaBundle) -> Self {
        Self { system: self.system.clone(), added: Some(bundle.clone()) }
    }

    /// Judges the certificates that a server presents, its own one first, at a time in seconds since 1970.
    pub fn judge<'a>(
        &self,
        presented: impl IntoIterator<Item = &'a [u8]>,
        name: &ServerName<'_>,
        now: i64,
    ) -> Result<VerifiedChain, Problem> {
        verifier::judge(presented, self, name, now).map_err(|refusal| refusal.problem())
    }

    /// Every trusted certificate, those of the bundle first.
    fn authorities(&self) -> impl Iterator<Item = (Role, &Certificate)> {
        let added = self.added.iter().flat_map(CaBundle::certificates);
        let added = added.map(|certificate| (Role::BundleAuthority, certificate));
        added.chain(self.system.iter().map(|certificate| (Role::SystemAuthority, certificate)))
    }

    fn contains(&self, certificate: &Certificate) -> bool {
        self.authorities().any(|(_, trusted)| trusted.der == certificate.der)
    }

    fn is_empty(&self) -> bool {
        self.authorities().next().is_none()
    }
}
