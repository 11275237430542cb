//! Servers that demand a certificate of their clients.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use test_support::{Certificate, CertificateAuthority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wandb_auth_operator::{
    api::Reason,
    net::{CaBundle, EgressPolicy, HttpConnection, HttpRequest, Network, Trust, encrypt, exchange},
    problem::Problem,
};

/// Whether a server goes on without the certificate that it asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    InEarnest,
    Politely,
    /// And then goes for another reason.
    AndGoes,
}

fn server(
    certificate: &Certificate,
    version: &'static SupportedProtocolVersion,
    asks: Asks,
) -> Result<tokio_rustls::TlsAcceptor> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.authority_pem.as_bytes())?)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
    let verifier = if asks == Asks::InEarnest { verifier } else { verifier.allow_unauthenticated() };
    let config = ServerConfig::builder_with_protocol_versions(&[version])
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes())?],
            PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?,
        )?;
    Ok(tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

async fn serve(server: tokio_rustls::TlsAcceptor, stream: DuplexStream, asks: Asks) -> Result<()> {
    let mut stream = server.accept(stream).await?;
    let mut request = [0; 16];
    stream.read_exact(&mut request).await?;
    if asks == Asks::AndGoes {
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    stream.shutdown().await?;
    Ok(())
}

async fn ask(version: &'static SupportedProtocolVersion, asks: Asks) -> Result<Result<u16, Problem>> {
    let certificate = CertificateAuthority::new("authority")?.issue(&Leaf::loopback())?;
    let reading = CaBundle::parse(certificate.authority_pem.as_bytes()).ok().context("no bundle")?;
    let trust = Trust::empty().with_bundle(&reading.bundle);
    let (client, peer) = tokio::io::duplex(1 << 16);
    let serving = serve(server(&certificate, version, asks)?, peer, asks);
    let url = "https://localhost/healthz";
    let asking = async {
        let (stream, _) = encrypt(client, &ServerName::try_from("localhost").context("no name")?, &trust)
            .await
            .map_err(Outcome::Refused)?;
        let request = HttpRequest::get(url.parse()?);
        let network = Network::new(EgressPolicy::Unrestricted);
        let response = exchange(HttpConnection::to_server(stream), request, network.meter())
            .await
            .map_err(Outcome::Refused)?;
        Ok::<_, Outcome>(response.status.as_u16())
    };
    let (asked, _) = tokio::join!(asking, serving);
    match asked {
        Ok(status) => Ok(Ok(status)),
        Err(Outcome::Refused(problem)) => Ok(Err(problem)),
        Err(Outcome::Broken(error)) => Err(error),
    }
}

enum Outcome {
    Refused(Problem),
    Broken(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Outcome {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_is_told_as_one() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for version in [&TLS12, &TLS13] {
        let problem = ask(version, Asks::InEarnest).await?.err().context("it answered")?;
        ensure!(
            problem.message.contains("asked for a client certificate"),
            "{version:?}: {}",
            problem.message
        );
        ensure!(!problem.message.contains("TLS 1.2"), "{version:?}: {}", problem.message);
        let answer = ask(version, Asks::Politely).await?;
        ensure!(answer.as_ref().is_ok_and(|status| *status == 204), "{version:?}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_asked_may_go_for_any_other_reason() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for version in [&TLS12, &TLS13] {
        let problem = ask(version, Asks::AndGoes).await?.err().context("it answered")?;
        ensure!(problem.reason == Reason::ConnectionClosed, "{version:?}: {problem:?}");
        ensure!(problem.message.contains("if it requires one"), "{version:?}: {}", problem.message);
    }
    Ok(())
}
