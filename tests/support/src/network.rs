//! Ports on the loopback interface.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below the range from which Linux takes the ports of outgoing connections, so that no client of
/// a parallel test gets the port between its choice and its use.
const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

/// The next port to try; it starts at random since other test processes choose ports as well.
static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| {
    let random = RandomState::new().hash_one(std::process::id());
    let offset = u16::try_from(random % u64::from(LAST - FIRST)).unwrap_or_default();
    Mutex::new(FIRST + offset)
});

/// A TCP port that nothing listens on, and that this process has not handed out recently.
pub fn free_port() -> Result<u16> {
    first_free(&mut NEXT.lock().unwrap_or_else(PoisonError::into_inner), is_free)
}

/// The first free port from the next one on, which begins anew after the last one.
fn first_free(next: &mut u16, is_free: impl Fn(u16) -> bool) -> Result<u16> {
    for _ in FIRST..=LAST {
        let port = *next;
        *next = if port >= LAST { FIRST } else { port + 1 };
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("every port from {FIRST} to {LAST} is in use on the loopback interface");
}

fn is_free(port: u16) -> bool {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let v6_in_use = TcpListener::bind(v6).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    // A machine without IPv6 fails otherwise, and has no listener there.
    TcpListener::bind(v4).is_ok() && !v6_in_use
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_free() -> Result<()> {
        // The system chooses the port, since a parallel test may have been handed out any of ours.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        assert!(!is_free(listener.local_addr()?.port()));
        Ok(())
    }

    #[test]
    fn a_port_in_use_is_not_handed_out() -> Result<()> {
        let mut next = LAST - 1;
        let mut handed_out = || first_free(&mut next, |port| ![LAST, FIRST + 1].contains(&port));
        assert_eq!([handed_out()?, handed_out()?, handed_out()?], [LAST - 1, FIRST, FIRST + 2]);
        assert!(first_free(&mut next, |_| false).is_err());
        Ok(())
    }
}
