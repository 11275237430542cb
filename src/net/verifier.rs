//! The verification of certificates, which remembers whose certificate it refused.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    api::Reason,
    problem::{Problem, quote},
};

/// Decides as rustls does by itself, by several sets of authorities; errors of rustls do not name the
/// authority, which people must know.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    /// The set whose verdict counts where all refuse, unless it knows nothing of the authority.
    first: Arc<WebPkiServerVerifier>,
    others: Vec<Arc<WebPkiServerVerifier>>,
    issuer: OnceLock<String>,
}

impl RecordingVerifier {
    /// A verifier for one handshake.
    pub(super) fn new(sets: impl IntoIterator<Item = Arc<WebPkiServerVerifier>>) -> Result<Self, Problem> {
        let mut sets = sets.into_iter();
        let first = sets.next().ok_or_else(|| {
            Problem::new(
                Reason::UnknownAuthority,
                "The operator trusts no authority at all. Put the authority of the server's certificate into tls.caBundle.",
            )
        })?;
        Ok(Self { first, others: sets.collect(), issuer: OnceLock::new() })
    }

    /// The authority that the refused chain leads to.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.get().map(String::as_str)
    }
}

fn issuer_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(quote(&certificate.issuer().to_string())).filter(|issuer| !issuer.is_empty())
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |set: &Arc<WebPkiServerVerifier>| {
            set.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let verdict = self.others.iter().fold(verify(&self.first), |verdict, set| match verdict {
            Ok(accepted) => Ok(accepted),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => verify(set),
            Err(refused) => verify(set).map_err(|_| refused),
        });
        if verdict.is_err()
            && let Some(issuer) = issuer_of(intermediates.last().unwrap_or(end_entity))
        {
            // There is one handshake, so there is nothing to be replaced.
            let _ = self.issuer.set(issuer);
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}
