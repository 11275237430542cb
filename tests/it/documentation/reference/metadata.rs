//! Field managers, labels, annotations and finalizers.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::json;
use wandb_auth_operator::{
    api::{JwtIssuer, LdapConfig, OidcProvider},
    cli::COMMAND_MANAGER,
    engine::{MANAGER, owner_in_targets},
    workloads::Owner,
};

use super::{
    super::{ROOT, add_files},
    Kept, NOTE, Table, check, code,
};

const PAGE: &str = "docs/reference/field-managers.md";

/// A resource of the kind with what its spec must have.
macro_rules! owner {
    ($kind:ty, $spec:tt) => {{
        let kind = stringify!($kind);
        let version = "auth.wandb.com/v1alpha1";
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "NAME"}, "spec": $spec});
        owner_in_targets(&serde_json::from_value::<$kind>(object)?)
    }};
}

fn owners() -> Result<[Owner; 3]> {
    Ok([
        owner!(LdapConfig, {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"}),
        owner!(OidcProvider, {"issuer": "https://a.example.com", "clientID": "a", "host": "https://b.example.com"}),
        owner!(JwtIssuer, {"issuer": "https://a.example.com", "audiences": ["a"]}),
    ])
}

/// The names of our own group that stand in the source as texts, and those that the chart's policy for pods reads.
fn names() -> Result<BTreeSet<String>> {
    let name = Regex::new(r#""((?:auth\.wandb\.com|app\.kubernetes\.io)/[a-z-]+)""#)?;
    let mut files = Vec::new();
    add_files(Path::new("src"), "rs", &mut files)?;
    let mut names = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(Path::new(ROOT).join(file))?;
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        names.extend(name.captures_iter(code).map(|found| found[1].to_owned()));
    }
    let of_pods = Regex::new(r"(?m)^(auth\.wandb\.com/[a-z-]+)$")?;
    let template = Path::new(ROOT).join("charts/wandb-auth-operator/templates/_injection.tpl");
    let template = fs::read_to_string(template)?;
    names.extend(of_pods.captures_iter(&template).map(|found| found[1].to_owned()));
    ensure!(names.len() > 5, "the source has {names:?} only");
    Ok(names)
}

#[test]
fn field_managers_are_up_to_date() -> Result<()> {
    let kept = Kept::of(PAGE);
    let mut managers = Table::new(&["field manager", "writes"]);
    for owner in owners()? {
        let of_kind = owner.manager.strip_suffix("/NAME").context("the name stands last")?.to_owned();
        for manager in [of_kind, owner.manager.replace("NAME", "<name>")] {
            managers.row([code(&manager), kept.cell(&manager)]);
        }
    }
    let of_accounts = format!("{MANAGER}/serviceaccount");
    managers.row([code(&of_accounts), kept.cell(&of_accounts)]);
    managers.row([code(COMMAND_MANAGER), kept.cell(COMMAND_MANAGER)]);
    let mut table = Table::new(&["name", "is"]);
    for name in names()? {
        table.row([code(&name), kept.cell(&name)]);
    }
    let text = format!(
        "# Field managers, labels, annotations\n\n{NOTE}## Field managers\n\nThe API server notes under these names what the operator \
         has written. `kubectl get deployment wandb -n wandb -o yaml --show-managed-fields` shows them.\n\n{}\
         A name that would be longer than 128 characters is cut, with a hash at its end.\n\n\
         ## Labels, annotations and finalizers\n\n{}",
        managers.end(),
        table.end()
    );
    check(PAGE, &(text.trim_end().to_owned() + "\n"))
}
