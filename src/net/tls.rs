//! The TLS handshake, and the words for its failures.

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
pub struct ServerCertificate {
    /// When it expires.
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
    // A resumed session would skip the verification, which is the purpose of the handshake.
    config.resumption = rustls::client::Resumption::disabled();
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await.map_err(|error| {
            let refused = verifier.refused();
            refused.unwrap_or_else(|| handshake_problem(&error, name, client_certificates.were_asked_for()))
        })?;
    Ok((Encrypted::new(stream, client_certificates), verifier.accepted()))
}

/// The problem of a handshake that failed for another reason than a refused certificate.
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
            "The server has no TLS version or cipher suite in common with this client. Check the server's TLS settings; TLS 1.2 or newer is needed.".to_owned(),
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity)) => failed(
            "The server refused the handshake: it finds no TLS version, cipher suite or signature algorithm in common with this client. Check the server's TLS settings and its log; TLS 1.2 or newer is needed.".to_owned(),
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => failed(format!(
            "The server does not know the name {}. Check the address, and which names the server is set up for.",
            name.to_str()
        )),
        Some(rustls::Error::AlertReceived(alert)) => failed(format!(
            "The server ended the TLS handshake with alert {}{}. Look into the server's log.",
            u8::from(*alert),
            alert_name(*alert).map(|name| format!(", {name}")).unwrap_or_default()
        )),
        Some(_) => failed(
            "The TLS handshake failed, since the server breaks the rules of the protocol. Check the server's TLS settings and its log.".to_owned(),
        ),
        None if was_ended && asked == ClientCertificate::AskedFor => ended(),
        None if was_ended => Problem::new(
            Reason::ConnectionClosed,
            "The server closed the connection during the TLS handshake. Check that the port is the encrypted one.",
        ),
        None => failed(format!(
            "The TLS handshake failed: {}. Check the network on the way to the server, and look into the server's log.",
            os_words(error)
        )),
    }
}

/// The alerts as RFC 8446, section 6, names them, and those of older versions as RFC 5246 does.
const ALERTS: [(u8, &str); 29] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

fn alert_name(alert: AlertDescription) -> Option<&'static str> {
    let number = u8::from(alert);
    ALERTS.into_iter().find_map(|(known, name)| (known == number).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_their_standard() {
        let problem = |alert| {
            let error = io::Error::other(rustls::Error::AlertReceived(alert));
            let name = ServerName::try_from("localhost").unwrap();
            handshake_problem(&error, &name, ClientCertificate::NotAskedFor).message
        };
        for (alert, expected) in [
            (AlertDescription::CertificateUnknown, "alert 46, certificate_unknown."),
            (AlertDescription::UnknownCA, "alert 48, unknown_ca."),
            (AlertDescription::NoApplicationProtocol, "alert 120, no_application_protocol."),
            (AlertDescription::Unknown(200), "alert 200."),
        ] {
            assert!(problem(alert).contains(expected), "{}", problem(alert));
        }
    }
}
