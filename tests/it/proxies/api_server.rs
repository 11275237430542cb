//! The way to an API server from outside of its cluster, as kubectl takes it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kube::config::Kubeconfig;
use test_support::{CertificateAuthority, ControlPlane, ForwardProxy, Leaf, User, Workspace};

use super::{IN_URL, PASSWORD, USER};
use crate::{
    command_line::call::{Directory, Printed},
    world::{certificate, oidc_provider, provider, put_references, workspace},
};

/// A kubeconfig in which only a proxy knows the API server's name, perhaps with a proxy of its own; and where that server
/// is.
async fn kubeconfig(workspace: &Workspace, proxy: Option<&str>) -> Result<(String, SocketAddr)> {
    let path = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let mut kubeconfig = Kubeconfig::read_from(path)?;
    let named = kubeconfig.clusters.first_mut().context("a kubeconfig has a cluster")?;
    let cluster = named.cluster.as_mut().context("a cluster has an address")?;
    let server = cluster.server.take().context("a cluster has a server")?;
    let address = server.trim_start_matches("https://").trim_end_matches('/').parse()?;
    cluster.server = Some("https://kube.corp.test".to_owned());
    cluster.tls_server_name = Some("127.0.0.1".to_owned());
    cluster.proxy_url = proxy.map(str::to_owned);
    for context in kubeconfig.contexts.iter_mut().filter_map(|named| named.context.as_mut()) {
        context.namespace = Some(workspace.namespace().to_owned());
    }
    Ok((serde_yaml::to_string(&kubeconfig)?, address))
}

/// Checks a resource whose references are read from the cluster.
async fn check(
    workspace: &Workspace,
    proxy_url: Option<&str>,
    variables: &[(&'static str, String)],
) -> Result<Printed> {
    let (kubeconfig, _) = kubeconfig(workspace, proxy_url).await?;
    let certificate = certificate()?;
    let provider = provider(&certificate)?;
    put_references(workspace, &certificate).await?;
    let resource = oidc_provider(provider.issuer(), "");
    let mut files = Directory::with(&[("main.yaml", &resource), ("kubeconfig", &kubeconfig)])?;
    let path = files.path().join("kubeconfig").display().to_string();
    files = files.variable("KUBECONFIG", path);
    for (name, value) in variables {
        files = files.variable(name, value.clone());
    }
    let printed = files.call("check -f main.yaml --from-cluster")?;
    for secret in [USER, PASSWORD, IN_URL] {
        ensure!(!printed.stdout.contains(secret) && !printed.stderr.contains(secret), "{printed}");
    }
    Ok(printed)
}

#[tokio::test]
async fn a_kubeconfig_is_used_through_the_proxy_of_the_environment_or_its_own() -> Result<()> {
    let workspace = workspace().await?;
    let (_, address) = kubeconfig(&workspace, None).await?;
    let start =
        || ForwardProxy::builder().credentials(USER, PASSWORD).server("kube.corp.test:443", address).start();

    let proxy = start()?;
    let printed =
        check(&workspace, None, &[("HTTPS_PROXY", proxy.url_with(IN_URL)), ("NO_PROXY", "a.test,,".into())])
            .await?;
    ensure!(printed.code == 0, "{printed}");
    assert_eq!(proxy.asked(), ["CONNECT kube.corp.test:443"]);

    // Its own comes first, and has no exceptions.
    let (own, other) = (start()?, start()?);
    let variables = [("HTTPS_PROXY", other.url()), ("NO_PROXY", "*".to_owned())];
    let printed = check(&workspace, Some(&own.url_with(IN_URL)), &variables).await?;
    ensure!(printed.code == 0, "{printed}");
    assert_eq!((own.asked().len(), other.connections()), (1, 0));

    let excepted = start()?;
    let variables = [("HTTPS_PROXY", excepted.url_with(IN_URL)), ("NO_PROXY", ".corp.test".to_owned())];
    let printed = check(&workspace, None, &variables).await?;
    ensure!(printed.code == 2 && excepted.connections() == 0, "{printed}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_without_its_credentials() -> Result<()> {
    let workspace = workspace().await?;
    let (_, address) = kubeconfig(&workspace, None).await?;
    let proxy = ForwardProxy::builder()
        .credentials("another", "one")
        .server("kube.corp.test:443", address)
        .start()?;
    let printed = check(&workspace, None, &[("HTTPS_PROXY", proxy.url_with(IN_URL))]).await?;
    ensure!(
        printed.code == 2 && printed.stderr.contains("does not accept the credentials in its URL"),
        "{printed}"
    );
    let printed =
        check(&workspace, None, &[("HTTPS_PROXY", format!("socks5://{IN_URL}@127.0.0.1:1"))]).await?;
    ensure!(printed.code == 2 && printed.stderr.contains("speaks with proxies by HTTP"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn tls_with_the_proxy_of_a_kubeconfig_is_verified_by_the_systems_authorities() -> Result<()> {
    let workspace = workspace().await?;
    let (_, address) = kubeconfig(&workspace, None).await?;
    let certificate = CertificateAuthority::new("authority of the proxy")?.issue(&Leaf::loopback())?;
    let proxy =
        ForwardProxy::builder().certificate(&certificate).server("kube.corp.test:443", address).start()?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, &certificate.authority_pem)?;
    let trusted = ("SSL_CERT_FILE", file.path().display().to_string());
    let printed = check(&workspace, None, &[("HTTPS_PROXY", proxy.url()), trusted]).await?;
    ensure!(printed.code == 0, "{printed}");
    let printed = check(&workspace, None, &[("HTTPS_PROXY", proxy.url())]).await?;
    ensure!(printed.code == 2 && printed.stderr.contains("No TLS with the proxy"), "{printed}");
    Ok(())
}
