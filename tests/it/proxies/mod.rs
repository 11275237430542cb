//! Forward proxies between the operator and the servers: how the variables are read, and every check through one.
//!
//! The servers have names that only the proxy knows, since nothing on loopback is ever reached through a proxy.

mod api_server;
mod checks;
mod egress;
mod failures;
mod settings;
mod targets;
mod variables;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use test_support::{
    Certificate, CertificateAuthority, ForwardProxy, ForwardProxyBuilder, Leaf, OpenIdClient, OpenIdProvider,
};

use crate::{
    command_line::call::Directory,
    world::{CLIENT_SECRET, REDIRECT_URI},
};

/// The name of the provider.
const LOGIN: &str = "login.corp.test";

/// The credentials of proxies that want some: as they are, and as a URL writes them.
const USER: &str = "planted-proxy-user";
const PASSWORD: &str = "planted/proxy:password@81";
const IN_URL: &str = "planted-proxy-user:planted%2Fproxy%3Apassword%4081";

/// A certificate for this name only.
fn certificate_for(authority: &CertificateAuthority, name: &str) -> Result<Certificate> {
    authority.issue(&Leaf::loopback().only_for(name))
}

/// A provider that calls itself [`LOGIN`].
fn provider(certificate: &Certificate) -> Result<OpenIdProvider> {
    OpenIdProvider::builder()
        .certificate(certificate)
        .named(LOGIN)
        .audience(AUDIENCE)
        .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
        .start()
}

/// The audience of tokens.
const AUDIENCE: &str = "my-org";

/// A proxy that leads to the provider.
fn proxy_to(provider: SocketAddr) -> ForwardProxyBuilder {
    ForwardProxy::builder().server("login.corp.test:443", provider)
}

/// An `OidcProvider` with this issuer whose authority is this one, in a directory where the program is called.
fn directory(issuer: &str, certificate: &Certificate, more: &str) -> Result<Directory> {
    let references = crate::command_line::verdicts::references("unused", certificate);
    let resource = crate::world::oidc_provider(issuer, more);
    // An issuer without TLS has no authority.
    let lines = resource.lines().filter(|line| issuer.starts_with("https://") || !line.contains("tls:"));
    let resource = lines.fold(String::new(), |text, line| text + line + "\n");
    Directory::with(&[("main.yaml", &resource), ("references.yaml", &references)])
}

/// What `check` says of the only resource with these further words.
fn check(directory: &Directory, words: &str) -> Result<Value> {
    let printed = directory.call(&format!("check -f . -o json {words}"))?;
    for secret in [USER, PASSWORD, IN_URL] {
        anyhow::ensure!(!printed.stdout.contains(secret) && !printed.stderr.contains(secret), "{printed}");
    }
    printed.json()?.as_array_mut().and_then(Vec::pop).with_context(|| printed.to_string())
}

/// The finding of a check.
fn finding<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["checks"].as_array()?.iter().find(|check| check["name"] == name)
}

/// The result and the reason of a check.
fn result<'a>(status: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let found = finding(status, name)?;
    Some((found["result"].as_str()?, found["reason"].as_str()?))
}
