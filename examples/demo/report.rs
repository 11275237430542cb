//! What a person sees.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use test_support::Workspace;

use crate::{samples::secret_keys, servers::LDAP_PASSWORD};

/// The resource that is shown in full.
const CLOSE_UP: (&str, &str, &str) = ("LdapConfig", "ldap", "attribute-map-as-base-dn");

/// Messages are broken into lines of this many characters.
const WIDTH: usize = 92;

/// The tables, one broken resource in full, and a published Secret.
pub async fn print(workspace: &Workspace) -> Result<()> {
    let namespace = workspace.namespace();
    for (short, plural) in [
        ("ldap", "ldapconfigs"),
        ("oidc", "oidcproviders"),
        ("jwt", "jwtissuers"),
        ("wsa", "serviceaccounts"),
    ] {
        heading(&format!("kubectl get {short} -n {namespace}"));
        print!("{}", workspace.table(plural).await?);
    }

    let (kind, short, name) = CLOSE_UP;
    let status = workspace.status(kind, name).await?;
    heading(&format!("The checks of {name}   (kubectl describe {short} {name} -n {namespace})"));
    for check in list(&status, "checks") {
        let line = format!("{} {}", mark(field(check, "result")), field(check, "name"));
        println!("{line:<24}{}", field(check, "reason"));
        print_message(field(check, "message"));
    }
    heading("and the conditions that follow from them");
    let mut told = Vec::new();
    for condition in list(&status, "conditions") {
        let [type_, state, reason] = ["type", "status", "reason"].map(|name| field(condition, name));
        println!("{type_:<14}{state:<8}{reason}");
        let message = field(condition, "message");
        // Ready and Stalled repeat the words of the condition that they follow from.
        if !told.iter().any(|earlier| message.contains(earlier)) {
            print_message(message);
            told.push(message);
        }
    }

    heading("The keys of the Secret corp-ldap, published since every check of corp passed");
    for key in secret_keys(workspace, "corp-ldap").await?.unwrap_or_default() {
        println!("{key}");
    }
    println!();
    Ok(())
}

/// What is not as expected, if anything.
pub fn print_differences(differences: &[String]) {
    if differences.is_empty() {
        println!("Everything turned out as expected.");
    } else {
        println!("Not everything turned out as expected:");
        for difference in differences {
            println!("✗ {difference}");
        }
    }
}

/// How to look around while everything runs.
pub fn print_what_to_try(namespace: &str, kubeconfig: Option<&Path>) {
    println!("\nEverything keeps running until Ctrl-C. In another terminal:\n");
    if let Some(kubeconfig) = kubeconfig {
        println!("  export KUBECONFIG={}", kubeconfig.display());
    }
    println!("  kubectl get wandb-auth -n {namespace}");
    println!("  kubectl describe ldap wrong-password -n {namespace}\n");
    println!("Correct the mistyped password, and see wrong-password become Ready:\n");
    let patch = format!(r#"{{"stringData":{{"password":"{LDAP_PASSWORD}"}}}}"#);
    println!("  kubectl patch secret ldap-bind-typo -n {namespace} -p '{patch}'");
    println!("  kubectl get ldap -n {namespace} --watch\n");
}

/// A line above what is shown next.
pub fn heading(text: &str) {
    println!("\n— {text}\n");
}

fn mark(result: &str) -> &'static str {
    match result {
        "Passed" => "✓",
        "Warning" => "!",
        "Failed" => "✗",
        _ => "-",
    }
}

fn list<'a>(status: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    status.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Prints a message below its line, broken between words.
fn print_message(message: &str) {
    let mut line = String::new();
    for word in message.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            println!("    {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        println!("    {line}");
    }
}
