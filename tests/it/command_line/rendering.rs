//! `render` and `crd`.

use anyhow::Result;
use insta::assert_snapshot;

use super::{
    call::Directory,
    verdicts::{JWT_ISSUER, references},
};
use crate::service_account::service_account;
use crate::world::{CLIENT_SECRET, PASSWORD, certificate, ldap_config, oidc_provider};

#[test]
fn values_are_masked_unless_they_are_asked_for() -> Result<()> {
    let files = Directory::with(&[
        ("corp.yaml", &ldap_config("ldaps://ldap.example.com", "groupAllowList: [wandb]")),
        ("main.yaml", &oidc_provider("https://login.example.com/realms/main", "")),
        ("references.yaml", &references(PASSWORD, &certificate()?)),
    ])?;
    let masked = files.call("render -f .")?;
    masked.assert_no_secret();
    assert!(masked.stdout.contains("LOCAL_LDAP_BIND_PW: \"********\""), "{masked}");
    assert!(masked.stdout.contains("LOCAL_LDAP_ADDRESS: ldaps://ldap.example.com"), "{masked}");
    assert_snapshot!(masked);
    let revealed = files.call("render -f . --reveal")?;
    for value in
        [PASSWORD, CLIENT_SECRET, "ldaps://ldap.example.com", "https://login.example.com/realms/main"]
    {
        assert!(revealed.stdout.contains(value), "{value} is missing in {revealed}");
    }
    assert_eq!((masked.code, revealed.code), (0, 0));
    Ok(())
}

#[test]
fn a_target_is_shown_what_it_gets() -> Result<()> {
    let references = references(PASSWORD, &certificate()?);
    for (name, target) in [
        ("deployment", "target: {deployment: {name: wandb, container: local}}"),
        ("stateful_set", "target: {statefulSet: {name: wandb}}"),
        ("weights_and_biases", "target: {weightsAndBiases: {name: wandb}}"),
        (
            "several",
            "target: {deployment: {name: api, container: api}, additionalContainers: [{statefulSet: {name: app}}, {deployment: {name: api, container: beside}}]}",
        ),
    ] {
        let files = Directory::with(&[
            ("corp.yaml", &ldap_config("ldaps://ldap.example.com", target)),
            ("main.yaml", &oidc_provider("https://login.example.com/realms/main", target)),
            ("references.yaml", &references),
        ])?;
        let ldap = files.call("render -f corp.yaml -f references.yaml")?;
        ldap.assert_no_secret();
        assert_snapshot!(format!("a_target_is_shown_what_it_gets_{name}"), ldap);
        let oidc = files.call("render -f main.yaml -f references.yaml")?;
        oidc.assert_no_secret();
        assert_snapshot!(format!("a_target_is_shown_what_it_gets_{name}_oidc"), oidc);
    }
    Ok(())
}

/// What a person wires by hand is complete: the authorities of `tls.caBundle` are a file in the pod.
#[test]
fn authorities_are_rendered_with_their_volume_and_mount() -> Result<()> {
    let files = Directory::with(&[
        ("main.yaml", &oidc_provider("https://login.example.com/realms/main", "")),
        ("references.yaml", &references(PASSWORD, &certificate()?)),
    ])?;
    let printed = files.call("render -f .")?;
    for words in [
        "mountPath: /usr/local/share/ca-certificates/wandb-auth-oidc-main.crt",
        "subPath: ca.crt",
        "secretName: main-oidc",
    ] {
        assert!(printed.stdout.contains(words), "{words} is missing in {printed}");
    }
    assert_snapshot!("authorities", printed);
    Ok(())
}

#[test]
fn audiences_are_rendered_without_any_token() -> Result<()> {
    let files = Directory::with(&[("main.yaml", JWT_ISSUER)])?;
    let printed = files.call("render -f main.yaml --reveal")?;
    assert!(printed.stdout.contains("FEDERATED_AUTH_AUDIENCES: my-org"), "{printed}");
    assert_eq!(printed.code, 0);
    Ok(())
}

#[test]
fn what_programs_get_is_rendered_with_where_it_goes() -> Result<()> {
    let key = "local-0123456789abcdef0123456789abcdef01234567";
    let account = service_account("ci", "http://wandb.example.com", "", "attribution: {username: alice}");
    let secret =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: sa-key}}\nstringData: {{key: {key}}}\n");
    let files = Directory::with(&[("ci.yaml", &account), ("key.yaml", &secret)])?;
    let masked = files.call("render -f .")?;
    assert!(!masked.stdout.contains(key), "{masked}");
    assert_snapshot!(masked);
    let revealed = files.call("render -f . --reveal")?;
    assert!(revealed.stdout.contains(&format!("WANDB_API_KEY: {key}")), "{revealed}");
    Ok(())
}

#[test]
fn the_definitions_are_yaml_that_can_be_applied() -> Result<()> {
    let printed = Directory::with(&[])?.call("crd")?;
    let kinds: Vec<_> = printed.stdout.lines().filter(|line| line.starts_with("kind: ")).collect();
    assert_eq!(kinds, ["kind: CustomResourceDefinition"; 4]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    Ok(())
}
