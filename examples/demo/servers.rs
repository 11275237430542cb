//! What people and programs log in with, on loopback ports: a real directory, a real OpenID Provider, and
//! a double of W&B Server for what programs need of it.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::json;
use test_support::{
    Certificate, CertificateAuthority, Leaf, OpenIdClient, OpenIdProvider, Slapd, WandbServer, tools,
};

use crate::begin;

/// The password of the directory's service account.
pub const LDAP_PASSWORD: &str = "correct-horse-battery";

/// The secret of the provider's client.
pub const CLIENT_SECRET: &str = "staple-of-the-demo";

/// The secret of the program that gets tokens from the provider.
pub const MACHINE_SECRET: &str = "battery-of-the-demo";

/// What the program's tokens are for.
const AUDIENCE: &str = "my-org";

/// Where W&B would take people back after their login.
const REDIRECT_URI: &str = "https://wandb.example.com/oidc/callback";

/// The running servers; each ends when this is dropped.
pub struct Servers {
    directory: Slapd,
    provider: OpenIdProvider,
    wandb: WandbServer,
    /// A token of the provider for the program.
    pub token: String,
    /// The API key of the account `trainer`.
    pub trainer_key: String,
    /// The API key of an administrator.
    pub admin_key: String,
    certificate: Certificate,
}

impl Servers {
    /// Starts all three. Directory and provider come side by side, since each may have to be fetched first.
    pub async fn start() -> Result<Self> {
        let certificate = CertificateAuthority::new("demo authority")?.issue(&Leaf::loopback())?;
        let (of_directory, of_provider) = (certificate.clone(), certificate.clone());
        let (directory, provider) = tokio::try_join!(
            blocking(move || start_directory(&of_directory)),
            blocking(move || start_provider(&of_provider))
        )?;
        blocking(move || Self::start_wandb(directory, provider, certificate)).await
    }

    /// The double of W&B Server, which knows the provider.
    fn start_wandb(directory: Slapd, provider: OpenIdProvider, certificate: Certificate) -> Result<Self> {
        let _waiting = begin("Starting a double of W&B Server, with the team research");
        let token = token(&provider)?;
        let wandb = WandbServer::builder().certificate(&certificate).start()?;
        wandb.team("research");
        let trainer_key = wandb.service_account("trainer", "research")?;
        let admin_key = wandb.admin("admin")?;
        wandb.register_issuer(provider.issuer(), &provider.jwks()?)?;
        wandb.accept_audience(AUDIENCE);
        wandb.federated_account("ci", "research");
        Ok(Self { directory, provider, wandb, token, trainer_key, admin_key, certificate })
    }

    /// The directory's address, as in `spec.address`.
    pub fn ldap_address(&self) -> Result<String> {
        self.directory.ldaps_url()
    }

    /// The provider's issuer, as in `spec.issuer`.
    pub fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// The server's URL, as in `spec.instance.baseURL`.
    pub fn wandb(&self) -> String {
        self.wandb.base_url()
    }

    /// The authority of the servers' certificate.
    pub fn authority(&self) -> &str {
        &self.certificate.authority_pem
    }
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(start: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(start).await.context("starting a server panicked")?
}

fn start_directory(certificate: &Certificate) -> Result<Slapd> {
    // Where the machine does not have it, it is fetched, and that is told on its own.
    tools::slapd()?;
    let _waiting = begin("Starting a directory: slapd with alice, bob and carol");
    Slapd::builder(LDAP_PASSWORD).certificate(certificate).start()
}

fn start_provider(certificate: &Certificate) -> Result<OpenIdProvider> {
    tools::openid_provider()?;
    let _waiting =
        begin("Starting an OpenID Provider: oidc-provider with a client for people and one for programs");
    OpenIdProvider::builder()
        .certificate(certificate)
        .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
        .client(OpenIdClient::machine("ci", MACHINE_SECRET))
        .audience(AUDIENCE)
        .start()
}

/// A token as a CI system would make it for a job.
fn token(provider: &OpenIdProvider) -> Result<String> {
    let expiry = SystemTime::now() + Duration::from_hours(24);
    let seconds = expiry.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    provider.issue(&json!({"iss": provider.issuer(), "sub": "ci", "aud": AUDIENCE, "exp": seconds}))
}
