//! One kind after the other, all of it in one namespace: CPU a resource until Ready.

use std::time::Instant;

use anyhow::Result;
use test_support::fleet::Fleet;
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    ceiling,
    load::Load,
    options::Options,
    process::Process,
    report::{Report, grouped},
};

const AIMS: [(&str, &str); 3] = [("LdapConfig", "4.5 ms"), ("JwtIssuer", "5 ms"), ("ServiceAccount", "8 ms")];

/// Measures each kind at each size.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    for (kind, aim) in AIMS.into_iter().filter(|(kind, _)| options.measures_kind(kind)) {
        for &size in &options.sizes {
            eprintln!("  {} {kind} …", grouped(size));
            let fleet = Fleet::start(&custom_resource_definitions(), 1).await?;
            fleet.fill(&[kind], size).await?;
            let started = Instant::now();
            let operator = fleet.operator(&options.program)?;
            let process = (Process(operator.id()), started);
            let census = fleet.census(&[kind])?;
            let load = Load::of(process, &census, size, async || fleet.requests()).await?;
            drop(operator);
            let ceiling = ceiling::measure(&fleet, &[kind], size, load.others_each()).await?;
            load.record(report, kind, (aim, Some(ceiling)));
        }
    }
    Ok(())
}
