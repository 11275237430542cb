//! What a new process does with what an earlier one has proven.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use test_support::{
    Operator,
    fleet::{Fleet, is_write},
};

use crate::{
    options::Options,
    process::Process,
    report::{Cell, Report, grouped},
    start::became_ready,
};

/// How long is looked at the servers after the restart.
const WINDOW: Duration = Duration::from_secs(20);

/// Ends the operator and starts another one.
pub async fn measure(
    fleet: &Fleet,
    operator: Operator,
    options: &Options,
    size: usize,
    report: &mut Report,
) -> Result<()> {
    drop(operator);
    let requests = fleet.requests()?.len();
    let mut connections = vec![fleet.servers.connections()?];
    let (started, by_the_clock) = (Instant::now(), SystemTime::now());
    let operator = fleet.operator(&options.program)?;
    operator.wait_until_ready()?;
    let until_ready = became_ready(&operator)?.duration_since(by_the_clock)?;
    // A second after the other, of which some may be longer than one.
    let mut most = 0.0_f64;
    let mut last = Instant::now();
    while started.elapsed() < WINDOW {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (now, before) = (fleet.servers.connections()?, connections.last().copied().unwrap_or_default());
        connections.push(now);
        let second = crate::report::each(now - before, 1) / last.elapsed().as_secs_f64();
        (most, last) = (most.max(second), Instant::now());
    }
    let writes = fleet.requests()?.split_off(requests).iter().filter(|event| is_write(event)).count();
    let cpu = Process(operator.id()).cpu()?;
    report.add_sized("/readyz after a restart", size, Cell::milliseconds(until_ready), "1 s at 10,000");
    report.add_sized(
        "connections to servers after a restart, the most in a second",
        size,
        Cell::text(format!("{most:.0}")),
        "spread",
    );
    report.add_sized("writes after a restart", size, Cell::text(grouped(writes)), "0");
    report.add_sized(
        &format!("CPU of the {} s after a restart", WINDOW.as_secs()),
        size,
        Cell::milliseconds(cpu),
        "",
    );
    Ok(())
}
