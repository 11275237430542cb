//! `deploy/operator.yaml` is the chart, for people without Helm.

use std::{env, fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::json;
use test_support::Helm;

const HEADER: &str = "\
# The operator for one namespace, without its definitions: what the chart charts/wandb-auth-operator makes of its
# default values with crds.install=false. Put your registry in front of the image, and apply it to the namespace:
# kubectl apply -n <namespace> -f deploy/operator.yaml
";

#[test]
fn the_file_is_the_rendered_chart() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/operator.yaml");
    let rendered = Helm::new()?.template(&json!({"crds": {"install": false}}))?;
    let wanted = HEADER.to_owned() + &rendered;
    if env::var_os("REGENERATE").is_some() {
        fs::write(&file, &wanted)?;
    }
    ensure!(
        fs::read_to_string(&file)? == wanted,
        "deploy/operator.yaml is not what the chart renders to; run: REGENERATE=1 cargo test --test it chart::manifest"
    );
    Ok(())
}
