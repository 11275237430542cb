//! Servers that no real component is: silent, endless, huge, lying.
//!
//! Each listens on a loopback port of its own, counts what reaches it, and ends when it is dropped.

mod discovery;
mod http;
pub mod ldap;
mod listener;
mod response;
mod tcp;

pub use discovery::discovery_document;
pub use http::{AfterAnswer, HttpServer, Request};
pub use response::Response;
pub use tcp::TcpServer;

use std::time::Duration;

/// The pause of a server that answers slowly for ever.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);
