//! A revision that does not work in the pods, while what was there before does not work at the servers any more.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use test_support::pods::{Life, WandbWorkload};

use super::{
    Stage, TARGET,
    adoption::{Running, target},
    eventually,
    other_resources::{message_of, rolled_back, rotate_password, runs_with},
    refers_to,
};
use crate::world::{PASSWORD, certificate, jwt_issuer, operator, provider, put_authority};

/// What became of a revision.
async fn mark(stage: &Stage, secret: &str) -> Result<String> {
    let secret = stage.api::<Secret>().get(secret).await?;
    let annotations = secret.metadata.annotations.unwrap_or_default();
    Ok(annotations.get("auth.wandb.com/rollout").cloned().unwrap_or_default())
}

/// How often the directory refused a password.
fn refusals(stage: &Stage) -> Result<usize> {
    Ok(stage.directory.log().read()?.lines().filter(|line| line.contains("err=49")).count())
}

fn crash_from(stage: &Stage, first_bad: u64) {
    stage.player.change_script(move |pod| {
        if (first_bad..=9).any(|number| refers_to(pod, &format!("corp-ldap-{number}"))) {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
}

async fn stays(stage: &Stage) -> Result<String> {
    let status =
        stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "NoWorkingRevision").await?;
    Ok(message_of(&status, "RolledOut"))
}

#[tokio::test]
async fn a_password_that_was_rotated_and_revoked_is_no_way_back() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    crash_from(&stage, 2);
    rotate_password(&stage.workspace, &stage.directory, "the-next-password").await?;
    let message = stays(&stage).await?;
    for part in [
        "Revision 2 does not work in the pods of Deployment/wandb",
        "this revision stays",
        "exit code 3",
        "Revision 1 does not work any more: Bind: ",
    ] {
        ensure!(message.contains(part), "{part}: {message}");
    }
    ensure!(!message.contains(PASSWORD) && !message.contains("the-next-password"), "{message}");
    ensure!(stage.entries().await?.values().all(|(secret, _)| secret == "corp-ldap-2"));
    ensure!(mark(&stage, "corp-ldap-1").await?.contains("refused"));
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);

    // Neither another process nor another attempt sends it again.
    stage.operator = None;
    stage.operator = Some(operator(&stage.workspace)?);
    stage.workspace.recheck("LdapConfig", "corp", "once").await?;
    let is_news = |text: &String| text.contains("recheck=once");
    eventually("another verdict", || async { Ok(Some(mark(&stage, "corp-ldap-2").await?).filter(is_news)) })
        .await?;
    stays(&stage).await?;
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);

    // It is looked at on: a late success counts, and is a way back for what comes next.
    stage.player.change_script(|_| Life::Ready);
    runs_with(&stage.workspace, 2).await?;
    crash_from(&stage, 3);
    stage.apply(&format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name: cn}}")).await?;
    let (status, message) = rolled_back(&stage.workspace).await?;
    ensure!(status["revision"] == 2 && message.contains("went back to revision 2"), "{message}");
    ensure!(refusals(&stage)? == 1, "the old password was sent {} times", refusals(&stage)?);
    stage.expect_two_ready_always().await?;
    stage.expect_no_broken_reference()
}

#[tokio::test]
async fn a_directory_that_is_down_keeps_nobody_from_going_back() -> Result<()> {
    let mut stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    stage.ready(TARGET).await?;
    stage
        .player
        .change_script(|pod| if refers_to(pod, "corp-ldap-2") { Life::NeverReady } else { Life::Ready });
    let next = "attributes: {email: mail, group: gidNumber, name: cn}";
    stage.apply(&format!("{TARGET}\n{next}")).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "RolledOut", "Progressing").await?;
    stage.directory.stop()?;
    crash_from(&stage, 2);
    let (status, message) = rolled_back(&stage.workspace).await?;
    ensure!(status["revision"] == 1, "{status:#}");
    ensure!(message.contains("Whether revision 1 still works was not checked: TcpConnects"), "{message}");
    stage.expect_two_ready_always().await
}

