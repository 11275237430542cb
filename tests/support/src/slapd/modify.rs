//! The administrator's own requests to a running slapd.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, ensure};

use super::Slapd;
use crate::ber::{ENUMERATED, Message, SEQUENCE, SET, bind_request, element, exchange, string};

const REPLACE: u8 = 2;

/// Replaces `userPassword` over a connection bound as the administrator.
pub(super) fn set_password(server: SocketAddr, root_password: &str, dn: &str, password: &str) -> Result<()> {
    let mut stream = TcpStream::connect(server)?;
    let code = exchange(&mut stream, &bind_request(Slapd::ADMIN_DN, root_password))?;
    ensure!(code == 0, "the administrator's bind ends with {code}");

    let values = element(SET, &string(password));
    let attribute = element(SEQUENCE, &[string("userPassword"), values].concat());
    let change = element(SEQUENCE, &[element(ENUMERATED, &[REPLACE]), attribute].concat());
    let contents = [string(dn), element(SEQUENCE, &change)].concat();
    let code = exchange(&mut stream, &Message { id: 2, operation: 0x66, contents })?;
    ensure!(code == 0, "the modification ends with {code}");
    Ok(())
}

#[cfg(test)]
pub(super) fn start_tls_request() -> Message {
    Message { id: 1, operation: 0x77, contents: element(0x80, b"1.3.6.1.4.1.1466.20037") }
}
