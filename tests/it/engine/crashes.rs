//! An operator that is killed between what it did and the news of it.

use anyhow::{Context, Result, bail, ensure};
use test_support::{ApiProxy, ControlPlane, Operator, Workspace};

use crate::world::{
    certificate, directory, eventually, ldap_config, operator, program, put_references, workspace,
};

/// More writes than an object takes until it is Ready.
const WRITES: usize = 20;

/// How an operator's story ended.
#[derive(Clone, Copy, PartialEq)]
enum StoryEnd {
    /// It was killed.
    Killed,
    /// It was done before the write at which it was to be killed.
    Done,
}

/// Waits until the operator has been killed, or has written all that it writes.
async fn end_of(operator: &mut Operator, workspace: &Workspace, proxy: &ApiProxy) -> Result<StoryEnd> {
    eventually("the end of the operator or of its work", || {
        let ended = operator.process().exit_status();
        async move {
            if ended?.is_some() {
                return Ok(Some(StoryEnd::Killed));
            }
            // The last thing that it writes is the event that tells of its Secret. The API server shows it before the
            // proxy has recorded the request, and only that record tells that the operator was not killed for it.
            let is_last = proxy.mutations().last().is_some_and(|last| last.path.contains("/events"));
            let is_told = workspace.events().await?.contains("Wrote the current values");
            Ok((is_last && is_told && proxy.is_armed()).then_some(StoryEnd::Done))
        }
    })
    .await
}

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
        let end = end_of(&mut first, &workspace, &proxy)
            .await
            .with_context(|| format!("write {write}: {:?}", proxy.mutations()))?;
        if end == StoryEnd::Done {
            ensure!(write > 2, "it was done before the second write: {:?}", proxy.mutations());
            return Ok(());
        }
        ensure!(proxy.mutations().len() == write, "{:?}", proxy.mutations());
        let _second = operator(&workspace)?;
        workspace.wait_until_ready("LdapConfig", "corp").await?;
        ensure!(workspace.secrets().get_opt("corp-ldap").await?.is_some(), "no Secret is published");
    }
    bail!("it still writes after {WRITES} writes")
}
