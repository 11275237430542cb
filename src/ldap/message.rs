//! Whole LDAP messages, read from the server and judged before any parser sees them.
//!
//! The parsers behind this module recurse into nested elements and trust their structure, so a
//! hostile server could exhaust the stack with a small message. What passes here cannot.

use std::io;

use lber::{
    common::TagClass,
    structure::{PL, StructureTag},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{api::Reason, problem::Problem};

/// The most bytes that are read from the server on one connection.
pub const CONNECTION_LIMIT: u64 = 8 * 1024 * 1024;

/// The tag of every LDAP message.
const SEQUENCE: u8 = 0x30;

/// The deepest message of the protocol that a client can get nests half as deep.
const DEEPEST_NESTING: usize = 16;

/// What the server did that LDAP does not know.
pub fn not_ldap() -> Problem {
    Problem::new(
        Reason::ProtocolError,
        "The server's answer is not LDAP. Check that address and port lead to a directory, and that the port is the one for this kind of encryption.",
    )
}

fn too_large() -> Problem {
    Problem::new(
        Reason::ResponseTooLarge,
        "The server's answers are larger than 8 MiB, where a few entries were asked for. Check that the address leads to a directory that keeps to size limits.",
    )
}

/// The server ended the connection.
pub fn closed() -> Problem {
    Problem::new(
        Reason::ConnectionClosed,
        "The server closed the connection instead of answering. Check its log, and that the port is the one for this kind of encryption.",
    )
}

/// Reads one message, and takes its size from what may still be read.
pub async fn read_message(
    source: &mut (impl AsyncRead + Unpin),
    allowance: &mut u64,
) -> Result<Vec<u8>, Problem> {
    let mut message = Vec::new();
    read_exactly(source, 2, &mut message).await?;
    let length = match message.as_slice() {
        [SEQUENCE, short @ 0..=0x7f] => u64::from(*short),
        [SEQUENCE, form @ 0x81..=0x88] => {
            read_exactly(source, u64::from(form - 0x80), &mut message).await?;
            let digits = message.iter().skip(2);
            digits.fold(0, |length, byte| (length << 8) | u64::from(*byte))
        }
        _ => return Err(not_ldap()),
    };
    let header = message.len() as u64;
    *allowance =
        length.checked_add(header).and_then(|size| allowance.checked_sub(size)).ok_or_else(too_large)?;
    read_exactly(source, length, &mut message).await?;
    if is_well_formed(&message) { Ok(message) } else { Err(not_ldap()) }
}

/// Appends so many bytes; memory grows with what arrives and not with what was announced.
async fn read_exactly(
    source: &mut (impl AsyncRead + Unpin),
    count: u64,
    into: &mut Vec<u8>,
) -> Result<(), Problem> {
    match source.take(count).read_to_end(into).await {
        Ok(read) if read as u64 == count => Ok(()),
        Ok(_) => Err(closed()),
        Err(error) => Err(read_problem(&error)),
    }
}

fn read_problem(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            closed()
        }
        _ => Problem::new(
            Reason::ConnectionFailed,
            "The connection broke while the server answered. Check the network between the operator and the server.",
        ),
    }
}

