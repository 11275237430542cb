//! The kind `ServiceAccount` shares its name with one of Kubernetes' own, which kubectl means by it.

use std::{fs, path::Path, sync::LazyLock};

use anyhow::{Result, ensure};
use regex::Regex;

use super::{Page, ROOT, add_files, pages};

/// A command that means W&B's accounts says `wsa` or `serviceaccounts.auth.wandb.com`.
static AMBIGUOUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\bkubectl\b[^|;`#]*?[\s,/](serviceaccounts?|sa)(?:$|[\s/,`.](?:[^a]|$))").ok()
});

/// Where Kubernetes' own accounts are meant, or people are warned.
const MEANT: [&str; 2] =
    ["kubectl delete\nserviceaccount ci` deletes the account of that name", "create serviceaccount"];

fn ambiguous(text: &str) -> Vec<String> {
    let mut text = text.to_owned();
    for meant in MEANT {
        text = text.replace(meant, "");
    }
    let lines = text.lines().filter(|line| AMBIGUOUS.as_ref().is_some_and(|pattern| pattern.is_match(line)));
    lines.map(str::to_owned).collect()
}

#[test]
fn commands_name_the_kind_so_that_kubectl_finds_it() -> Result<()> {
    let mut found = Vec::new();
    for page in pages()? {
        found.extend(ambiguous(&page.text).into_iter().map(|line| (page.path.clone(), line)));
    }
    let mut files = Vec::new();
    for (folder, extension) in [
        ("src", "rs"),
        ("charts/wandb-auth-operator/templates", "txt"),
        ("charts/wandb-auth-operator/templates", "yaml"),
        ("charts/wandb-auth-operator/files", "yaml"),
        ("deploy", "yaml"),
        ("examples", "rs"),
    ] {
        add_files(Path::new(folder), extension, &mut files)?;
    }
    ensure!(files.len() > 100, "only {} files were read", files.len());
    for file in files {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        found.extend(ambiguous(&text).into_iter().map(|line| (file.clone(), line)));
    }
    ensure!(found.is_empty(), "say wsa or serviceaccounts.auth.wandb.com: {found:#?}");
    Ok(())
}

#[test]
fn ambiguous_commands_are_told_from_others() {
    for line in [
        "kubectl delete serviceaccount ci",
        "kubectl get serviceaccounts -n wandb",
        "`kubectl describe ServiceAccount/ci`",
        "kubectl explain ServiceAccount.spec",
        "kubectl get sa",
    ] {
        assert_eq!(ambiguous(line), [line]);
    }
    for line in [
        "kubectl delete wsa ci",
        "kubectl get serviceaccounts.auth.wandb.com",
        "kubectl auth can-i --list --as system:serviceaccount:wandb:operator",
        "kubectl get ldap ci # a ServiceAccount",
        "a ServiceAccount is no target",
    ] {
        assert_eq!(ambiguous(line), [""; 0], "{line}");
    }
}

#[test]
fn the_page_on_accounts_warns_of_the_name() -> Result<()> {
    let page = Page::read("docs/guides/service-account-keys.md")?;
    let text = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(
        text.contains(
            "`kubectl delete serviceaccount ci` deletes the account of that name by which pods talk"
        )
    );
    ensure!(text.contains("Say `wsa`, or `serviceaccounts.auth.wandb.com`."));
    Ok(())
}
