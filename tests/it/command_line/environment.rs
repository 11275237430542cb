//! `check --from-environment`: the variables and files of a server, as a copy of its pod has them.

use std::fs;

use anyhow::{Context, Result};
use insta::assert_snapshot;
use serde_json::Value;
use test_support::{Certificate, OpenIdProvider, Slapd, hostile::TcpServer};
use wandb_auth_operator::{
    api::CheckResult,
    probe::{MESSAGE_LIMIT, ProbeVerdict},
};

use super::{
    call::{Directory, PLANTED, Printed},
    verdicts::references,
};
use crate::world::{
    CLIENT_SECRET, HOST, PASSWORD, certificate, directory, ldap_config, oidc_provider, provider,
};

/// Where the image of W&B Server looks for authorities at its start, in the tests' own file system.
const AUTHORITY: &str = "root/usr/local/share/ca-certificates/authority.crt";

const COMMAND: &str = "check --from-environment --root root";

type Environment = Vec<(&'static str, String)>;

/// The variables of a server with this directory.
fn with_directory(ldap: &Slapd, password: &str) -> Result<Environment> {
    Ok(vec![
        ("LOCAL_LDAP_ADDRESS", ldap.ldaps_url()?),
        ("LOCAL_LDAP_BASE_DN", Slapd::SUFFIX.to_owned()),
        ("LOCAL_LDAP_BIND_DN", Slapd::SERVICE_DN.to_owned()),
        ("LOCAL_LDAP_BIND_PW", password.to_owned()),
        ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber".to_owned()),
        ("LOCAL_LDAP_TLS_ENABLE", "true".to_owned()),
        ("LOCAL_LDAP_LOGIN", "true".to_owned()),
    ])
}

/// The variables of a server with this provider, as the split services have them.
fn with_provider(oidc: &OpenIdProvider) -> Environment {
    vec![
        ("GORILLA_OIDC_ISSUER", oidc.issuer().to_owned()),
        ("GORILLA_OIDC_CLIENT_ID", "wandb".to_owned()),
        ("GORILLA_OIDC_SECRET", CLIENT_SECRET.to_owned()),
        ("GORILLA_AUTH_METHOD", "pkce".to_owned()),
        ("GORILLA_FRONTEND_HOST", HOST.to_owned()),
    ]
}

/// A place with these variables, in which the image trusts the certificate's authority.
fn place(environment: &Environment, certificate: &Certificate) -> Result<Directory> {
    let files = Directory::with(&[(AUTHORITY, &certificate.authority_pem)])?;
    Ok(environment.iter().fold(files, |files, (name, value)| files.variable(name, value.clone())))
}

/// The same variables with another value for one of them.
fn changed(mut environment: Environment, name: &'static str, value: &str) -> Environment {
    environment.retain(|(known, _)| *known != name);
    environment.push((name, value.to_owned()));
    environment
}

/// The findings of a kind, by the name of the check.
fn finding(printed: &Printed, kind: &str, check: &str) -> Result<Value> {
    let json = printed.json()?;
    let mut kinds = json.as_array().into_iter().flatten();
    let kind = kinds.find(|each| each["kind"] == kind).with_context(|| printed.to_string())?;
    let mut checks = kind["checks"].as_array().into_iter().flatten();
    Ok(checks.find(|each| each["name"] == check).with_context(|| printed.to_string())?.clone())
}

#[test]
fn a_servers_own_variables_are_checked() -> Result<()> {
    let certificate = certificate()?;
    let (ldap, oidc) = (directory(&certificate)?, provider(&certificate)?);
    let printed = place(&with_directory(&ldap, PASSWORD)?, &certificate)?.call(COMMAND)?;
    printed.assert_no_secret();
    assert_snapshot!("directory", printed);
    let printed = place(&with_provider(&oidc), &certificate)?.call(COMMAND)?;
    printed.assert_no_secret();
    assert_snapshot!("provider", printed);
    Ok(())
}

/// The same checks find the same, whether they read a resource or what a server has of it.
#[test]
fn a_resource_and_its_server_are_checked_alike() -> Result<()> {
    let certificate = certificate()?;
    let (ldap, oidc) = (directory(&certificate)?, provider(&certificate)?);
    for (kind, resource) in [
        ("LdapConfig", ldap_config(&ldap.ldaps_url()?, "groupAllowList: [wandb]")),
        ("OidcProvider", oidc_provider(oidc.issuer(), "")),
    ] {
        let files = Directory::with(&[
            ("resource.yaml", &resource),
            ("references.yaml", &references(PASSWORD, &certificate)),
        ])?;
        let rendered = files.call("render -f resource.yaml -f references.yaml --reveal")?;
        let document = rendered.stdout.split("---").nth(1).context("a Secret is rendered")?;
        let secret: Value = serde_yaml::from_str(document)?;
        let published = secret["stringData"].as_object().context("it has values")?;
        let lines = published.iter().filter(|(name, _)| *name != "ca.crt");
        let lines = lines.map(|(name, value)| format!("{name}={}\n", value.as_str().unwrap_or_default()));
        let variables = lines.collect::<String>() + &format!("HOST={HOST}\n");
        let server = Directory::with(&[(AUTHORITY, &certificate.authority_pem), ("server.env", &variables)])?;
        let seen = |printed: &Printed| -> Result<Vec<(Value, Value)>> {
            let json = printed.json()?;
            let all = json.as_array().into_iter().flatten().filter(|each| each["kind"] == kind);
            let checks = all.flat_map(|each| each["checks"].as_array().into_iter().flatten());
            let checks = checks.filter(|check| check["name"] != "VariablesRead");
            Ok(checks.map(|check| (check["name"].clone(), check["result"].clone())).collect())
        };
        let of_resource = files.call("check -f resource.yaml -f references.yaml -o json")?;
        let of_server = server.call(&format!("{COMMAND} --env-file server.env -o json"))?;
        assert_eq!(of_resource.code, 0, "{of_resource}");
        assert_eq!(seen(&of_resource)?, seen(&of_server)?, "{of_server}");
        assert_eq!(of_server.code, 0, "{of_server}");
    }
    Ok(())
}

#[test]
fn a_wrong_password_is_sent_once_and_named_by_its_variable() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let printed = place(&with_directory(&ldap, PLANTED)?, &certificate)?.call(COMMAND)?;
    printed.assert_no_secret();
    assert_eq!(ldap.bind_attempts(Slapd::SERVICE_DN)?, 1);
    assert_snapshot!("wrong_password", printed);
    Ok(())
}

