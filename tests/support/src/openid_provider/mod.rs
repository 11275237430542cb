//! A certified OpenID Provider, `oidc-provider` for Node.js.

mod client;

pub use client::OpenIdClient;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::certificates::Certificate;
use crate::free_port;
use crate::http_client::HttpClient;
use crate::process::{ChildProcess, LogCapture, PATIENCE};
use crate::run_directory::RunDirectory;
use crate::tools;

/// A running provider on 127.0.0.1, ended on drop.
///
/// Every name is an account: `alice` has the e-mail `alice@example.org`, the group `wandb` and, at the login page, the
/// password `alice-password`. `without-email` has no e-mail, and the token of `in-many-groups` says only where the groups
/// can be read.
#[derive(Debug)]
pub struct OpenIdProvider {
    process: Option<ChildProcess>,
    log: LogCapture,
    command: Command,
    issuer: String,
    address: SocketAddr,
    control: HttpClient,
    _directory: RunDirectory,
}

/// A provider to be started, made by [`OpenIdProvider::builder`].
#[derive(Debug, Clone)]
pub struct OpenIdProviderBuilder {
    certificate: Option<Certificate>,
    issuer_path: String,
    pod: Option<String>,
    name: Option<String>,
    clients: Vec<OpenIdClient>,
    scopes: Vec<String>,
    audience: String,
    token_lifetime: Duration,
}

impl Default for OpenIdProviderBuilder {
    fn default() -> Self {
        Self {
            certificate: None,
            issuer_path: String::new(),
            pod: None,
            name: None,
            clients: Vec::new(),
            scopes: Vec::new(),
            audience: String::new(),
            token_lifetime: Duration::from_mins(10),
        }
    }
}

impl OpenIdProvider {
    /// A provider that serves http and knows no client.
    pub fn builder() -> OpenIdProviderBuilder {
        OpenIdProviderBuilder::default()
    }

    /// The issuer, exactly as its discovery document and its tokens have it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many requests there have been for this path, which includes the issuer's.
    pub fn requests(&self, path: &str) -> Result<usize> {
        let log = self.log.read()?;
        let requested = log.lines().filter_map(|line| line.strip_prefix("request "));
        Ok(requested.filter(|line| line.split_whitespace().nth(1) == Some(path)).count())
    }

    /// What it has written over all its starts: a line for each request.
    pub fn log(&self) -> &LogCapture {
        &self.log
    }

    /// Signs with a new key from now on; the old ones stay published.
    pub fn rotate_keys(&self) -> Result<()> {
        self.ask("/rotate-keys", "").map(drop)
    }

    /// Publishes no key but the one that signs.
    pub fn withdraw_old_keys(&self) -> Result<()> {
        self.ask("/withdraw-old-keys", "").map(drop)
    }

    /// The JWKS that it publishes now; asking here is no request in its log.
    pub fn jwks(&self) -> Result<String> {
        self.ask("/published-keys", "")
    }

    /// A JWT with these claims, signed like the provider's own tokens. `iss`, `iat` and `exp` (in ten
    /// minutes) are added where they are missing.
    pub fn issue(&self, claims: &Value) -> Result<String> {
        self.ask("/issue", &claims.to_string())
    }

    /// Stops it; the ports are kept for [`OpenIdProvider::start`], the keys are not.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(PATIENCE)?;
        }
        Ok(())
    }

    /// Starts it again after [`OpenIdProvider::stop`].
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the OpenID Provider is running already");
        let mut process = ChildProcess::spawn("the OpenID Provider", &self.command, self.log.path())?;
        // It opens the control port last.
        let control = self.control.address;
        process.wait_until_ready(PATIENCE, || TcpStream::connect(control).is_ok())?;
        self.process = Some(process);
        Ok(())
    }

    fn ask(&self, path: &str, body: &str) -> Result<String> {
        let answer = self.control.send(&format!("POST {path}"), "", body)?;
        ensure!(answer.status == 200, "the OpenID Provider answers {path} with {}", answer.status);
        Ok(answer.body)
    }
}

impl OpenIdProviderBuilder {
    /// Serves https with this certificate.
    #[must_use]
    pub fn certificate(self, certificate: &Certificate) -> Self {
        Self { certificate: Some(certificate.clone()), ..self }
    }

    /// Listens where a Service of a pod expects it, on every address with the port of https, and calls itself by
    /// this host name.
    #[must_use]
    pub fn in_pod(self, host: &str) -> Self {
        Self { pod: Some(host.to_owned()), ..self }
    }

    /// Calls itself by this host name, although it listens on loopback: a proxy leads there.
    #[must_use]
    pub fn named(self, host: &str) -> Self {
        Self { name: Some(host.to_owned()), ..self }
    }

    /// What follows the port in the issuer, such as `/realms/wandb` or `/`.
    #[must_use]
    pub fn issuer_path(self, path: &str) -> Self {
        Self { issuer_path: path.to_owned(), ..self }
    }

