//! `check` says what the controller says, whether it reads references from a cluster or from files.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_support::{ControlPlane, User, Workspace};

use super::{
    call::{Directory, PLANTED},
    verdicts::references,
};
use crate::world::{
    PASSWORD, certificate, directory, ldap_config, oidc_provider, operator, provider, put_references,
    workspace,
};

/// The same resource with its namespace written into it, as `kubectl get -o yaml` shows it.
fn in_namespace(resource: &str, workspace: &Workspace) -> String {
    let namespace = workspace.namespace();
    resource.replace("metadata: {name: ", &format!("metadata: {{namespace: {namespace}, name: "))
}

#[tokio::test]
async fn the_findings_are_those_of_the_controller() -> Result<()> {
    let certificate = certificate()?;
    let (ldap, oidc) = (directory(&certificate)?, provider(&certificate)?);
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    put_references(&workspace, &certificate).await?;
    workspace.put_secret("ldap-wrong", &[("password", PLANTED)]).await?;
    let wrong = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: ldap-wrong}}\nstringData: {{password: {PLANTED}}}\n"
    );

    let corp = ldap_config(&ldap.ldaps_url()?, "groupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org']");
    let broken = corp.replace("name: corp", "name: broken").replace("ldap-bind", "ldap-wrong");
    let main = oidc_provider(oidc.issuer(), "");
    for (kind, name, text, verdict) in [
        ("LdapConfig", "corp", corp, "PassedWithWarnings"),
        ("LdapConfig", "broken", broken, "Failed"),
        ("OidcProvider", "main", main, "PassedWithWarnings"),
    ] {
        workspace.apply(&text).await?;
        let status = workspace.wait_for(kind, name, |status| status["checks"][0].is_object()).await?;
        let files = Directory::with(&[
            ("resource.yaml", &in_namespace(&text, &workspace)),
            ("alone.yaml", &text),
            ("references.yaml", &references(PASSWORD, &certificate)),
            ("wrong.yaml", &wrong),
        ])?
        .variable("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string());
        let from_cluster = report(&files, "check -f resource.yaml --from-cluster -o json")?;
        // What the operator does next is its own to say.
        let next = " The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes.";
        let shared = " Seen within the last 5m, by this resource or another one.";
        let checks = status["checks"].to_string().replace(next, "").replace(shared, "");
        let checks: Value = serde_json::from_str(&checks)?;
        assert_eq!(from_cluster["checks"], checks, "{kind} {name} from the cluster");
        assert_eq!(from_cluster["verdict"], verdict);
        assert_eq!(from_cluster["namespace"], workspace.namespace());
        let from_files = report(&files, "check -f alone.yaml -f references.yaml -f wrong.yaml -o json")?;
        assert_eq!(from_files["checks"], checks, "{kind} {name} from files");
        assert_eq!(from_files["namespace"], "default");
    }
    Ok(())
}

/// The report on the only resource.
fn report(files: &Directory, words: &str) -> Result<Value> {
    let printed = files.call(words)?;
    printed.assert_no_secret();
    printed.json()?.as_array_mut().and_then(Vec::pop).context("a report")
}

#[tokio::test]
async fn a_reference_that_the_cluster_does_not_have() -> Result<()> {
    let workspace = workspace().await?;
    let resource = in_namespace(&ldap_config("ldaps://127.0.0.1:1", ""), &workspace);
    let files = Directory::with(&[("corp.yaml", &resource)])?
        .variable("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string());
    let printed = files.call("check -f corp.yaml --from-cluster")?;
    assert_eq!(printed.code, 2);
    // Files are not where to look for it.
    assert!(printed.stdout.contains("SecretNotFound") && !printed.stdout.contains("-f"), "{printed}");
    let report = files.call("check -f corp.yaml --from-cluster -o json")?.json()?;
    assert_eq!(report[0]["obstacle"]["reason"], "SecretNotFound");
    assert_eq!(report[0]["checks"], json!([]));
    Ok(())
}
