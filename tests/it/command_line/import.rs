//! `import`: what a server has comes out as resources that say the same.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};
use insta::assert_snapshot;
use serde_json::{Value, json};
use test_support::{ControlPlane, Slapd, User};

use super::call::{Directory, PLANTED, Printed};
use crate::world::{CLIENT_SECRET, PASSWORD, certificate, directory, put_authority, workspace};

/// The settings of sign-in that the container of an installation has, as a person reads them in its manifest.
type Environment = &'static [(&'static str, &'static str)];

/// What stays where it is, since no resource says it.
const STAYS: [&str; 2] = ["OIDC_CLIENT_SECRET", "LDAP_SOMETHING_NEW"];

const ISSUER: &str = "https://127.0.0.1:1/realms/main";

/// Each installation of `tests/cases/import`, and its environment.
const INSTALLATIONS: [(&str, Environment); 6] = [
    (
        "legacy-chart",
        &[
            ("OIDC_ISSUER", ISSUER),
            ("OIDC_AUTH_METHOD", "pkce"),
            ("OIDC_CLIENT_ID", "wandb"),
            ("OIDC_SECRET", CLIENT_SECRET),
            ("GORILLA_DISABLE_SSO_PROVISIONING", "true"),
        ],
    ),
    (
        "literal-env",
        &[
            ("LOCAL_LDAP_ADDRESS", "ldaps://127.0.0.1"),
            ("LOCAL_LDAP_BASE_DN", "dc=example,dc=org"),
            ("LOCAL_LDAP_BIND_DN", "cn=wandb,ou=services,dc=example,dc=org"),
            ("LOCAL_LDAP_BIND_PW", PLANTED),
            ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=memberOf"),
            ("LOCAL_LDAP_TLS_ENABLE", "true"),
            (
                "LOCAL_LDAP_GROUP_ALLOW_LIST",
                "cn=wandb,ou=groups,dc=example,dc=org,cn=ml,ou=groups,dc=example,dc=org",
            ),
            ("LOCAL_LDAP_LOGIN", "true"),
        ],
    ),
    (
        "references",
        &[
            ("LOCAL_LDAP_ADDRESS", "ldap://127.0.0.1:389"),
            ("LOCAL_LDAP_BASE_DN", "dc=example,dc=org"),
            ("LOCAL_LDAP_BIND_DN", "wandb@example.org"),
            ("LOCAL_LDAP_BIND_PW", PLANTED),
            ("LOCAL_LDAP_TLS_ENABLE", "true"),
            ("LOCAL_LDAP_LOGIN", "true"),
            ("LOCAL_LDAP_ATTRIBUTES", "email=mail,group=gidNumber"),
            ("FEDERATED_AUTH_AUDIENCES", "my-org,research"),
        ],
    ),
    (
        "v1-values",
        &[
            ("OIDC_ISSUER", ISSUER),
            ("GORILLA_OIDC_ISSUER", ISSUER),
            ("OIDC_CLIENT_ID", "wandb"),
            ("OIDC_AUTH_METHOD", "pkce"),
            ("GORILLA_AUTH_METHOD", "pkce"),
            ("OIDC_SECRET", CLIENT_SECRET),
            ("GORILLA_OIDC_SECRET", CLIENT_SECRET),
            ("GORILLA_SESSION_LENGTH", "48h"),
            ("GORILLA_ENABLE_SSO_GROUPS_CLAIMS", "true"),
            ("GORILLA_OIDC_CUSTOM_SCOPES", "groups"),
            ("DISABLE_SSO_PROVISIONING", "true"),
            ("GORILLA_DISABLE_SSO_PROVISIONING", "true"),
        ],
    ),
    (
        "v2-selectors",
        &[
            ("GORILLA_OIDC_ISSUER", ISSUER),
            ("GORILLA_OIDC_CLIENT_ID", "wandb"),
            ("GORILLA_OIDC_SECRET", CLIENT_SECRET),
            ("GORILLA_AUTH_METHOD", "pkce"),
            ("GORILLA_SESSION_LENGTH", "24h"),
            ("GORILLA_DISABLE_SSO_PROVISIONING", "true"),
            ("GORILLA_USE_IDENTIFIER_CLAIMS", "true"),
        ],
    ),
    (
        "v2-values-or-secrets",
        &[
            ("GORILLA_OIDC_ISSUER", ISSUER),
            ("GORILLA_OIDC_CLIENT_ID", "wandb"),
            ("GORILLA_OIDC_SECRET", CLIENT_SECRET),
            ("GORILLA_AUTH_METHOD", "pkce"),
        ],
    ),
];