/// The server sends the line break that a Secret was stored with.
#[test]
fn a_line_break_at_the_end_of_a_password_is_the_servers_own() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let environment = with_directory(&ldap, &format!("{PASSWORD}\n"))?;
    let printed = place(&environment, &certificate)?.call(&format!("{COMMAND} -o json"))?;
    assert_eq!(finding(&printed, "LdapConfig", "Bind")?["reason"], "InvalidCredentials");
    let doubt = finding(&printed, "LdapConfig", "SecretValues")?;
    assert!(doubt["message"].to_string().contains("LOCAL_LDAP_BIND_PW"), "{printed}");
    Ok(())
}

#[test]
fn an_authority_that_the_server_does_not_trust_is_told() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let environment = with_directory(&ldap, PASSWORD)?;
    let with = |file: &str| -> Result<Directory> {
        let files = Directory::with(&[(file, &certificate.authority_pem)])?;
        Ok(environment.iter().fold(files, |files, (name, value)| files.variable(name, value.clone())))
    };
    // The image takes files by the end of their names.
    let printed = with("root/usr/local/share/ca-certificates/authority.pem")?.call(COMMAND)?;
    assert_eq!(printed.code, 1, "{printed}");
    assert_snapshot!("missing_authority", printed);
    assert_eq!(ldap.bind_attempts(Slapd::SERVICE_DN)?, 0);
    // Go takes the system's authorities from where the variables say.
    let file = with("root/etc/own/ca")?.variable("SSL_CERT_FILE", "/etc/own/ca");
    assert_eq!(file.call(COMMAND)?.code, 0);
    let folder = with("root/etc/own/ca")?.variable("SSL_CERT_DIR", "/nowhere:/etc/own");
    assert_eq!(folder.call(COMMAND)?.code, 0);
    // With both of them, what the image made of its own folder counts no more.
    let elsewhere = with(AUTHORITY)?.variable("SSL_CERT_FILE", "/ca").variable("SSL_CERT_DIR", "/own");
    let printed = elsewhere.call(&format!("{COMMAND} -o json"))?;
    assert_eq!(finding(&printed, "LdapConfig", "TlsVerifies")?["reason"], "UnknownAuthority");
    let told = finding(&printed, "Environment", "AuthoritiesRead")?;
    assert!(told["message"].to_string().contains("SSL_CERT_DIR"), "{printed}");
    Ok(())
}

