//! Whole LDAP messages, read from the server and judged before any parser sees them.
//!
//! The parsers behind this module recurse into nested elements and trust their structure, so a
//! hostile server could exhaust the stack with a small message. What passes here cannot.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::shape::is_message;
use crate::{
    api::Reason,
    net::{Meter, ended_without_certificate},
    problem::Problem,
};

/// The most bytes that are read from the server on one connection.
pub const CONNECTION_LIMIT: u64 = 8 * 1024 * 1024;

/// The most bytes of one message.
pub const MESSAGE_LIMIT: u64 = 1024 * 1024;

/// The most bytes that are read from the server on one connection only to be thrown away.
const DISCARD_LIMIT: u64 = 64 * 1024 * 1024;

/// What each element counts beside its bytes: parsed, even an empty one takes about this much memory.
const ELEMENT_COST: u64 = 64;

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
        "The server's answers are larger than 8 MiB, although the operator asked for only a few entries. Check that the address leads to a directory, and that it respects size limits.",
    )
}

fn message_too_large() -> Problem {
    Problem::new(
        Reason::ResponseTooLarge,
        "The server sent a single message of more than 1 MiB, although the operator asked for only a few short attributes. Check that the address leads to a directory, and what its entries hold in the attributes of spec.attributes.",
    )
}

/// What may still be read from the server on one connection.
pub struct Allowance<'a> {
    read: u64,
    discard: u64,
    meter: &'a Meter,
}

impl<'a> Allowance<'a> {
    /// What may be read on a new connection of this run.
    pub fn new(meter: &'a Meter) -> Self {
        Self { read: CONNECTION_LIMIT, discard: DISCARD_LIMIT, meter }
    }
}

/// The server ended the connection.
pub fn closed() -> Problem {
    Problem::new(
        Reason::ConnectionClosed,
        "The server closed the connection instead of answering. Check its log, and that the port is the one for this kind of encryption.",
    )
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The number of the operation that it answers.
    pub id: i32,
    tag: u8,
}

impl Heading {
    /// Whether it is one of many answers to a search, and not the last one.
    pub fn is_found(self) -> bool {
        const ENTRY: u8 = 0x64;
        const REFERENCE: u8 = 0x73;
        const INTERMEDIATE: u8 = 0x79;
        matches!(self.tag, ENTRY | REFERENCE | INTERMEDIATE)
    }
}

/// Reads the next message that is wanted, and takes what it costs from what may still be read. The
/// bytes of others are thrown away unparsed.
pub async fn read_message(
    source: &mut (impl AsyncRead + Unpin),
    allowance: &mut Allowance<'_>,
    is_wanted: impl Fn(Heading) -> bool,
) -> Result<Vec<u8>, Problem> {
    loop {
        let message = read_bytes(source).await?;
        let size = message.len() as u64;
        if heading(&message).is_some_and(|heading| !is_wanted(heading)) {
            spend(&mut allowance.discard, size)?;
            continue;
        }
        spend(&mut allowance.read, size)?;
        let elements = count_elements(&message).ok_or_else(not_ldap)?;
        let parsed = elements.saturating_mul(ELEMENT_COST);
        spend(&mut allowance.read, parsed)?;
        allowance.meter.take(parsed).await;
        return if is_ldap(&message) { Ok(message) } else { Err(not_ldap()) };
    }
}

/// Reads the bytes of one message.
async fn read_bytes(source: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Problem> {
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
    if length > MESSAGE_LIMIT {
        return Err(message_too_large());
    }
    read_exactly(source, length, &mut message).await?;
    Ok(message)
}

/// What a message is about, where it says so; numbers are at most 2^31 - 1.
fn heading(message: &[u8]) -> Option<Heading> {
    const INTEGER: u8 = 0x02;
    let (header, _, _) = element_header(message)?;
    let id = message.get(header..)?;
    let (header, length, _) = element_header(id)?;
    let (digits, operation) =
        id.get(header..)?.split_at_checked(length).filter(|_| (1..=4).contains(&length))?;
    let number = digits.iter().fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
    let number = i32::try_from(number).ok().filter(|_| id.first() == Some(&INTEGER))?;
    Some(Heading { id: number, tag: *operation.first()? })
}

fn spend(allowance: &mut u64, cost: u64) -> Result<(), Problem> {
    *allowance = allowance.checked_sub(cost).ok_or_else(too_large)?;
    Ok(())
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
    if let Some(problem) = ended_without_certificate(error) {
        return problem;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            closed()
        }
        _ => Problem::new(
            Reason::ConnectionClosed,
            "The connection broke while the server answered. Check the network on the way to the server.",
        ),
    }
}

