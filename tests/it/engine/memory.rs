//! Servers that answer as much as is allowed, all at the same time.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value makes the field that is not there")]

use std::{collections::BTreeSet, sync::OnceLock};

use anyhow::{Result, ensure};
use kube::api::ListParams;
use serde_json::{Value, json};
use test_support::{
    Workspace,
    hostile::{HttpServer, Response, TcpServer},
};

use super::confined::{MemoryLimit, operator_after, peak};
use crate::{
    ldap::scripted::{
        BIND, BIND_RESPONSE, SEARCH_DONE, directory as scripted_directory, entry, is_base_search, result,
    },
    world::{ARGUMENTS, certificate, directory, eventually, ldap_config, put_references, workspace},
};

/// What the chart allows.
const LIMIT: u64 = 256 << 20;

/// Whose servers are greedy.
const KINDS: [&str; 3] = ["LdapConfig", "OidcProvider", "JwtIssuer"];

/// As many of each.
const OF_EACH_KIND: usize = 17;

/// Finds people whose entries are as large as entries may be, with as many values as they may have, and never comes
/// to the end.
fn greedy_directory() -> TcpServer {
    let value = "x".repeat(100);
    let one = entry("uid=alice,dc=example,dc=org", &vec![("mail", value.as_str()); 5_000]);
    scripted_directory(move |operation, arguments| match operation {
        BIND => vec![(BIND_RESPONSE, result(0, ""))],
        _ if is_base_search(arguments) => vec![one.clone(), (SEARCH_DONE, result(0, ""))],
        _ => vec![one.clone(), one.clone()],
    })
}

/// Has a document of 1 MiB with as many parts as one may have, and says nothing more.
fn greedy_issuer() -> Result<HttpServer> {
    let document = |issuer: &str| {
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code", "id_token"],
            "parts": vec![json!({"": 0}); 12_000],
        });
        let rest = (1 << 20) - document.to_string().len() - 100;
        document["filling"] = Value::from("x".repeat(rest));
        Response::json(&document)
    };
    // Made once: on a busy machine, servers that make it anew for each request would be too slow to be a danger.
    let made = OnceLock::new();
    HttpServer::plain(move |request| match request.header("host") {
        Some(host) if request.path.contains("well-known") => {
            made.get_or_init(|| document(&format!("http://{host}"))).clone()
        }
        _ => Response::silent(),
    })
}

fn resource(kind: &str, name: &str, mut spec: Value) -> String {
    for (field, value) in [("checkTimeout", json!("10s")), ("insecurePlaintext", json!(true))] {
        spec[field] = value;
    }
    let metadata = json!({"name": name});
    json!({"apiVersion": "auth.wandb.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
        .to_string()
}

/// What is told of all of them now, each message once.
async fn told(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut told = BTreeSet::new();
    for kind in KINDS {
        for resource in workspace.resources(kind)?.list(&ListParams::default()).await? {
            let checks = resource.data["status"]["checks"].as_array().cloned().unwrap_or_default();
            let messages = checks.iter().filter_map(|check| check["message"].as_str());
            told.extend(messages.map(str::to_owned));
        }
    }
    Ok(told)
}

#[tokio::test]
async fn fifty_servers_that_answer_as_much_as_is_allowed_do_not_end_the_process() -> Result<()> {
    ensure!(include_str!("../../../deploy/operator.yaml").contains("memory: 256Mi"), "the chart's limit");
    let certificate = certificate()?;
    let healthy = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let (mut directories, mut issuers) = (Vec::new(), Vec::new());
    for number in 0..OF_EACH_KIND {
        let name = format!("greedy-{number}");
        let server = greedy_directory();
        let address = format!("ldap://{}", server.address());
        workspace
            .apply(&resource("LdapConfig", &name, json!({"address": address, "baseDN": "dc=example,dc=org"})))
            .await?;
        directories.push(server);
        let (provider, issuer) = (greedy_issuer()?, greedy_issuer()?);
        let spec =
            json!({"issuer": provider.url(""), "clientID": "wandb", "host": "https://wandb.example.com"});
        workspace.apply(&resource("OidcProvider", &name, spec)).await?;
        workspace
            .apply(&resource("JwtIssuer", &name, json!({"issuer": issuer.url(""), "audiences": ["a"]})))
            .await?;
        issuers.extend([provider, issuer]);
    }

    let limit = MemoryLimit::new("wandb-auth-memory", LIMIT);
    if let Err(error) = &limit {
        eprintln!(
            "skipped: no group with a limit of memory here ({error:#}); the peak is looked at all the same"
        );
    }
    let scratch = tempfile::tempdir()?;
    let enter = limit.as_ref().map(MemoryLimit::enter).unwrap_or_default();
    let mut operator = workspace.start_operator(&operator_after(scratch.path(), &enter)?, &ARGUMENTS)?;
    for kind in KINDS {
        for number in 0..OF_EACH_KIND {
            let name = format!("greedy-{number}");
            let waiting =
                workspace.wait_for(kind, &name, |status| status["observedGeneration"] == json!(1)).await;
            ensure!(
                operator.process().exit_status()?.is_none(),
                "the operator ended: {:?}",
                operator.log().read()?
            );
            waiting?;
        }
    }
    // All of them were heard, and each of those who waited for memory in vain says so.
    ensure!(directories.iter().all(|server| server.connections() > 0));
    ensure!(issuers.iter().all(|server| server.connections() > 0));
    // On a busy machine they may come one after another at first.
    let waiting = eventually("one that got no memory, as together they are more than is allowed", || async {
        let told = told(&workspace).await?;
        Ok(told.iter().any(|message| message.contains("no memory to read it")).then_some(()))
    });
    if let Err(error) = waiting.await {
        return Err(error.context(format!("told was {:#?}", told(&workspace).await?)));
    }

    // Whoever answers as servers do that are well is heard meanwhile.
    workspace.apply(&ldap_config(&healthy.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    eventually("a second round", || async {
        Ok(directories.iter().all(|server| server.connections() > 1).then_some(()))
    })
    .await?;
    let peak = peak(&operator)?;
    ensure!(peak < LIMIT, "the operator had {} MiB", peak >> 20);
    eprintln!("the operator had {} MiB at most", peak >> 20);
    ensure!(operator.process().exit_status()?.is_none());
    ensure!(operator.get("/healthz")?.0 == 200);
    Ok(())
}
