//! Neighbours that hang: what they may hold, and that nobody waits for them.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_support::{ControlPlane, Operator, User, Workspace, hostile::TcpServer, wait_until};
use wandb_auth_operator::api::custom_resource_definitions;

use super::confined::operator_after;
use crate::world::{
    ARGUMENTS, PATIENCE, certificate, directory, jwt_issuer, ldap_config, oidc_provider, program, provider,
    put_references, workspace,
};

/// More than there are slots for runs that do not wait.
const BLACK_HOLES: usize = 100;

/// An operator for every namespace of a control plane of its own, and two of them.
struct Town {
    plane: ControlPlane,
    crowded: Workspace,
    quiet: Workspace,
}

impl Town {
    async fn build() -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let admin = plane.kubeconfig(User::Admin);
        let definitions = custom_resource_definitions();
        let crowded = Workspace::on(admin, admin, "crowded", &definitions).await?;
        let quiet = Workspace::on(admin, admin, "quiet", &definitions).await?;
        Ok(Self { plane, crowded, quiet })
    }

    fn operator(&self) -> Result<Operator> {
        self.crowded.start_operator(program(), &[&ARGUMENTS[..], &["--all-namespaces"]].concat())
    }
}

fn hung(black_hole: &TcpServer, number: usize) -> String {
    let hung = ldap_config(&format!("ldaps://{}", black_hole.address()), "checkTimeout: 5m");
    hung.replace("name: corp", &format!("name: hung-{number}"))
}

/// How many files and sockets the process holds.
fn descriptors(operator: &Operator) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", operator.id())).context("this needs Linux")?.count())
}

/// How many of the namespace's directories were never told of.
async fn without_status(workspace: &Workspace) -> Result<usize> {
    let list = workspace.resources("LdapConfig")?.list(&kube::api::ListParams::default()).await?;
    let observed =
        |status: Option<&Value>| status.map_or(Value::Null, |status| status["observedGeneration"].clone());
    Ok(list.items.iter().filter(|object| observed(object.data.get("status")) == json!(-1)).count())
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised() -> Result<()> {
    let workspace = workspace().await?;
    let scratch = tempfile::tempdir()?;
    let program = operator_after(scratch.path(), "ulimit -S -n 256")?;
    let operator = workspace.start_operator(&program, &ARGUMENTS)?;
    operator.wait_until_ready()?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", operator.id())).context("this needs Linux")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit")?;
    let words: Vec<_> = line.split_whitespace().collect();
    assert!(matches!(words.as_slice(), [.., soft, hard, _] if soft == hard), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_hundred_black_holes_delay_nobody() -> Result<()> {
    let certificate = certificate()?;
    let (directory, provider) = (directory(&certificate)?, provider(&certificate)?);
    let black_hole = TcpServer::black_hole()?;
    let town = Town::build().await?;
    let operator = town.operator()?;
    operator.wait_until_ready()?;
    let before = descriptors(&operator)?;
    for workspace in [&town.crowded, &town.quiet] {
        put_references(workspace, &certificate).await?;
    }
    for number in 0..BLACK_HOLES {
        town.crowded.apply(&hung(&black_hole, number)).await?;
    }
    // None of them waits for the others to end.
    wait_until(PATIENCE, "every hung check", || Ok(black_hole.connections() >= BLACK_HOLES))?;
    let held = descriptors(&operator)? - before;
    assert!(held < 2 * BLACK_HOLES, "a check that hangs holds a socket, not {held} files in all");

    // Another namespace, the other kinds, and the others of the same kind and namespace.
    for workspace in [&town.quiet, &town.crowded] {
        workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
        workspace.apply(&oidc_provider(provider.issuer(), "")).await?;
        workspace.apply(&jwt_issuer(provider.issuer(), "")).await?;
        workspace.wait_until_ready("LdapConfig", "corp").await?;
        workspace.wait_until_ready("OidcProvider", "main").await?;
        workspace.wait_until_ready("JwtIssuer", "ci").await?;
    }
    // Their time limit is longer than anything here is waited for, so nobody waited for them.
    assert_eq!(without_status(&town.crowded).await?, BLACK_HOLES, "the hung checks are still under way");
    assert_eq!(black_hole.connections(), BLACK_HOLES);
    drop(town.plane);
    Ok(())
}
