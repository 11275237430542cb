//! The TLS handshake.

use std::{io, sync::Arc};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{
    Duplex, Trust, VerifiedChain,
    client_certificate::{ClientCertificate, ClientCertificates, Encrypted, demanded, ended, is_objection},
    dial::os_words,
    trust::Verifier,
};
use crate::{api::Reason, problem::Problem};

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
) -> Result<(Encrypted<S>, Option<VerifiedChain>), Problem> {
    let verifier = Arc::new(Verifier::new(trust.clone()));
    let client_certificates = Arc::new(ClientCertificates::default());
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(client_certificates.clone());
    // A session that is resumed skips the very verification that is wanted.
    config.resumption = rustls::client::Resumption::disabled();
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await.map_err(|error| {
            let refused = verifier.refused();
            refused.unwrap_or_else(|| handshake_problem(&error, name, client_certificates.were_asked_for()))
        })?;
    Ok((Encrypted::new(stream, client_certificates), verifier.accepted()))
}

/// Why a handshake failed, apart from certificates that were refused.
fn handshake_problem(error: &io::Error, name: &ServerName<'_>, asked: ClientCertificate) -> Problem {
    let failed = |message: String| Problem::new(Reason::TlsHandshakeFailed, message);
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let was_ended = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
    match tls_error {
        Some(rustls::Error::InvalidMessage(_)) => failed(
            "The server answered something that is not TLS. Check that the port is the encrypted one.".to_owned(),
        ),
        Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => failed(
            "The server does not prove that it has the key of its certificate. Check that the server's key file belongs to its certificate.".to_owned(),
        ),
        Some(rustls::Error::AlertReceived(alert)) if asked == ClientCertificate::AskedFor && is_objection(*alert) => {
            demanded()
        }
        Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_)) => failed(
            "The server has no TLS version or cipher suite in common with the operator. Check the server's TLS settings; TLS 1.2 or newer is needed.".to_owned(),
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity)) => failed(
            "The server refused the handshake: it finds no TLS version, cipher suite or signature algorithm in common with the operator. Check the server's TLS settings and its log; TLS 1.2 or newer is needed.".to_owned(),
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => failed(format!(
            "The server does not know the name {}. Check the address, and which names the server is set up for.",
            name.to_str()
        )),
        Some(rustls::Error::AlertReceived(alert)) => failed(format!(
            "The server ended the TLS handshake with alert {}{}. Look into the server's log.",
            u8::from(*alert),
            alert.as_str().map(|name| format!(", {name}")).unwrap_or_default()
        )),
        Some(_) => failed(
            "The TLS handshake failed, since the server does not keep to the protocol. Check the server's TLS settings and its log.".to_owned(),
        ),
        None if was_ended && asked == ClientCertificate::AskedFor => ended(),
        None if was_ended => Problem::new(
            Reason::ConnectionClosed,
            "The server closed the connection during the TLS handshake. Check that the port is the encrypted one.",
        ),
        None => failed(format!(
            "The TLS handshake failed: {}. Check the network between the operator and the server, and look into the server's log.",
            os_words(error)
        )),
    }
}
