//! Directories that answer as a test says.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use bytes::BytesMut;
use lber::{
    common::TagClass,
    structure::{PL, StructureTag},
};
use test_support::hostile::TcpServer;

pub const BIND: u64 = 0;
pub const BIND_RESPONSE: u64 = 1;
pub const SEARCH: u64 = 3;
pub const ENTRY: u64 = 4;
const ABANDON: u64 = 16;
pub const SEARCH_DONE: u64 = 5;
pub const REFERENCE: u64 = 19;
/// Not an operation: the end of the connection, after what stands before it.
pub const CLOSE: u64 = 99;

/// A directory that answers each operation with what a function of the test says: any number of
/// operations, each by its tag number and its parts.
pub fn directory(
    answer: impl Fn(u64, &[StructureTag]) -> Vec<(u64, Vec<StructureTag>)> + Send + Sync + 'static,
) -> TcpServer {
    TcpServer::script(move |mut stream: &TcpStream| {
        let mut unread = Vec::new();
        while let Some(request) = read_message(stream, &mut unread) {
            let mut parts = request.expect_constructed().unwrap().into_iter();
            let (id, operation) = (parts.next().unwrap(), parts.next().unwrap());
            if operation.id == ABANDON {
                // There is no answer to it, and everything has been sent already.
                continue;
            }
            let PL::C(arguments) = operation.payload else { return };
            let answers = answer(operation.id, &arguments);
            if answers.is_empty() {
                return;
            }
            let mut bytes = BytesMut::new();
            let closes = answers.iter().any(|(number, _)| *number == CLOSE);
            for (number, parts) in answers.into_iter().filter(|(number, _)| *number != CLOSE) {
                let operation =
                    StructureTag { class: TagClass::Application, id: number, payload: PL::C(parts) };
                lber::write::encode_into(&mut bytes, sequence(vec![id.clone(), operation])).unwrap();
            }
            if stream.write_all(&bytes).is_err() || closes {
                return;
            }
        }
    })
    .unwrap()
}

/// The next message; `unread` has what came after it.
fn read_message(mut stream: &TcpStream, unread: &mut Vec<u8>) -> Option<StructureTag> {
    loop {
        if let Ok((rest, message)) = lber::parse::parse_tag(unread) {
            let rest = rest.to_vec();
            *unread = rest;
            return Some(message);
        }
        let mut more = [0; 4096];
        let count = stream.read(&mut more).ok().filter(|count| *count > 0)?;
        unread.extend(more.iter().take(count));
    }
}

pub fn sequence(elements: Vec<StructureTag>) -> StructureTag {
    StructureTag { class: TagClass::Universal, id: 16, payload: PL::C(elements) }
}

pub fn text(text: &str) -> StructureTag {
    StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(text.as_bytes().to_vec()) }
}

pub fn result(code: u8, message: &str) -> Vec<StructureTag> {
    let code = StructureTag { class: TagClass::Universal, id: 10, payload: PL::P(vec![code]) };
    vec![code, text(""), text(message)]
}

pub fn entry(dn: &str, attributes: &[(&str, &str)]) -> (u64, Vec<StructureTag>) {
    let attributes =
        attributes.iter().map(|(name, value)| sequence(vec![text(name), sequence(vec![text(value)])]));
    (ENTRY, vec![text(dn), sequence(attributes.collect())])
}

pub fn is_base_search(arguments: &[StructureTag]) -> bool {
    arguments.get(1).is_some_and(|scope| scope.payload == PL::P(vec![0]))
}

/// Accepts the bind, has the base entry, and answers other searches with these entries (and a
/// result of its own where there are only entries).
pub fn directory_of(people: impl Fn() -> Vec<(u64, Vec<StructureTag>)> + Send + Sync + 'static) -> TcpServer {
    directory(move |operation, arguments| match operation {
        BIND => vec![(BIND_RESPONSE, result(0, ""))],
        SEARCH => {
            let mut answers =
                if is_base_search(arguments) { vec![entry("dc=example,dc=org", &[])] } else { people() };
            if answers.iter().all(|(number, _)| *number == ENTRY) {
                answers.push((SEARCH_DONE, result(0, "")));
            }
            answers
        }
        _ => Vec::new(),
    })
}