/// What the legacy chart's own objects hold, beside its Deployment.
const LEGACY_OBJECTS: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: wandb-secrets}
stringData: {CLIENT_SECRET: a-client-secret-of-the-tests}
";

/// A manifest of the cases, with servers at addresses where nobody listens.
fn case(name: &str) -> Result<String> {
    let file = format!("{}/tests/cases/import/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).with_context(|| file.clone())?;
    Ok(text.replace("login.example.com", "127.0.0.1:1").replace("ldap.example.com", "127.0.0.1"))
}

/// The documents of a text, as JSON.
fn documents(text: &str) -> Result<Vec<Value>> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Result<Vec<_>, _> = documents.collect();
    Ok(documents?.into_iter().filter(|document| !document.is_null()).collect())
}

#[test]
fn every_installation_keeps_its_environment() -> Result<()> {
    for (name, environment) in INSTALLATIONS {
        let files = Directory::with(&[
            ("case.yaml", &case(name)?),
            ("objects.yaml", if name == "legacy-chart" { LEGACY_OBJECTS } else { "" }),
        ])?;
        let printed = files
            .call("import -f case.yaml -f objects.yaml -n team --reveal --jwt-issuer https://127.0.0.1:1")?;
        fs::write(files.path().join("result.yaml"), &printed.stdout)?;
        let rendered = files.call("render -f case.yaml -f objects.yaml -f result.yaml -n team --reveal")?;
        assert_eq!(rendered.code, 0, "{printed}\n{rendered}");
        let secrets = documents(&rendered.stdout)?;
        let published: BTreeMap<String, String> = secrets
            .iter()
            .filter_map(|secret| secret["stringData"].as_object())
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        for (variable, value) in environment {
            assert_eq!(
                published.get(*variable).map(String::as_str),
                Some(*value),
                "{name}: {variable}\n{printed}"
            );
            assert!(printed.stderr.contains(variable), "{name}: {variable}\n{printed}");
        }
        // Nobody listens, so the checks failed; nothing else did.
        assert!(!printed.stderr.contains("✗ It is not complete"), "{printed}");
        assert!(!printed.stderr.contains("With adopt: Equal"), "{printed}");
        assert_eq!(printed.code, 1, "{printed}");
        let targets: Vec<_> = documents(&printed.stdout)?
            .into_iter()
            .filter(|document| document["apiVersion"] == "auth.wandb.com/v1alpha1")
            .map(|document| document["spec"]["target"].clone())
            .collect();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["adopt"] == "Equal"), "{printed}");
    }
    Ok(())
}

#[test]
fn each_installation_is_explained() -> Result<()> {
    for (name, _) in INSTALLATIONS {
        let objects = if name == "legacy-chart" { LEGACY_OBJECTS } else { "" };
        let files = Directory::with(&[("case.yaml", &case(name)?), ("objects.yaml", objects)])?;
        let printed = files.call("import -f case.yaml -f objects.yaml -n team")?;
        printed.assert_no_secret();
        for variable in STAYS.iter().filter(|variable| printed.stderr.contains(**variable)) {
            assert!(!printed.stdout.contains(*variable), "{variable}: {printed}");
        }
        assert_snapshot!(format!("{name}"), printed);
    }
    Ok(())
}

