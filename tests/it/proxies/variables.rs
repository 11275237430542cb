//! The proxies among the variables of a server, as `check --from-environment` takes them.

use anyhow::Result;
use test_support::{CertificateAuthority, Leaf};

use super::{IN_URL, LOGIN, PASSWORD, USER, certificate_for, provider, proxy_to};
use crate::{
    command_line::call::Directory,
    world::{CLIENT_SECRET, HOST},
};

/// A file with the variables of a server whose provider only a proxy names, and the authority that it trusts.
fn server(issuer: &str, authority: &str, proxy: &str) -> Result<Directory> {
    let variables = format!(
        "OIDC_ISSUER={issuer}\nOIDC_CLIENT_ID=wandb\nOIDC_SECRET={CLIENT_SECRET}\nOIDC_AUTH_METHOD=pkce\nHOST={HOST}\nHTTPS_PROXY={proxy}\n"
    );
    Directory::with(&[
        ("server.env", &variables),
        ("root/usr/local/share/ca-certificates/authority.crt", authority),
    ])
}

const COMMAND: &str = "check --from-environment --root root --env-file server.env -o json";

#[test]
fn a_servers_own_proxy_is_on_the_way() -> Result<()> {
    let authority = CertificateAuthority::new("company")?;
    let provider = provider(&certificate_for(&authority, LOGIN)?)?;
    let certificate = authority.issue(&Leaf::loopback())?;
    let proxy = proxy_to(provider.address()).credentials(USER, PASSWORD).certificate(&certificate).start()?;
    let url = proxy.url_with(IN_URL);
    let printed = server(provider.issuer(), authority.certificate_pem(), &url)?.call(COMMAND)?;
    for secret in [USER, PASSWORD, IN_URL, CLIENT_SECRET] {
        assert!(!printed.stdout.contains(secret) && !printed.stderr.contains(secret), "{printed}");
    }
    assert_eq!(printed.code, 0, "{printed}");
    assert!(printed.stdout.contains("ProxyConnects"), "{printed}");
    // Without it, nobody here knows the provider's name.
    let direct = server(provider.issuer(), authority.certificate_pem(), "")?.call(COMMAND)?;
    assert!(direct.code == 1 && direct.stdout.contains("NameNotResolved"), "{direct}");
    Ok(())
}

#[test]
fn a_proxy_that_cannot_be_read_is_told_by_its_variable() -> Result<()> {
    let files = server("https://127.0.0.1:1", "", "http://user:pass/word@proxy:3128")?;
    let printed = files.call(COMMAND)?;
    assert!(printed.stdout.contains("Variable/HTTPS_PROXY"), "{printed}");
    assert!(!printed.stdout.contains("word@"), "{printed}");
    Ok(())
}
