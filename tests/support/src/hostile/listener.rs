//! What all hostile servers share: a port, a thread for each connection, and an end.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// A loopback port whose connections are each given to a function in a thread of its own, and
/// closed when that returns.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    connections: Arc<Connections>,
}

#[derive(Debug, Default)]
struct Connections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: bool,
    accepted: usize,
    /// To wake the threads that wait for their peers when the server ends.
    open: HashMap<usize, TcpStream>,
}

impl Listener {
    pub(super) fn start(
        address: SocketAddr,
        serve: impl Fn(&TcpStream) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Connections::default());
        let (accepting, serve) = (connections.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let Some(number) = accepting.begin(&stream) else { return };
                let (connections, serve) = (accepting.clone(), serve.clone());
                thread::spawn(move || {
                    serve(&stream);
                    connections.finish(number, &stream);
                });
            }
        });
        Ok(Self { address, connections })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.state().accepted
    }

    /// Closes the connections that are open.
    pub(super) fn close_connections(&self) {
        for stream in self.connections.state().open.values() {
            // The peer may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new connection, or nothing once the server has ended.
    fn begin(&self, stream: &TcpStream) -> Option<usize> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        state.accepted += 1;
        let number = state.accepted;
        if let Ok(stream) = stream.try_clone() {
            state.open.insert(number, stream);
        }
        Some(number)
    }

    fn finish(&self, number: usize, stream: &TcpStream) {
        self.state().open.remove(&number);
        // The peer may have closed it already.
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        for (_, stream) in state.open.drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connections.end();
        // Wakes the thread that accepts, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}
