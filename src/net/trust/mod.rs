//! Decides which certificates the operator trusts, in the same way as W&B Server, which is written in Go.
//!
//! The libraries of Go and of this program differ in many small ways (an authority's own validity, the server's
//! own certificate as a trusted one, which text is PEM at all), and each difference would lead to a wrong
//! verdict. So the rules are written here, over libraries that parse and verify signatures, and `tests/it/trust`
//! compares the verdicts with Go's.
//!
//! In reading order: `pem`, `bundle`, `certificate` and `roots` (reading), `key` (signatures), `chain` (the verdict),
//! `names`, `uri`, `constraints`, `policies` and `budget` (its rules), `refusal` (the words), and `verifier` (the
//! handshake).

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
mod roots;
mod uri;
mod verifier;

use std::sync::Arc;

use rustls::pki_types::ServerName;

pub use bundle::{BundleFault, BundleReading, CaBundle, certificates_in, only_certificates};
use certificate::Certificate;
pub use chain::{CertificateSubject, ChainLink, Role, VerifiedChain};
pub use roots::{RootReading, RootSettings};
pub(super) use verifier::Verifier;

use crate::problem::Problem;

/// Why Go, and so W&B Server, cannot read this certificate; `None` if it can.
pub fn certificate_fault(der: &[u8]) -> Option<&'static str> {
    Certificate::parse(der).err()
}

/// The certificate authorities whose certificates are accepted.
///
/// The two sets are kept apart: there are many resources, and copies of the system's set would take much memory.
#[derive(Clone, Debug)]
pub struct Trust {
    system: Arc<[Certificate]>,
    added: Option<CaBundle>,
}

impl Trust {
    /// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them).
    ///
    /// Certificates that cannot be read are left out. A check that needs one of them fails and says so.
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

    /// These authorities and those of a bundle. The W&B pod also adds a bundle to its system's authorities.
    #[must_use]
    pub fn with_bundle(&self, bundle: &CaBundle) -> Self {
        Self { system: self.system.clone(), added: Some(bundle.clone()) }
    }

    /// Judges the certificates that a server presents, its own one first. `now` is in seconds since 1970.
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

    /// How many certificates are trusted.
    pub fn count(&self) -> usize {
        self.authorities().count()
    }

    fn is_empty(&self) -> bool {
        self.authorities().next().is_none()
    }
}