#[test]
fn values_of_both_charts_are_read() -> Result<()> {
    for (name, words) in [
        ("values-legacy", "import -f case.yaml -n team"),
        ("values-operator", "import -f case.yaml -n team deployment/wandb-api"),
    ] {
        let printed = Directory::with(&[("case.yaml", &case(name)?)])?.call(words)?;
        printed.assert_no_secret();
        assert_snapshot!(name, printed);
    }
    // The chart's Secret is there where the release is known.
    let files = Directory::with(&[("case.yaml", &case("values-legacy")?)])?;
    let printed = files.call("import -f case.yaml -n team deployment/wandb")?;
    assert!(printed.stdout.contains("name: wandb-secrets"), "{printed}");
    assert!(!printed.stdout.contains("kind: Secret"), "{printed}");
    Ok(())
}

/// A Deployment of `wandb/local` with these variables.
fn deployment(variables: &[(&str, &str)]) -> String {
    let env: Vec<_> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let container = json!({"name": "wandb", "image": "wandb/local:0.76.1", "env": env});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "wandb"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "wandb"}},
            "template": {"metadata": {"labels": {"app": "wandb"}}, "spec": {"containers": [container]}},
        },
    })
    .to_string()
}

fn imported(variables: &[(&str, &str)], words: &str) -> Result<Printed> {
    let files = Directory::with(&[("wandb.yaml", &deployment(variables))])?;
    files.call(&format!("import -f wandb.yaml {words}"))
}

const OIDC: [(&str, &str); 4] = [
    ("OIDC_ISSUER", ISSUER),
    ("OIDC_CLIENT_ID", "wandb"),
    ("OIDC_AUTH_METHOD", "pkce"),
    ("HOST", "https://wandb.example.com"),
];

const LDAP: [(&str, &str); 4] = [
    ("LOCAL_LDAP_ADDRESS", "ldaps://127.0.0.1:1"),
    ("LOCAL_LDAP_BASE_DN", "dc=example,dc=org"),
    ("LOCAL_LDAP_TLS_ENABLE", "true"),
    ("LOCAL_LDAP_LOGIN", "true"),
];

