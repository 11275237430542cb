//! Every YAML on every page is what it says that it is.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{Helm, pods::WandbWorkload};

use super::{ROOT, blocks, documents, pages, samples};
use crate::world::workspace;

/// What may stand after ```` ```yaml ````: nothing for manifests, `values` for the chart's values, and `workflow` for a
/// file of another tool.
const KNOWN: [&str; 3] = ["yaml", "yaml values", "yaml workflow"];

#[tokio::test]
async fn every_manifest_is_accepted_by_the_api_server_without_a_warning() -> Result<()> {
    let (mut count, mut warnings) = (0, Vec::new());
    for page in pages()? {
        let manifests: Vec<_> = page.blocks("yaml").collect();
        count += manifests.len();
        if manifests.is_empty() {
            continue;
        }
        // Pages use the same names for other things.
        let workspace = workspace().await?;
        for manifest in manifests {
            let place = || format!("{}: {manifest}", page.path.display());
            let told = workspace.apply_and_listen(&manifest).await.with_context(place)?;
            warnings.extend(told.into_iter().map(|warning| format!("{warning}, in {}", place())));
        }
    }
    let workspace = workspace().await?;
    for file in samples()? {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        let told = workspace.apply_and_listen(&text).await.with_context(|| file.display().to_string())?;
        warnings.extend(told.into_iter().map(|warning| format!("{warning}, in {}", file.display())));
    }
    ensure!(warnings.is_empty(), "the API server warns: {warnings:#?}");
    ensure!(count >= 30, "the pages show {count} manifests only");
    Ok(())
}

#[tokio::test]
async fn a_warning_of_the_api_server_is_heard() -> Result<()> {
    let workspace = workspace().await?;
    let mut deployment: Value = serde_yaml::from_str(&WandbWorkload::deployment("wandb").manifest())?;
    deployment["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    let warnings = workspace.apply_and_listen(&deployment.to_string()).await?;
    ensure!(warnings.iter().any(|warning| warning.contains("kubernetes.io/os")), "{warnings:?}");
    Ok(())
}

#[test]
fn the_chart_takes_every_example_of_its_values() -> Result<()> {
    let helm = Helm::new()?;
    let mut count = 0;
    for page in pages()? {
        for values in page.blocks("yaml values") {
            count += 1;
            let place = || format!("{}: {values}", page.path.display());
            helm.template(&serde_yaml::from_str(&values).with_context(place)?).with_context(place)?;
        }
    }
    ensure!(count >= 4, "the pages show {count} examples of values only");
    Ok(())
}

#[test]
fn every_yaml_says_what_it_is_for() -> Result<()> {
    for page in pages()? {
        for block in blocks(&page.text).into_iter().filter(|block| block.info.starts_with('y')) {
            let place = format!("{}: {}\n{}", page.path.display(), block.info, block.text);
            ensure!(KNOWN.contains(&block.info.as_str()), "expected one of {KNOWN:?}: {place}");
            documents(&block.text).context(place)?;
        }
    }
    Ok(())
}
