//! The little HTTP that the harness itself speaks, without a runtime: one request a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::process::PATIENCE;

/// A server, and how to speak with it.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    pub(crate) address: SocketAddr,
    /// The TLS settings, for https.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl HttpClient {
    /// Sends a request whose header lines each end with `\r\n`.
    pub(crate) fn send(&self, request_line: &str, headers: &str, body: &str) -> Result<HttpAnswer> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0 spares the parser of chunked bodies.
        let request = format!(
            "{request_line} HTTP/1.0\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        match &self.tls {
            None => exchange(&mut stream, &request),
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                let connection = ClientConnection::new(config.clone(), name)?;
                exchange(&mut StreamOwned::new(connection, stream), &request)
            }
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Result<HttpAnswer> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its headers")?;
    let status = head.split_whitespace().nth(1).context("the answer has no status")?;
    Ok(HttpAnswer { status: status.parse()?, body: body.to_owned() })
}
