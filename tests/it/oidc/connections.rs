//! Servers that cannot be connected to, or that do not speak.

use std::{
    io::{Read, Write},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use test_support::{
    Certificate, CertificateAuthority, Leaf, free_port,
    hostile::{HttpServer, Response, TcpServer},
};
use wandb_auth_operator::{
    api::{CheckName, Reason},
    engine::Findings,
    net::{EgressPolicy, Network},
};

use super::{PATIENT, assert_failure, assert_not_reached, examine, examine_within, network, spec};

/// Short, since the server never answers, and long against what comes before.
const IMPATIENT: Duration = Duration::from_secs(10);

async fn impatient(issuer: &str) -> Findings {
    examine_within(&network(), IMPATIENT, &spec(issuer, &json!({})), &[]).await
}

/// What is found at a server with this certificate by somebody who trusts this authority.
async fn examine_tls(certificate: &Certificate, authority: &str, tls: Value) -> Findings {
    let server = HttpServer::tls(certificate, |_| Response::status(404, "")).unwrap();
    let mut spec = spec(&server.url(""), &json!({ "tls": tls }));
    spec["tls"]["caBundle"] = json!({ "secretKeyRef": { "name": "oidc", "key": "ca" } });
    examine(&spec, &[("ca", authority)]).await
}

#[tokio::test]
async fn a_wrong_port_is_refused() {
    let port = free_port().unwrap();
    let findings = examine(&spec(&format!("https://127.0.0.1:{port}"), &json!({})), &[]).await;
    let port = port.to_string();
    assert_failure(&findings, &CheckName::TcpConnects, Reason::ConnectionRefused, &[&port]);
    assert_not_reached(&findings, &[CheckName::TlsVerifies, CheckName::Discovery]);
}

#[tokio::test]
async fn an_address_without_a_route_is_told() {
    // The broadcast address of the loopback network: nobody can connect to it, whatever the machine.
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let network = Network::new(EgressPolicy::Enforced { allowed, api_server: Vec::new() });
    let spec = spec("https://127.255.255.255", &json!({}));
    let findings = examine_within(&network, PATIENT, &spec, &[]).await;
    let words = ["127.255.255.255:443", "unreachable", "Check routes"];
    assert_failure(&findings, &CheckName::TcpConnects, Reason::ConnectionFailed, &words);
}

#[tokio::test]
async fn a_failed_handshake_is_told() {
    // A fatal alert, handshake_failure (RFC 8446 section 6).
    let refuses = TcpServer::script(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);
    })
    .unwrap();
    let plain = TcpServer::sends(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    for (server, words) in [
        (refuses, ["refused the handshake", "TLS 1.2 or newer"]),
        (plain, ["not TLS", "Check that the port"]),
    ] {
        let spec = spec(&format!("https://{}", server.address()), &json!({}));
        let findings = examine(&spec, &[]).await;
        assert_failure(&findings, &CheckName::TlsVerifies, Reason::TlsHandshakeFailed, &words);
    }
}

#[tokio::test]
async fn a_forbidden_address_is_not_contacted() {
    let server = TcpServer::script_on([127, 0, 0, 2].into(), |_| ()).unwrap();
    let findings = examine(&spec(&format!("http://{}", server.address()), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::EgressAllowed, Reason::EgressDenied, &["127.0.0.2"]);
    assert_eq!(server.connections(), 0);
}

fn not_yet_valid() -> Leaf {
    Leaf { not_before: SystemTime::now() + Duration::from_hours(48), ..Leaf::loopback() }
}

#[tokio::test]
async fn certificates_that_are_not_right_are_told_apart() {
    let authority = CertificateAuthority::new("provider").unwrap();
    let other = CertificateAuthority::new("other").unwrap();
    let issue = |leaf: Leaf| authority.issue(&leaf).unwrap();
    for (certificate, trusted, reason, word) in [
        (issue(Leaf::loopback()), &other, Reason::UnknownAuthority, "(CN=provider)"),
        (
            issue(Leaf::loopback().only_for("idp.example.org")),
            &authority,
            Reason::NameMismatch,
            "idp.example.org",
        ),
        (issue(Leaf::loopback().expired()), &authority, Reason::CertificateExpired, "Renew"),
        (issue(not_yet_valid()), &authority, Reason::CertificateNotYetValid, "clocks"),
    ] {
        let findings = examine_tls(&certificate, trusted.certificate_pem(), json!({})).await;
        assert_failure(&findings, &CheckName::TlsVerifies, reason, &[word]);
        assert_not_reached(&findings, &[CheckName::Discovery]);
    }
}

#[tokio::test]
async fn silence_is_told_by_the_step_that_waited() {
    let server = TcpServer::black_hole().unwrap();
    let [https, http] = ["https", "http"].map(|scheme| format!("{scheme}://{}", server.address()));
    let (encrypted, plaintext) = tokio::join!(impatient(&https), impatient(&http));
    assert_failure(&encrypted, &CheckName::TlsVerifies, Reason::TimedOut, &["10s"]);
    assert_failure(&plaintext, &CheckName::Discovery, Reason::TimedOut, &["10s"]);
}

#[tokio::test]
async fn answers_without_an_end_time_out() {
    let endless = HttpServer::plain(|_| Response::never_ending()).unwrap();
    let stalled = HttpServer::plain(|_| Response::stalls_after_headers()).unwrap();
    let (endless_url, stalled_url) = (endless.url(""), stalled.url(""));
    let (of_endless, of_stalled) = tokio::join!(impatient(&endless_url), impatient(&stalled_url));
    for findings in [of_endless, of_stalled] {
        assert_failure(&findings, &CheckName::Discovery, Reason::TimedOut, &["10s"]);
        assert_not_reached(&findings, &[CheckName::IssuerMatches]);
    }
}

#[tokio::test]
async fn a_closed_connection_and_another_protocol_are_told_apart() {
    let closes = TcpServer::closes().unwrap();
    let findings = examine(&spec(&format!("http://{}", closes.address()), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Discovery, Reason::ConnectionClosed, &[]);
    let sends = TcpServer::sends(b"220 mail.example.org ESMTP\r\n").unwrap();
    let findings = examine(&spec(&format!("http://{}", sends.address()), &json!({})), &[]).await;
    assert_failure(&findings, &CheckName::Discovery, Reason::ProtocolError, &["not HTTP"]);
}