/// What the server cannot read is told beside what the checks find, and the password stays encrypted.
#[test]
fn a_value_that_the_server_cannot_read_is_told() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let plain = changed(with_directory(&ldap, PASSWORD)?, "LOCAL_LDAP_ADDRESS", &ldap.ldap_url());
    let environment = changed(plain, "LOCAL_LDAP_TLS_ENABLE", "yes");
    let printed = place(&environment, &certificate)?.call(COMMAND)?;
    assert_eq!(printed.code, 1, "{printed}");
    assert_snapshot!("bad_boolean", printed);
    Ok(())
}

#[test]
fn two_names_with_different_values_are_a_warning() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let environment = changed(with_directory(&ldap, PASSWORD)?, "LDAP_ADDRESS", "ldaps://old.example.com");
    let files = place(&environment, &certificate)?;
    let printed = files.call(&format!("{COMMAND} -o json"))?;
    let told = finding(&printed, "LdapConfig", "Variable/LDAP_ADDRESS")?;
    assert_eq!((&told["result"], printed.code), (&"Warning".into(), 0), "{printed}");
    assert_eq!(files.call(&format!("{COMMAND} --fail-on-warning"))?.code, 1);
    let quiet = files.call(&format!("{COMMAND} --quiet"))?;
    assert!(quiet.stdout.contains("VariablesDiffer") && !quiet.stdout.contains("DnsResolves"), "{quiet}");
    let yaml: Value = serde_yaml::from_str(&files.call(&format!("{COMMAND} -o yaml"))?.stdout)?;
    assert_eq!(yaml[1]["checks"], printed.json()?[1]["checks"]);
    Ok(())
}

#[test]
fn what_is_missing_keeps_nothing_else_from_being_checked() -> Result<()> {
    let certificate = certificate()?;
    let oidc = provider(&certificate)?;
    let environment: Environment = with_provider(&oidc)
        .into_iter()
        .filter(|(name, _)| !["GORILLA_FRONTEND_HOST", "GORILLA_OIDC_CLIENT_ID"].contains(name))
        .collect();
    let printed = place(&environment, &certificate)?.call(COMMAND)?;
    printed.assert_no_secret();
    assert_eq!((printed.code, oidc.requests("/token")?), (1, 0), "{printed}");
    assert_snapshot!("missing", printed);
    Ok(())
}

#[test]
fn an_environment_without_sign_in_says_what_to_do() -> Result<()> {
    let empty = Directory::with(&[("root/etc/hostname", "x")])?.variable("MYSQL", "x");
    assert_snapshot!("nothing", empty.call(COMMAND)?);
    let nowhere = Directory::with(&[])?.call("check --from-environment --root nowhere")?;
    assert!(nowhere.code == 2 && nowhere.stderr.contains("--root"), "{nowhere}");
    let misspelt = Directory::with(&[])?
        .variable("LDAP_ADRESS", "ldaps://a.example")
        .call("check --from-environment")?;
    assert!(misspelt.stderr.contains("Was LDAP_ADDRESS meant?"), "{misspelt}");
    assert_eq!(misspelt.code, 2);
    Ok(())
}

#[test]
fn variables_come_from_a_file_of_docker_or_of_the_kernel() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let environment = with_directory(&ldap, PASSWORD)?;
    let of = |separator: &str| -> String {
        environment
            .iter()
            .fold(String::new(), |text, (name, value)| format!("{text}{name}={value}{separator}"))
    };
    let files = Directory::with(&[
        (AUTHORITY, &certificate.authority_pem),
        ("server.env", &format!("# of the server\n{}", of("\n"))),
        ("environ", &of("\0")),
        ("broken.env", "export LOCAL_LDAP_BIND_PW=planted-password-5c1e\n"),
    ])?;
    for file in ["server.env", "environ"] {
        let printed = files.call(&format!("{COMMAND} --env-file {file}"))?;
        assert!(printed.code == 0 && printed.stdout.contains(file), "{printed}");
    }
    let broken = files.call(&format!("{COMMAND} --env-file broken.env"))?;
    broken.assert_no_secret();
    assert!(broken.code == 2 && broken.stderr.contains("without export"), "{broken}");
    Ok(())
}

