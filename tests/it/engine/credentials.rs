//! Wrong credentials are sent once for an account, however many resources have them: counted at the servers.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use test_support::{
    ApiProxy, ControlPlane, Fault, KillSwitch, OpenIdClient, OpenIdProvider, Operator, Slapd, WandbServer,
    Workspace, condition,
};

use crate::{
    service_account::most_requests,
    world::{
        ARGUMENTS, PASSWORD, PATIENCE, REDIRECT_URI, certificate, directory, eventually, ldap_config,
        oidc_provider, operator, program, put_references, workspace,
    },
};

const KIND: &str = "LdapConfig";
const WRONG: &str = "not-the-password";

/// How many resources have the account in a namespace.
const RESOURCES: usize = 6;

/// What the account is called, in ways that are all the same to the directory.
fn spellings() -> [String; 3] {
    let dn = Slapd::SERVICE_DN;
    [dn.to_owned(), dn.replace(',', ", "), dn.replace("cn=", "CN=").replace("ou=services", "OU=Services")]
}

/// The resources `<prefix>-<n>`, which have one account and one password.
async fn apply(
    workspace: &Workspace,
    directory: &Slapd,
    names: impl IntoIterator<Item = String>,
) -> Result<()> {
    for (name, dn) in names.into_iter().zip(spellings().iter().cycle()) {
        let manifest = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": KIND, "metadata": {"name": name},
            "spec": {
                "address": directory.ldap_url(), "insecurePlaintext": true, "baseDN": Slapd::SUFFIX,
                "checkInterval": "10s",
                "bind": {"dn": dn, "passwordSecretRef": {"name": "ldap-bind", "key": "password"}},
            },
        });
        workspace.apply(&manifest.to_string()).await?;
    }
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    (0..RESOURCES).map(|number| format!("corp-{number}"))
}

async fn all_refused(workspace: &Workspace) -> Result<()> {
    for name in names() {
        workspace.wait_for_reason(KIND, &name, "Verified", "InvalidCredentials").await?;
    }
    Ok(())
}

/// Two namespaces, each with resources that have the same account and password.
async fn two_namespaces(password: &str, directory: &Slapd) -> Result<[Workspace; 2]> {
    let both = [workspace().await?, workspace().await?];
    for workspace in &both {
        workspace.put_secret("ldap-bind", &[("password", password)]).await?;
        apply(workspace, directory, names()).await?;
    }
    Ok(both)
}

