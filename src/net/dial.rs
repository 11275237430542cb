//! The way from an endpoint to a TCP connection: looking up the name, applying the egress policy, and connecting.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt, stream};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::Instant,
};

use super::{EgressPolicy, Meter, Metered, names::Names};
use crate::{
    api::Reason,
    problem::{Problem, enumerate},
    shares::Permits,
};

/// A connection, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A host name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name that must be resolved.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl Host {
    /// Parses a host as URLs write it (IPv6 in brackets) or as people do (without).
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        // A name that no certificate can carry could never be verified, so it is refused.
        ServerName::try_from(text).ok().map(|_| Self::Name(text.to_owned()))
    }

    /// The host in the form in which certificates carry it.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        match self {
            Self::Name(name) => ServerName::try_from(name.clone()).ok(),
            Self::Address(address) => Some(ServerName::from(*address)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How many names are looked up at the same time; a namespace whose lookups are the only ones may have half as
/// many. A lookup takes one of the 512 threads of the process and cannot be interrupted: a name whose servers do
/// not answer keeps its thread for as long as the resolver tries.
const LOOKUPS: usize = 256;

/// The permits for the lookups of all runs of the process.
pub(super) struct Lookups(Permits<String>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Permits::new(LOOKUPS))
    }
}

/// On which terms a name is looked up.
pub(super) struct LookupTerms<'a> {
    /// The permits of the process.
    pub(super) lookups: &'a Lookups,
    /// The namespace that it is looked up for.
    pub(super) namespace: &'a str,
    /// How long all lookups of the name may take together. The time in which one waits for its permit does not count:
    /// it says nothing about the name.
    pub(super) limit: Duration,
}

impl LookupTerms<'_> {
    /// Awaits a lookup, and takes its time off the limit. The permit is kept until the lookup itself ends, even if
    /// nobody awaits it any more.
    async fn make<T: Send + 'static>(
        &mut self,
        lookup: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let permit = self.lookups.0.take(self.namespace.to_owned()).await;
        let lookup = tokio::spawn(async move {
            let found = lookup.await;
            drop(permit);
            found
        });
        let begun = Instant::now();
        let found = tokio::time::timeout(self.limit, lookup).await;
        self.limit = self.limit.saturating_sub(begun.elapsed());
        match found {
            Ok(found) => found.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Every address of the endpoint, sorted, so that equal answers lead to an equal status.
pub(super) async fn resolve(
    names: &Names,
    endpoint: &Endpoint,
    mut terms: LookupTerms<'_>,
) -> Result<Vec<SocketAddr>, Problem> {
    let name = match &endpoint.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, endpoint.port)]),
        Host::Name(name) => name,
    };
    let candidates = names.candidates(name);
    let mut seen = "it has no address".to_owned();
    for candidate in &candidates {
        let (host, port) = (candidate.clone(), endpoint.port);
        let lookup = async move { Ok(lookup_host((host.as_str(), port)).await?.collect::<Vec<_>>()) };
        match terms.make(lookup).await {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                if !addresses.is_empty() {
                    names.learn(name, candidate);
                    return Ok(addresses);
                }
            }
            // Try the next name after an error, as Go does: another part of the search list may lead to servers
            // that answer.
            Err(error) => seen = resolver_words(&error),
        }
        if terms.limit.is_zero() {
            break;
        }
    }
    let tried = names.namespace().filter(|_| candidates.len() > 1).map_or_else(String::new, |namespace| {
        let tried = candidates.iter().map(|candidate| candidate.trim_end_matches('.'));
        format!(" A pod of the namespace {namespace} looks for {}.", enumerate(tried))
    });
    Err(Problem::new(
        Reason::NameNotResolved,
        format!(
            "The name {name} was not resolved: {seen}.{tried} Check the spelling, and that the cluster's DNS knows the name."
        ),
    ))
}

/// The resolver's own message, without the prefix that the standard library adds.
fn resolver_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_lowercase()
}

