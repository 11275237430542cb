//! The servers that the resources of a fleet refer to, each of which may be asked thousands of times.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::hostile::{HttpServer, Request, Response, discovery_document};
use crate::tokens::SigningKey;
use crate::{Certificate, CertificateAuthority, Leaf, Slapd, WandbServer};

/// The password of the directory's service account.
pub(super) const BIND_PASSWORD: &str = "a-password";

/// The team of the service account.
pub(super) const TEAM: &str = "research";

/// A directory, an issuer and a W&B Server, with certificates of one authority.
pub struct Servers {
    directory: Slapd,
    issuer: HttpServer,
    wandb: WandbServer,
    certificate: Certificate,
}

impl Servers {
    /// Starts all of them.
    pub fn start() -> Result<Self> {
        let certificate = CertificateAuthority::new("authority of the fleet")?.issue(&Leaf::loopback())?;
        let directory = Slapd::builder(BIND_PASSWORD).certificate(&certificate).start()?;
        let key = SigningKey::rsa("key")?.jwk()?;
        // A real provider takes more of the machine than the controllers that are to be looked at.
        let issuer = HttpServer::tls(&certificate, move |request| answer(request, &key))?;
        let wandb = WandbServer::builder().certificate(&certificate).start()?;
        wandb.team(TEAM);
        Ok(Self { directory, issuer, wandb, certificate })
    }

    /// The directory.
    pub fn directory(&self) -> &Slapd {
        &self.directory
    }

    /// The issuer's URL.
    pub fn issuer(&self) -> String {
        self.issuer.url("")
    }

    /// How many requests the issuer had for this path.
    pub fn issuer_requests(&self, path: &str) -> usize {
        self.issuer.requests().iter().filter(|request| request.path == path).count()
    }

    /// The double of W&B Server.
    pub fn wandb(&self) -> &WandbServer {
        &self.wandb
    }

    /// The authority of all certificates.
    pub fn authority_pem(&self) -> &str {
        &self.certificate.authority_pem
    }

    /// Makes a service account; its key.
    pub fn account(&self, name: &str) -> Result<String> {
        self.wandb.service_account(name, TEAM)
    }

    /// One more key of a service account, beside those that it has.
    pub fn another_key(&self, account: &str) -> Result<String> {
        Ok(self.wandb.add_key(account, "made by the fleet")?.secret)
    }

    /// How many connections all of them have had.
    pub fn connections(&self) -> Result<usize> {
        let log = self.directory.log().read().context("the directory's log")?;
        let accepted = log.matches(" ACCEPT from ").count();
        Ok(accepted + self.issuer.connections() + self.wandb.connections())
    }
}

fn answer(request: &Request, key: &Value) -> Response {
    let issuer = format!("https://{}", request.header("host").unwrap_or_default());
    match request.path.as_str() {
        "/.well-known/openid-configuration" => Response::json(&discovery_document(&issuer)),
        "/jwks" => Response::json(&json!({ "keys": [key] })),
        // The client is known, and the made-up code is not.
        "/token" => Response::json_status(400, &json!({ "error": "invalid_grant" })),
        _ => Response::status(404, ""),
    }
}