/// What a server has beside one of the two, what is said of it, and how the command ends.
#[test]
fn what_cannot_be_carried_over_is_told() -> Result<()> {
    for (base, variables, sentence, code) in [
        (OIDC, &[("OIDC_CLIENT_SECRET", "x")][..], "OIDC_CLIENT_SECRET could not be carried over", 1),
        (
            OIDC,
            &[("GORILLA_OIDC_ISSUER", "https://other.example.com")],
            "OIDC_ISSUER and GORILLA_OIDC_ISSUER have different values",
            1,
        ),
        (
            OIDC,
            &[("GORILLA_OIDC_ISSUER", "https://other.example.com")],
            "✗ GORILLA_OIDC_ISSUER: is \"https://other.example.com\" today",
            1,
        ),
        (OIDC, &[("OIDC_AUTH_METHOD", "PKCE")], "its value is neither pkce nor implicit", 2),
        (OIDC, &[("OIDC_AUTH_METHOD", "")], "the server uses its own default, implicit", 1),
        (OIDC, &[("HOST", "")], "spec.host is not known", 2),
        (OIDC, &[("SESSION_LENGTH", "soon")], "SESSION_LENGTH could not be carried over", 1),
        (
            OIDC,
            &[("GORILLA_SESSION_LENGTH", "90m")],
            "sessionLength is 90m, but must be a whole number of hours",
            1,
        ),
        (OIDC, &[("DISABLE_SSO_PROVISIONING", "perhaps")], "neither true nor false", 1),
        (OIDC, &[("LOCAL_RESTORE", "true")], "LOCAL_RESTORE is true", 1),
        (
            LDAP,
            &[("LOCAL_LDAP_ADDRESS", "ldaps://admin:planted-password-5c1e@127.0.0.1")],
            "it holds a user's name",
            2,
        ),
        (LDAP, &[("LOCAL_LDAP_BASE_DN", "example.org")], "spec.baseDN must be a DN", 2),
        (LDAP, &[("LOCAL_LDAP_TLS_ENABLE", "false")], "✗ LOCAL_LDAP_TLS_ENABLE: is \"false\" today", 1),
        (LDAP, &[("LOCAL_LDAP_TLS_ENABLE", "perhaps")], "neither true nor false", 1),
        (
            LDAP,
            &[("LOCAL_LDAP_ADDRESS", "ldap://127.0.0.1:1"), ("LOCAL_LDAP_TLS_ENABLE", "perhaps")],
            "true to encrypt the connection with StartTLS",
            2,
        ),
        (
            LDAP,
            &[("LOCAL_LDAP_BIND_DN", "cn=a,dc=example,dc=org"), ("LOCAL_LDAP_BIND_PW", "")],
            "so the server binds anonymously",
            1,
        ),
        (LDAP, &[("LOCAL_LDAP_ATTRIBUTES", "mail")], "LOCAL_LDAP_ATTRIBUTES could not be carried over", 1),
        (
            LDAP,
            &[("LDAP_USER_BASE_DN", "people")],
            "LDAP_USER_BASE_DN could not be carried over: spec.userSearch.baseDN must be a DN",
            1,
        ),
        (LDAP, &[("LOCAL_LDAP_LOGIN", "perhaps")], "true if people log in through this directory", 2),
        (LDAP, &[("LOCAL_LDAP_LOGIN", "false")], "people do not log in through it", 1),
        (
            LDAP,
            &[("GORILLA_LDAP_CONNECTION_STRING", "ldap://x")],
            "GORILLA_LDAP_CONNECTION_STRING: no resource has a field for it",
            1,
        ),
        (
            LDAP,
            &[("OIDC_ISSUER", ISSUER), ("OIDC_CLIENT_ID", "w"), ("HOST", "https://w.example.com")],
            "Both a directory and a provider are set",
            2,
        ),
        (OIDC, &[("FEDERATED_AUTH_AUDIENCES", "my-org")], "give it with --jwt-issuer", 2),
    ] {
        let mut all: BTreeMap<&str, &str> = base.into_iter().collect();
        all.extend(variables.iter().copied());
        let all: Vec<_> = all.into_iter().collect();
        let printed = imported(&all, "")?;
        printed.assert_no_secret();
        assert!(printed.stderr.contains(sentence), "{sentence}: {printed}");
        assert_eq!(printed.code, code, "{sentence}: {printed}");
        // What is printed can be applied, whatever could not be carried over.
        for document in documents(&printed.stdout)? {
            assert!(document["kind"].is_string() && document["metadata"]["name"].is_string(), "{printed}");
        }
    }
    Ok(())
}

/// The W&B operator v1 merges what its System Console wrote below the resource.
#[test]
fn what_the_system_console_wrote_counts_too() -> Result<()> {
    let values = json!({"global": {"extraEnv": {
        "GORILLA_OIDC_CUSTOM_SCOPES": "overridden", "GORILLA_USE_IDENTIFIER_CLAIMS": "true",
    }}});
    let console = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wandb-spec-user"},
        "stringData": {"values": values.to_string()},
    });
    let files =
        Directory::with(&[("case.yaml", &case("v1-values")?), ("console.yaml", &console.to_string())])?;
    let printed = files.call("import -f .")?;
    let resource = documents(&printed.stdout)?.pop().context("a resource")?;
    assert_eq!(resource["spec"]["identifierClaims"], true, "{printed}");
    assert_eq!(resource["spec"]["extraScopes"], json!(["groups"]), "{printed}");
    Ok(())
}

#[test]
fn holes_can_be_filled_in_by_arguments() -> Result<()> {
    let variables =
        [("OIDC_ISSUER", ISSUER), ("OIDC_CLIENT_ID", "w"), ("FEDERATED_AUTH_AUDIENCES", "my-org")];
    let printed = imported(&variables, "--host https://w.example.com --jwt-issuer https://127.0.0.1:1")?;
    let kinds: Vec<_> = documents(&printed.stdout)?.iter().map(|document| document["kind"].clone()).collect();
    assert_eq!(kinds, ["OidcProvider", "JwtIssuer"], "{printed}");
    assert_eq!(printed.code, 1, "{printed}");
    Ok(())
}

