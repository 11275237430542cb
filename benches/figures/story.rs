//! What a fleet must live through without a write too many. It fails where it does not.

use anyhow::{Context, Result};
use test_support::fleet::story::{Extent, live};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    mixed::namespaces,
    options::Options,
    report::{Report, grouped},
};

/// Lives through it with the largest size.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let resources = options.sizes.iter().copied().max().context("there is no size")?;
    let extent = Extent { resources, namespaces: namespaces(resources) };
    let tell = |what: &str| eprintln!("  {what} …");
    live(&options.program, &custom_resource_definitions(), extent, tell).await?;
    let figure = format!(
        "{} resources of four kinds in {} namespaces, over a restart, a rotated Secret and an outage",
        grouped(resources),
        grouped(extent.namespaces)
    );
    report.add(&figure, "all Ready, each write once", "all Ready, each write once");
    Ok(())
}
