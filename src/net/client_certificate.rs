//! Servers that demand a certificate of their clients, which W&B Server does not have.
//!
//! With TLS 1.3 the handshake is over for the client before the server objects, so the objection arrives
//! where an answer is expected, and must be recognised there.

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

use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::Duplex;
use crate::{api::Reason, problem::Problem};

/// Whether a server asked for a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// It did, which need not mean that it insists.
    AskedFor,
    /// It did not.
    NotAskedFor,
}

/// Has no certificate, and remembers whether one was asked for.
#[derive(Debug, Default)]
pub(super) struct ClientCertificates {
    were_asked_for: AtomicBool,
}

impl ClientCertificates {
    /// Whether the server asked for one.
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

    /// What an end of the connection means: a server that asked, got none and goes without a word had asked in earnest.
    fn is_objection(&self) -> bool {
        !self.has_answered && self.certificates.were_asked_for() == ClientCertificate::AskedFor
    }

    fn judge<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| if self.is_objection() { objection() } else { error })
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
        } else if buffer.remaining() > 0 && self.is_objection() {
            return Poll::Ready(Err(objection()));
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

#[derive(Debug)]
struct CertificateDemanded;

impl fmt::Display for CertificateDemanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server demands a client certificate")
    }
}

impl Error for CertificateDemanded {}

fn objection() -> io::Error {
    io::Error::other(CertificateDemanded)
}

/// The problem of a connection that the server ended for want of a client's certificate.
pub fn certificate_demanded(error: &(dyn Error + 'static)) -> Option<Problem> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(<dyn Error + Send + Sync>::is::<CertificateDemanded>) {
            return Some(demanded());
        }
        cause = error.source();
    }
    None
}

/// The words for it.
pub(super) fn demanded() -> Problem {
    Problem::new(
        Reason::TlsHandshakeFailed,
        "The server asked for a client certificate and ended the connection without one. W&B Server has none to send: let the server accept clients without a certificate, at least at this address.",
    )
}
