//! Proves the key in use. If the server refuses it, the key that was verified last is tried, and then the one that
//! a person copied.

use jiff::Timestamp;

use super::{
    plan::{ApiKeyPlan, BOOTSTRAP, adopt_key, candidate},
    record::{Current, Record, whole_seconds},
};
use crate::service_account::account::AccountSettings;
use crate::{
    api::{CheckName, Reason, service_account::AccountStatus},
    engine::{Checked, Report, coming_from},
    instance::{self, ApiKey, Credential, Instance, ServerRefusal, Viewer},
    problem::{Problem, quote},
};

/// A key that the server accepted as the account's.
pub(super) struct AcceptedKey {
    pub(super) current: Current,
    pub(super) account: AccountStatus,
    pub(super) viewer: Viewer,
    pub(super) credential: Credential,
}

/// Records `KeyShape` and `KeyAccepted`.
pub(super) async fn verify(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    (in_use, last_verified): (Option<Current>, Option<Current>),
    now: Timestamp,
    report: &mut Report,
) -> Option<AcceptedKey> {
    let current = report.record(CheckName::KeyShape, shape(own, in_use))?;
    let others = fallbacks(own, &current, last_verified);
    // Boxed, since pages of several requests make it large.
    let is_copied = current.record.key_id.is_none();
    let judged = Box::pin(async {
        let judged = judge(account, instance, now, current, others).await;
        judged.map_err(|refusal| if is_copied { located(own, refusal) } else { refusal })
    });
    instance::check(report, CheckName::KeyAccepted, judged).await
}

fn shape(own: &ApiKeyPlan, in_use: Option<Current>) -> Result<Checked<Current>, Problem> {
    let is_generated = in_use.as_ref().is_some_and(|current| current.record.key_id.is_some());
    if let (Some(bootstrap), false) = (&own.bootstrap, is_generated) {
        ApiKey::parse(bootstrap)?;
    }
    let current = candidate(own, in_use).ok_or_else(|| {
        let (secret, key) = &own.settings.bootstrap;
        Problem::new(
            Reason::ManualStepRequired,
            format!(
                "There is no API key in \"{key}\" of the Secret \"{secret}\". Put the account's key there."
            ),
        )
    })?;
    Ok(Checked::passed(current, "The text looks like an API key."))
}

/// Other keys to try, each with the warning to report if it is accepted. The key that was verified last is tried only
/// if it was generated, and the copied one only in place of a generated one.
fn fallbacks(own: &ApiKeyPlan, current: &Current, last_verified: Option<Current>) -> Vec<(Current, String)> {
    let name = |current: &Current| match &current.record.key_id {
        Some(key_id) => format!("the key {}, which was generated and published,", quote(key_id)),
        None => "the key in the Secret".to_owned(),
    };
    let refused = |by: &str| {
        format!(
            "The server does not accept {} as the account's. {by} is accepted and takes its place. Find out who revoked the other one.",
            name(current)
        )
    };
    let last = last_verified.filter(|last| last.record.key_id.is_some() && last.key != current.key);
    let last = last.map(|last| {
        let message = refused("The key that was published last");
        (last, message)
    });
    let is_generated = current.record.key_id.is_some();
    let bootstrap = own.bootstrap.as_ref().filter(|_| is_generated).and_then(|text| ApiKey::parse(text).ok());
    let bootstrap = bootstrap.filter(|key| *key != current.key).map(|key| {
        let message = refused("The key in spec.credentials.apiKey.bootstrapSecretRef");
        (adopt_key(key, Some(current.clone())), message)
    });
    last.into_iter().chain(bootstrap).collect()
}

async fn judge(
    account: &AccountSettings,
    instance: Instance<'_>,
    now: Timestamp,
    current: Current,
    others: Vec<(Current, String)>,
) -> Result<Checked<AcceptedKey>, ServerRefusal> {
    let refused = match view(account, instance, now, current).await {
        Err(refusal) if is_of_the_key(&refusal) => refusal,
        outcome => return outcome.map(|accepted| passed(account, accepted)),
    };
    for (other, message) in others {
        match view(account, instance, now, other).await {
            Ok(accepted) => return Ok(Checked::warning(accepted, refused.problem.reason, message)),
            Err(refusal) if is_of_the_key(&refusal) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Err(refused)
}

/// Says which Secret has the key that was refused.
fn located(own: &ApiKeyPlan, refusal: ServerRefusal) -> ServerRefusal {
    if !is_of_the_key(&refusal) {
        return refusal;
    }
    let ServerRefusal { problem, retry_after } = refusal;
    let (secret, key) = &own.settings.bootstrap;
    let location = format!("\"{key}\" of the Secret \"{secret}\" ({BOOTSTRAP})");
    ServerRefusal { problem: coming_from(problem, &location), retry_after }
}

/// Whether another key may do better.
fn is_of_the_key(refusal: &ServerRefusal) -> bool {
    matches!(refusal.problem.reason, Reason::Unauthorized | Reason::AccountMismatch)
}

fn passed(account: &AccountSettings, accepted: AcceptedKey) -> Checked<AcceptedKey> {
    let name = &account.account_name;
    if accepted.viewer.username.is_none() {
        let message = format!(
            "The server accepts the key and does not name its account. Check that it belongs to \"{name}\"."
        );
        return Checked::warning(accepted, Reason::Inconclusive, message);
    }
    Checked::passed(accepted, format!("The server accepts the key as \"{name}\"'s."))
}

/// Asks the server to whom the key belongs.
async fn view(
    account: &AccountSettings,
    instance: Instance<'_>,
    now: Timestamp,
    Current { key, record }: Current,
) -> Result<AcceptedKey, ServerRefusal> {
    let credential = Credential::Key(key.clone());
    let viewer = instance.viewer(&credential).await?;
    let expected = &account.account_name;
    let username = viewer.username.clone().unwrap_or_else(|| expected.clone());
    if username != *expected {
        let username = quote(&username);
        return Err(Problem::new(
            Reason::AccountMismatch,
            format!(
                "The key belongs to the account \"{username}\" instead of \"{expected}\". Store a key of \"{expected}\", or, if the key is the right one, set spec.accountName to \"{username}\"."
            ),
        )
        .into());
    }
    let found = AccountStatus { id: viewer.id.clone(), username };
    let since = record.since.clone().or_else(|| whole_seconds(now));
    Ok(AcceptedKey {
        current: Current { key, record: Record { since, ..record } },
        account: found,
        viewer,
        credential,
    })
}
