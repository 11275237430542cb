//! Revokes the keys that were generated for a resource, when that resource is deleted.

use super::{
    keys::{KeyOrigin, MARK, RemoteKey},
    plan::leaves_keys,
    record::{self, Current},
    settings::ApiKeySettings,
};
use crate::{
    api::Reason,
    engine::{CA_FILE, CheckContext, RemoteState, Values},
    instance::{BaseUrl, Credential, Instance, ServerRefusal},
    net::{CaBundle, HttpClient, Trust},
    problem::{Problem, enumerate},
    service_account::account::AccountSettings,
};

/// Revokes every key that was generated for the resource. The published one is revoked last, since the requests are
/// made with it.
///
/// The objects that the spec refers to may be gone already, so the key, the server and the trusted authorities come
/// from the published Secret.
pub(in crate::service_account) async fn cleanup(
    account: &AccountSettings,
    settings: &ApiKeySettings,
    context: &CheckContext<'_>,
) -> Result<(), Problem> {
    if leaves_keys(account, settings) {
        return Ok(());
    }
    let keys = known(account, context);
    let published = settings.published.as_ref();
    revoke_all(account, &keys, published, context).await.map_err(|Problem { reason, message }| {
        Problem::new(
            reason,
            format!(
                "The API keys of \"{}\" at {} that are described with \"{MARK} {}\" may stay valid. {message}",
                account.account_name,
                keys.first().map_or(&account.base_url, |(_, base_url)| base_url),
                account.uid
            ),
        )
    })
}

/// Whether keys were generated for the resource that must be revoked when it is deleted.
pub(in crate::service_account) fn remote_state(
    account: &AccountSettings,
    settings: &ApiKeySettings,
    published: Option<&Values>,
) -> RemoteState {
    let record = published.and_then(|values| Current::read_of(values, account)).map(|held| held.record);
    let has_generated = settings.published.is_some() || record.is_some_and(|record| record.key_id.is_some());
    if has_generated && !leaves_keys(account, settings) { RemoteState::Remote } else { RemoteState::None }
}

/// The keys with which the server can be asked, each with its server: first the key in use, then the others that
/// this process knows.
fn known(account: &AccountSettings, context: &CheckContext<'_>) -> Vec<(Current, BaseUrl)> {
    let values = [context.published, context.last_verified];
    let [published, last] = values.map(|values| values.and_then(Current::read));
    let chosen = Current::choose(published.clone(), last.clone());
    let mut keys: Vec<(Current, BaseUrl)> = Vec::new();
    for current in [chosen, last, published].into_iter().flatten() {
        let is_its = |values: &&Values| Current::read(values).is_some_and(|read| read.key == current.key);
        let server = values.into_iter().flatten().find(is_its).and_then(record::server);
        // Somebody may have edited the Secret. A key for an encrypted server must not be sent to an unencrypted
        // one.
        let is_as_safe = |url: &BaseUrl| url.is_encrypted() || !account.base_url.is_encrypted();
        let server = server.filter(is_as_safe).unwrap_or_else(|| account.base_url.clone());
        if keys.iter().all(|(known, _)| known.key != current.key) {
            keys.push((current, server));
        }
    }
    keys
}

async fn revoke_all(
    account: &AccountSettings,
    keys: &[(Current, BaseUrl)],
    published: Option<&String>,
    context: &CheckContext<'_>,
) -> Result<(), Problem> {
    let trust = trust(context)?;
    let mut refused = no_key();
    for (current, base_url) in keys {
        let http = HttpClient { network: context.network, trust: &trust };
        match revoke_with(&Instance { base_url, http }, current, &account.uid).await {
            Err(ServerRefusal { problem, .. }) if problem.reason == Reason::Unauthorized => refused = problem,
            outcome => return outcome.map_err(|refusal| refusal.problem),
        }
    }
    let generated: Vec<_> = keys.iter().filter_map(|(current, _)| current.record.key_id.as_ref()).collect();
    let before = keys.iter().flat_map(|(current, _)| current.record.previous.iter());
    let mut others: Vec<_> = before.map(|previous| &previous.key_id).chain(published).collect();
    others.retain(|id| !generated.contains(id));
    others.dedup();
    match (generated.as_slice(), others.as_slice()) {
        // The server no longer accepts the only generated key. An earlier attempt revoked it, after all others.
        ([_], []) => Ok(()),
        (_, []) => Err(refused),
        (_, others) => Err(Problem::new(
            refused.reason,
            format!("{} Of these keys, {} may be left.", refused.message, enumerate(others)),
        )),
    }
}

async fn revoke_with(instance: &Instance<'_>, current: &Current, uid: &str) -> Result<(), ServerRefusal> {
    let credential = Credential::Key(current.key.clone());
    let viewer = instance.viewer(&credential).await?;
    let listed: Vec<_> = viewer.api_keys.iter().map(|listed| RemoteKey::new(listed, uid)).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        listed.iter().partition(|key| current.record.key_id.as_ref() == Some(&key.id));
    // The published key may have been generated for an earlier resource of the same name. It is revoked last, too.
    let own = own.into_iter().filter(|key| key.may_be(&current.key));
    let others = others.into_iter().filter(|key| key.origin == KeyOrigin::Ourselves);
    for key in others.chain(own) {
        instance.delete_api_key(&credential, &key.id).await?;
    }
    Ok(())
}

/// The authorities that the published values trust.
fn trust(context: &CheckContext<'_>) -> Result<Trust, Problem> {
    let system = &context.network.system_trust;
    let published = |values: Option<&Values>| values.and_then(|values| values.get(CA_FILE).cloned());
    match published(context.published).or_else(|| published(context.last_verified)) {
        None => Ok(system.clone()),
        Some(published) => {
            let bundle = CaBundle::certificates_of(published.expose()).ok_or_else(|| {
                Problem::new(
                    Reason::InvalidCABundle,
                    format!("The published {CA_FILE} holds no certificate, so the server cannot be asked to revoke keys."),
                )
            })?;
            Ok(system.with_bundle(&bundle))
        }
    }
}

fn no_key() -> Problem {
    Problem::new(
        Reason::KeyNotFound,
        "The published Secret holds no API key, so nobody can ask the server to revoke them. Delete them in the web UI.",
    )
}