/// The addresses that the policy allows; a problem if it allows none.
pub fn permit(
    policy: &EgressPolicy,
    endpoint: &Endpoint,
    addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Problem> {
    let mut objection = None;
    let permitted: Vec<_> = addresses
        .into_iter()
        .filter(|&address| match policy.objection(address) {
            Some(what) => {
                objection.get_or_insert((address.ip(), what));
                false
            }
            None => true,
        })
        .collect();
    match objection {
        Some(objection) if permitted.is_empty() => Err(denied(endpoint, objection)),
        _ => Ok(permitted),
    }
}

/// A problem if the policy objects to a connection that a proxy makes: to the name, which the proxy looks up itself, or
/// to any of the addresses that are known here.
pub(super) fn permit_proxied(
    policy: &EgressPolicy,
    endpoint: &Endpoint,
    known: Option<&[SocketAddr]>,
) -> Result<(), Problem> {
    if let Host::Name(name) = &endpoint.host {
        if let Some(what) = policy.objection_to_name(name) {
            let advice = "add the name to the NO_PROXY of the operator, so that its addresses decide";
            return Err(unasked(name, what, advice));
        }
        if known.is_none()
            && let Some(what) = policy.objection_to_unknown()
        {
            let advice = "have the cluster's DNS know the name, so that its addresses decide";
            return Err(unasked(name, what, advice));
        }
    }
    let mut addresses = known.unwrap_or_default().iter();
    let objection = addresses.find_map(|&address| Some((address.ip(), policy.objection(address)?)));
    objection.map_or(Ok(()), |objection| Err(denied(endpoint, objection)))
}

fn unasked(name: &str, what: &str, advice: &str) -> Problem {
    let message = format!(
        "{name} is {what}, for which the operator does not ask a proxy. Name another server, or {advice}."
    );
    Problem::new(Reason::EgressDenied, message)
}

fn denied(endpoint: &Endpoint, (ip, what): (IpAddr, &str)) -> Problem {
    Problem::new(
        Reason::EgressDenied,
        format!(
            "{} leads to {ip}, {what}, which the operator does not connect to. If that is intended, start the operator with --allow-egress {ip}/{}.",
            endpoint.host,
            if ip.is_ipv4() { 32 } else { 128 },
        ),
    )
}

/// The time after which the next address is tried beside the ones before (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses are tried at the same time. A name may have thousands, and each attempt takes a socket.
const ATTEMPTS: u32 = 8;

/// Connects to the first address that answers. The meter counts what is read from the connection.
pub async fn connect(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    meter: &Meter,
) -> Result<Metered, Problem> {
    let attempts = (0u32..).zip(addresses.to_vec()).map(attempt);
    let mut attempts = std::pin::pin!(stream::iter(attempts).buffer_unordered(ATTEMPTS as usize));
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => {
                // Requests are small and answered one by one; waiting to fill a packet only adds latency.
                let _ = stream.set_nodelay(true);
                return Ok(Metered::new(stream, meter.clone()));
            }
            Err(error) => failure = error,
        }
    }
    Err(if failure.kind() == io::ErrorKind::ConnectionRefused {
        Problem::new(
            Reason::ConnectionRefused,
            format!("Nothing accepts connections at {endpoint}. Check the port, and that the server runs."),
        )
    } else {
        Problem::new(
            Reason::ConnectionFailed,
            format!(
                "No connection to {endpoint}: {}. Check routes, firewalls and network policies on the way to the server.",
                os_words(&failure)
            ),
        )
    })
}

async fn attempt((index, address): (u32, SocketAddr)) -> io::Result<TcpStream> {
    // The first attempts start one after the other; each later one starts when an earlier one has ended.
    if index < ATTEMPTS {
        tokio::time::sleep(ATTEMPT_DELAY * index).await;
    }
    TcpStream::connect(address).await
}