/// An operator for both namespaces.
fn operator_of([one, other]: &[Workspace; 2]) -> Result<Operator> {
    let namespaces = ["--namespace", one.namespace(), "--namespace", other.namespace()];
    one.start_operator(program(), &[&ARGUMENTS[..], &namespaces].concat())
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_for_all_who_have_it() -> Result<()> {
    let directory = Slapd::builder(PASSWORD).start()?;
    let both = two_namespaces(WRONG, &directory).await?;
    let first = operator_of(&both)?;
    for workspace in &both {
        all_refused(workspace).await?;
    }
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    let mut told = 0;
    for workspace in &both {
        for name in names() {
            let status = workspace.status(KIND, &name).await?;
            let message = condition(&status, "Ready").context("Ready")?["message"].to_string();
            ensure!(message.contains("auth.wandb.com/recheck"), "{message}");
            ensure!(message.matches("The credentials come from the key").count() == 1, "{message}");
            told += usize::from(message.contains("they were not sent again"));
        }
    }
    assert_eq!(told, 2 * RESOURCES - 1, "everybody but the first is told");

    // Neither a restart nor a label is a reason for another try.
    drop(first);
    for workspace in &both {
        let label = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
            "name": "ldap-bind", "labels": {"touched": "yes"}}, "stringData": {"password": WRONG}});
        workspace.apply(&label.to_string()).await?;
    }
    let _second = operator_of(&both)?;
    for workspace in &both {
        let version = workspace.secrets().get("ldap-bind").await?.metadata.resource_version;
        let latest = format!("Secret/ldap-bind={}~", version.context("a version")?);
        for name in names() {
            let is_latest = |status: &serde_json::Value| {
                status["checkedInputs"].as_str().is_some_and(|inputs| inputs.contains(&latest))
            };
            workspace.wait_for(KIND, &name, is_latest).await?;
        }
        apply(workspace, &directory, ["new".to_owned()]).await?;
        let status = workspace.wait_for_reason(KIND, "new", "Verified", "InvalidCredentials").await?;
        let message = condition(&status, "Ready").context("Ready")?["message"].to_string();
        ensure!(message.matches("The credentials come from the key").count() == 1, "{message}");
    }
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);

    // Each who is asked by a person sends it once more; many who are asked at once send it once.
    let [one, _] = &both;
    one.recheck(KIND, "new", "please").await?;
    eventually("the try that was asked for", || async {
        Ok((directory.bind_attempts(Slapd::SERVICE_DN)? == 2).then_some(()))
    })
    .await?;
    // The directory gets that password after all: one who is asked to look finds out for everybody.
    directory.set_password(Slapd::SERVICE_DN, WRONG)?;
    one.recheck(KIND, "new", "now it is right").await?;
    for workspace in &both {
        for name in names().chain(["new".to_owned()]) {
            workspace.wait_until_ready(KIND, &name).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_right_password_is_sent_by_all() -> Result<()> {
    let directory = Slapd::builder(PASSWORD).start()?;
    let both = two_namespaces(PASSWORD, &directory).await?;
    let _operator = operator_of(&both)?;
    for workspace in &both {
        for name in names() {
            workspace.wait_until_ready(KIND, &name).await?;
        }
    }
    ensure!(directory.bind_attempts(Slapd::SERVICE_DN)? >= 2 * RESOURCES);
    Ok(())
}

/// A namespace with resources whose password is wrong, after an operator whose life ends as this arranges it; it also
/// decides from when on the proxy passes lists on.
async fn after_a_death(directory: &Slapd, arrange: impl FnOnce(&ApiProxy, KillSwitch)) -> Result<Workspace> {
    let workspace = workspace().await?;
    workspace.put_secret("ldap-bind", &[("password", WRONG)]).await?;
    apply(&workspace, directory, names()).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    // It knows of no resource before its end is arranged.
    proxy.fail(|_, path| path.contains("/ldapconfigs?").then_some(Fault::Close));
    let mut operator = workspace.start_operator_through(&proxy, program(), &ARGUMENTS)?;
    arrange(&proxy, operator.kill_switch()?);
    operator.process().wait(PATIENCE)?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1, "{:?}", proxy.mutations());
    Ok(workspace)
}

#[tokio::test]
async fn who_is_killed_after_a_status_has_told_all_who_come_after() -> Result<()> {
    let directory = Slapd::builder(PASSWORD).start()?;
    let workspace = after_a_death(&directory, |proxy, switch| {
        proxy.lose_answer_to(|write| write.path.contains("/status"), 1, move |_| switch.kill());
        proxy.heal();
    })
    .await?;
    let _second = operator(&workspace)?;
    all_refused(&workspace).await?;
    assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 1);
    Ok(())
}

/// The only way to a second try: nothing tells the next process what the directory answered.
#[tokio::test]
async fn who_is_killed_between_the_answer_and_the_status_leaves_one_more_try() -> Result<()> {
    let directory = Slapd::builder(PASSWORD).start()?;
    let workspace = after_a_death(&directory, |proxy, switch| {
        proxy.fail(move |method, path| {
            (method == "PATCH" && path.contains("/status")).then(|| {
                switch.kill();
                Fault::Close
            })
        });
    })
    .await?;
    for _next in 0..2 {
        let next = operator(&workspace)?;
        all_refused(&workspace).await?;
        drop(next);
        assert_eq!(directory.bind_attempts(Slapd::SERVICE_DN)?, 2);
    }
    Ok(())
}

#[tokio::test]
async fn who_is_killed_after_a_refusal_leaves_nobody_a_refused_password_as_a_proven_one() -> Result<()> {
    let certificate = certificate()?;
    let directory = directory(&certificate)?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let proxy = ApiProxy::start(ControlPlane::shared().await?)?;
    let mut first = workspace.start_operator_through(&proxy, program(), &ARGUMENTS)?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready(KIND, "corp").await?;
    let verified = workspace.secrets().get("corp-ldap").await?;
    let switch = first.kill_switch()?;
    proxy.lose_answer_to(|write| write.path.contains("/status"), 1, move |_| switch.kill());
    workspace.put_secret("ldap-bind", &[("password", WRONG)]).await?;
    first.process().wait(PATIENCE)?;
    let status = workspace.status(KIND, "corp").await?;
    let reason = |type_: &str| condition(&status, type_).map(|one| one["reason"].clone());
    assert_eq!(reason("Verified"), Some(json!("InvalidCredentials")), "{status}");
    assert_eq!(reason("Ready"), Some(json!("InvalidCredentials")), "{status}");
    let _second = operator(&workspace)?;
    workspace.wait_for_reason(KIND, "corp", "Published", "HoldingLastVerified").await?;
    let held = workspace.secrets().get("corp-ldap").await?;
    assert_eq!(held.metadata.resource_version, verified.metadata.resource_version);
    Ok(())
}

