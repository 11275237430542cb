//! Revokes what was generated for a resource that is about to go.

use super::{
    Current,
    keys::{Maker, RemoteKey},
};
use crate::{
    api::{Reason, ServiceAccount},
    engine::{Kind, Scene, Values},
    instance::{Credential, Instance, Refusal},
    net::{HttpClient, Trust},
    problem::Problem,
    service_account::{
        render::CA_FILE,
        settings::{CredentialSettings, Settings},
    },
};

/// Revokes every key that was generated for the resource, the published one last: it is what asks.
///
/// The spec may refer to what is gone already, so the Secret tells the key and whom to trust.
pub(in super::super) async fn dismantle(object: &ServiceAccount, scene: &Scene<'_>) -> Result<(), Problem> {
    let Settings { account, credentials } = object.parse()?;
    let CredentialSettings::ApiKey(settings) = credentials else { return Ok(()) };
    if super::leaves_keys(&account, &settings) {
        return Ok(());
    }
    let current = Current::choose(scene.published, scene.last_verified).ok_or_else(|| no_key(object))?;
    let trust = trust(scene)?;
    let server_name = account.server_name.as_ref().map(|name| (account.base_url.endpoint(), name));
    let http = HttpClient { network: scene.network, trust: &trust, server_name };
    let instance = Instance { base_url: &account.base_url, http };
    revoke_all(&instance, &current, &account.uid).await.map_err(|refusal| refusal.problem)
}

async fn revoke_all(instance: &Instance<'_>, current: &Current, uid: &str) -> Result<(), Refusal> {
    let credential = Credential::Key(current.key.clone());
    let viewer = match instance.viewer(&credential).await {
        Ok(viewer) => viewer,
        // It went with the others, last.
        Err(refusal) if refusal.problem.reason == Reason::Unauthorized && current.record.key_id.is_some() => {
            return Ok(());
        }
        Err(refusal) => return Err(refusal),
    };
    let listed: Vec<_> = viewer.api_keys.iter().map(|listed| RemoteKey::new(listed, uid)).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        listed.iter().partition(|key| current.record.key_id.as_ref() == Some(&key.id));
    // The published key may have been generated for a resource of the same name before this one.
    let own = own.into_iter().filter(|key| key.may_be(&current.key));
    let others = others.into_iter().filter(|key| key.maker == Maker::Ourselves);
    for key in others.chain(own) {
        instance.delete_api_key(&credential, &key.id).await?;
    }
    Ok(())
}

/// The authorities that the published values trust.
fn trust(scene: &Scene<'_>) -> Result<Trust, Problem> {
    let system = &scene.network.system_trust;
    let published = |values: Option<&Values>| values.and_then(|values| values.get(CA_FILE).cloned());
    match published(scene.published).or_else(|| published(scene.last_verified)) {
        None => Ok(system.clone()),
        Some(bundle) => system.with_bundle(bundle.expose().as_bytes()).map_err(|seen| {
            Problem::new(
                Reason::InvalidCABundle,
                format!("The published {CA_FILE} {seen}, so the server cannot be asked to revoke keys."),
            )
        }),
    }
}

fn no_key(object: &ServiceAccount) -> Problem {
    Problem::new(
        Reason::KeyNotFound,
        format!(
            "The published Secret holds no API key, so nobody can ask the server to revoke the keys whose description has \"{}\". Delete them in the web UI.",
            object.metadata.uid.as_deref().unwrap_or_default()
        ),
    )
}
