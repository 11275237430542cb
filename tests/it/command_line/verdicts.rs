//! `check`, where the checks run.

use anyhow::Result;
use insta::assert_snapshot;
use test_support::{
    Certificate,
    hostile::{HttpServer, Response},
};

use super::call::{Directory, PLANTED};
use crate::world::{CLIENT_SECRET, PASSWORD, certificate, directory, ldap_config, oidc_provider, provider};

/// The Secrets and the ConfigMap that the resources refer to.
pub fn references(password: &str, certificate: &Certificate) -> String {
    let authority = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"},
        "data": {"ca.crt": certificate.authority_pem},
    });
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: ldap-bind}}\nstringData: {{password: {password}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: oidc-client}}\nstringData: {{secret: {CLIENT_SECRET}}}\n---\n\
         {authority}\n"
    )
}

#[test]
fn everything_in_a_directory_is_checked() -> Result<()> {
    let certificate = certificate()?;
    let (ldap, oidc) = (directory(&certificate)?, provider(&certificate)?);
    let files = Directory::with(&[
        ("manifests/corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
        ("manifests/main.yml", &oidc_provider(oidc.issuer(), "")),
        ("manifests/references.yaml", &references(PASSWORD, &certificate)),
        ("manifests/README.md", "no: [manifest"),
        ("manifests/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: wandb}\n"),
    ])?;
    let printed = files.call("check -f manifests")?;
    printed.assert_no_secret();
    assert_snapshot!(printed);
    let printed = files.call("check -f manifests -o json")?;
    printed.assert_no_secret();
    assert_snapshot!("everything_in_a_directory_is_checked_json", printed);
    Ok(())
}

/// An issuer that is not there, with samples that need none.
pub const JWT_ISSUER: &str = "\
apiVersion: auth.wandb.com/v1alpha1
kind: JwtIssuer
metadata: {name: main}
spec:
  issuer: http://127.0.0.1:1
  insecurePlaintext: true
  audiences: [my-org]
  samples:
  - name: good
    claims: {iss: 'http://127.0.0.1:1', sub: ci, aud: [my-org], exp: 4102444800, nested: {any: [shape]}}
    expect: {valid: true, subject: ci}
  - name: wrong-issuer
    claims: {iss: 'http://127.0.0.1:1/'}
    expect: {valid: false, rule: Issuer}
";

#[test]
fn samples_of_claims_are_judged_without_an_issuer() -> Result<()> {
    let printed = Directory::with(&[("main.yaml", JWT_ISSUER)])?.call("check -f main.yaml")?;
    assert_snapshot!(printed);
    Ok(())
}

#[test]
fn a_failed_check_is_exit_code_1() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let files = Directory::with(&[
        ("corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
        ("references.yaml", &references(PLANTED, &certificate)),
    ])?;
    let printed = files.call("check -f corp.yaml -f references.yaml")?;
    printed.assert_no_secret();
    assert_snapshot!(printed);
    let json = files.call("check -f corp.yaml -f references.yaml -o json")?;
    json.assert_no_secret();
    assert_eq!(json.json()?[0]["verdict"], "Failed");
    Ok(())
}

fn without_tls(resource: &str) -> String {
    resource.lines().filter(|line| !line.contains("tls:")).map(|line| line.to_owned() + "\n").collect()
}

/// What only the controller can promise is not promised by a command that ends.
#[test]
fn nothing_is_said_of_what_the_operator_does_next() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let unavailable = HttpServer::plain(|_| Response::status(503, ""))?;
    let files = Directory::with(&[
        ("corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
        ("main.yaml", &without_tls(&oidc_provider(&unavailable.url(""), "insecurePlaintext: true"))),
        ("references.yaml", &references(PLANTED, &certificate)),
    ])?;
    let printed = files.call("check -f .")?;
    assert!(printed.stdout.contains("InvalidCredentials") && printed.stdout.contains("503"), "{printed}");
    assert!(!printed.stdout.contains("operator"), "{printed}");
    Ok(())
}

#[test]
fn warnings_are_counted_and_can_fail_a_pipeline() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let warned = ldap_config(&ldap.ldaps_url()?, "groupAllowList: [wandb, empty]");
    let files =
        Directory::with(&[("corp.yaml", &warned), ("references.yaml", &references(PASSWORD, &certificate))])?;
    let lenient = files.call("check -f . --quiet")?;
    assert_eq!(lenient.code, 0, "{lenient}");
    assert_snapshot!("quiet", lenient);
    assert_eq!(files.call("check -f . --fail-on-warning")?.code, 1);
    let json = files.call("check -f . -o json --fail-on-warning")?;
    assert_eq!((json.code, &json.json()?[0]["verdict"]), (1, &"PassedWithWarnings".into()));
    let yaml: serde_json::Value = serde_yaml::from_str(&files.call("check -f . -o yaml")?.stdout)?;
    assert_eq!(yaml[0]["verdict"], "PassedWithWarnings");
    assert_eq!(yaml[0]["checks"], json.json()?[0]["checks"]);
    let files = Directory::with(&[
        ("corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
        ("references.yaml", &references(PASSWORD, &certificate)),
    ])?;
    let clean = files.call("check -f . -q --fail-on-warning")?;
    assert_eq!((clean.code, clean.stdout.lines().count()), (0, 1), "{clean}");
    Ok(())
}

#[test]
fn standard_input_is_read() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let resource = ldap_config(&ldap.ldaps_url()?, "");
    let input = format!("{resource}---\n{}", references(PASSWORD, &certificate));
    let printed = Directory::with(&[])?.call_with_input("check -f -", &input)?;
    assert_snapshot!(printed);
    Ok(())
}

#[test]
fn a_person_may_check_what_the_controller_refuses() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let files = Directory::with(&[
        ("corp.yaml", &ldap_config(&ldap.ldaps_url()?, "")),
        ("references.yaml", &references(PASSWORD, &certificate)),
    ])?;
    assert_snapshot!(files.call("check -f . --enforce-egress")?);
    assert_eq!(files.call("check -f .")?.code, 0);
    assert_eq!(files.call("check -f . --enforce-egress --allow-egress 127.0.0.0/8")?.code, 0);
    Ok(())
}

#[test]
fn the_worst_resource_decides() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let good = ldap_config(&ldap.ldaps_url()?, "");
    let unreachable =
        good.replace("name: corp", "name: unreachable").replace(&ldap.ldaps_url()?, "ldaps://127.0.0.1:1");
    let unresolved = good.replace("name: corp", "name: unresolved").replace("ldap-bind", "nowhere");
    let files = Directory::with(&[
        ("good.yaml", &good),
        ("unreachable.yaml", &unreachable),
        ("unresolved.yaml", &unresolved),
        ("references.yaml", &references(PASSWORD, &certificate)),
    ])?;
    assert_eq!(files.call("check -f good.yaml -f unreachable.yaml -f references.yaml")?.code, 1);
    let all = files.call("check -f . -o json")?;
    let resources = all.json()?;
    let verdicts: Vec<_> =
        resources.as_array().into_iter().flatten().map(|resource| &resource["verdict"]).collect();
    assert_eq!(verdicts, ["Passed", "Failed", "NotUsable"]);
    assert_eq!(all.code, 2);
    Ok(())
}
