//! Fills the status of an account with an API key, and makes the event of a rotation.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decide::next_rotation,
    plan::{AccountPresence, ApiKeyEvidence, ApiKeyPlan},
    record::Current,
};
use crate::{
    api::{names::EventReason, service_account::ServiceAccountDetails},
    engine::{EventDraft, EventType, Values},
};

/// The details of the status: the account as a run found it last, and the key as the Secret holds it.
pub(in crate::service_account) fn status_details(
    own: &ApiKeyPlan,
    evidence: Option<&ApiKeyEvidence>,
    published: Option<&Values>,
    previous: ServiceAccountDetails,
) -> ServiceAccountDetails {
    let account = match evidence.map(|evidence| &evidence.account) {
        Some(AccountPresence::Present(account)) => Some(account.clone()),
        Some(AccountPresence::Unknown | AccountPresence::Absent) | None => previous.account,
    };
    let published = published.and_then(Current::read);
    // Until a run has examined all keys with the published one, programs may still use the key that was published
    // last.
    let is_seen_to = evidence.is_some_and(|evidence| {
        evidence.keys.is_some() && evidence.current.is_some() && evidence.current == published
    });
    let last = previous.key_id.filter(|_| !is_seen_to);
    let Some(Current { record, .. }) = published else {
        return ServiceAccountDetails { account, key_id: last, ..ServiceAccountDetails::default() };
    };
    let next_rotation = own.settings.rotation.and_then(|rotation| next_rotation(rotation, &record)).map(Time);
    ServiceAccountDetails {
        account,
        key_id: last.or(record.key_id),
        key_since: record.since,
        next_rotation,
        token_expiration: None,
    }
}

/// The event that a key was replaced, if it was.
pub(in crate::service_account) fn events(
    previous: &ServiceAccountDetails,
    current: &ServiceAccountDetails,
) -> Option<EventDraft> {
    let key_id = current.key_id.as_ref().filter(|key_id| previous.key_id.as_ref() != Some(*key_id))?;
    let before = previous
        .key_id
        .as_ref()
        .map_or_else(|| "the key that a person copied".to_owned(), |key_id| format!("the key {key_id}"));
    Some(EventDraft {
        tone: EventType::Normal,
        reason: EventReason::KeyRotated,
        action: "Rotate".to_owned(),
        note: format!(
            "Published the new API key {key_id} instead of {before}. Programs that read the Secret only when they start use it after their next start."
        ),
    })
}
