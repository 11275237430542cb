//! People log in through pods that run with the delivered values.

use anyhow::{Context, Result};
use kube::ResourceExt;
use test_support::{
    CertificateAuthority, Leaf, PodPlayer,
    pods::{Life, WandbWorkload},
    stand_in_server::log_in,
    tools::stand_in_server,
};

use super::{
    Stage, TARGET,
    other_resources::{rotate_password, runs_with},
    player_has_ready,
};
use crate::world::{PASSWORD, directory, ldap_config, operator, put_references, workspace};

const AUTHORITY_FILE: &str = "/usr/local/share/ca-certificates/wandb-auth-ldap-corp.crt";

/// What alice, alice with a wrong password, carol, who is in no allowed group, and a stranger are told by each pod.
async fn logins(stage: &Stage) -> Result<Vec<[u16; 4]>> {
    let mut told = Vec::new();
    for pod in stage.pods().await? {
        let Some(address) = stage.player.address_of(&pod.name_any()) else { continue };
        told.push([
            log_in(address, "alice@example.org", "alice-password")?,
            log_in(address, "alice@example.org", "carol-password")?,
            log_in(address, "carol@example.org", "carol-password")?,
            log_in(address, "mallory@example.org", "alice-password")?,
        ]);
    }
    Ok(told)
}

#[tokio::test]
async fn people_log_in_through_pods_and_still_do_after_a_failure() -> Result<()> {
    // Compiling it may take longer than pods are waited for.
    tokio::task::spawn_blocking(stand_in_server).await??;
    let authority = CertificateAuthority::new("test authority")?;
    let certificate = authority.issue(&Leaf::loopback())?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&WandbWorkload::deployment("wandb").manifest()).await?;
    let mut stage = Stage {
        directory: directory(&certificate)?,
        player: PodPlayer::start(&workspace, |_| Life::Serving)?,
        operator: Some(operator(&workspace)?),
        workspace,
    };
    player_has_ready(&stage.player, "wandb", 2).await?;
    assert_eq!(logins(&stage).await?, [[401; 4]; 2], "nobody logs in through the directory yet");

    let spec = format!("{TARGET}\ngroupAllowList: ['cn=wandb,ou=groups,dc=example,dc=org']");
    stage.ready(&spec).await?;
    assert_eq!(logins(&stage).await?, [[200, 401, 403, 401]; 2]);
    for pod in stage.pods().await? {
        let inputs = stage.player.environment_of(&pod.name_any()).context("it did not start")?;
        let file = inputs.files.get(AUTHORITY_FILE).context("no authority")?;
        assert_eq!(String::from_utf8_lossy(file).trim(), certificate.authority_pem.trim());
        assert_eq!(inputs.environment.get("LOCAL_LDAP_BIND_PW").map(String::as_str), Some(PASSWORD));
    }

    // A directory that W&B Server could not verify is not delivered.
    let other_name =
        Leaf { dns_names: vec!["ldap.example.com".to_owned()], ip_addresses: Vec::new(), ..Leaf::loopback() };
    let renamed = directory(&authority.issue(&other_name)?)?;
    stage.workspace.apply(&ldap_config(&renamed.ldaps_url()?, &spec)).await?;
    stage.workspace.wait_for_reason("LdapConfig", "corp", "Verified", "NameMismatch").await?;
    assert_eq!(logins(&stage).await?, [[200, 401, 403, 401]; 2]);
    stage.expect_two_ready_always().await?;

    // With a name that both can verify, people come to the other directory.
    let reachable = directory(&certificate)?;
    stage.workspace.apply(&ldap_config(&reachable.ldaps_url()?, &spec)).await?;
    stage.workspace.wait_until_ready("LdapConfig", "corp").await?;
    stage.directory.stop()?;
    assert_eq!(logins(&stage).await?, [[200, 401, 403, 401]; 2]);

    // Pods of a new password do without the one before.
    rotate_password(&stage.workspace, &reachable, "the-next-password").await?;
    runs_with(&stage.workspace, 3).await?;
    assert_eq!(logins(&stage).await?, [[200, 401, 403, 401]; 2]);
    stage.expect_no_broken_reference()
}
