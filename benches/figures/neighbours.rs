//! From an edit until Ready, without neighbours and beside a namespace full of servers that never answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{hostile::TcpServer, wait_until};

use crate::{
    latency::{Edit, edit_many_times},
    table::{Table, milliseconds, percentile},
    world::{World, start_operator_for},
};

const BLACK_HOLES: usize = 100;

const PATIENCE: Duration = Duration::from_mins(2);

/// Edits the same resource many times, before and after the other namespace is full.
pub async fn measure(world: &World, table: &mut Table) -> Result<()> {
    let (quiet, crowded) = (world.workspace().await?, world.workspace().await?);
    quiet.apply(&world.ldap_config("edited")?.to_string()).await?;
    let operator = start_operator_for(&quiet, &[quiet.namespace(), crowded.namespace()])?;
    quiet.wait_until_ready("LdapConfig", "edited").await?;
    let alone = edit_many_times(&quiet, &operator, "LdapConfig").await?;

    let black_hole = TcpServer::black_hole()?;
    for number in 0..BLACK_HOLES {
        let mut hung = world.ldap_config(&format!("hung-{number}"))?;
        let spec = hung.get_mut("spec").and_then(Value::as_object_mut).context("it has no spec")?;
        spec.insert("address".to_owned(), json!(format!("ldaps://{}", black_hole.address())));
        spec.insert("checkTimeout".to_owned(), json!("5m"));
        crowded.apply(&hung.to_string()).await?;
    }
    wait_until(PATIENCE, "every hung check", || Ok(black_hole.connections() >= BLACK_HOLES))?;
    let beside = edit_many_times(&quiet, &operator, "LdapConfig").await?;
    ensure!(black_hole.connections() == BLACK_HOLES, "a hung check ended while edits were measured");

    let at = |edits: &[Edit], percent| {
        let durations: Vec<_> = edits.iter().map(|edit| edit.until_ready).collect();
        percentile(&durations, percent)
    };
    let both = |edits: &[Edit]| format!("{}, {}", milliseconds(at(edits, 50)), milliseconds(at(edits, 99)));
    table.add("LdapConfig, edit to Ready, without neighbours: p50, p99", both(&alone), "");
    table.add(
        &format!("the same beside {BLACK_HOLES} hung checks in another namespace: p50, p99"),
        both(&beside),
        "",
    );
    let ratio = at(&beside, 99).as_secs_f64() / at(&alone, 99).as_secs_f64();
    table.add("ratio of the p99", format!("{ratio:.2}"), "1.2");
    Ok(())
}
