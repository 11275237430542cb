//! The little of LDAP's encoding that the harness writes and reads itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// No request of a test is longer; it keeps a broken peer from making us wait for a gigabyte.
const LONGEST_MESSAGE: usize = 1 << 20;

/// An LDAP message: what is asked or answered is told by the tag of its operation.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: u8,
    pub(crate) operation: u8,
    pub(crate) contents: Vec<u8>,
}

/// A tag, the length of the contents and the contents.
pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(length) if length < 0x80 => bytes.push(length),
        _ => {
            bytes.push(0x84);
            bytes.extend(u32::try_from(contents.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    bytes.extend(contents);
    bytes
}

/// An octet string.
pub(crate) fn string(text: &str) -> Vec<u8> {
    element(OCTET_STRING, text.as_bytes())
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let id = element(INTEGER, &[self.id]);
        let operation = element(self.operation, &self.contents);
        element(SEQUENCE, &[id, operation].concat())
    }

    /// Reads the next message; its number must be below 128, as it is in a connection's first ones.
    pub(crate) fn read(stream: &mut impl Read) -> Result<Self> {
        let (tag, contents) = read_element(stream)?;
        ensure!(tag == SEQUENCE, "an LDAP message begins with {tag:#04x}");
        let mut rest = contents.as_slice();
        let (_, id) = read_element(&mut rest)?;
        let (operation, contents) = read_element(&mut rest)?;
        let id = *id.last().context("an LDAP message has no number")?;
        Ok(Self { id, operation, contents })
    }
}

/// A simple bind.
pub(crate) fn bind_request(dn: &str, password: &str) -> Message {
    const LDAP_VERSION: u8 = 3;
    let simple = element(0x80, password.as_bytes());
    let contents = [element(INTEGER, &[LDAP_VERSION]), string(dn), simple].concat();
    Message { id: 1, operation: 0x60, contents }
}

/// Sends a request and returns the answer's result code.
pub(crate) fn exchange(stream: &mut TcpStream, request: &Message) -> Result<u8> {
    stream.write_all(&request.encode())?;
    let answer = Message::read(stream)?;
    let (_, code) = read_element(&mut answer.contents.as_slice())?;
    code.last().copied().context("an LDAP answer has no result code")
}

fn read_element(source: &mut impl Read) -> Result<(u8, Vec<u8>)> {
    let [tag, short_length] = read_bytes(source)?;
    let length = match short_length {
        0x81 => usize::from(u8::from_be_bytes(read_bytes(source)?)),
        0x82 => usize::from(u16::from_be_bytes(read_bytes(source)?)),
        0x84 => usize::try_from(u32::from_be_bytes(read_bytes(source)?))?,
        short if short < 0x80 => usize::from(short),
        other => anyhow::bail!("the length {other:#04x} is in no form that is used here"),
    };
    ensure!(length <= LONGEST_MESSAGE, "an LDAP element announces {length} bytes");
    let mut contents = vec![0; length];
    source.read_exact(&mut contents)?;
    Ok((tag, contents))
}

fn read_bytes<const N: usize>(source: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}
