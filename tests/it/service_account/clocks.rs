//! Clocks that are set wrong for a while revoke nothing, and keep no token from being renewed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{ApiProxy, ControlPlane, SkewedClock};

use super::{
    KIND, Robot, eventually,
    federated::{FROM_ISSUER, Federation},
};
use crate::world::{ARGUMENTS, program};

const DAY: i64 = 24 * 60 * 60;

/// Has the account checked again until the clocks have been read, and fails where the key of the running overlap was
/// revoked.
async fn expect_old_key(robot: &Robot, value: &str, are_read: impl Fn() -> bool) -> Result<()> {
    let mut checks = 0;
    eventually("the clocks to be read", || {
        checks += 1;
        let (annotation, has_read) = (format!("{value} {checks}"), are_read());
        async move {
            let asked = robot.server.requests("viewer");
            robot.workspace.recheck(KIND, "ci", &annotation).await?;
            let checked = || async { Ok((robot.server.requests("viewer") > asked).then_some(())) };
            eventually("a check", checked).await?;
            robot.workspace.wait_until_ready(KIND, "ci").await?;
            Ok(has_read.then_some(()))
        }
    })
    .await?;
    ensure!(robot.server.is_valid(&robot.bootstrap), "{value}: revoked before its time");
    assert_eq!(robot.server.requests("deleteApiKey"), 0, "{value}");
    assert_eq!(robot.server.keys_of("ci").len(), 2, "{value}");
    Ok(())
}

#[tokio::test]
async fn the_machines_clock_is_a_day_ahead() -> Result<()> {
    let clock = SkewedClock::new()?;
    let environment = clock.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut robot = Robot::rotated("").await?;
    robot.operator = robot.workspace.start_operator_in(program(), &ARGUMENTS, &environment)?;
    robot.operator.wait_until_ready()?;
    clock.set_ahead(DAY)?;
    expect_old_key(&robot, "while it runs", || true).await?;
    robot.operator = robot.workspace.start_operator_in(program(), &ARGUMENTS, &environment)?;
    expect_old_key(&robot, "after a restart", || true).await
}

#[tokio::test]
async fn the_api_servers_clock_is_a_day_ahead() -> Result<()> {
    let mut robot = Robot::rotated("").await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let start = |robot: &Robot| robot.workspace.start_operator_through(&proxy, program(), &ARGUMENTS);
    robot.operator = start(&robot)?;
    robot.operator.wait_until_ready()?;
    expect_old_key(&robot, "while it goes right", || true).await?;
    proxy.set_clock_ahead(DAY);
    expect_old_key(&robot, "while it runs", || proxy.skewed_answers() > 0).await?;
    let before = proxy.skewed_answers();
    robot.operator = start(&robot)?;
    expect_old_key(&robot, "after a restart", || proxy.skewed_answers() > before).await
}

/// Both clocks are behind and then corrected, as after a machine stood still.
#[tokio::test]
async fn a_token_is_renewed_although_its_time_is_not_followed_yet() -> Result<()> {
    const PAUSE: i64 = 2 * 60 * 60;
    let clock = SkewedClock::new()?;
    let environment = clock.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    clock.set_ahead(-PAUSE)?;
    proxy.set_clock_ahead(-PAUSE);
    let mut federation = Federation::new(Duration::from_secs(20)).await?;
    let start = |federation: &Federation| {
        federation.workspace.start_operator_through_in(&proxy, program(), &ARGUMENTS, &environment)
    };
    federation.operator = start(&federation)?;
    federation.operator.wait_until_ready()?;
    federation.apply(FROM_ISSUER, "checkInterval: 1h").await?;
    federation.ready().await?;
    let token = federation.published().await?.remove("identity-token").context("no token")?;
    proxy.set_clock_ahead(0);
    clock.set_ahead(0)?;
    let mut checks = 0;
    eventually("another token", || {
        checks += 1;
        let (federation, token, value) = (&federation, &token, format!("check {checks}"));
        async move {
            federation.workspace.recheck(KIND, "ci", &value).await?;
            Ok((federation.published().await?.get("identity-token") != Some(token)).then_some(()))
        }
    })
    .await?;
    federation.ready().await?;
    Ok(())
}
