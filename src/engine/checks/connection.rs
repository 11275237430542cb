//! The checks of a connection, with which every kind begins.

use rustls::pki_types::ServerName;

use crate::engine::{Checked, Report};
use crate::{
    api::{CheckName, Reason},
    net::{
        self, ChainLink, Duplex, Encrypted, Endpoint, HttpConnection, HttpScheme, Metered, Network, Proxy,
        ServerCertificate, Trust, VerifiedChain,
    },
    problem::{Problem, capitalized},
};

/// Makes the checks `DnsResolves`, `EgressAllowed` and `TcpConnects`.
pub async fn reach(report: &mut Report, network: &Network, endpoint: &Endpoint) -> Option<Metered> {
    let addresses = report
        .check(CheckName::DnsResolves, async {
            let addresses = network.resolve(endpoint).await?;
            Ok(Checked::passed(addresses, resolved(network, endpoint)))
        })
        .await?;
    let addresses = report.record(
        CheckName::EgressAllowed,
        network
            .permit(endpoint, addresses)
            .await
            .map(|addresses| Checked::passed(addresses, "Connections to it are allowed.")),
    )?;
    report
        .check(CheckName::TcpConnects, async {
            let stream = net::connect(endpoint, &addresses, network.meter()).await?;
            Ok(Checked::passed(stream, format!("Port {} accepts connections.", endpoint.port)))
        })
        .await
}

/// Says that a name has an address. The message does not name the addresses: if a name has many, they differ from run to
/// run, and so would the status.
fn resolved(network: &Network, endpoint: &Endpoint) -> String {
    let full = network.full_name(&endpoint.host);
    match &endpoint.host {
        net::Host::Name(name) if *name == full => format!("{name} has an address."),
        net::Host::Name(name) => {
            format!("{name} is {full} for the pods of this namespace, and has an address.")
        }
        net::Host::Address(address) => format!("{address} is an address."),
    }
}

/// Makes the checks `DnsResolves`, `EgressAllowed` and `ProxyConnects`. The proxy looks the name up itself, so it need not
/// be known here.
async fn reach_through(
    report: &mut Report,
    network: &Network,
    proxy: &Proxy,
    (scheme, server): (HttpScheme, &Endpoint),
) -> Option<HttpConnection> {
    let known = report
        .check(CheckName::DnsResolves, async {
            let known = network.look_up_for_proxy(server).await;
            let message = match &known {
                Some(_) => resolved(network, server),
                None => format!(
                    "{} is not known to the cluster's DNS, and need not be: the proxy looks it up.",
                    server.host
                ),
            };
            Ok(Checked::passed(known, message))
        })
        .await?;
    report.record(
        CheckName::EgressAllowed,
        network
            .permit_by_proxy(server, known)
            .await
            .map(|()| Checked::passed((), "The proxy may be asked for it.")),
    )?;
    report
        .check(CheckName::ProxyConnects, async {
            let connection = network.connect_through(proxy, scheme, server).await?;
            let message = match scheme {
                HttpScheme::Https => format!("The proxy {proxy} connects to {server}."),
                HttpScheme::Http => {
                    format!("The proxy {proxy} accepts connections, and is asked for {server}.")
                }
            };
            Ok(Checked::passed(connection, message))
        })
        .await
}

/// Makes the check `TlsVerifies`.
pub async fn check_tls<S: Duplex>(
    report: &mut Report,
    stream: S,
    name: &ServerName<'static>,
    trust: &Trust,
) -> Option<Encrypted<S>> {
    encrypt_stage_or(report, stream, name, trust, std::future::ready).await
}

/// `TlsVerifies`, where `explain` may know more of a failure.
pub async fn encrypt_stage_or<S: Duplex, F: Future<Output = Problem> + Send>(
    report: &mut Report,
    stream: S,
    name: &ServerName<'static>,
    trust: &Trust,
    explain: impl FnOnce(Problem) -> F + Send,
) -> Option<Encrypted<S>> {
    let (stream, chain) = report
        .check(CheckName::TlsVerifies, async {
            let (stream, chain) = match net::encrypt(stream, name, trust).await {
                Ok(encrypted) => encrypted,
                Err(problem) => return Err(explain(problem).await),
            };
            let described = describe(chain.as_ref(), jiff::Timestamp::now());
            Ok(described.with((stream, chain)))
        })
        .await?;
    let server = chain.as_ref().and_then(|chain| chain.links.first());
    if let Some(not_after) = server.and_then(end) {
        report.saw_certificate(ServerCertificate { not_after });
    }
    Some(stream)
}

