//! Each mistake ends with exit code 2 and says in one sentence what was seen and what to do.

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;

use super::call::{Directory, PLANTED, Printed};

const BASE: &str = "\
apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {name: corp}
spec:
  address: ldaps://ldap.example.com
  baseDN: dc=example,dc=org
";

/// Calls `check` on one file.
fn check(text: &str) -> Result<Printed> {
    Directory::with(&[("corp.yaml", text)])?.call("check -f corp.yaml")
}

#[test]
fn in_a_file() -> Result<()> {
    for (name, text) in [
        ("broken_yaml", "kind: [\n".to_owned()),
        ("unknown_field", format!("{BASE}  starTLS: true\n")),
        ("wrong_types", format!("{BASE}  login: 'yes'\n  checkInterval: 5\n  groupAllowList: wandb\n")),
        ("wrong_duration", format!("{BASE}  checkInterval: 5 minutes\n")),
        ("wrong_value", format!("{BASE}  publishPolicy: Sometimes\n")),
        ("missing_field", BASE.replace("  baseDN: dc=example,dc=org\n", "")),
        ("missing_spec", BASE.split("spec").next().unwrap_or_default().to_owned()),
        ("missing_name", BASE.replace("{name: corp}", "{}")),
        ("unknown_kind", BASE.replace("LdapConfig", "LdapConfg")),
        ("unknown_version", BASE.replace("v1alpha1", "v2")),
        ("other_objects_only", "apiVersion: v1\nkind: Pod\nmetadata: {name: wandb}\n".to_owned()),
        ("second_document", format!("{BASE}---\n{}", BASE.replace("address", "adress"))),
    ] {
        let printed = check(&text)?;
        assert_eq!((printed.code, printed.stderr.lines().count(), printed.stdout.as_str()), (2, 1, ""));
        assert_snapshot!(format!("in_a_file_{name}"), printed);
    }
    Ok(())
}

/// A person corrects a file once, and not as often as it has mistakes.
#[test]
fn all_of_several_mistakes_are_told() -> Result<()> {
    let limits = "address: ldap.example.com\n  baseDN: example.org\n  checkTimeout: 1h\n  secretName: Corp\n  failureThreshold: 0\n  bind: {dn: admin, passwordSecretRef: {name: a, key: b}}\n";
    let (head, _) = BASE.split_once("address").context("it has an address")?;
    let printed = check(&format!("{head}{limits}"))?;
    for field in [
        "spec.address",
        "spec.baseDN",
        "spec.checkTimeout",
        "spec.secretName",
        "spec.failureThreshold",
        "spec.bind.dn",
    ] {
        ensure!(printed.stdout.matches(field).count() >= 1, "{field} is missing: {printed}");
    }
    assert_snapshot!("several_mistakes_in_a_spec", printed);
    let documents = format!(
        "{BASE}  checkInterval: 5 minutes\n  login: maybe\n---\n{}",
        BASE.replace("LdapConfig", "OidcProvder")
    );
    let printed = check(&documents)?;
    assert_eq!((printed.code, printed.stderr.lines().count()), (2, 2), "{printed}");
    assert_snapshot!("several_documents_with_mistakes", printed);
    Ok(())
}

#[test]
fn in_a_spec() -> Result<()> {
    for (name, more) in [
        ("contradiction", "startTLS: true"),
        ("outside_of_a_limit", "secretName: Corp_Env"),
        (
            "path_instead_of_a_name",
            "tls: {caBundle: {secretKeyRef: {name: ../../other/secrets/ca, key: ca.crt}}}",
        ),
    ] {
        let printed = check(&format!("{BASE}  {more}\n"))?;
        assert_eq!(printed.code, 2);
        assert_snapshot!(format!("in_a_spec_{name}"), printed);
    }
    Ok(())
}

#[test]
fn a_reference_that_leads_nowhere() -> Result<()> {
    let resource = format!(
        "{BASE}  bind: {{dn: 'cn=admin,dc=example,dc=org', passwordSecretRef: {{name: ldap-bind, key: password}}}}\n"
    );
    assert_snapshot!("missing_secret", check(&resource)?);
    let other_key = format!(
        "{resource}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: ldap-bind}}\nstringData: {{passwort: {PLANTED}}}\n"
    );
    let printed = check(&other_key)?;
    printed.assert_no_secret();
    assert_eq!(printed.code, 2);
    assert_snapshot!("missing_key", printed);
    let files = Directory::with(&[("corp.yaml", &resource)])?;
    assert_snapshot!("missing_secret_json", files.call("check -f corp.yaml -o json")?);
    assert_snapshot!("missing_secret_render", files.call("render -f corp.yaml")?);
    Ok(())
}

#[test]
fn in_the_words_of_the_call() -> Result<()> {
    let files =
        Directory::with(&[("corp.yaml", BASE), ("empty/README.md", "nothing"), ("kubeconfig", "a: b\n")])?;
    for (name, words) in [
        ("missing_file", "check -f nowhere.yaml"),
        ("empty_directory", "check -f empty"),
        ("nothing_to_check", "check"),
        ("unknown_output", "check -f corp.yaml -o xml"),
        ("unknown_flag", "render -f corp.yaml --show"),
        ("allowance_without_a_policy", "check -f corp.yaml --allow-egress 127.0.0.1/32"),
        ("no_command", ""),
        ("unknown_command", "verify -f corp.yaml"),
        ("no_network", "run --allow-egress example.com"),
        ("no_worker", "run --concurrency 0"),
        ("two_scopes", "run --namespace a --all-namespaces"),
        ("run_without_a_cluster", "run"),
        ("check_without_a_cluster", "check -f corp.yaml --from-cluster"),
        ("definitions_into_a_file", "crd --directory corp.yaml"),
    ] {
        let printed = files.call(words)?;
        assert_eq!((printed.code, printed.stdout.as_str()), (2, ""), "{printed}");
        assert_snapshot!(format!("in_the_words_{name}"), printed);
    }
    Ok(())
}

#[test]
fn in_the_kubeconfig() -> Result<()> {
    let files = Directory::with(&[("corp.yaml", BASE), ("kubeconfig", "apiVersion: v1\nkind: Config\n")])?;
    let kubeconfig = files.path().join("kubeconfig").display().to_string();
    let files = files.variable("KUBECONFIG", kubeconfig);
    for (name, words) in [("run", "run"), ("check", "check -f corp.yaml --from-cluster")] {
        let printed = files.call(words)?;
        assert_eq!((printed.code, printed.stderr.lines().count()), (2, 1), "{printed}");
        assert_snapshot!(format!("in_the_kubeconfig_{name}"), printed);
    }
    Ok(())
}
