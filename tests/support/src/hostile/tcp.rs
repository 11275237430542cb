//! Servers below any protocol.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use anyhow::Result;

use super::listener::Listener;

/// A server that does with each connection what it was made for.
#[derive(Debug)]
pub struct TcpServer {
    listener: Listener,
}

impl TcpServer {
    /// Reads and never answers.
    pub fn black_hole() -> Result<Self> {
        Self::script(|stream| wait_for_peer(stream))
    }

    /// Accepts and closes at once.
    pub fn closes() -> Result<Self> {
        Self::script(|_| ())
    }

    /// Sends these bytes at once, and then nothing.
    pub fn sends(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.to_owned();
        Self::script(move |stream| {
            send(stream, &bytes);
            wait_for_peer(stream);
        })
    }

    /// Does this with each connection, in a thread of its own; the connection is closed after it.
    pub fn script(serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Result<Self> {
        Self::script_on(Ipv4Addr::LOCALHOST.into(), serve)
    }

    /// The same on another loopback address than 127.0.0.1.
    pub fn script_on(address: IpAddr, serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Result<Self> {
        Ok(Self { listener: Listener::start(SocketAddr::from((address, 0)), serve)? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Closes the connections that are open, and goes on listening.
    pub fn close_connections(&self) {
        self.listener.close_connections();
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.listener.connections()
    }
}

/// Reads until the peer closes the connection or the server ends.
pub(super) fn wait_for_peer(mut stream: impl Read) {
    let _ = io::copy(&mut stream, &mut io::sink());
}

/// Writes, and tells whether the peer is still there.
pub(super) fn send(mut stream: impl Write, bytes: &[u8]) -> bool {
    stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::{PATIENCE, wait_until};

    /// The first bytes that arrive within that time.
    fn received(server: &TcpServer, limit: Duration) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(limit))?;
        let mut bytes = [0; 16];
        let count = stream.read(&mut bytes)?;
        Ok(bytes.into_iter().take(count).collect())
    }

    #[test]
    fn servers_keep_to_their_scripts() -> Result<()> {
        assert!(received(&TcpServer::black_hole()?, Duration::from_millis(100)).is_err());
        assert!(received(&TcpServer::closes()?, PATIENCE)?.is_empty());
        let server = TcpServer::sends(b"hello")?;
        assert_eq!(received(&server, PATIENCE)?, b"hello");
        assert_eq!(received(&server, PATIENCE)?, b"hello");
        assert_eq!(server.connections(), 2);
        Ok(())
    }

    #[test]
    fn a_dropped_server_closes_its_connections() -> Result<()> {
        let server = TcpServer::black_hole()?;
        let mut stream = TcpStream::connect(server.address())?;
        wait_until(PATIENCE, "connection", || Ok(server.connections() == 1))?;
        drop(server);
        assert_eq!(stream.read(&mut [0; 1])?, 0);
        Ok(())
    }
}
