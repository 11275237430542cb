//! Recognises servers that demand a client certificate, which W&B Server does not have.
//!
//! With TLS 1.3 the handshake is over for the client before the server objects, so the objection arrives in the
//! place of an answer and must be recognised there. Only an alert is an objection: Active Directory asks for a
//! certificate on every connection without demanding one, and its connections may break for any other reason,
//! too.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use rustls::{AlertDescription, SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::Duplex;
use crate::{api::Reason, problem::Problem};

/// Whether a server asked for a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// The server asked for one, but may go on without it.
    AskedFor,
    /// The server did not ask.
    NotAskedFor,
}

/// Sends no certificate, and records whether the server asked for one.
#[derive(Debug, Default)]
pub(super) struct ClientCertificates {
    were_asked_for: AtomicBool,
}

impl ClientCertificates {
    /// Whether the server asked for a certificate.
    pub fn were_asked_for(&self) -> ClientCertificate {
        if self.were_asked_for.load(Ordering::Relaxed) {
            ClientCertificate::AskedFor
        } else {
            ClientCertificate::NotAskedFor
        }
    }
}

impl ResolvesClientCert for ClientCertificates {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.were_asked_for.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// An encrypted connection.
pub struct Encrypted<S> {
    stream: TlsStream<S>,
    certificates: Arc<ClientCertificates>,
    has_answered: bool,
}

impl<S> Encrypted<S> {
    pub(super) fn new(stream: TlsStream<S>, certificates: Arc<ClientCertificates>) -> Self {
        Self { stream, certificates, has_answered: false }
    }

    /// Whether the server asked for a certificate, got none, and has not sent anything since.
    fn is_in_doubt(&self) -> bool {
        !self.has_answered && self.certificates.were_asked_for() == ClientCertificate::AskedFor
    }

    fn judge<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| if self.is_in_doubt() { without_certificate(error) } else { error })
    }
}

impl<S: Duplex> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.judge(outcome)?;
        if buffer.filled().len() > before {
            self.has_answered = true;
        } else if buffer.remaining() > 0 && self.is_in_doubt() {
            return Poll::Ready(Err(without_certificate(io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Duplex> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.judge(outcome))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.judge(outcome))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How a connection ended after the server had asked for a certificate and got none.
#[derive(Clone, Copy, Debug)]
enum WithoutCertificate {
    /// The server sent an alert.
    Refused,
    /// The server closed the connection without an alert, possibly for another reason.
    Ended,
}

impl fmt::Display for WithoutCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the server demands a client certificate",
            Self::Ended => "the server closed the connection after it had asked for a client certificate",
        })
    }
}

impl Error for WithoutCertificate {}

impl WithoutCertificate {
    fn problem(self) -> Problem {
        match self {
            Self::Refused => demanded(),
            Self::Ended => ended(),
        }
    }
}

fn without_certificate(error: io::Error) -> io::Error {
    let tls_error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls_error, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) if is_objection(*alert) => {
            io::Error::other(WithoutCertificate::Refused)
        }
        (
            None,
            kind @ (io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe),
        ) => io::Error::new(kind, WithoutCertificate::Ended),
        _ => error,
    }
}

/// Whether servers send this alert when a certificate is missing. TLS 1.3 has an alert for that, but not all
/// servers use it.
pub(super) fn is_objection(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
    )
}

/// The problem of a connection that ended without an answer after the server had asked for a client certificate.
pub fn ended_without_certificate(error: &(dyn Error + 'static)) -> Option<Problem> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(end) = inner.and_then(|inner| inner.downcast_ref::<WithoutCertificate>()) {
            return Some(end.problem());
        }
        cause = error.source();
    }
    None
}

/// The problem that the server demands a certificate.
pub(super) fn demanded() -> Problem {
    Problem::new(
        Reason::TlsHandshakeFailed,
        "The server asked for a client certificate and refused to go on without one. W&B Server has none to send: configure the server to accept clients without a certificate, at least at this address.",
    )
}

/// The problem that the connection ended without an alert.
pub(super) fn ended() -> Problem {
    Problem::new(
        Reason::ConnectionClosed,
        "The server closed the connection instead of answering. Check that it is healthy, and its log. It had asked for a client certificate, and W&B Server has none to send: if it requires one, configure it to accept clients without a certificate, at least at this address.",
    )
}
