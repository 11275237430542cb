//! What people log in with: a real directory and a real OpenID Provider, on loopback ports.

use anyhow::{Context, Result};
use test_support::{Certificate, CertificateAuthority, Leaf, OpenIdClient, OpenIdProvider, Slapd};

use crate::step;

/// The password of the directory's service account.
pub const LDAP_PASSWORD: &str = "correct-horse-battery";

/// The secret of the provider's client.
pub const CLIENT_SECRET: &str = "staple-of-the-demo";

/// Where W&B would take people back after their login.
const REDIRECT_URI: &str = "https://wandb.example.com/oidc/callback";

/// The running servers; each ends when this is dropped.
pub struct Servers {
    directory: Slapd,
    provider: OpenIdProvider,
    certificate: Certificate,
}

impl Servers {
    /// Starts both.
    pub async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await.context("starting the servers panicked")?
    }

    fn start_blocking() -> Result<Self> {
        let certificate = CertificateAuthority::new("demo authority")?.issue(&Leaf::loopback())?;
        step("Starting a directory: slapd with alice, bob and carol");
        let directory = Slapd::builder(LDAP_PASSWORD).certificate(&certificate).start()?;
        step("Starting an OpenID Provider: oidc-provider with one client");
        let provider = OpenIdProvider::builder()
            .certificate(&certificate)
            .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
            .start()?;
        Ok(Self { directory, provider, certificate })
    }

    /// The directory's address, as in `spec.address`.
    pub fn ldap_address(&self) -> Result<String> {
        self.directory.ldaps_url()
    }

    /// The provider's issuer, as in `spec.issuer`.
    pub fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// The authority of both servers' certificate.
    pub fn authority(&self) -> &str {
        &self.certificate.authority_pem
    }
}
