//! Namespaces of manifests: `-n`, and Secrets that are elsewhere.

use anyhow::Result;
use insta::assert_snapshot;

use super::{call::Directory, verdicts::references};
use crate::world::{PASSWORD, certificate, ldap_config};

/// The manifest with a namespace written into it.
fn within(namespace: &str, manifest: &str) -> String {
    manifest.replace("metadata: {name: ", &format!("metadata: {{namespace: {namespace}, name: "))
}

#[test]
fn what_names_no_namespace_is_in_the_one_that_is_given() -> Result<()> {
    let resource = ldap_config("ldaps://127.0.0.1:1", "");
    let references = references(PASSWORD, &certificate()?);
    let files = Directory::with(&[
        ("corp.yaml", &resource),
        ("named.yaml", &within("team-a", &resource)),
        ("references.yaml", &references),
    ])?;
    for (words, namespace) in [
        ("render -f corp.yaml -f references.yaml", "default"),
        ("render -f corp.yaml -f references.yaml -n team-a", "team-a"),
        ("render -f named.yaml -f references.yaml --namespace team-a", "team-a"),
    ] {
        let printed = files.call(words)?;
        assert!(printed.stdout.contains(&format!("namespace: {namespace}\n")), "{printed}");
    }
    // The Secrets are in the default namespace then.
    assert_eq!(files.call("render -f named.yaml -f references.yaml")?.code, 2);
    Ok(())
}

#[test]
fn a_secret_in_another_namespace_is_named() -> Result<()> {
    let resource = ldap_config("ldaps://127.0.0.1:1", "");
    let secret = within(
        "team-b",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: ldap-bind}\nstringData: {password: x}\n",
    );
    let files = Directory::with(&[("corp.yaml", &resource), ("secret.yaml", &secret)])?;
    assert_snapshot!(files.call("check -f . -n team-a")?);
    let printed = files.call("render -f .")?;
    assert!(printed.stderr.contains("in the namespace team-b"), "{printed}");
    Ok(())
}
