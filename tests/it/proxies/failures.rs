//! Proxies that do not do their work, and the words for that.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use regex::Regex;
use test_support::{
    CertificateAuthority, ForwardProxy, Leaf, Manner,
    hostile::{HttpServer, Response, TcpServer},
};

use super::{IN_URL, LOGIN, PASSWORD, USER, certificate_for, check, directory, finding, proxy_to, result};

/// Runs the checks with this proxy; gives what the check of the proxy found, and whether any other failed.
fn found(url: &str, address: std::net::SocketAddr, words: &str) -> Result<String> {
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let files = directory(&format!("https://{LOGIN}"), &certificate, "checkTimeout: 10s")?
        .variable("HTTPS_PROXY", url);
    let report = check(&files, words)?;
    ensure!(report.get("verdict").is_some_and(|verdict| verdict == "Failed"), "{report:#}");
    let check = finding(&report, "ProxyConnects").with_context(|| format!("{report:#}"))?;
    assert_eq!(result(&report, "TlsVerifies"), Some(("Skipped", "NotReached")));
    let message = check["message"].as_str().unwrap_or_default().replace(&address.to_string(), "<proxy>");
    Ok(format!(
        "{} {}: {message}",
        check["result"].as_str().unwrap_or_default(),
        check["reason"].as_str().unwrap_or_default()
    ))
}

#[test]
fn what_proxies_answer_is_told_in_plain_words() -> Result<()> {
    const BASIC: &str = "Proxy-Authenticate: Basic realm=\"corp\"\r\n";
    const OTHERS: &str = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n";
    let server = HttpServer::plain(|_| Response::status(200, ""))?;
    let mut told = String::new();
    for (what, manner) in [
        ("credentials are missing", Manner::Answers(407, BASIC)),
        ("other methods", Manner::Answers(407, OTHERS)),
        ("not allowed", Manner::Answers(403, "")),
        ("no method", Manner::Answers(405, "")),
        ("a redirect", Manner::Answers(302, "Location: http://login-page.corp.test/\r\n")),
        ("another success", Manner::Answers(204, "")),
        ("too many", Manner::Answers(429, "")),
        ("unreachable", Manner::Answers(502, "")),
        ("overloaded", Manner::Answers(503, "")),
        ("silent", Manner::IsSilent),
        ("closes", Manner::Closes),
        ("no HTTP", Manner::Says("220 mail.corp.test ESMTP\r\n")),
        ("half an answer", Manner::Says("HTTP/1.1 200 Conn")),
    ] {
        let proxy = proxy_to(server.address()).manner(manner).start()?;
        writeln!(told, "{what}\n  {}", found(&proxy.url(), proxy.address(), "")?)?;
        assert_eq!(proxy.asked(), ["CONNECT login.corp.test:443"], "{what}");
    }
    assert_eq!(server.connections(), 0);
    assert_snapshot!(told);
    Ok(())
}

