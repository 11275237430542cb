//! The whole operator, as a process with no more rights than it needs, on a real API server.

use anyhow::{Context, Result};
use test_support::condition;

use crate::world::{
    certificate, directory, ldap_config, oidc_provider, operator, provider, put_references, workspace,
};

#[tokio::test]
async fn both_kinds_become_ready_and_publish() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.apply(&oidc_provider(provider.issuer(), "")).await?;
    let status = workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    assert!(condition(&status, "Stalled").is_none() && condition(&status, "Reconciling").is_none());
    assert_eq!(status["secretRef"]["name"], "corp-ldap");
    let address = workspace.secret_value("corp-ldap", "LOCAL_LDAP_ADDRESS").await?;
    assert_eq!(address.context("the address is published")?, directory.ldaps_url()?);
    let issuer = workspace.secret_value("main-oidc", "OIDC_ISSUER").await?;
    assert_eq!(issuer.context("the issuer is published")?, provider.issuer());
    Ok(())
}