#[test]
fn a_container_leaves_its_verdict_in_its_termination_message() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let files = place(&with_directory(&ldap, PLANTED)?, &certificate)?;
    let read = |files: &Directory| -> Result<ProbeVerdict> {
        let text = fs::read_to_string(files.path().join("message"))?;
        assert!(text.len() <= MESSAGE_LIMIT && !text.contains(PLANTED), "{text}");
        ProbeVerdict::of_message(&text).ok().context(text)
    };
    let printed = files.call(&format!("{COMMAND} --termination-message message -o json"))?;
    assert_eq!(printed.code, 1, "{printed}");
    let verdict = read(&files)?;
    assert_eq!((verdict.worst(), &verdict.obstacle), (CheckResult::Failed, &None));
    let json = printed.json()?;
    let printed: Vec<_> = json.as_array().into_iter().flatten().collect();
    assert_eq!(verdict.kinds.len(), printed.len());
    for (kind, printed) in verdict.kinds.iter().zip(printed) {
        let names: Vec<_> = kind.checks.iter().map(|check| (check.name.as_str(), check.result)).collect();
        let expected: Vec<_> = printed["checks"].as_array().into_iter().flatten().collect();
        assert_eq!(names.len(), expected.len());
        for ((name, result), expected) in names.into_iter().zip(expected) {
            assert_eq!(
                (expected["name"].as_str(), &expected["result"]),
                (Some(name), &serde_json::to_value(result)?)
            );
        }
    }
    let nothing = Directory::with(&[("message", &"x".repeat(9000))])?;
    assert_eq!(nothing.call("check --from-environment --termination-message message")?.code, 2);
    assert!(read(&nothing)?.obstacle.context("it says why")?.contains("no sign-in variables"));
    Ok(())
}

#[test]
fn an_issuer_of_tokens_is_checked_where_it_is_named() -> Result<()> {
    let certificate = certificate()?;
    let oidc = provider(&certificate)?;
    let environment = vec![("FEDERATED_AUTH_AUDIENCES", "my-org".to_owned())];
    let files = place(&environment, &certificate)?;
    let printed = files.call(&format!("{COMMAND} -o json"))?;
    let told = finding(&printed, "JwtIssuer", "Variable/FEDERATED_AUTH_AUDIENCES")?;
    assert!(told["message"].to_string().contains("--jwt-issuer"), "{printed}");
    assert_eq!((printed.code, &told["result"]), (0, &"Skipped".into()), "{printed}");
    let printed = files.call(&format!("{COMMAND} --jwt-issuer {} -o json", oidc.issuer()))?;
    assert_eq!(finding(&printed, "JwtIssuer", "KeysStrong")?["result"], "Passed");
    Ok(())
}

#[test]
fn a_place_that_is_forbidden_can_be_refused() -> Result<()> {
    let certificate = certificate()?;
    let closed = TcpServer::script(|_| ())?;
    let ldap = directory(&certificate)?;
    let address = format!("ldaps://{}", closed.address());
    let environment = changed(with_directory(&ldap, PASSWORD)?, "LOCAL_LDAP_ADDRESS", &address);
    let printed = place(&environment, &certificate)?.call(&format!("{COMMAND} --enforce-egress -o json"))?;
    assert_eq!(finding(&printed, "LdapConfig", "EgressAllowed")?["reason"], "EgressDenied");
    assert_eq!(closed.connections(), 0);
    Ok(())
}

#[test]
fn files_and_variables_are_not_mixed() -> Result<()> {
    let files = Directory::with(&[("a.yaml", "")])?;
    for words in [
        "check --from-environment -f a.yaml",
        "check --from-environment --from-cluster",
        "check --env-file a.yaml -f a.yaml",
        "check --termination-message message -f a.yaml",
        "check",
    ] {
        let printed = files.call(words)?;
        assert!(printed.code == 2 && printed.stderr.contains("Usage"), "{printed}");
    }
    Ok(())
}