#[tokio::test]
async fn what_a_suspended_resource_saw_refused_says_nothing_of_what_works_now() -> Result<()> {
    let directory = Slapd::builder(PASSWORD).start()?;
    let workspace = workspace().await?;
    workspace.put_secret("ldap-bind", &[("password", WRONG)]).await?;
    let first = operator(&workspace)?;
    apply(&workspace, &directory, ["old".to_owned()]).await?;
    workspace.wait_for_reason(KIND, "old", "Published", "NotYetVerified").await?;
    workspace.patch(KIND, "old", &json!({"spec": {"suspend": true}})).await?;
    workspace.wait_for_reason(KIND, "old", "Ready", "Suspended").await?;
    directory.set_password(Slapd::SERVICE_DN, WRONG)?;
    apply(&workspace, &directory, ["new".to_owned()]).await?;
    workspace.recheck(KIND, "new", "now it is right").await?;
    workspace.wait_until_ready(KIND, "new").await?;
    drop(first);
    let before = directory.bind_attempts(Slapd::SERVICE_DN)?;
    let _second = operator(&workspace)?;
    eventually("the next check", || async {
        Ok((directory.bind_attempts(Slapd::SERVICE_DN)? > before).then_some(()))
    })
    .await?;
    workspace.wait_until_ready(KIND, "new").await?;
    Ok(())
}

/// How often the secret of one client and one key were sent.
#[derive(Debug)]
struct SentCredentials {
    /// Requests with the client's secret.
    of_client: usize,
    /// Requests with the key.
    of_key: usize,
    /// As many requests with the key as there was time for, where those who have it share the answers.
    most_of_key: usize,
}

impl SentCredentials {
    /// Whether those who have the same share the answers. Whoever asks first with a client's secret does so in both ways
    /// that RFC 6749 has.
    fn is_shared(&self) -> bool {
        self.of_client == 2 && self.of_key <= self.most_of_key
    }
}

/// Lets resources have one client and one key that their servers refuse.
async fn refused_by_both_servers() -> Result<SentCredentials> {
    let certificate = certificate()?;
    let provider = OpenIdProvider::builder()
        .certificate(&certificate)
        .client(OpenIdClient::confidential("wandb", PASSWORD, REDIRECT_URI))
        .start()?;
    let server = WandbServer::builder().start()?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    let key = "0123456789012345678901234567890123456789";
    workspace.put_secret("sa-key", &[("key", key)]).await?;
    for number in 0..RESOURCES {
        let name = format!("one-{number}");
        let manifest = oidc_provider(provider.issuer(), "").replace("name: main", &format!("name: {name}"));
        workspace.apply(&manifest).await?;
        let account = json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "ServiceAccount", "metadata": {"name": name},
            "spec": {
                "instance": {"baseURL": server.base_url(), "insecurePlaintext": true},
                "accountName": name, "team": "research",
                "credentials": {"apiKey": {"bootstrapSecretRef": {"name": "sa-key", "key": "key"}}},
            },
        });
        workspace.apply(&account.to_string()).await?;
    }
    let started = Instant::now();
    let _operator = operator(&workspace)?;
    for number in 0..RESOURCES {
        let name = format!("one-{number}");
        workspace.wait_for_reason("OidcProvider", &name, "Verified", "ClientRejected").await?;
        workspace.wait_for_reason("ServiceAccount", &name, "Verified", "Unauthorized").await?;
    }
    let (of_client, of_key) = (provider.requests("/token")?, server.requests("viewer"));
    // A key is tried again after some seconds already, by one of those who have it.
    let most_of_key = most_requests(1, started).max(3);
    Ok(SentCredentials { of_client, of_key, most_of_key })
}

#[tokio::test]
async fn secrets_of_clients_and_keys_are_sent_once_an_interval() -> Result<()> {
    // Where no account is locked, nobody waits longer than a second for an answer that another one gets. A server of a
    // busy machine may take longer, but it does not each time.
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let sent = refused_by_both_servers().await?;
        ensure!(sent.of_client >= 2 && sent.of_key >= 1, "{sent:?}");
        rounds.push(sent);
        if rounds.iter().filter(|sent| sent.is_shared()).count() == 2 {
            return Ok(());
        }
    }
    bail!("those who have the same credentials do not share the answers to them: {rounds:?}")
}
