//! The stand-in server, given what a published Secret has, against a real directory.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, Result};
use test_support::{
    Certificate, CertificateAuthority, Leaf, Slapd, StandInServer, pods::ContainerInputs, process::PATIENCE,
    stand_in_server::log_in,
};

const PASSWORD: &str = "service-password";
const CA_FILE: &str = "/usr/local/share/ca-certificates/corp-ldap.crt";

fn directory() -> Result<(Slapd, Certificate)> {
    let certificate = CertificateAuthority::new("directory")?.issue(&Leaf::loopback())?;
    Ok((Slapd::builder(PASSWORD).certificate(&certificate).start()?, certificate))
}

/// What the container has where the values of a Secret are delivered to it.
fn inputs(slapd: &Slapd, certificate: &Certificate) -> Result<ContainerInputs> {
    let address = slapd.ldaps_url()?;
    let environment = [
        ("HOST", "https://wandb.example.com"),
        ("LOCAL_LDAP_ADDRESS", &address),
        ("LOCAL_LDAP_BASE_DN", Slapd::SUFFIX),
        ("LOCAL_LDAP_BIND_DN", Slapd::SERVICE_DN),
        ("LOCAL_LDAP_BIND_PW", PASSWORD),
        ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=memberOf"),
        ("LOCAL_LDAP_TLS_ENABLE", "true"),
        ("LOCAL_LDAP_LOGIN", "true"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let files = BTreeMap::from([(CA_FILE.to_owned(), certificate.authority_pem.clone().into_bytes())]);
    Ok(ContainerInputs { environment: environment.into(), files })
}

fn set(inputs: &mut ContainerInputs, name: &str, value: &str) {
    inputs.environment.insert(name.to_owned(), value.to_owned());
}

fn statuses(address: SocketAddr, people: &[&str]) -> Result<Vec<u16>> {
    let log_in = |uid: &&str| log_in(address, &format!("{uid}@example.org"), &format!("{uid}-password"));
    people.iter().map(log_in).collect()
}

#[test]
fn people_log_in_with_their_own_password() -> Result<()> {
    let (slapd, certificate) = directory()?;
    let mut server = StandInServer::start(&inputs(&slapd, &certificate)?)?;
    let address = server.wait_until_serving(PATIENCE)?;
    assert_eq!(statuses(address, &["alice", "carol", "nobody"])?, [200, 200, 401]);
    assert_eq!(log_in(address, "alice@example.org", "wrong")?, 401);
    assert_eq!(log_in(address, "alice@example.org", "")?, 401);
    assert_eq!(log_in(address, "*", "alice-password")?, 401);
    Ok(())
}

#[test]
fn only_members_of_allowed_groups_log_in() -> Result<()> {
    let (slapd, certificate) = directory()?;
    for (list, attribute, expected) in [
        ("cn=wandb,ou=groups,dc=example,dc=org", "memberOf", [200, 403]),
        ("wandb", "gidNumber", [200, 403]),
        ("developers", "memberOf", [200, 403]),
        // It is everybody's primary group.
        ("developers", "gidNumber", [200, 200]),
        ("empty,none", "gidNumber", [403, 403]),
    ] {
        let mut inputs = inputs(&slapd, &certificate)?;
        set(&mut inputs, "LOCAL_LDAP_GROUP_ALLOW_LIST", list);
        set(&mut inputs, "LOCAL_LDAP_ATTRIBUTES", &format!("email=mail,group={attribute}"));
        let mut server = StandInServer::start(&inputs)?;
        let address = server.wait_until_serving(PATIENCE)?;
        assert_eq!(statuses(address, &["alice", "carol"])?, expected, "{list}");
    }
    Ok(())
}

#[test]
fn start_tls_is_asked_for_where_tls_is_on() -> Result<()> {
    let (slapd, certificate) = directory()?;
    let mut inputs = inputs(&slapd, &certificate)?;
    set(&mut inputs, "LOCAL_LDAP_ADDRESS", &slapd.ldap_url());
    let mut server = StandInServer::start(&inputs)?;
    let address = server.wait_until_serving(PATIENCE)?;
    assert_eq!(statuses(address, &["alice"])?, [200]);
    assert!(slapd.log().contains("STARTTLS")?);
    Ok(())
}

#[test]
fn it_ends_where_it_cannot_bind_and_says_why() -> Result<()> {
    let (slapd, certificate) = directory()?;
    let complete = inputs(&slapd, &certificate)?;
    let without_authority = ContainerInputs { files: BTreeMap::new(), ..complete.clone() };
    let mut wrong_password = complete.clone();
    set(&mut wrong_password, "LOCAL_LDAP_BIND_PW", "wrong");
    let mut without_base = complete;
    set(&mut without_base, "LOCAL_LDAP_BASE_DN", "");
    for (inputs, message) in [
        (without_authority, "UnknownIssuer"),
        (wrong_password, "invalidCredentials"),
        (without_base, "LOCAL_LDAP_BASE_DN is not set"),
    ] {
        let mut server = StandInServer::start(&inputs)?;
        let error = server.wait_until_serving(PATIENCE).err().context("it serves")?;
        let error = format!("{error:#}");
        assert!(error.contains("fatal: ") && error.contains(message), "{error}");
        assert_eq!(server.exit_code()?, Some(1));
    }
    Ok(())
}

#[test]
fn nobody_logs_in_before_login_is_on() -> Result<()> {
    let (slapd, certificate) = directory()?;
    let mut configured = inputs(&slapd, &certificate)?;
    set(&mut configured, "LOCAL_LDAP_LOGIN", "false");
    for inputs in [configured, ContainerInputs::default()] {
        let mut server = StandInServer::start(&inputs)?;
        let address = server.wait_until_serving(PATIENCE)?;
        assert_eq!(statuses(address, &["alice"])?, [401]);
    }
    Ok(())
}
