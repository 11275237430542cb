//! What Go's libraries make of certificates, documents, tokens and filters: W&B Server is written in Go, so
//! what they accept and refuse is what the server does with the same bytes.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{question::ask, tools};

/// The libraries `crypto/x509`, `encoding/pem`, go-oidc, go-jose and go-ldap.
#[derive(Debug, Clone)]
pub struct GoOpinion {
    program: PathBuf,
}

/// What a library thinks of a case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GoVerdict {
    /// Whether the library accepts the bytes.
    pub accepted: bool,
    /// The library's own words, empty where it accepts.
    pub error: String,
}

/// A server's certificates, and what a client verifies them with.
#[derive(Debug, Clone, Serialize)]
pub struct ChainCase {
    /// The server's certificates as PEM, its own one first.
    pub presented: String,
    /// The trusted authorities as PEM, beside which nothing is trusted.
    pub bundle: String,
    /// The host as it stands in the address.
    pub name: String,
    /// The time of the handshake in seconds since 1970; zero is the present.
    pub now: i64,
}

/// A discovery document, and the issuer that it was asked of.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoveryCase {
    /// The issuer as it stands in the settings.
    pub issuer: String,
    /// The answer at the issuer's well-known address.
    pub document: String,
}

/// A token, and what it is verified with.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCase {
    /// The issuer that the token must name.
    pub issuer: String,
    /// The audience that the token must name.
    pub audience: String,
    /// The document at `jwks_uri`.
    pub key_set: String,
    /// The token.
    pub token: String,
    /// The signing algorithms that the issuer's discovery document names; it lacks the field where there are none.
    pub algorithms: Vec<String>,
    /// The time of the verification in seconds since 1970; zero is the present.
    pub now: i64,
}

/// A manifest, and what somebody reads in it.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestCase {
    /// One YAML document.
    pub text: String,
    /// The same as JSON; nothing asks only whether the library can read it.
    pub reading: Option<serde_json::Value>,
}

/// Environment variables, and the way that somebody reads in them for each URL: `direct`, `refused`, or the proxy, with
/// the value of the header `Proxy-Authorization` after it if there is one.
#[derive(Debug, Clone, Serialize)]
pub struct ProxyCase {
    /// The variables.
    pub environment: BTreeMap<String, String>,
    /// What is asked for.
    pub urls: Vec<String>,
    /// The way to each URL.
    pub reading: Vec<String>,
}

impl GoOpinion {
    /// The libraries, built first where this machine has none.
    pub fn install() -> Result<Self> {
        Ok(Self { program: tools::opinion()? })
    }

    /// `x509.Certificate.Verify` of each server's certificates, as `crypto/tls` calls it.
    pub fn certificate_chains(&self, cases: &[ChainCase]) -> Result<Vec<GoVerdict>> {
        self.judge("certificate-chain", cases)
    }

    /// Whether `x509.CertPool.AppendCertsFromPEM` reads a certificate from each text.
    pub fn bundles(&self, texts: &[String]) -> Result<Vec<GoVerdict>> {
        self.judge("bundle", texts)
    }

    /// `oidc.NewProvider` of each document.
    pub fn discovery_documents(&self, cases: &[DiscoveryCase]) -> Result<Vec<GoVerdict>> {
        self.judge("discovery", cases)
    }

    /// `oidc.IDTokenVerifier.Verify` of each token, by a verifier of `oidc.NewProvider`.
    pub fn tokens(&self, cases: &[TokenCase]) -> Result<Vec<GoVerdict>> {
        self.judge("token", cases)
    }

    /// `ldap.CompileFilter` of each search filter.
    pub fn filters(&self, filters: &[String]) -> Result<Vec<GoVerdict>> {
        self.judge("filter", filters)
    }

    /// Whether kubectl's own library reads the same in each manifest.
    pub fn manifests(&self, cases: &[ManifestCase]) -> Result<Vec<GoVerdict>> {
        self.judge("manifest", cases)
    }

    /// Whether `http.ProxyFromEnvironment` reads the same in each environment.
    pub fn proxies(&self, cases: &[ProxyCase]) -> Result<Vec<GoVerdict>> {
        self.judge("proxies", cases)
    }

    fn judge<T: Serialize>(&self, subject: &str, cases: &[T]) -> Result<Vec<GoVerdict>> {
        let verdicts: Vec<GoVerdict> = ask(&self.program, subject, &cases)?;
        ensure!(verdicts.len() == cases.len(), "{} verdicts of {} cases", verdicts.len(), cases.len());
        Ok(verdicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateAuthority, Leaf};

    #[test]
    fn a_chain_is_accepted_by_its_own_authority_only() -> Result<()> {
        let certificate = CertificateAuthority::new("one")?.issue(&Leaf::loopback())?;
        let stranger = CertificateAuthority::new("another")?.issue(&Leaf::loopback())?;
        let case = |bundle: &str| ChainCase {
            presented: certificate.certificate_pem.clone(),
            bundle: bundle.to_owned(),
            name: "127.0.0.1".to_owned(),
            now: 0,
        };
        let cases = [case(&certificate.authority_pem), case(&stranger.authority_pem)];
        let verdicts = GoOpinion::install()?.certificate_chains(&cases)?;
        assert!(verdicts[0].accepted, "{}", verdicts[0].error);
        assert!(verdicts[1].error.contains("unknown authority"), "{}", verdicts[1].error);
        Ok(())
    }

    #[test]
    fn bundles_documents_tokens_and_filters_are_judged() -> Result<()> {
        let opinion = GoOpinion::install()?;
        let glued = CertificateAuthority::new("one")?.issue(&Leaf::loopback())?.authority_pem;
        let glued = format!("{}{}", glued.trim_end(), glued);
        let accepted = |verdicts: Vec<GoVerdict>| verdicts.iter().map(|it| it.accepted).collect::<Vec<_>>();
        assert_eq!(accepted(opinion.bundles(&[glued])?), [false], "two files without a line break");

        let issuer = "https://login.example.com".to_owned();
        let document = |issuer: &str| format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys"}}"#);
        let cases = [
            DiscoveryCase { issuer: issuer.clone(), document: document(&issuer) },
            DiscoveryCase { issuer: format!("{issuer}/"), document: document(&issuer) },
        ];
        assert_eq!(accepted(opinion.discovery_documents(&cases)?), [true, false]);

        let case = TokenCase {
            issuer,
            audience: "wandb".to_owned(),
            key_set: r#"{"keys": []}"#.to_owned(),
            token: "no.token.atall".to_owned(),
            algorithms: Vec::new(),
            now: 0,
        };
        assert_eq!(accepted(opinion.tokens(&[case])?), [false]);
        let filters = ["(mail=alice@example.org)", "(mail=alice"].map(str::to_owned);
        assert_eq!(accepted(opinion.filters(&filters)?), [true, false]);
        Ok(())
    }
}
