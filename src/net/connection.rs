//! A connection for HTTP requests, with or without a proxy on the way.

use hyper::header::HeaderValue;

use super::{Duplex, Proxy};

/// A connection to a server, for HTTP requests.
pub struct HttpConnection {
    pub(super) stream: Box<dyn Duplex>,
    pub(super) form: RequestForm,
}

/// How requests name what they ask for (RFC 9112, section 3.2).
pub(super) enum RequestForm {
    /// By its path, since the other end is the server.
    Origin,
    /// By its whole URL, since the other end is a proxy.
    Absolute {
        /// The proxy.
        proxy: Proxy,
        /// What the proxy is told of the operator, if anything.
        authorization: Option<HeaderValue>,
    },
}

impl HttpConnection {
    /// A connection whose other end is the server, perhaps by a proxy that passes everything on.
    pub fn to_server(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), form: RequestForm::Origin }
    }

    /// The bytes of the connection, for TLS with the server.
    pub fn into_stream(self) -> Box<dyn Duplex> {
        self.stream
    }
}