/// How a connection is protected.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// It is not protected.
    Plaintext,
    /// TLS protects it, with certificates of these authorities.
    Tls(&'a Trust),
}

impl Protection<'_> {
    /// The scheme of the URLs that are asked for over such a connection.
    fn scheme(self) -> HttpScheme {
        match self {
            Self::Plaintext => HttpScheme::Http,
            Self::Tls(_) => HttpScheme::Https,
        }
    }

    /// The checks of such a connection, in the order in which people read them. `ProxyConnects` takes the place of
    /// `TcpConnects` where a proxy is on the way.
    pub fn checks(&self) -> impl Iterator<Item = CheckName> + use<> {
        let tls = matches!(self, Self::Tls(_)).then_some(CheckName::TlsVerifies);
        [CheckName::DnsResolves, CheckName::EgressAllowed, CheckName::TcpConnects].into_iter().chain(tls)
    }
}

/// Makes all checks of a connection to a server of HTTP that speaks TLS from the start, or not at all.
pub async fn connect(
    report: &mut Report,
    network: &Network,
    endpoint: &Endpoint,
    protection: Protection<'_>,
) -> Option<HttpConnection> {
    let scheme = protection.scheme();
    let connection = match network.proxy_for(scheme, endpoint) {
        Ok(None) => HttpConnection::to_server(reach(report, network, endpoint).await?),
        Ok(Some(proxy)) => {
            report.replace(&CheckName::TcpConnects, &CheckName::ProxyConnects);
            network.proxies().secrets().for_each(|secret| report.conceal(secret));
            reach_through(report, network, &proxy, (scheme, endpoint)).await?
        }
        Err(problem) => {
            report.replace(&CheckName::TcpConnects, &CheckName::ProxyConnects);
            return report.record(CheckName::ProxyConnects, Err(problem));
        }
    };
    let Protection::Tls(trust) = protection else { return Some(connection) };
    // Every host that can be parsed has a name that certificates can carry, so this never returns early.
    let name = endpoint.host.server_name()?;
    Some(HttpConnection::to_server(check_tls(report, connection.into_stream(), &name, trust).await?))
}

/// A certificate that expires sooner than this leads to a warning.
const EXPIRY_WARNING: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

/// What people must know about an accepted chain.
fn describe(chain: Option<&VerifiedChain>, now: jiff::Timestamp) -> Checked<()> {
    let links = chain.map(|chain| chain.links.as_slice()).unwrap_or_default();
    let is_soon = |link: &&ChainLink| end(link).is_some_and(|end| end.duration_since(now) < EXPIRY_WARNING);
    if let Some(link) = links.iter().filter(is_soon).min_by_key(|link| link.not_after) {
        return Checked::warning((), Reason::CertificateExpiresSoon, expiry(link));
    }
    if let Some((link, bits)) = chain.and_then(|chain| chain.weak_key.as_ref()) {
        return Checked::warning(
            (),
            Reason::WeakKey,
            format!(
                "The key of {} has only {bits} bits. W&B Server accepts it, but other programs refuse it; replace it with one of 2048 bits or more.",
                link.subject.what()
            ),
        );
    }
    match links.first().and_then(end) {
        Some(end) => Checked::passed(
            (),
            format!("The certificate is trusted and valid until {}.", end.strftime("%Y-%m-%d")),
        ),
        None => Checked::passed((), "The certificate is trusted."),
    }
}

/// When a certificate expires; `None` if its time cannot be represented, as for one that is valid for ever.
fn end(link: &ChainLink) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(link.not_after).ok()
}

fn expiry(link: &ChainLink) -> String {
    let day = end(link).map(|end| end.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let ChainLink { subject, .. } = link;
    capitalized(&format!("{} is valid only until {day}. {}", subject.what(), subject.renewal()))
}