/// How many elements there are, if they nest without overlap or gap and not too deep. Does not recurse.
fn count_elements(message: &[u8]) -> Option<u64> {
    let mut rest = message;
    let mut count = 0;
    // How many bytes each enclosing element still expects.
    let mut open: Vec<usize> = Vec::new();
    loop {
        let (header, length, constructed) = element_header(rest)?;
        count += 1;
        if let Some(expected) = open.last_mut() {
            *expected = expected.checked_sub(header.checked_add(length)?)?;
        }
        rest = rest.get(header..)?;
        if constructed {
            if open.len() == DEEPEST_NESTING {
                return None;
            }
            open.push(length);
        } else {
            rest = rest.get(length..)?;
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.is_empty() {
            return rest.is_empty().then_some(count);
        }
    }
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

fn is_ldap(message: &[u8]) -> bool {
    lber::parse::parse_tag(message).is_ok_and(|(_, tag)| is_message(&tag))
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc};

    use super::*;
    use crate::net::{EgressPolicy, Network, SharedNetwork};
    use proptest::prelude::*;

    const START_TLS_DONE: &[u8] = &[0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0];

    /// A bind response with a referral, credentials and a control.
    const FULL_RESPONSE: &[u8] = b"\x30\x29\x02\x01\x01\x61\x16\x0a\x01\x31\x04\x01\x61\x04\x01\x62\xa3\x06\x04\x04\x6c\x64\x61\x70\x87\x03\x61\x62\x63\xa0\x0c\x30\x0a\x04\x01\x31\x01\x01\xff\x04\x02\x30\x00";

    fn network() -> Network {
        Network::new(EgressPolicy::Unrestricted)
    }

    async fn read(mut bytes: &[u8]) -> Result<Vec<u8>, Reason> {
        let network = network();
        let mut allowance = Allowance::new(network.meter());
        read_message(&mut bytes, &mut allowance, |_| true).await.map_err(|problem| problem.reason)
    }

    #[tokio::test]
    async fn reads_exactly_one_message() {
        let two = [START_TLS_DONE, b"more"].concat();
        let message = read(&two).await.unwrap();
        assert_eq!(message, START_TLS_DONE);
        let long_form = [0x30, 0x84, 0, 0, 0, 5, 2, 1, 1, 0x64, 0];
        assert_eq!(read(&long_form).await.unwrap(), long_form);
        assert_eq!(read(FULL_RESPONSE).await.unwrap(), FULL_RESPONSE);
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
            (&[0x30, 0], Reason::ProtocolError),
            (&[0x30, 3, 2, 1, 1], Reason::ProtocolError),
            (&[0x30, 5, 2, 1, 1, 0x61, 0], Reason::ProtocolError),
            // Text that is not UTF-8, and controls that are none.
            (b"\x30\x0d\x02\x01\x01\x61\x08\x0a\x01\x00\x04\x01\xff\x04\x00", Reason::ProtocolError),
            (
                b"\x30\x10\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x02\x30\x00",
                Reason::ProtocolError,
            ),
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
        for _ in 0..150_000 {
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
        let network = network();
        let mut allowance = Allowance { read: 500, discard: 0, meter: network.meter() };
        assert!(read_message(&mut source, &mut allowance, |_| true).await.is_ok());
        let problem = read_message(&mut source, &mut allowance, |_| true).await.unwrap_err();
        assert_eq!(problem.reason, Reason::ResponseTooLarge);
    }

    #[tokio::test]
    async fn what_is_read_waits_for_the_memory_of_others() {
        let shared = Arc::new(SharedNetwork::new(EgressPolicy::Unrestricted));
        let [first, second, next] = [(); 3].map(|()| shared.seen_from("wandb"));
        // As much as two directories with large answers have.
        for large in [&first, &second] {
            large.meter().take(2 << 20).await;
        }
        next.meter().take(1 << 20).await;
        let mut source = START_TLS_DONE;
        let mut allowance = Allowance::new(next.meter());
        let mut reading = pin!(read_message(&mut source, &mut allowance, |_| true));
        assert!(futures::poll!(reading.as_mut()).is_pending());
        drop((first, second));
        assert_eq!(reading.await.unwrap(), START_TLS_DONE);
    }

    #[tokio::test]
    async fn throws_away_what_is_not_wanted() {
        let stale = START_TLS_DONE.repeat(3);
        let wanted = [0x30, 0x0c, 2, 1, 2, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0];
        let bytes = [stale.as_slice(), &wanted].concat();
        let read = async |discard| {
            let network = network();
            let mut allowance = Allowance { read: 700, discard, meter: network.meter() };
            read_message(&mut bytes.as_slice(), &mut allowance, |heading| heading.id > 1).await
        };
        assert_eq!(read(stale.len() as u64).await.unwrap(), wanted);
        assert_eq!(read(20).await.unwrap_err().reason, Reason::ResponseTooLarge);
    }

    #[tokio::test]
    async fn one_message_is_at_most_a_mebibyte() {
        let announced = |length: u64| {
            let [.., a, b, c, d] = length.to_be_bytes();
            [&[0x30, 0x84, a, b, c, d], vec![0xff; usize::try_from(length).unwrap()].as_slice()].concat()
        };
        assert_eq!(read(&announced(MESSAGE_LIMIT)).await, Err(Reason::ProtocolError));
        assert_eq!(read(&announced(MESSAGE_LIMIT + 1)).await, Err(Reason::ResponseTooLarge));
    }

    #[test]
    fn reads_the_number_of_a_message() {
        for (bytes, number) in [
            (&[0x30, 4, 2, 1, 7, 0x64][..], Some(7)),
            (&[0x30, 7, 2, 4, 0x7f, 0xff, 0xff, 0xff, 0x65], Some(i32::MAX)),
            (&[0x30, 0x84, 0, 0, 0, 5, 2, 2, 1, 0, 0x73], Some(256)),
            // Negative, too long, of another type, or not there.
            (&[0x30, 7, 2, 4, 0xff, 0xff, 0xff, 0xff, 0x64], None),
            (&[0x30, 8, 2, 5, 0, 0, 0, 0, 1, 0x64], None),
            (&[0x30, 4, 4, 1, 7, 0x64], None),
            (&[0x30, 3, 2, 1, 7], None),
            (&[0x30, 0], None),
        ] {
            assert_eq!(heading(bytes).map(|heading| heading.id), number, "{bytes:?}");
        }
        let is_found = |tag| heading(&[0x30, 4, 2, 1, 7, tag]).is_some_and(Heading::is_found);
        assert!(is_found(0x64) && is_found(0x73) && !is_found(0x65) && !is_found(0x61));
    }

    #[tokio::test]
    async fn counts_elements_that_are_nearly_nothing() {
        let empty = [0x04, 0x00].repeat(200_000);
        let length = u32::try_from(empty.len()).unwrap().to_be_bytes();
        let values = [&[0x30, 0x84][..], &length, &empty].concat();
        assert_eq!(read(&values).await, Err(Reason::ResponseTooLarge));
    }

    proptest! {
        #[test]
        fn what_nests_parses_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if count_elements(&bytes).is_some() {
                prop_assert_eq!(lber::parse::parse_tag(&bytes).map(|(rest, _)| rest.len()).ok(), Some(0));
            }
        }

        #[test]
        fn what_passes_does_not_make_the_library_panic(
            changes in prop::collection::vec((0..FULL_RESPONSE.len(), any::<u8>()), 0..4),
        ) {
            let mut bytes = FULL_RESPONSE.to_vec();
            for (index, byte) in changes {
                bytes[index] = byte;
            }
            if count_elements(&bytes).is_some() && is_ldap(&bytes) {
                let (_, message) = lber::parse::parse_tag(&bytes).unwrap();
                let operation = message.expect_constructed().unwrap().remove(1);
                if [1, 5, 24].contains(&operation.id) {
                    let _ = ldap3::LdapResult::from(lber::structures::Tag::StructureTag(operation));
                }
            }
        }
    }
}