/// Fails where any entry that was taken over comes from another Secret.
async fn all_come_from(running: &Running, secret: &str) -> Result<()> {
    let entries = running.stage.entries().await?;
    for name in running.names() {
        ensure!(entries.get(&name).is_some_and(|(other, _)| other == secret), "{name}: {entries:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_there_before_is_no_way_back_once_somebody_deleted_it() -> Result<()> {
    let running = Running::by_hand().await?;
    let stage = &running.stage;
    let delete = async |name: &str| {
        stage.workspace.secrets().delete(name, &DeleteParams::default()).await?;
        anyhow::Ok(())
    };
    let never_ready = |secret: &'static str| {
        stage.player.change_script(
            move |pod| {
                if refers_to(pod, secret) { Life::NeverReady } else { Life::Ready }
            },
        );
    };
    never_ready("corp-ldap-2");
    stage.apply(&target("Replace")).await?;
    eventually("a pod of the first rollout", || async {
        Ok(stage.pods().await?.iter().any(|pod| refers_to(pod, "corp-ldap-2")).then_some(()))
    })
    .await?;
    delete("corp-ldap-1").await?;
    let is_told =
        |status: &serde_json::Value| message_of(status, "RolledOut").contains("the operator cannot go back");
    stage.workspace.wait_for("LdapConfig", "corp", is_told).await?;
    crash_from(stage, 2);
    let message = stays(stage).await?;
    ensure!(message.contains("Revision 1, to which it would go back, was deleted."), "{message}");
    all_come_from(&running, "corp-ldap-2").await?;

    // What works later is a way back, until somebody deletes that while it is taken.
    stage.player.change_script(|_| Life::Ready);
    runs_with(&stage.workspace, 2).await?;
    stage.player.change_script(|pod| match () {
        () if refers_to(pod, "corp-ldap-3") => Life::CrashLooping { exit_code: 3, message: String::new() },
        () if refers_to(pod, "corp-ldap-2") => Life::NeverReady,
        () => Life::Ready,
    });
    let next = |name: &str| {
        format!("{}\nattributes: {{email: mail, group: gidNumber, {name}: cn}}", target("Replace"))
    };
    stage.apply(&next("name")).await?;
    eventually("the way back", || async {
        let mark = stage.workspace.secrets().get_opt("corp-ldap-3").await?;
        let is_marked = mark.is_some_and(|secret| {
            let annotations = secret.metadata.annotations.unwrap_or_default();
            annotations.get("auth.wandb.com/rollout").is_some_and(|mark| mark.contains("rolledBack"))
        });
        let entries = stage.entries().await?;
        Ok((is_marked && entries.values().all(|(secret, _)| secret == "corp-ldap-2")).then_some(()))
    })
    .await?;
    delete("corp-ldap-2").await?;
    let message = stays(stage).await?;
    ensure!(message.contains("revision 2, to which Deployment/wandb went back, was deleted"), "{message}");
    all_come_from(&running, "corp-ldap-2").await?;

    // Other values are tried at once.
    stage.player.change_script(|_| Life::Ready);
    stage.apply(&next("surname")).await?;
    runs_with(&stage.workspace, 4).await?;
    all_come_from(&running, "corp-ldap-4").await?;
    running.history.expect_variables(&running.names()).await
}

/// A `JwtIssuer` whose second revision is on its way, and the provider.
async fn issuer_on_its_way(stage: &Stage) -> Result<test_support::OpenIdProvider> {
    let certificate = certificate()?;
    put_authority(&stage.workspace, &certificate).await?;
    let provider = provider(&certificate)?;
    let issuer = jwt_issuer(provider.issuer(), TARGET);
    stage.workspace.apply(&issuer).await?;
    stage.workspace.wait_until_ready("JwtIssuer", "ci").await?;
    stage.player.change_script(|pod| if refers_to(pod, "ci-jwt-2") { Life::NeverReady } else { Life::Ready });
    stage.workspace.apply(&issuer.replace("[my-org, research]", "[my-org]")).await?;
    eventually("a pod with the next audiences", || async {
        Ok(stage.pods().await?.iter().any(|pod| refers_to(pod, "ci-jwt-2")).then_some(()))
    })
    .await?;
    Ok(provider)
}

fn crash_with_the_next_audiences(stage: &Stage) {
    stage.player.change_script(|pod| {
        if refers_to(pod, "ci-jwt-2") {
            Life::CrashLooping { exit_code: 3, message: String::new() }
        } else {
            Life::Ready
        }
    });
}

#[tokio::test]
async fn audiences_of_an_issuer_that_is_trusted_no_more_are_no_way_back() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let _provider = issuer_on_its_way(&stage).await?;
    put_authority(&stage.workspace, &certificate()?).await?;
    crash_with_the_next_audiences(&stage);
    let status = stage.workspace.wait_for_reason("JwtIssuer", "ci", "RolledOut", "NoWorkingRevision").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("Revision 1 does not work any more: TlsVerifies: "), "{message}");
    ensure!(stage.entries().await?.values().all(|(secret, _)| secret == "ci-jwt-2"));
    stage.expect_two_ready_always().await
}

#[tokio::test]
async fn audiences_of_an_issuer_that_works_are_a_way_back() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let _provider = issuer_on_its_way(&stage).await?;
    crash_with_the_next_audiences(&stage);
    let status = stage.workspace.wait_for_reason("JwtIssuer", "ci", "RolledOut", "RolledBack").await?;
    let message = message_of(&status, "RolledOut");
    ensure!(message.contains("went back to revision 1") && !message.contains("not checked"), "{message}");
    ensure!(stage.entries().await?.values().all(|(secret, _)| secret == "ci-jwt-1"));
    stage.expect_two_ready_always().await
}