#[test]
fn a_server_without_sign_in_is_an_error() -> Result<()> {
    let printed = imported(&[("HOST", "https://wandb.example.com")], "")?;
    assert_eq!((printed.code, printed.stdout.as_str()), (2, ""));
    assert!(printed.stderr.contains("no setting of how people log in"), "{printed}");
    for (words, sentence) in [
        ("import", "KIND/NAME"),
        ("import pod/wandb", "expected deployment/NAME"),
        ("import -f wandb.yaml statefulset/wandb", "there is no StatefulSet/wandb in wandb.yaml"),
        ("import -f other.yaml", "neither a manifest nor the values"),
    ] {
        let files = Directory::with(&[("wandb.yaml", &deployment(&OIDC)), ("other.yaml", "a: b\n")])?;
        let printed = files.call(words)?;
        assert_eq!(printed.code, 2, "{printed}");
        assert!(printed.stderr.contains(sentence), "{printed}");
    }
    Ok(())
}

/// The documented way: import from the cluster, with the Secrets in a file of one's own, and apply both.
#[tokio::test]
async fn a_running_server_is_imported_and_the_result_is_taken() -> Result<()> {
    let certificate = certificate()?;
    let ldap = directory(&certificate)?;
    let workspace = workspace().await?;
    put_authority(&workspace, &certificate).await?;
    let server = deployment(&[
        ("LOCAL_LDAP_ADDRESS", &ldap.ldaps_url()?),
        ("LOCAL_LDAP_BASE_DN", Slapd::SUFFIX),
        ("LOCAL_LDAP_BIND_DN", Slapd::SERVICE_DN),
        ("LOCAL_LDAP_BIND_PW", PASSWORD),
        ("LOCAL_LDAP_TLS_ENABLE", "true"),
        ("LOCAL_LDAP_LOGIN", "true"),
    ]);
    let mut server: Value = serde_json::from_str(&server)?;
    let pod = &mut server["spec"]["template"]["spec"];
    pod["containers"][0]["volumeMounts"] = json!([{
        "name": "authorities", "mountPath": "/usr/local/share/ca-certificates",
    }]);
    pod["volumes"] = json!([{"name": "authorities", "configMap": {"name": "authority"}}]);
    workspace.apply(&server.to_string()).await?;
    let files = Directory::with(&[])?
        .variable("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string());
    let words = format!("import -n {} deployment/wandb --secrets-out secrets.yaml", workspace.namespace());
    let printed = files.call(&words)?;
    printed.assert_no_secret();
    assert_eq!(printed.code, 0, "{printed}");
    assert!(printed.stderr.contains("✓ TlsVerifies") && printed.stderr.contains("✓ Bind"), "{printed}");
    let file = files.path().join("secrets.yaml");
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let again = files.call(&words)?;
    assert_eq!((again.code, again.stdout.as_str()), (2, ""), "{again}");
    assert!(again.stderr.contains("never overwritten"), "{again}");
    workspace.apply(&fs::read_to_string(&file)?).await?;
    workspace.apply(&printed.stdout).await?;
    let stored = workspace.resources("LdapConfig")?.get("wandb").await?;
    assert_eq!(stored.data["spec"]["target"]["adopt"], "Equal");
    assert_eq!(stored.data["spec"]["tls"]["caBundle"]["configMapKeyRef"]["name"], "authority");
    // What is there now is not to be made a second time.
    let once_more = files.call(&words.replace(" --secrets-out secrets.yaml", ""))?;
    assert!(!once_more.stdout.contains("kind: Secret"), "{once_more}");
    assert_eq!(once_more.stdout, printed.stdout);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() -> Result<()> {
    let workspace = workspace().await?;
    let files = Directory::with(&[])?
        .variable("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string());
    let printed = files.call(&format!("import -n {} statefulset/wandb", workspace.namespace()))?;
    assert_eq!((printed.code, printed.stdout.as_str()), (2, ""));
    assert!(printed.stderr.contains("there is no StatefulSet/wandb in the namespace"), "{printed}");
    Ok(())
}
