//! The checks of a connection, which every kind begins with.

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Checked, Report};
use crate::{
    api::{CheckName, Reason},
    net::{self, Certificate, Duplex, Endpoint, Network, Trust},
};

/// `DnsResolves`, `EgressAllowed` and `TcpConnects`.
pub async fn reach(report: &mut Report, network: &Network, endpoint: &Endpoint) -> Option<TcpStream> {
    let addresses = report
        .check(CheckName::DnsResolves, async {
            let addresses = network.resolve(endpoint).await?;
            let full = network.full_name(&endpoint.host);
            // Which addresses would differ from run to run where a name has many.
            let message = match &endpoint.host {
                net::Host::Name(name) if *name == full => format!("{name} has an address."),
                net::Host::Name(name) => {
                    format!("{name} is {full} for the pods of this namespace, and has an address.")
                }
                net::Host::Address(address) => format!("{address} is an address."),
            };
            Ok(Checked::passed(addresses, message))
        })
        .await?;
    let addresses = report.record(
        CheckName::EgressAllowed,
        net::permit(&network.egress, endpoint, addresses)
            .map(|addresses| Checked::passed(addresses, "The operator may connect to it.")),
    )?;
    report
        .check(CheckName::TcpConnects, async {
            let stream = net::connect(endpoint, &addresses).await?;
            Ok(Checked::passed(stream, format!("Port {} accepts connections.", endpoint.port)))
        })
        .await
}

/// `TlsVerifies`.
pub async fn encrypt_stage<S: Duplex>(
    report: &mut Report,
    stream: S,
    name: &ServerName<'static>,
    trust: &Trust,
) -> Option<TlsStream<S>> {
    let (stream, certificate) = report
        .check(CheckName::TlsVerifies, async {
            let (stream, certificate) = net::encrypt(stream, name, trust).await?;
            Ok(describe(stream, certificate))
        })
        .await?;
    if let Some(certificate) = certificate {
        report.saw_certificate(certificate);
    }
    Some(stream)
}

/// How a connection is protected.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// Not at all.
    Plaintext,
    /// By TLS.
    Tls {
        /// The name of the certificate, when it is not the host.
        server_name: Option<&'a ServerName<'static>>,
        /// Which authorities are trusted.
        trust: &'a Trust,
    },
}

impl Protection<'_> {
    /// The checks of a connection, in the order in which people read them.
    pub fn checks(&self) -> impl Iterator<Item = CheckName> + use<> {
        let tls = matches!(self, Self::Tls { .. }).then_some(CheckName::TlsVerifies);
        [CheckName::DnsResolves, CheckName::EgressAllowed, CheckName::TcpConnects].into_iter().chain(tls)
    }
}

/// All checks of a connection to a server that speaks TLS from the start, or never.
pub async fn connect(
    report: &mut Report,
    network: &Network,
    endpoint: &Endpoint,
    protection: Protection<'_>,
) -> Option<Box<dyn Duplex>> {
    let stream = reach(report, network, endpoint).await?;
    let Protection::Tls { server_name, trust } = protection else { return Some(Box::new(stream)) };
    // Every host that parses has a name that certificates can carry.
    let name = server_name.cloned().or_else(|| endpoint.host.server_name())?;
    Some(Box::new(encrypt_stage(report, stream, &name, trust).await?))
}

/// A certificate that ends sooner than this deserves a warning.
const EXPIRY_WARNING: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

fn describe<S>(stream: S, certificate: Option<Certificate>) -> Checked<(S, Option<Certificate>)> {
    let Some(Certificate { not_after }) = certificate else {
        return Checked::passed((stream, None), "The certificate is trusted.");
    };
    let day = not_after.strftime("%Y-%m-%d");
    if not_after.duration_since(jiff::Timestamp::now()) < EXPIRY_WARNING {
        Checked::warning(
            (stream, certificate),
            Reason::CertificateExpiresSoon,
            format!(
                "The server's certificate is valid only until {day}. Renew it on the server before then."
            ),
        )
    } else {
        Checked::passed((stream, certificate), format!("The certificate is trusted and valid until {day}."))
    }
}