    /// Registers a client.
    #[must_use]
    pub fn client(mut self, client: OpenIdClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Supports a scope besides `openid`, `email`, `profile`, `groups` and `offline_access`.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// The audience of the tokens that machines get.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        Self { audience: audience.to_owned(), ..self }
    }

    /// How long the tokens live that machines get: ten minutes, if nothing else is said.
    #[must_use]
    pub fn token_lifetime(self, token_lifetime: Duration) -> Self {
        Self { token_lifetime, ..self }
    }

    /// Starts the provider.
    pub fn start(self) -> Result<OpenIdProvider> {
        let installation = tools::openid_provider()?;
        let directory = RunDirectory::create("openid-provider")?;
        let address = match self.pod {
            Some(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
        };
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let host = self.pod.or(self.name).unwrap_or_else(|| address.to_string());
        let issuer = format!("{scheme}://{host}{}", self.issuer_path);

        let tls = self.certificate.map(
            |certificate| json!({ "certificate": certificate.certificate_pem, "key": certificate.key_pem }),
        );
        let configuration = json!({
            "issuer": issuer,
            "address": address.ip(),
            "port": address.port(),
            "controlPort": control.port(),
            "tls": tls,
            "clients": self.clients,
            "scopes": self.scopes,
            "audience": self.audience,
            "tokenLifetime": self.token_lifetime.as_secs(),
        });
        let configuration = directory.write("configuration.json", &configuration.to_string())?;
        let mut command = Command::new(installation.node);
        command.arg(installation.script).arg(configuration);

        let mut provider = OpenIdProvider {
            process: None,
            log: LogCapture::open(&directory.path().join("openid-provider.log"))?,
            command,
            issuer,
            address,
            control: HttpClient { address: control, tls: None },
            _directory: directory,
        };
        provider.start()?;
        Ok(provider)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::certificates::{CertificateAuthority, Leaf, client_config};

    const DISCOVERY: &str = "/realms/wandb/.well-known/openid-configuration";

    #[test]
    fn it_serves_discovery_over_https_below_the_issuers_path() -> Result<()> {
        let certificate = CertificateAuthority::new("provider")?.issue(&Leaf::loopback())?;
        let mut provider = OpenIdProvider::builder()
            .certificate(&certificate)
            .issuer_path("/realms/wandb")
            .scope("groups-of-wandb")
            .client(OpenIdClient::confidential("web", "secret", "https://wandb.example.org/oidc/callback"))
            .client(OpenIdClient::public("spa", "https://wandb.example.org/oidc/callback"))
            .client(OpenIdClient::implicit("old", "https://wandb.example.org/oidc/callback"))
            .start()?;
        let tls = Some(client_config(&certificate.authority_pem)?);
        let client = HttpClient { address: provider.address, tls };
        let discover = || -> Result<Value> {
            Ok(serde_json::from_str(&client.send(&format!("GET {DISCOVERY}"), "", "")?.body)?)
        };

        let document = discover()?;
        assert_eq!(document["issuer"], provider.issuer());
        assert_eq!(document["jwks_uri"], format!("{}/jwks", provider.issuer()));
        assert!(document["scopes_supported"].to_string().contains("groups-of-wandb"));
        provider.stop()?;
        assert!(discover().is_err());
        provider.start()?;
        assert_eq!(discover()?, document);
        assert_eq!(provider.requests(DISCOVERY)?, 2);
        Ok(())
    }

    #[test]
    fn it_issues_tokens_and_rotates_keys() -> Result<()> {
        let provider = OpenIdProvider::builder()
            .audience("wandb")
            .client(OpenIdClient::machine("robot", "secret").with_secret_in_body())
            .start()?;
        let client = HttpClient { address: provider.address, tls: None };
        let keys = || -> Result<usize> {
            let set: Value = serde_json::from_str(&client.send("GET /jwks", "", "")?.body)?;
            Ok(set["keys"].as_array().context("no keys")?.len())
        };
        assert_eq!(keys()?, 1);
        let published: Value = serde_json::from_str(&client.send("GET /jwks", "", "")?.body)?;
        assert_eq!(serde_json::from_str::<Value>(&provider.jwks()?)?, published);
        let own = provider.issue(&json!({ "sub": "alice@example.org", "aud": "wandb" }))?;
        assert_eq!(own.split('.').count(), 3);
        provider.rotate_keys()?;
        assert_eq!(keys()?, 2);
        provider.withdraw_old_keys()?;
        assert_eq!(keys()?, 1);

        let form = "grant_type=client_credentials&client_id=robot&client_secret=secret";
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = client.send("POST /token", headers, form)?;
        let answer: Value = serde_json::from_str(&answer.body).context(answer.body)?;
        let token = answer["access_token"].as_str().context(answer.to_string())?;
        assert_eq!(token.split('.').count(), 3);
        Ok(())
    }
}
