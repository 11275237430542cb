//! Fills the status of an account with an API key, and makes the events of a rotation and of its end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    decide::next_rotation,
    plan::{AccountPresence, ApiKeyEvidence, ApiKeyPlan},
    record::Current,
    requests::HandledRequests,
};
use crate::{
    api::{REVOKE_PREVIOUS_ANNOTATION, names::EventReason, service_account::ServiceAccountDetails},
    engine::{EventDraft, EventType, Values},
};

/// The details of the status: the account as a run found it last, and the key as the Secret holds it.
pub(in crate::service_account) fn status_details(
    own: &ApiKeyPlan,
    evidence: Option<&ApiKeyEvidence>,
    published: Option<&Values>,
    previous: ServiceAccountDetails,
) -> ServiceAccountDetails {
    let known = HandledRequests::of_status(&previous);
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
    let mut overlapping = previous.previous_keys;
    overlapping.retain(|_| !is_seen_to);
    let Some(Current { record, .. }) = published else {
        let HandledRequests { rotate, revoke_previous } = known;
        return ServiceAccountDetails {
            account,
            key_id: last,
            previous_keys: overlapping,
            last_handled_rotate: rotate.last,
            earlier_rotate_digests: rotate.earlier,
            last_handled_revoke_previous: revoke_previous.last,
            earlier_revoke_previous_digests: revoke_previous.earlier,
            ..ServiceAccountDetails::default()
        };
    };
    // An older Secret that somebody restored does not open a request again.
    let HandledRequests { rotate, revoke_previous } =
        record.handled.clone().unwrap_or_default().and(&known, &own.settings.asked);
    let next_rotation = own.settings.rotation.and_then(|rotation| next_rotation(rotation, &record)).map(Time);
    for key in record.previous {
        if overlapping.iter().all(|known| known.key_id != key.key_id) {
            overlapping.push(key.status());
        }
    }
    ServiceAccountDetails {
        account,
        key_id: last.or(record.key_id),
        previous_keys: overlapping,
        key_since: record.since,
        next_rotation,
        last_handled_rotate: rotate.last,
        earlier_rotate_digests: rotate.earlier,
        last_handled_revoke_previous: revoke_previous.last,
        earlier_revoke_previous_digests: revoke_previous.earlier,
        token_expiration: None,
    }
}

/// The events that a key was replaced, and that the replaced ones were revoked because a person asked for that.
pub(in crate::service_account) fn events(
    previous: &ServiceAccountDetails,
    current: &ServiceAccountDetails,
) -> Vec<EventDraft> {
    rotated(previous, current).into_iter().chain(overlap_ended(previous, current)).collect()
}

fn rotated(previous: &ServiceAccountDetails, current: &ServiceAccountDetails) -> Option<EventDraft> {
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

fn overlap_ended(previous: &ServiceAccountDetails, current: &ServiceAccountDetails) -> Option<EventDraft> {
    let handled = current.last_handled_revoke_previous.as_ref();
    let handled = handled.filter(|value| previous.last_handled_revoke_previous.as_ref() != Some(*value));
    handled.map(|_| EventDraft {
        tone: EventType::Normal,
        reason: EventReason::OverlapEnded,
        action: "Revoke".to_owned(),
        note: format!(
            "Only the published API key is valid of those that this resource published, as the annotation {REVOKE_PREVIOUS_ANNOTATION} asks. Programs that still use an earlier one are refused until they read the Secret again."
        ),
    })
}
