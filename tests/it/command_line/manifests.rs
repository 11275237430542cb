//! Manifests mean what they mean to the API server, which gets each of them as it stands.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use test_support::Workspace;

use super::call::Directory;
use crate::world::workspace;

const PASSWORD: &str = "hunter2-long";

const RESOURCE: &str = "\
apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {name: corp}
spec:
  address: ldaps://ldap.example.com
  baseDN: dc=example,dc=org
";

/// Sends a manifest to the API server as it stands; the refusal where there is one.
async fn post(workspace: &Workspace, path: &str, text: &str) -> Result<Result<Value, String>> {
    let namespace = workspace.namespace();
    let request = hyper::Request::post(path.replace("NAMESPACE", namespace))
        .header("content-type", "application/yaml")
        .body(text.as_bytes().to_vec())?;
    match workspace.client().request_text(request).await {
        Ok(answer) => Ok(Ok(serde_json::from_str(&answer)?)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn secrets_hold_what_the_api_server_stores() -> Result<()> {
    let workspace = workspace().await?;
    let path = "/api/v1/namespaces/NAMESPACE/secrets?dryRun=All&fieldValidation=Strict";
    let resource = format!(
        "{RESOURCE}  bind: {{dn: 'cn=a,dc=example,dc=org', passwordSecretRef: {{name: ldap, key: password}}}}\n"
    );
    for (data, is_taken) in [
        ("data: {password: aHVudGVyMi1sb25n}", true),
        ("data:\n  password: |\n    aHVudGVy\n    Mi1sb25n\n", true),
        ("data:\n  password: \"aHVu\\\n    dGVyMi1sb25n\"\n", true),
        ("data: {password: \"aHVudGVy\\r\\nMi1sb25n\\n\"}", true),
        ("data: {password: YQ==}\nstringData: {password: hunter2-long}", true),
        ("data: {password: null}\nstringData: {password: hunter2-long}", true),
        ("stringData: {<<: {password: hunter2-long}}", true),
        ("stringData: {other: &x hunter2-long, password: *x}", true),
        ("stringData: {password: ! hunter2-long}", true),
        ("stringData:\n  password: >-\n    hunter2-long\n", true),
        ("stringData: {\"password\": \"hunter2\\u002dlong\"}", true),
        // What either reads as something else is refused by both.
        ("data:\n  password: >\n    aHVudGVy\n    Mi1sb25n\n", false),
        ("data:\n  password: aHVudGVy\n    Mi1sb25n\n", false),
        ("data: {password: hunter2-long}", false),
        ("data: {password: aHVudGVyMi1sb25nMQ}", false),
        ("data: {password: 1234}", false),
        ("stringData: {password: 123456}", false),
        ("stringData: {password: yes}", false),
        ("stringData: {password: 0x1F}", false),
        ("stringData: {password: [hunter2-long]}", false),
        ("stringData: {password: a, password: hunter2-long}", false),
        ("stringData:\n\tpassword: hunter2-long", false),
    ] {
        let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: ldap}}\n{data}\n");
        let stored = post(&workspace, path, &secret).await?;
        let files = Directory::with(&[("corp.yaml", &resource), ("secret.yaml", &secret)])?;
        let printed = files.call("render -f . --reveal")?;
        assert_eq!(stored.is_ok(), is_taken, "{secret}: {stored:?}");
        assert_eq!(printed.code == 0, is_taken, "{secret}: {printed}");
        if let Ok(stored) = stored {
            let encoded = stored["data"]["password"].as_str().context("data")?;
            assert_eq!(BASE64_STANDARD.decode(encoded)?, PASSWORD.as_bytes());
            assert!(printed.stdout.contains(&format!("LOCAL_LDAP_BIND_PW: {PASSWORD}")), "{printed}");
        } else {
            assert!(!printed.stderr.contains("hunter2") && !printed.stderr.contains("1234"), "{printed}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn resources_are_taken_where_the_api_server_takes_them() -> Result<()> {
    let workspace = workspace().await?;
    let path =
        "/apis/auth.wandb.com/v1alpha1/namespaces/NAMESPACE/ldapconfigs?dryRun=All&fieldValidation=Strict";
    for (more, is_taken) in [
        ("login: yes", true),
        ("login: off", true),
        ("login: 'yes'", false),
        ("login: 1", false),
        ("checkInterval: 10m", true),
        ("checkInterval: 600", false),
        ("failureThreshold: 0x3", true),
        ("failureThreshold: 3.0", true),
        ("failureThreshold: '3'", false),
        ("groupAllowList: ['on']", true),
        ("groupAllowList: [on]", false),
        ("groupAllowList: [2024-01-31]", true),
        ("attributes: {email: mail, group: gidNumber, yes: cn}", true),
        ("attributes: {email: mail, group: no}", false),
        ("publishPolicy: Always", true),
        ("publishPolicy: !!str Always", true),
        ("publishPolicy: null", true),
        ("userSearch: &x {objectClass: person}\n  groupSearch: {<<: *x}", true),
        ("userSearch: {objectClass: person, objectClass: person}", false),
        ("testUsers:\n  - filter: |\n      (mail=alice@example.org)\n", true),
        ("testUsers:\n  - filter: |\n      mail=alice@example.org\n", false),
        ("nowhere: 1", false),
    ] {
        let text = format!("{RESOURCE}  {more}\n");
        let stored = post(&workspace, path, &text).await?;
        let printed = Directory::with(&[("corp.yaml", &text)])?.call("render -f corp.yaml")?;
        assert_eq!(stored.is_ok(), is_taken, "{text}: {stored:?}");
        assert_eq!(printed.code == 0, is_taken, "{text}: {printed}");
    }
    Ok(())
}

#[test]
fn files_of_every_form_are_read() -> Result<()> {
    let wide: Vec<u8> = format!("\u{feff}{RESOURCE}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = format!(
        "{}",
        serde_json::json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig", "metadata": {"name": "corp"},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"},
        })
    );
    let indented = format!("  {}\n", RESOURCE.trim_end().replace('\n', "\n  "));
    let item = format!("-{}", indented.get(1..).unwrap_or_default());
    let list = format!("apiVersion: v1\nkind: List\nmetadata: {{}}\nitems:\n{item}");
    for text in [
        RESOURCE.to_owned().into_bytes(),
        wide,
        format!("\u{feff}{}", RESOURCE.replace('\n', "\r\n")).into_bytes(),
        format!("# nothing\n---\n---\n{RESOURCE}---\n").into_bytes(),
        json.clone().into_bytes(),
        json.replace('{', "{\n\t").into_bytes(),
        format!("{json}\n{{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}}\n").into_bytes(),
        list.clone().into_bytes(),
        list.replace("v1\nkind: List", "auth.wandb.com/v1alpha1\nkind: LdapConfigList")
            .replace(
                "- apiVersion: auth.wandb.com/v1alpha1\n    kind: LdapConfig\n    metadata",
                "- metadata",
            )
            .into_bytes(),
    ] {
        let files = Directory::with(&[])?;
        std::fs::write(files.path().join("corp.yaml"), &text)?;
        let printed = files.call("render -f corp.yaml")?;
        assert!(printed.stdout.contains("name: corp-ldap"), "{printed}\n{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
