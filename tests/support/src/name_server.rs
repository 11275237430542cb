//! A DNS server that knows a few names.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::background::Background;

/// A DNS server over UDP; every name that it does not know does not exist.
#[derive(Debug)]
pub struct NameServer {
    questions: Arc<Mutex<Vec<String>>>,
    _serving: Background,
}

impl NameServer {
    /// Serves these names at the address.
    pub fn start(address: SocketAddr, names: &[(&str, Ipv4Addr)]) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("a name server at {address}"))?;
        socket.set_nonblocking(true)?;
        let names: BTreeMap<_, _> = names.iter().map(|(name, ip)| ((*name).to_owned(), *ip)).collect();
        let questions = Arc::<Mutex<Vec<String>>>::default();
        let asked = Arc::clone(&questions);
        let serving = Background::start(move || async move {
            let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else { return };
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let query = buffer.get(..length).unwrap_or_default();
                if let Some((name, answer)) = answer(query, &names) {
                    asked.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        })?;
        Ok(Self { questions, _serving: serving })
    }

    /// Every name that was asked for so far, in order.
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const HEADER: usize = 12;
const ADDRESS: [u8; 2] = [0, 1];

/// The name that a query asks for, and the answer (RFC 1035 section 4).
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<(String, Vec<u8>)> {
    let mut rest = query.get(HEADER..)?;
    let mut labels = Vec::new();
    loop {
        let (length, after) = rest.split_first()?;
        if *length == 0 {
            rest = after;
            break;
        }
        let length = usize::from(*length);
        labels.push(String::from_utf8(after.get(..length)?.to_vec()).ok()?.to_lowercase());
        rest = after.get(length..)?;
    }
    let type_ = rest.get(..2)?;
    let question = query.get(HEADER..query.len() - rest.len() + 4)?;
    let name = labels.join(".");
    let known = names.get(&name);
    let address = known.filter(|_| *type_ == ADDRESS);
    let code = if known.is_some() { 0 } else { 3 };
    let mut answer = query.get(..2)?.to_vec();
    // An authoritative answer, recursion desired and available.
    answer.extend([0x85, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(address) = address {
        // The name of the question, the Internet's class, no time to live.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some((name, answer))
}
