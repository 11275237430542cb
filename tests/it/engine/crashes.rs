//! An operator that is killed between what it did and the news of it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use test_support::{ApiProxy, ControlPlane};

use crate::world::{certificate, directory, ldap_config, operator, program, put_references, workspace};

/// More writes than an object takes until it is Ready.
const WRITES: usize = 20;

#[tokio::test]
async fn whatever_write_is_the_last_the_next_operator_finishes() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let plane = ControlPlane::shared().await?;
    for write in 1..WRITES {
        let workspace = workspace().await?;
        put_references(&workspace, &certificate).await?;
        let proxy = ApiProxy::start(plane)?;
        let mut first =
            workspace.start_operator_through(&proxy, program(), &["--allow-egress", "127.0.0.0/8"])?;
        let switch = first.kill_switch()?;
        proxy.lose_answer(write, move |_| switch.kill());
        workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
        // The last thing that it writes is the event that tells of its Secret.
        let deadline = Instant::now() + Duration::from_secs(30);
        while first.process().exit_status()?.is_none() {
            ensure!(Instant::now() < deadline, "it neither ends nor is done: {:?}", proxy.mutations());
            if workspace.events().await?.contains("Wrote the current values") && proxy.is_armed() {
                ensure!(write > 2, "it was done before the second write: {:?}", proxy.mutations());
                return Ok(());
            }
        }
        ensure!(proxy.mutations().len() == write, "{:?}", proxy.mutations());
        let _second = operator(&workspace)?;
        workspace.wait_until_ready("LdapConfig", "corp").await?;
        ensure!(workspace.secrets().get_opt("corp-ldap").await?.is_some(), "no Secret is published");
    }
    bail!("it still writes after {WRITES} writes")
}
