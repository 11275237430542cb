//! How often the operator binds where a bind could lock an account: counted at the servers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Result, ensure};
use test_support::{Directory389, Slapd, Workspace, hostile::TcpServer};

use super::scripted::{BIND, BIND_RESPONSE, CLOSE, directory, result};
use crate::world::{PASSWORD, eventually, operator, workspace};

/// A server that answers every bind in the same way, and counts them.
struct Counting {
    server: TcpServer,
    binds: Arc<AtomicUsize>,
}

/// What it answers.
#[derive(Clone, Copy)]
enum Answer {
    Result(u8, &'static str),
    /// It closes the connection.
    Nothing,
}

impl Counting {
    fn start(answer: Answer) -> Self {
        let binds = Arc::new(AtomicUsize::new(0));
        let counted = binds.clone();
        let server = directory(move |operation, _| {
            if operation == BIND {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            match answer {
                Answer::Result(code, text) => vec![(BIND_RESPONSE, result(code, text))],
                Answer::Nothing => vec![(CLOSE, Vec::new())],
            }
        });
        Self { server, binds }
    }

    fn binds(&self) -> usize {
        self.binds.load(Ordering::SeqCst)
    }
}

/// Each dialect of a lock, and other answers that are no yes.
const ANSWERS: &[(Answer, &str)] = &[
    // A lock.
    (Answer::Result(19, "Exceed password retry limit. Please try later."), "AccountLocked"),
    (
        Answer::Result(49, "Invalid credentials, you now have exceeded the password retry limit."),
        "AccountLocked",
    ),
    (Answer::Result(53, "Too many failed logins.\n"), "AccountLocked"),
    (Answer::Result(53, "Entry permanently locked.\n"), "AccountLocked"),
    (Answer::Result(53, "NDS error: login lockout (-197)"), "AccountLocked"),
    (
        Answer::Result(
            49,
            "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\0",
        ),
        "AccountLocked",
    ),
    (
        Answer::Result(53, "Password Policy Error :9001: GSL_ACCOUNTLOCKED_EXCP : Your account is locked."),
        "AccountLocked",
    ),
    (Answer::Result(53, "Error, Account is locked"), "AccountLocked"),
    (Answer::Result(49, "SASL(-13): Client's credentials have been revoked"), "AccountLocked"),
    (Answer::Result(49, "Simple Bind Failed: NT_STATUS_ACCOUNT_LOCKED_OUT"), "AccountLocked"),
    // Disablement and expiry.
    (Answer::Result(53, "Account inactivated. Contact system administrator."), "AccountDisabled"),
    (Answer::Result(53, "NDS error: log account expired (-220)"), "AccountDisabled"),
    (Answer::Result(49, "password expired!"), "PasswordExpired"),
    // Refusals without a word of it.
    (Answer::Result(49, ""), "InvalidCredentials"),
    (Answer::Result(53, "unwilling"), "OperationRefused"),
    (Answer::Result(50, ""), "OperationRefused"),
    (Answer::Result(80, ""), "OperationRefused"),
    (Answer::Result(1, ""), "OperationRefused"),
    // Unclear answers.
    (Answer::Result(51, ""), "ServerUnavailable"),
    (Answer::Nothing, "ConnectionClosed"),
];

fn manifest(name: &str, address: &str, bind_dn: &str) -> String {
    format!(
        "apiVersion: auth.wandb.com/v1alpha1
kind: LdapConfig
metadata: {{name: {name}}}
spec:
  address: {address}
  insecurePlaintext: true
  baseDN: dc=example,dc=org
  checkInterval: 10s
  bind: {{dn: '{bind_dn}', passwordSecretRef: {{name: ldap-bind, key: password}}}}
"
    )
}

async fn apply(workspace: &Workspace, name: &str, address: SocketAddr) -> Result<()> {
    workspace.apply(&manifest(name, &format!("ldap://{address}"), Slapd::SERVICE_DN)).await
}

#[tokio::test]
async fn a_locked_account_is_tried_once_over_two_intervals() -> Result<()> {
    let workspace = workspace().await?;
    let _operator = operator(&workspace)?;
    workspace.put_secret("ldap-bind", &[("password", PASSWORD)]).await?;
    let servers: Vec<_> =
        ANSWERS.iter().map(|(answer, reason)| (Counting::start(*answer), *reason)).collect();
    for (number, (server, _)) in servers.iter().enumerate() {
        apply(&workspace, &format!("scripted-{number}"), server.server.address()).await?;
    }
    let slapd = Slapd::builder(PASSWORD).start()?;
    let other = Directory389::builder(PASSWORD).locked().start()?;
    workspace.apply(&manifest("slapd", &slapd.ldap_url(), Slapd::LOCKED_DN)).await?;
    workspace.apply(&manifest("other", &other.ldap_url(), Directory389::SERVICE_DN)).await?;
    for (number, (_, reason)) in servers.iter().enumerate() {
        workspace.wait_for_reason("LdapConfig", &format!("scripted-{number}"), "Verified", reason).await?;
    }
    for name in ["slapd", "other"] {
        workspace.wait_for_reason("LdapConfig", name, "Verified", "AccountLocked").await?;
    }

    // An account that is let in shows that two more intervals are over.
    workspace.apply(&manifest("open", &slapd.ldap_url(), Slapd::SERVICE_DN)).await?;
    workspace.wait_until_ready("LdapConfig", "open").await?;
    eventually("two more intervals", async || {
        Ok((slapd.bind_attempts(Slapd::SERVICE_DN)? >= 4).then_some(()))
    })
    .await?;
    for (number, (server, reason)) in servers.iter().enumerate() {
        ensure!(server.binds() == 1, "scripted-{number} ({reason}): {} binds", server.binds());
    }
    ensure!(slapd.bind_attempts(Slapd::LOCKED_DN)? == 1);
    ensure!(other.bind_attempts(Directory389::SERVICE_DN)? == 1);

    // A person who asks for it gets one more try.
    workspace.recheck("LdapConfig", "scripted-0", "now").await?;
    let (first, _) = &servers[0];
    eventually("the try that was asked for", async || Ok((first.binds() == 2).then_some(()))).await?;
    Ok(())
}