/// The operating system's message for an error, without its number.
pub(super) fn os_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;
    use crate::net::Network;

    #[test]
    fn reads_hosts_with_and_without_brackets() {
        assert_eq!(Host::parse("[::1]").unwrap().to_string(), "[::1]");
        assert_eq!(Host::parse("::1").unwrap().to_string(), "[::1]");
        assert_eq!(Host::parse("10.0.0.1").unwrap(), Host::Address([10, 0, 0, 1].into()));
        assert_eq!(Host::parse("ldap.example.com").unwrap(), Host::Name("ldap.example.com".into()));
        for text in ["", "a b", "-x", "[::1"] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    /// On the terms of this namespace.
    fn terms<'a>(lookups: &'a Lookups, namespace: &'a str) -> LookupTerms<'a> {
        LookupTerms { lookups, namespace, limit: Duration::MAX }
    }

    /// Lets lookups of the namespace hang until there are no permits left for it.
    async fn exhaust(lookups: &Lookups, namespace: &str, end: &Arc<Notify>) {
        for _ in 0..LOOKUPS / 2 {
            let end = Arc::clone(end);
            let mut terms = terms(lookups, namespace);
            let hung = terms.make(async move {
                end.notified().await;
                Ok(())
            });
            assert!(tokio::time::timeout(Duration::from_millis(1), hung).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_lookup_that_hangs_keeps_its_thread_and_nobody_of_another_namespace() {
        let lookups = Lookups::default();
        exhaust(&lookups, "a", &Arc::default()).await;
        let mut of_a = terms(&lookups, "a");
        let next = tokio::time::timeout(Duration::from_millis(50), of_a.make(async { Ok(1) }));
        assert!(next.await.is_err(), "the threads are still taken, although nobody waits for them any more");
        assert_eq!(terms(&lookups, "b").make(async { Ok(1) }).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_time_until_a_lookup_has_its_turn_is_not_its_own() {
        let (lookups, end) = (Lookups::default(), Arc::new(Notify::new()));
        exhaust(&lookups, "a", &end).await;
        let limit = Duration::from_millis(20);
        let mut late = LookupTerms { limit, ..terms(&lookups, "a") };
        {
            let mut lookup = std::pin::pin!(late.make(async { Ok(1) }));
            let waits = tokio::time::timeout(limit * 3, &mut lookup).await;
            assert!(waits.is_err(), "it waits for its turn, longer than it may take itself");
            end.notify_waiters();
            assert_eq!(lookup.await.unwrap(), 1);
        }
        let slow = late.make(std::future::pending::<io::Result<()>>()).await;
        assert_eq!(slow.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(late.limit.is_zero(), "all lookups of a name have the limit together");
    }

    #[test]
    fn a_proxy_is_asked_only_if_the_name_and_every_known_address_are_allowed() {
        let policy = EgressPolicy::Enforced { allowed: Vec::new(), api_server: Vec::new() };
        let server = |name: &str| Endpoint { host: Host::parse(name).unwrap(), port: 443 };
        let [good, bad] =
            ["192.0.2.1:443", "169.254.169.254:443"].map(|it| it.parse::<SocketAddr>().unwrap());
        let login = server("login.example.com");
        assert_eq!(permit(&policy, &login, vec![good, bad]), Ok(vec![good]), "the operator chooses itself");
        for (name, known, expected) in [
            ("login.example.com", Some(&[good][..]), None),
            ("login.example.com", None, None),
            ("login.example.com", Some(&[good, bad]), Some("login.example.com leads to 169.254.169.254")),
            // The proxy knows another server of this name than the cluster's DNS does.
            ("metadata", Some(&[good]), Some("metadata is a name of cloud metadata")),
            ("metadata", None, Some("metadata is a name of cloud metadata")),
            ("kubernetes.default.svc", Some(&[good]), Some("is a name of the Kubernetes API server")),
            ("a.localhost", Some(&[good]), Some("is a name of the machine itself")),
        ] {
            let problem = permit_proxied(&policy, &server(name), known).err();
            let told = problem.as_ref().map(|problem| problem.message.as_str()).unwrap_or_default();
            assert_eq!(problem.is_some(), expected.is_some(), "{name}: {told}");
            assert!(told.contains(expected.unwrap_or_default()), "{name}: {told}");
        }
        // While the API server is not known, what is allowed by its addresses is asked for.
        let pending = EgressPolicy::Pending { allowed: vec!["192.0.2.0/24".parse().unwrap()] };
        assert_eq!(permit_proxied(&pending, &login, Some(&[good])), Ok(()));
        assert!(permit_proxied(&pending, &login, None).is_err());
    }

    #[tokio::test]
    async fn names_what_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let endpoint = Endpoint { host: Host::Address(address.ip()), port: address.port() };
        let problem = connect(&endpoint, &[address], Network::new(EgressPolicy::Unrestricted).meter())
            .await
            .err()
            .unwrap();
        assert_eq!(problem.reason, Reason::ConnectionRefused);
    }
}
