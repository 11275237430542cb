//! LDAP servers that break the protocol, or keep to it and never come to an end.

use std::io::Read;
use std::net::TcpStream;
use std::thread;

use anyhow::Result;

use super::DRIP_INTERVAL;
use super::tcp::{TcpServer, send, wait_for_peer};
use crate::ber::{ENUMERATED, Message, SEQUENCE, SET, element, string};

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_RESULT_ENTRY: u8 = 0x64;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const SUCCESS: u8 = 0;
const PROTOCOL_ERROR: u8 = 2;

const ENTRIES_AT_A_TIME: usize = 100;

/// Answers the first request with bytes that are no BER.
pub fn answers_garbage() -> Result<TcpServer> {
    answers_with(&[0x30, 0xff, 0x00, 0xde, 0xad, 0xbe, 0xef, 0x30, 0x80, 0x80])
}

/// Answers the first request with the beginning of a message of 1 GiB.
pub fn announces_a_gibibyte() -> Result<TcpServer> {
    answers_with(&[0x30, 0x84, 0x40, 0x00, 0x00, 0x00, 0x02, 0x01, 0x01])
}

/// Agrees to StartTLS and then waits for ever instead of shaking hands.
pub fn agrees_to_start_tls_only() -> Result<TcpServer> {
    TcpServer::script(|mut stream| {
        if let Ok(request) = Message::read(&mut stream) {
            send(stream, &result(&request, SUCCESS).encode());
        }
        wait_for_peer(stream);
    })
}

/// Accepts every bind, and answers every search with entries without an end.
pub fn sends_endless_entries() -> Result<TcpServer> {
    TcpServer::script(|mut stream| {
        while let Ok(request) = Message::read(&mut stream) {
            match request.operation {
                BIND_REQUEST => send(stream, &result(&request, SUCCESS).encode()),
                EXTENDED_REQUEST => send(stream, &result(&request, PROTOCOL_ERROR).encode()),
                SEARCH_REQUEST => return send_entries(stream, request.id),
                _ => return,
            };
        }
    })
}

fn answers_with(bytes: &'static [u8]) -> Result<TcpServer> {
    TcpServer::script(move |mut stream| {
        // Whatever the request is: one read takes its first bytes at least.
        if stream.read(&mut [0; 4096]).is_ok() {
            send(stream, bytes);
        }
        wait_for_peer(stream);
    })
}

fn send_entries(stream: &TcpStream, id: u8) {
    for first in (0..).step_by(ENTRIES_AT_A_TIME) {
        let entries: Vec<u8> =
            (first..first + ENTRIES_AT_A_TIME).flat_map(|number| entry(id, number).encode()).collect();
        if !send(stream, &entries) {
            return;
        }
        thread::sleep(DRIP_INTERVAL);
    }
}

fn entry(id: u8, number: usize) -> Message {
    let attribute =
        |name: &str, value: &str| element(SEQUENCE, &[string(name), element(SET, &string(value))].concat());
    let attributes = [
        attribute("objectClass", "inetOrgPerson"),
        attribute("uid", &format!("user{number}")),
        attribute("mail", &format!("user{number}@example.org")),
        attribute("gidNumber", "5001"),
    ];
    let dn = string(&format!("uid=user{number},ou=people,dc=example,dc=org"));
    let contents = [dn, element(SEQUENCE, &attributes.concat())].concat();
    Message { id, operation: SEARCH_RESULT_ENTRY, contents }
}

/// The answer to a bind or extended request, with an empty matched name and message.
fn result(request: &Message, code: u8) -> Message {
    let operation = if request.operation == BIND_REQUEST { BIND_RESPONSE } else { EXTENDED_RESPONSE };
    let contents = [element(ENUMERATED, &[code]), string(""), string("")].concat();
    Message { id: request.id, operation, contents }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::exchange;

    fn request(operation: u8) -> Message {
        Message { id: 7, operation, contents: Vec::new() }
    }

    #[test]
    fn a_search_never_ends() -> Result<()> {
        let server = sends_endless_entries()?;
        let mut stream = TcpStream::connect(server.address())?;
        assert_eq!(exchange(&mut stream, &request(BIND_REQUEST))?, SUCCESS);
        send(&stream, &request(SEARCH_REQUEST).encode());
        for _ in 0..3 * ENTRIES_AT_A_TIME {
            let entry = Message::read(&mut stream)?;
            assert_eq!((entry.id, entry.operation), (7, SEARCH_RESULT_ENTRY));
        }
        Ok(())
    }

    #[test]
    fn broken_answers_are_broken() -> Result<()> {
        let start_tls = agrees_to_start_tls_only()?;
        let mut stream = TcpStream::connect(start_tls.address())?;
        assert_eq!(exchange(&mut stream, &request(EXTENDED_REQUEST))?, SUCCESS);
        for server in [answers_garbage()?, announces_a_gibibyte()?] {
            let mut stream = TcpStream::connect(server.address())?;
            assert!(exchange(&mut stream, &request(BIND_REQUEST)).is_err());
        }
        Ok(())
    }
}
