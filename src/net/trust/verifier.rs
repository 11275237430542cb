//! Verifies a server during a handshake: its certificates, and that it has the private key for them.

use std::sync::OnceLock;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{
    Trust,
    certificate::Certificate,
    chain::{self, VerifiedChain},
    key::{Curve, Hash, PublicKey, SignatureAlgorithm},
    refusal::TrustRefusal,
};
use crate::problem::Problem;

/// Verifies one handshake as Go does, and keeps the outcome, because rustls has no words for most of it.
#[derive(Debug)]
pub(in crate::net) struct Verifier {
    trust: Trust,
    outcome: OnceLock<Result<VerifiedChain, TrustRefusal>>,
}

impl Verifier {
    /// A verifier for one handshake.
    pub fn new(trust: Trust) -> Self {
        Self { trust, outcome: OnceLock::new() }
    }

    /// The chain that was accepted, if one was.
    pub fn accepted(&self) -> Option<VerifiedChain> {
        self.outcome.get()?.as_ref().ok().cloned()
    }

    /// Why the server's certificates were refused, if they were.
    pub fn refused(&self) -> Option<Problem> {
        Some(self.outcome.get()?.as_ref().err()?.problem())
    }
}

/// Judges the certificates that a server presents, its own one first.
pub(super) fn judge<'a>(
    presented: impl IntoIterator<Item = &'a [u8]>,
    trust: &Trust,
    name: &ServerName<'_>,
    now: i64,
) -> Result<VerifiedChain, TrustRefusal> {
    if trust.is_empty() {
        return Err(TrustRefusal::NobodyTrusted);
    }
    let read = |(index, der)| Certificate::parse(der).map_err(|why| TrustRefusal::Unreadable(index, why));
    let presented: Vec<_> = presented.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    chain::verify(&presented, trust, name, now)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref);
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let outcome = judge(presented, &self.trust, server_name, now);
        // The verdict decides which alert is sent, and the server's log shows that alert.
        let verdict = match &outcome {
            Ok(_) => Ok(ServerCertVerified::assertion()),
            Err(TrustRefusal::UnknownIssuer { .. }) => Err(CertificateError::UnknownIssuer),
            Err(TrustRefusal::Expired(..)) => Err(CertificateError::Expired),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure),
        };
        // There is only one handshake, so no earlier outcome is replaced.
        let _ = self.outcome.set(outcome);
        verdict.map_err(Error::InvalidCertificate)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, certificate, signature, |_, _| true)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Since TLS 1.3 a scheme also names the curve, and the old padding of RSA is not allowed.
        verify_signature(message, certificate, signature, |key, algorithm| match (key, algorithm) {
            (PublicKey::Ec(curve, _), SignatureAlgorithm::Ecdsa(hash)) => matches!(
                (curve, hash),
                (Curve::P256, Hash::Sha256) | (Curve::P384, Hash::Sha384) | (Curve::P521, Hash::Sha512)
            ),
            (_, SignatureAlgorithm::RsaPkcs1(_)) => false,
            _ => true,
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, _)| *scheme).collect()
    }
}

/// The signature schemes that Go offers.
const SCHEMES: [(SignatureScheme, SignatureAlgorithm); 10] = [
    (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::RsaPss(Hash::Sha256)),
    (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::Ecdsa(Hash::Sha256)),
    (SignatureScheme::ED25519, SignatureAlgorithm::Ed25519),
    (SignatureScheme::RSA_PSS_SHA384, SignatureAlgorithm::RsaPss(Hash::Sha384)),
    (SignatureScheme::RSA_PSS_SHA512, SignatureAlgorithm::RsaPss(Hash::Sha512)),
    (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
    (SignatureScheme::RSA_PKCS1_SHA384, SignatureAlgorithm::RsaPkcs1(Hash::Sha384)),
    (SignatureScheme::RSA_PKCS1_SHA512, SignatureAlgorithm::RsaPkcs1(Hash::Sha512)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::Ecdsa(Hash::Sha384)),
    (SignatureScheme::ECDSA_NISTP521_SHA512, SignatureAlgorithm::Ecdsa(Hash::Sha512)),
];

fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    is_allowed: impl Fn(&PublicKey, SignatureAlgorithm) -> bool,
) -> Result<HandshakeSignatureValid, Error> {
    let refused = Error::InvalidCertificate(CertificateError::BadSignature);
    let (_, algorithm) =
        SCHEMES.iter().find(|(scheme, _)| *scheme == signature.scheme).ok_or_else(|| refused.clone())?;
    let certificate = Certificate::parse(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if !is_allowed(&certificate.key, *algorithm) {
        return Err(refused);
    }
    certificate.key.verify(*algorithm, message, signature.signature()).map_err(|_| refused)?;
    Ok(HandshakeSignatureValid::assertion())
}
