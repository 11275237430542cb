//! A Secret's value that is not the value is refused before it is sent once.

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use insta::assert_snapshot;
use serde_json::json;
use test_support::Slapd;

use super::{call::Directory, verdicts::references};
use crate::world::{PASSWORD, certificate, directory, ldap_config};

/// The references with this text as the bind password.
fn with_password(references: &str, password: &str) -> String {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ldap-bind"},
        "stringData": {"password": password},
    });
    format!("{references}---\n{secret}\n")
}

#[test]
fn what_is_not_the_password_is_never_sent() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let resource = ldap_config(&ldap.ldaps_url()?, "");
    let references = references(PASSWORD, &certificate);
    for (name, value) in [
        ("encoded_twice", BASE64_STANDARD.encode(PASSWORD)),
        ("encoded_twice_with_a_line_break", BASE64_STANDARD.encode(format!("{PASSWORD}\n"))),
        ("encrypted", "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]".to_owned()),
        ("byte_order_mark", format!("\u{feff}{PASSWORD}")),
        ("zero_width", format!("{PASSWORD}\u{200b}")),
        ("reference", "<path:secret/data/ldap#password>".to_owned()),
        ("template", "${LDAP_PASSWORD}".to_owned()),
    ] {
        let files = Directory::with(&[
            ("corp.yaml", &resource),
            ("references.yaml", &with_password(&references, &value)),
        ])?;
        let printed = files.call("check -f .")?;
        printed.assert_no_secret();
        assert!(!printed.stdout.contains(&value), "{printed}");
        assert_eq!((printed.code, ldap.bind_attempts(Slapd::SERVICE_DN)?), (2, 0), "{printed}");
        assert_snapshot!(name, printed);
    }
    Ok(())
}

#[test]
fn a_password_that_looks_wrong_is_tried_where_somebody_asks_for_it() -> Result<()> {
    let certificate = certificate()?;
    let password = BASE64_STANDARD.encode(PASSWORD);
    let ldap = Slapd::builder(&password).certificate(&certificate).start()?;
    let resource = ldap_config(&ldap.ldaps_url()?, "");
    let annotated =
        resource.replacen("metadata: {", "metadata: {annotations: {auth.wandb.com/recheck: once}, ", 1);
    ensure!(annotated != resource, "{resource}");
    let references = references(&password, &certificate);
    for (resource, code, reason) in [(&resource, 2, "InvalidValue"), (&annotated, 0, "DoubtfulValue")] {
        let files = Directory::with(&[("corp.yaml", resource), ("references.yaml", &references)])?;
        let printed = files.call("check -f . -o json")?;
        assert_eq!(printed.code, code, "{printed}");
        assert!(printed.stdout.contains(reason), "{printed}");
    }
    Ok(())
}

#[test]
fn a_password_that_is_base64_by_chance_passes() -> Result<()> {
    let certificate = certificate()?;
    for (password, reason) in [("q83vASNFZ4mrze8B", "Passed"), ("c2VjcmV0", "DoubtfulValue")] {
        let ldap = Slapd::builder(password).certificate(&certificate).start()?;
        let files = Directory::with(&[
            ("corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
            ("references.yaml", &references(password, &certificate)),
        ])?;
        let printed = files.call("check -f . -o json")?;
        let checks = printed.json()?;
        assert_eq!(printed.code, 0, "{printed}");
        assert_eq!(
            (&checks[0]["checks"][0]["name"], &checks[0]["checks"][0]["reason"]),
            (&json!("SecretValues"), &json!(reason))
        );
    }
    Ok(())
}