/// Whether elements nest without overlap or gap, and not too deep. Does not recurse.
fn is_well_formed(message: &[u8]) -> bool {
    let mut rest = message;
    // How many bytes each enclosing element still expects.
    let mut open: Vec<usize> = Vec::new();
    while let Some((header, length, constructed)) = element_header(rest) {
        let Some(after) = rest.get(header..) else { return false };
        if let Some(expected) = open.last_mut() {
            let Some(remaining) = header.checked_add(length).and_then(|size| expected.checked_sub(size))
            else {
                return false;
            };
            *expected = remaining;
        }
        if constructed {
            if open.len() == DEEPEST_NESTING {
                return false;
            }
            open.push(length);
            rest = after;
        } else {
            let Some(after) = after.get(length..) else { return false };
            rest = after;
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.is_empty() {
            return rest.is_empty();
        }
    }
    false
}

/// The size of an element's header, the length of its contents and whether they are elements themselves.
fn element_header(bytes: &[u8]) -> Option<(usize, usize, bool)> {
    let [tag, form, digits @ ..] = bytes else { return None };
    // LDAP has no tag numbers beyond 30, whose encoding is longer.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let constructed = tag & 0x20 != 0;
    if *form < 0x80 {
        return Some((2, usize::from(*form), constructed));
    }
    let count = usize::from(form - 0x80);
    let digits = digits.get(..count).filter(|_| (1..=8).contains(&count))?;
    let length = digits.iter().fold(0u64, |length, byte| (length << 8) | u64::from(*byte));
    Some((2 + count, usize::try_from(length).ok()?, constructed))
}

/// Result code and text of the extended response in a message that `read_message` returned.
pub fn extended_result(message: &[u8]) -> Option<(u64, String)> {
    let (_, message) = lber::parse::parse_tag(message).ok()?;
    let operation = elements(message)?.into_iter().nth(1)?;
    let operation = operation.match_class(TagClass::Application)?.match_id(EXTENDED_RESPONSE)?;
    let mut parts = elements(operation)?.into_iter();
    let code = parts.next()?.expect_primitive()?;
    let code = code.iter().fold(0, |code, byte| (code << 8) | u64::from(*byte));
    let text = parts.nth(1)?.expect_primitive()?;
    Some((code, String::from_utf8_lossy(&text).into_owned()))
}

const EXTENDED_RESPONSE: u64 = 24;

fn elements(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(elements) => Some(elements),
        PL::P(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START_TLS_DONE: &[u8] = &[0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0];

    async fn read(mut bytes: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut allowance = CONNECTION_LIMIT;
        read_message(&mut bytes, &mut allowance).await.map_err(|problem| problem.reason)
    }

    #[tokio::test]
    async fn reads_exactly_one_message() {
        let two = [START_TLS_DONE, b"more"].concat();
        let message = read(&two).await.unwrap();
        assert_eq!(message, START_TLS_DONE);
        assert_eq!(extended_result(&message), Some((2, String::new())));
        let long_form = [0x30, 0x84, 0, 0, 0, 3, 2, 1, 1];
        assert_eq!(read(&long_form).await.unwrap(), long_form);
    }

    #[tokio::test]
    async fn refuses_what_is_not_ldap() {
        for (bytes, reason) in [
            (&b""[..], Reason::ConnectionClosed),
            (b"0", Reason::ConnectionClosed),
            (&[0x30, 5, 2, 1], Reason::ConnectionClosed),
            (b"HTTP/1.1 400 Bad Request", Reason::ProtocolError),
            (b"\x15\x03\x01\x00\x02", Reason::ProtocolError),
            (&[0x30, 0x80, 0, 0], Reason::ProtocolError),
            (&[0x30, 3, 2, 9, 1], Reason::ProtocolError),
            (&[0x30, 2, 0x1f, 0], Reason::ProtocolError),
            (&[0x30, 0x84, 0x40, 0, 0, 0], Reason::ResponseTooLarge),
            (&[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Reason::ResponseTooLarge),
        ] {
            assert_eq!(read(bytes).await, Err(reason), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn refuses_deep_nesting_without_recursion() {
        let mut nested = vec![0x30, 0];
        for _ in 0..200_000 {
            let length = u32::try_from(nested.len()).unwrap().to_be_bytes();
            let [a, b, c, d] = length;
            nested.extend([d, c, b, a, 0x84, 0x30]);
        }
        // Built from the inside out, so the headers stand reversed at the end.
        nested.reverse();
        let end = nested.len();
        nested[end - 2..].copy_from_slice(&[0x30, 0]);
        assert_eq!(read(&nested).await, Err(Reason::ProtocolError));
    }

    #[tokio::test]
    async fn counts_all_messages_of_a_connection() {
        let bytes = START_TLS_DONE.repeat(2);
        let mut source = bytes.as_slice();
        let mut allowance = START_TLS_DONE.len() as u64 + 1;
        assert!(read_message(&mut source, &mut allowance).await.is_ok());
        let problem = read_message(&mut source, &mut allowance).await.unwrap_err();
        assert_eq!(problem.reason, Reason::ResponseTooLarge);
    }

    proptest! {
        #[test]
        fn what_is_well_formed_parses_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if is_well_formed(&bytes) {
                prop_assert_eq!(lber::parse::parse_tag(&bytes).map(|(rest, _)| rest.len()).ok(), Some(0));
                let _ = extended_result(&bytes);
            }
        }
    }
}