#[test]
fn without_tls_the_proxys_own_answers_are_told_apart_from_the_servers() -> Result<()> {
    const SQUID: &str =
        "Server: squid/5.7\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nVia: 1.1 proxy (squid/5.7)\r\n";
    const UNKNOWN: &str = "Proxy-Status: proxy.corp.test; error=dns_error\r\n";
    let certificate = crate::world::certificate()?;
    let server =
        HttpServer::plain(|_| Response::json_status(403, &serde_json::json!({"error": "access_denied"})))?;
    for (what, manner, reason, words) in [
        ("the server refuses", Manner::Forwards, "", "status 403"),
        ("Squid refuses", Manner::Answers(403, SQUID), "ProxyRefused", "does not connect to login.corp.test"),
        (
            "a name that the proxy does not know",
            Manner::Answers(502, UNKNOWN),
            "ServerUnavailable",
            "does not get a connection",
        ),
        (
            "somebody refuses",
            Manner::Answers(403, ""),
            "ProxyRefused",
            " or login.corp.test refuses the request (status 403)",
        ),
        (
            "somebody is away",
            Manner::Answers(504, ""),
            "ServerUnavailable",
            " or login.corp.test answers with the status 504",
        ),
        ("credentials", Manner::Answers(407, ""), "ProxyRefused", "wants credentials (status 407)"),
    ] {
        let proxy =
            ForwardProxy::builder().server("login.corp.test:80", server.address()).manner(manner).start()?;
        let files = directory(&format!("http://{LOGIN}"), &certificate, "insecurePlaintext: true")?
            .variable("HTTP_PROXY", proxy.url());
        let report = check(&files, "")?;
        let found = finding(&report, "Discovery").with_context(|| format!("{report:#}"))?;
        let message = found["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "{what}: {found}");
        let is_the_proxys = !reason.is_empty();
        assert_eq!(message.contains("The proxy"), is_the_proxys, "{what}: {found}");
        ensure!(!is_the_proxys || found["reason"] == reason, "{what}: {found}");
    }
    Ok(())
}

#[test]
fn proxies_that_are_not_reached_or_not_trusted_are_told_in_plain_words() -> Result<()> {
    let server = HttpServer::plain(|_| Response::status(200, ""))?;
    let own = CertificateAuthority::new("authority of the proxy")?;
    let secure = proxy_to(server.address()).certificate(&own.issue(&Leaf::loopback())?).start()?;
    let named = proxy_to(server.address()).certificate(&certificate_for(&own, "proxy.corp.test")?).start()?;
    let expired = proxy_to(server.address()).certificate(&own.issue(&Leaf::loopback().expired())?).start()?;
    let outspoken = TcpServer::sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
    let plain = proxy_to(server.address()).credentials(USER, PASSWORD).start()?;
    let bundle = tempfile::NamedTempFile::new()?;
    std::fs::write(&bundle, own.certificate_pem())?;
    let trusting = format!("--proxy-ca-file {}", bundle.path().display());
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], test_support::free_port()?));
    let mut told = String::new();
    for (what, url, address, words) in [
        ("wrong credentials", plain.url_with("somebody:mistaken"), plain.address(), ""),
        ("unknown authority", secure.url_with(IN_URL), secure.address(), ""),
        ("another name", named.url(), named.address(), trusting.as_str()),
        ("an expired certificate", expired.url(), expired.address(), trusting.as_str()),
        ("no TLS", format!("https://{}", outspoken.address()), outspoken.address(), ""),
        ("TLS", format!("http://{}", secure.address()), secure.address(), ""),
        ("nobody", format!("http://{nobody}"), nobody, ""),
        ("an unknown name", format!("http://{IN_URL}@proxy.corp.test:3128"), nobody, ""),
        ("no host", ":3128".to_owned(), nobody, ""),
        ("SOCKS", format!("socks5://{IN_URL}@{nobody}"), nobody, ""),
    ] {
        writeln!(told, "{what}\n  {}", found(&url, address, words)?)?;
    }
    assert_eq!(server.connections(), 0);
    // The resolver's own words differ from machine to machine.
    let told = Regex::new(r"was not resolved: [^.]*\.")?.replace_all(&told, "was not resolved: <words>.");
    let told = Regex::new(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")?.replace_all(&told, "<date>");
    assert_snapshot!(told);
    Ok(())
}

#[test]
fn what_is_no_url_is_told_without_its_value() -> Result<()> {
    let proxy = ForwardProxy::builder().start()?;
    let certificate = certificate_for(&CertificateAuthority::new("test authority")?, LOGIN)?;
    let files = directory(&format!("https://{LOGIN}"), &certificate, "")?
        .variable("HTTPS_PROXY", format!("http://{USER}:pass/word@{}", proxy.address()));
    let printed = files.call("check -f .")?;
    ensure!(
        printed.stderr.starts_with("warning: HTTPS_PROXY: The variable of the proxy has no URL"),
        "{printed}"
    );
    ensure!(printed.stdout.contains("ProxyConnects") && printed.code == 1, "{printed}");
    ensure!(!printed.to_string().contains(USER) && !printed.to_string().contains("pass/word"), "{printed}");
    assert_eq!(proxy.connections(), 0);
    Ok(())
}
