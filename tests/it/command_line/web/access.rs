//! Who gets the page: browsers of this machine that have its address, with what its owner may see.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use test_support::{ControlPlane, User, Workspace, free_port};

use super::{ServedPage, places, wait_for_state, wait_for_text};
use crate::{
    command_line::{call::Directory, status::limited},
    world::{ldap_config, oidc_provider, workspace},
};

/// A namespace with an `LdapConfig` and an `OidcProvider` that nobody looks at.
async fn two_resources() -> Result<Workspace> {
    let workspace = workspace().await?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    workspace.apply(&oidc_provider("https://login.example.com", "")).await?;
    Ok(workspace)
}

/// The head of the answer to a request of these lines.
fn head(page: &ServedPage, request_line: &str, host: &str) -> Result<String> {
    let socket = page.address.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut stream = TcpStream::connect(socket)?;
    write!(stream, "{request_line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, _) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    Ok(head.to_lowercase())
}

#[tokio::test]
async fn only_the_whole_address_is_answered() -> Result<()> {
    let workspace = two_resources().await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let (socket, secret) = page
        .address
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .split_once('/')
        .context("the address has a path")?;
    ensure!(secret.len() >= 32, "{secret}");
    for (request, host, status) in [
        (format!("GET /{secret}/"), socket, "200"),
        (format!("GET /{secret}/page.js"), socket, "200"),
        (format!("GET /{secret}/nothing"), socket, "404"),
        ("GET /".to_owned(), socket, "403"),
        ("GET /feed".to_owned(), socket, "403"),
        (format!("GET /{}/feed", secret.to_lowercase()), socket, "403"),
        // A name of somebody else's that leads to this machine.
        (format!("GET /{secret}/"), "rebound.example", "421"),
        (format!("GET /{secret}/feed"), "rebound.example:80", "421"),
        (format!("POST /{secret}/"), socket, "405"),
    ] {
        let head = head(&page, &request, host)?;
        ensure!(head.starts_with(&format!("http/1.1 {status} ")), "{request} {host}: {head}");
        for line in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            ensure!(head.contains(line), "no {line} in {head}");
        }
        ensure!(!head.contains("access-control-allow"), "{head}");
    }
    Ok(())
}

#[tokio::test]
async fn it_listens_on_loopback_alone_and_where_it_is_told() -> Result<()> {
    let workspace = two_resources().await?;
    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let port = free_port()?;
    let page = ServedPage::start(kubeconfig, &["-n", workspace.namespace(), "--port", &port.to_string()])?;
    ensure!(page.address.starts_with(&format!("http://127.0.0.1:{port}/")), "{}", page.address);
    let listening: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            let rows = table.lines().skip(1).map(|row| row.split_whitespace().skip(1).take(3).collect());
            rows.map(|row: Vec<_>| row.join(" ")).collect::<Vec<_>>()
        })
        .filter(|row| row.contains(&format!(":{port:04X} ")) && row.ends_with(" 0A"))
        .collect();
    // 127.0.0.1 in the byte order of the table.
    ensure!(matches!(listening.as_slice(), [one] if one.starts_with("0100007F:")), "{listening:?}");

    let person = Directory::with(&[])?.variable("KUBECONFIG", kubeconfig.display().to_string());
    let again = person.call(&format!("status --web --port {port} -n {}", workspace.namespace()))?;
    ensure!(again.code == 2 && again.stderr.contains("choose another --port"), "{again}");
    let both = person.call("status --web --watch")?;
    ensure!(both.code == 2 && both.stderr.contains("cannot be used with"), "{both}");
    let nowhere = person.call("status --port 1")?;
    ensure!(nowhere.code == 2 && nowhere.stderr.contains("--web"), "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn people_see_what_they_may_see() -> Result<()> {
    let workspace = two_resources().await?;
    let rule = |resources: &[&str], verbs: &[&str]| json!([{"apiGroups": ["auth.wandb.com"], "resources": resources, "verbs": verbs}]);
    // Without the right to watch, changes are still seen.
    let kubeconfig = limited(&workspace, rule(&["ldapconfigs"], &["list"])).await?;
    let page = ServedPage::start(kubeconfig.path(), &["-n", workspace.namespace()])?;
    let browser = page.browser()?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;
    let told = format!(
        "Left out, since you have no right to list them in the namespace {}: JwtIssuers, OidcProviders, Secrets, ServiceAccounts, events.",
        workspace.namespace()
    );
    wait_for_text(&browser, &told)?;
    ensure!(places(&browser)?.iter().all(|[caption, ..]| caption != "OidcProvider"));
    let conditions = json!([{"type": "Ready", "status": "Unknown", "reason": "Suspended", "message": "Off.", "lastTransitionTime": "2020-01-15T09:00:00Z"}]);
    let status = json!({"status": {"conditions": conditions, "observedGeneration": 1}});
    let api = workspace.resources("LdapConfig")?;
    api.patch_status("corp", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&status)).await?;
    wait_for_state(&browser, "LdapConfig", "corp", "–suspended")?;

    // A namespace of which nothing may be read is told, and not shown as an empty one.
    let kubeconfig = limited(&workspace, rule(&["nothing"], &["list"])).await?;
    let page = ServedPage::start(kubeconfig.path(), &["-n", workspace.namespace()])?;
    browser.open(&page.address)?;
    wait_for_text(&browser, "Left out, since you have no right to list them")?;
    let text = browser.text()?;
    ensure!(text.contains("LdapConfigs") && !text.contains("There is no LdapConfig"), "{text}");
    assert_eq!(places(&browser)?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn nothing_and_everything_are_pages_too() -> Result<()> {
    let workspace = workspace().await?;
    let page = ServedPage::of(workspace.namespace()).await?;
    let browser = page.browser()?;
    wait_for_text(&browser, "There is no LdapConfig, OidcProvider, JwtIssuer or ServiceAccount")?;
    workspace.apply(&ldap_config("ldaps://ldap.example.com", "")).await?;
    wait_for_state(&browser, "LdapConfig", "corp", "!not looked at yet")?;

    let kubeconfig = ControlPlane::shared().await?.kubeconfig(User::Admin);
    let all = ServedPage::start(kubeconfig, &["-A"])?;
    browser.open(&all.address)?;
    wait_for_text(&browser, "All namespaces")?;
    wait_for_text(&browser, &format!("{}: Secret only, without a target", workspace.namespace()))
}
