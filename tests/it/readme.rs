//! The README tells the truth.

use std::fs;

use anyhow::{Context, Result, ensure};
use strum::IntoEnumIterator;
use wandb_auth_operator::api::Reason;

use crate::world::workspace;

fn readme() -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    fs::read_to_string(path).context("README.md cannot be read")
}

/// The text between a fence of that language and its end.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn troubleshooting_names_every_reason_that_is_not_good_news() -> Result<()> {
    let readme = readme()?;
    let good = [
        Reason::Valid,
        Reason::Resolved,
        Reason::ChecksPassed,
        Reason::Published,
        Reason::Ready,
        Reason::Passed,
    ];
    let missing: Vec<_> = Reason::iter()
        .filter(|reason| !good.contains(reason) && !readme.contains(&format!("`{reason}`")))
        .collect();
    ensure!(missing.is_empty(), "the README's troubleshooting does not name {missing:?}");
    Ok(())
}

#[tokio::test]
async fn every_manifest_is_accepted_by_the_api_server() -> Result<()> {
    let workspace = workspace().await?;
    let readme = readme()?;
    let manifests = blocks(&readme, "yaml");
    ensure!(manifests.len() >= 3, "the README shows both kinds and a pod");
    for manifest in manifests {
        workspace.apply(manifest).await.with_context(|| manifest.to_owned())?;
    }
    Ok(())
}
