//! From an edit until Ready, without neighbours and beside a namespace full of servers that never answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{
    fleet::{Fleet, manifest},
    hostile::TcpServer,
    wait_until,
};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::{
    edits::{edit_many_times, longer_timeout},
    options::Options,
    report::{Report, milliseconds, percentile},
};

/// Of the resources, as many have a server that answers.
const HALF: usize = 100;

const PATIENCE: Duration = Duration::from_mins(2);

/// Edits the same resource many times, before and after half of all hang.
pub async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let fleet = Fleet::start(&custom_resource_definitions(), 2).await?;
    let [quiet, crowded] = fleet.workspaces.as_slice() else { anyhow::bail!("there are two namespaces") };
    fleet.fill(&["LdapConfig"], HALF).await?;
    quiet.apply(&manifest(&fleet.servers, "LdapConfig", "edited")?.to_string()).await?;
    let _operator = fleet.operator(&options.program)?;
    fleet.census(&["LdapConfig"])?.wait(HALF + 1, PATIENCE).await?;
    let api = quiet.resources("LdapConfig")?;
    let alone = edit_many_times(&api, "edited", "Ready", longer_timeout).await?;

    let black_hole = TcpServer::black_hole()?;
    for number in 0..HALF {
        let mut hung = manifest(&fleet.servers, "LdapConfig", &format!("hung-{number}"))?;
        let spec = hung.get_mut("spec").and_then(Value::as_object_mut).context("it has no spec")?;
        spec.insert("address".to_owned(), json!(format!("ldaps://{}", black_hole.address())));
        spec.insert("checkTimeout".to_owned(), json!("5m"));
        crowded.apply(&hung.to_string()).await?;
    }
    wait_until(PATIENCE, "every hung check", || Ok(black_hole.connections() >= HALF))?;
    let beside =
        edit_many_times(&api, "edited", "Ready", |number| longer_timeout(number + alone.len())).await?;
    ensure!(black_hole.connections() == HALF, "a hung check ended while edits were measured");

    let both = |edits: &[Duration]| {
        format!("{}, {}", milliseconds(percentile(edits, 50)), milliseconds(percentile(edits, 99)))
    };
    report.add("edit to Ready while all servers answer: p50, p99", both(&alone), "");
    report.add(&format!("the same while {HALF} of {} never do", 2 * HALF), both(&beside), "");
    let ratio = percentile(&beside, 99).as_secs_f64() / percentile(&alone, 99).as_secs_f64();
    report.add("ratio of the p99", format!("{ratio:.2}"), "1.1");
    Ok(())
}
