//! Real directories with certificates that are out of the ordinary.

use anyhow::{Context, Result, ensure};
use test_support::{
    Certificate, CertificateAuthority, Leaf, Operator, Slapd, Workspace,
    certificate_draft::{Draft, DraftKey, pem},
    condition,
};

use crate::world::{PASSWORD, directory, ldap_config, operator, program, put_authority, workspace};

const HOST: &str = "127.0.0.1";

/// A server's certificates with its key, and a bundle.
fn certificate(presented: &[Vec<u8>], key: &DraftKey, bundle: &[u8]) -> Result<Certificate> {
    use base64::Engine;
    let key = base64::engine::general_purpose::STANDARD.encode(key.pkcs8().context("no private key")?);
    Ok(Certificate {
        certificate_pem: presented.iter().map(|certificate| pem(certificate)).collect(),
        key_pem: format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
        authority_pem: pem(bundle),
    })
}

/// A namespace with an operator and an `LdapConfig` for a directory with this certificate.
async fn applied(certificate: &Certificate) -> Result<(Workspace, Operator, Slapd)> {
    let slapd = directory(certificate)?;
    let workspace = workspace().await?;
    let operator = operator(&workspace)?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    put_authority(&workspace, certificate).await?;
    workspace.apply(&ldap_config(&slapd.ldaps_url()?, "")).await?;
    Ok((workspace, operator, slapd))
}

/// The message of the check of the certificate.
async fn tls_message(workspace: &Workspace) -> Result<String> {
    let status = workspace.status("LdapConfig", "corp").await?;
    let checks = status.get("checks").and_then(serde_json::Value::as_array).context("no checks")?;
    let check = checks.iter().find(|check| check["name"] == "TlsVerifies").context("no check")?;
    Ok(format!("{} {}: {}", check["result"], check["reason"], check["message"]).replace('"', ""))
}

#[tokio::test]
async fn the_servers_own_certificate_in_the_bundle_makes_it_ready() -> Result<()> {
    let key = DraftKey::p256()?;
    // As `openssl req -x509` makes it.
    let own = Draft::server(HOST).basic_constraints(Some(true), None).self_signed(&key)?;
    let (workspace, _operator, _slapd) =
        applied(&certificate(std::slice::from_ref(&own), &key, &own)?).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.delete().await
}

#[tokio::test]
async fn an_expired_root_above_a_valid_server_is_named() -> Result<()> {
    let (root, key) = (DraftKey::p256()?, DraftKey::p256()?);
    let authority = Draft::authority("Corp Root").until_in_days(-1).self_signed(&root)?;
    let server = Draft::server(HOST).issued(&key, "Corp Root", &root)?;
    let (workspace, _operator, slapd) = applied(&certificate(&[server], &key, &authority)?).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "CertificateExpired").await?;
    let message = condition(&status, "Ready").context("no condition")?["message"].to_string();
    ensure!(message.contains("authority's certificate (CN=Corp Root) in tls.caBundle expired"), "{message}");
    ensure!(slapd.bind_attempts(Slapd::SERVICE_DN)? == 0, "a password went to a server that is not trusted");
    workspace.delete().await
}

#[tokio::test]
async fn a_root_that_is_no_authority_is_refused() -> Result<()> {
    let (root, key) = (DraftKey::p256()?, DraftKey::p256()?);
    let authority = Draft::of("Corp Root").basic_constraints(Some(false), None).self_signed(&root)?;
    let server = Draft::server(HOST).issued(&key, "Corp Root", &root)?;
    let (workspace, _operator, _slapd) = applied(&certificate(&[server], &key, &authority)?).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "UnknownAuthority").await?;
    let message = condition(&status, "Ready").context("no condition")?["message"].to_string();
    ensure!(message.contains("CA:TRUE"), "{message}");
    workspace.delete().await
}

#[tokio::test]
async fn authorities_and_intermediates_that_end_soon_are_warned_of() -> Result<()> {
    let [root, between, key] = [DraftKey::p256()?, DraftKey::p256()?, DraftKey::p256()?];
    let soon = |draft: Draft, is_soon: bool| if is_soon { draft.until_in_days(10) } else { draft };
    for (root_ends, between_ends, words) in [
        (true, false, "The authority's certificate (CN=Corp Root) in tls.caBundle is valid only until"),
        (
            false,
            true,
            "The intermediate certificate (CN=Corp Issuing) that the server sends is valid only until",
        ),
    ] {
        let authority = soon(Draft::authority("Corp Root"), root_ends).self_signed(&root)?;
        let intermediate =
            soon(Draft::authority("Corp Issuing"), between_ends).issued(&between, "Corp Root", &root)?;
        let server = Draft::server(HOST).issued(&key, "Corp Issuing", &between)?;
        let certificate = certificate(&[server, intermediate], &key, &authority)?;
        let (workspace, _operator, _slapd) = applied(&certificate).await?;
        workspace.wait_until_ready("LdapConfig", "corp").await?;
        let message = tls_message(&workspace).await?;
        ensure!(message.starts_with("Warning CertificateExpiresSoon"), "{message}");
        ensure!(message.contains(words), "{message}");
        workspace.delete().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_root_of_the_system_is_named() -> Result<()> {
    let (root, key) = (DraftKey::p256()?, DraftKey::p256()?);
    let authority = Draft::authority("System Root").until_in_days(-1).self_signed(&root)?;
    let server = Draft::server(HOST).issued(&key, "System Root", &root)?;
    let slapd = directory(&certificate(&[server], &key, &authority)?)?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), pem(&authority))?;
    let workspace = workspace().await?;
    let system = file.path().to_str().context("a path that is no text")?;
    let arguments = ["--allow-egress", "127.0.0.0/8"];
    let _operator = workspace.start_operator_in(program(), &arguments, &[("SSL_CERT_FILE", system)])?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    let config = ldap_config(&slapd.ldaps_url()?, "");
    let without_bundle: Vec<_> = config.lines().filter(|line| !line.contains("tls:")).collect();
    workspace.apply(&without_bundle.join("\n")).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "CertificateExpired").await?;
    let message = condition(&status, "Ready").context("no condition")?["message"].to_string();
    ensure!(message.contains("(CN=System Root) among the system's expired"), "{message}");
    workspace.delete().await
}

#[tokio::test]
async fn a_server_of_another_name_gets_advice_that_helps_wandb() -> Result<()> {
    let authority = CertificateAuthority::new("test authority")?;
    let certificate = authority.issue(&Leaf::loopback().only_for("ldap.example.com"))?;
    let (workspace, _operator, _slapd) = applied(&certificate).await?;
    let status = workspace.wait_for_reason("LdapConfig", "corp", "Verified", "NameMismatch").await?;
    let message = condition(&status, "Ready").context("no condition")?["message"].to_string();
    for part in ["is for ldap.example.com, not for the address 127.0.0.1", "Use a name of the certificate"] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    ensure!(!message.contains("serverName"), "{message}");
    workspace.delete().await
}
