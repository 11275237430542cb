//! What a proxy is not asked for, and what goes past it.

use anyhow::{Result, ensure};
use serde_json::json;
use test_support::{
    CertificateAuthority, ForwardProxy,
    hostile::{HttpServer, Response},
};

use super::{LOGIN, certificate_for, check, directory, finding, provider, proxy_to, result};

#[test]
fn forbidden_addresses_and_names_are_not_asked_of_a_proxy() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let proxy = ForwardProxy::builder().start()?;
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
        "0.0.0.0",
        "metadata.google.internal",
        "a.localhost",
        "kubernetes.default.svc",
    ] {
        let files =
            directory(&format!("https://{host}"), &certificate, "")?.variable("HTTPS_PROXY", proxy.url());
        let report = check(&files, "--enforce-egress")?;
        assert_eq!(result(&report, "EgressAllowed"), Some(("Failed", "EgressDenied")), "{host}: {report:#}");
        assert_eq!(result(&report, "ProxyConnects"), Some(("Skipped", "NotReached")), "{host}");
        assert_eq!(result(&report, "DnsResolves"), Some(("Passed", "Passed")), "{host}");
    }
    // Nothing on this machine itself is reached through a proxy.
    let files = directory("https://127.0.0.2", &certificate, "")?.variable("HTTPS_PROXY", proxy.url());
    assert_eq!(finding(&check(&files, "--enforce-egress")?, "ProxyConnects"), None);
    assert_eq!(proxy.connections(), 0);
    Ok(())
}

#[test]
fn a_name_that_only_the_proxy_knows_is_asked_of_it() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let provider = provider(&certificate)?;
    let proxy = proxy_to(provider.address()).start()?;
    let files = directory(provider.issuer(), &certificate, "")?.variable("HTTPS_PROXY", proxy.url());
    let report = check(&files, "--enforce-egress")?;
    ensure!(report["verdict"] != "Failed", "{report:#}");
    let resolved = finding(&report, "DnsResolves").map(|check| check["message"].clone());
    assert_eq!(
        resolved,
        Some(json!(
            "login.corp.test is not known to the cluster's DNS, and need not be: the proxy looks it up."
        ))
    );
    assert_eq!(proxy.asked(), ["CONNECT login.corp.test:443"]);
    Ok(())
}

#[test]
fn the_stages_through_a_proxy_are_shown() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let provider = provider(&certificate)?;
    let proxy = proxy_to(provider.address()).start()?;
    let files = directory(provider.issuer(), &certificate, "")?.variable("HTTPS_PROXY", proxy.url());
    insta::assert_snapshot!(files.call("check -f .")?);
    Ok(())
}

#[test]
fn exceptions_go_past_the_proxy() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let proxy = ForwardProxy::builder().start()?;
    for (exceptions, is_proxied) in
        [(".corp.test", false), ("login.corp.test:443,", false), ("other.test", true)]
    {
        let files = directory(&format!("https://{LOGIN}"), &certificate, "")?
            .variable("https_proxy", proxy.url())
            .variable("no_proxy", exceptions);
        let report = check(&files, "")?;
        assert_eq!(finding(&report, "ProxyConnects").is_some(), is_proxied, "{exceptions}: {report:#}");
        assert_eq!(finding(&report, "TcpConnects").is_some(), !is_proxied, "{exceptions}: {report:#}");
    }
    Ok(())
}

#[test]
fn endpoints_of_a_document_are_judged_before_the_proxy_is_asked() -> Result<()> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let issuer = format!("https://{LOGIN}");
    for forbidden in ["https://169.254.169.254/keys", "https://metadata.google.internal/keys"] {
        let document = json!({
            "issuer": issuer, "jwks_uri": forbidden, "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"), "response_types_supported": ["code"],
        });
        let server = HttpServer::tls(&certificate, move |_| Response::json(&document))?;
        let proxy = proxy_to(server.address()).start()?;
        let files = directory(&issuer, &certificate, "")?.variable("HTTPS_PROXY", proxy.url());
        let report = check(&files, "--enforce-egress")?;
        assert_eq!(result(&report, "Endpoints"), Some(("Failed", "EgressDenied")), "{report:#}");
        assert_eq!(proxy.asked(), ["CONNECT login.corp.test:443"], "{forbidden}");
    }
    Ok(())
}
