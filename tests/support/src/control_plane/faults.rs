//! What an API server, or what stands before it, does wrong.

use std::fmt;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::json;

use crate::hostile::Request;

/// What becomes of a request instead of being passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is never answered.
    Hang,
    /// The connection is closed.
    Close,
    /// It is refused with this code.
    Refuse(u16),
}

type Choice = dyn Fn(&Request) -> Option<Fault> + Send + Sync;

/// Which requests have which fault.
#[derive(Default)]
pub(super) struct Faults(Mutex<Option<Arc<Choice>>>);

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Faults")
    }
}

impl Faults {
    pub(super) fn choose(&self, choice: Option<Arc<Choice>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = choice;
    }

    /// The fault of a request, if it has one.
    pub(super) fn of(&self, request: &Request) -> Option<Fault> {
        let choice = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        choice.and_then(|choice| choice(request))
    }
}

impl Fault {
    /// Does to the client what it says; the connection is closed after that.
    pub(super) fn happen(self, mut client: &TcpStream) -> Result<()> {
        match self {
            Self::Close => {}
            Self::Hang => {
                std::io::copy(&mut client, &mut std::io::sink())?;
            }
            Self::Refuse(code) => {
                // Programs go by the reason where there is one.
                let reason = if code == 403 { "Forbidden" } else { "Test" };
                let status = json!({
                    "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
                    "reason": reason, "message": format!("refused by the test with {code}"),
                });
                let body = status.to_string();
                write!(
                    client,
                    "HTTP/1.1 {code} Refused\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )?;
            }
        }
        Ok(())
    }
}
