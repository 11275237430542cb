//! Manages an account's API key, from the one that a person copied to the generated ones that replace it.
//!
//! In reading order: `settings` reads the spec and `requests` the annotations, and `plan` joins them with what the spec
//! refers to. `record` determines which key is in use, `verify` proves it, and
//! `membership` checks the team. While there is no key, `creation` finds or creates the account. `keys` interprets
//! what the server lists, `decide` decides what to do about that, and `rotate` does it. `cleanup` revokes the keys
//! of a deleted resource, and `status` fills the status and the events.
//!
//! Invariants:
//! - A key is revoked only while the Secret holds another one that the server has just accepted.
//! - A generated key is described with the resource's UID, and is tried before it is published. A generated key
//!   that was never published and is not about to be was left behind by an interrupted run, and is revoked.
//! - A key that was published stays valid for the overlap after another one has replaced it, also if somebody
//!   restored an older Secret. The status says which key was published last.
//! - A key is sent only to the server for which it was published.

mod cleanup;
mod creation;
mod decide;
mod keys;
mod membership;
mod plan;
mod record;
mod requests;
mod rotate;
mod settings;
mod status;
mod verify;

pub(super) use cleanup::{cleanup, remote_state};
pub use plan::{ApiKeyEvidence, ApiKeyPlan};
pub(super) use requests::{HandledRequests, KeyRequests};
pub use settings::ApiKeySettings;
pub(super) use status::{events, status_details};

use std::time::Duration;

use jiff::Timestamp;

use decide::{extend_overlaps, next_look, next_rotation};
use plan::{ADMIN, AccountPresence, BOOTSTRAP, adopt_key, candidate, circumstances, leaves_keys};
use record::Current;
use settings::AccountCreation;
use verify::AcceptedKey;

use super::{
    account::{AccountPlan, AccountSettings},
    render as common,
};
use crate::{
    api::{
        CheckName,
        service_account::{ApiKeySpec, ServiceAccountDetails},
    },
    engine::{CheckContext, Checked, Maintenance, Reference, RemoteState, RenderContext, Report, Values},
    instance::{ApiKey, Instance},
};
use keys::{KeyOrigin, RemoteKey};

/// The objects to which the spec refers. The key that a person copied is optional if the operator creates the
/// account, so that the key cannot exist yet, or if the key may have been replaced and revoked already.
pub(super) fn references(spec: &ApiKeySpec, details: &ServiceAccountDetails) -> Vec<Reference> {
    let bootstrap = Reference::secret(&spec.bootstrap_secret_ref, BOOTSTRAP);
    let is_replaced = spec.rotation.is_some() || details.key_id.is_some();
    let bootstrap = if is_replaced || spec.create_with.is_some() { bootstrap.optional() } else { bootstrap };
    let admin =
        spec.create_with.as_ref().map(|create| Reference::secret(&create.admin_key_secret_ref, ADMIN));
    [bootstrap].into_iter().chain(admin).collect()
}

/// The names of the checks that follow once the server was reached.
pub(super) fn checks(own: &ApiKeyPlan) -> Vec<CheckName> {
    let manual =
        (own.settings.creation == AccountCreation::ByOperator).then_some(CheckName::ManualStepRequired);
    let rotation = own.settings.rotation.map(|_| CheckName::KeyRotation);
    let always = [CheckName::KeyShape, CheckName::KeyAccepted, CheckName::Membership];
    always.into_iter().chain(manual).chain(rotation).collect()
}

/// Runs these checks.
pub(super) async fn probe(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    context: &CheckContext<'_>,
    report: &mut Report,
) -> ApiKeyEvidence {
    let of_account = |values| Current::read_of(values, account);
    let (held, last) = (context.published.and_then(of_account), context.last_verified.and_then(of_account));
    conceal(own, [&held, &last].into_iter().flatten(), report);
    let in_use = Current::choose(held, last.clone());
    if let (Some(admin), None, None) = (&own.admin, &own.bootstrap, &in_use) {
        return creation::look_up(account, own, admin, instance, report).await;
    }
    let Some(AcceptedKey { current, account: found, viewer, credential }) =
        verify::verify(account, own, instance, (in_use, last.clone()), context.now.time, report).await
    else {
        return ApiKeyEvidence::default();
    };
    let evidence = ApiKeyEvidence {
        account: AccountPresence::Present(found),
        current: Some(current),
        ..ApiKeyEvidence::default()
    };
    if membership::check(account, instance, &credential, &viewer, report).await.is_none() {
        return evidence;
    }
    if own.settings.creation == AccountCreation::ByOperator {
        let message = "The account has an API key.";
        report.record(CheckName::ManualStepRequired, Ok(Checked::passed((), message)));
    }
    let keys: Vec<_> = viewer.api_keys.iter().map(|listed| RemoteKey::new(listed, &account.uid)).collect();
    let mut published = published_last(own, context);
    // For a generated key the record has the identifier. A copied key must be found in the list.
    let last = last.filter(|last| last.record.key_id.is_none());
    published.extend(last.and_then(|last| keys::identify(&last.key, &keys).map(str::to_owned)));
    let circumstances = circumstances(account, own, &published, context);
    let current = evidence
        .current
        .map(|current| Current { record: extend_overlaps(circumstances, &current, &keys), ..current });
    ApiKeyEvidence { current, keys: Some(keys), published, ..evidence }
}

/// Conceals every key that the run may send or receive in its messages. The raw inputs are concealed already.
fn conceal<'a>(own: &ApiKeyPlan, known: impl Iterator<Item = &'a Current>, report: &mut Report) {
    let inputs = [&own.bootstrap, &own.admin].into_iter().flatten();
    let inputs = inputs.filter_map(|text| ApiKey::parse(text).ok());
    for key in known.map(|current| current.key.clone()).chain(inputs) {
        key.secrets().iter().for_each(|secret| report.conceal(secret));
    }
}

/// The generated keys that were published last, according to the status, the Secret and this process.
fn published_last(own: &ApiKeyPlan, context: &CheckContext<'_>) -> Vec<String> {
    let held = [context.published, context.last_verified].into_iter().flatten().filter_map(Current::read);
    own.settings.published.iter().cloned().chain(held.filter_map(|held| held.record.key_id)).collect()
}

/// What must be done at the server after the checks, if anything.
pub(super) fn maintenance(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    evidence: &ApiKeyEvidence,
    context: &CheckContext<'_>,
) -> Option<Maintenance> {
    if let (AccountPresence::Absent, Some(_)) = (&evidence.account, &own.admin) {
        return Some(Maintenance { check: CheckName::Membership, remote_state: RemoteState::None });
    }
    let (current, keys) = (evidence.current.as_ref()?, evidence.keys.as_ref()?);
    let rotation = own.settings.rotation;
    let open = current.record.open(&own.settings.asked);
    let repeated = current.record.repeated(&own.settings.asked);
    // A rotation that was begun is completed even if the spec no longer asks for rotation.
    let is_left = |key: &RemoteKey| {
        key.origin == KeyOrigin::Ourselves && current.record.key_id.as_ref() != Some(&key.id)
    };
    let is_finished = current.record.previous.is_empty() && !keys.iter().any(is_left);
    if rotation.is_none() && is_finished && open.is_empty() && repeated.is_empty() {
        return None;
    }
    let next = rotation.and_then(|rotation| next_rotation(rotation, &current.record));
    let is_due = open.rotate.is_some() || next.is_some_and(|next| next <= context.now.time);
    let has_ours =
        current.record.key_id.is_some() || keys.iter().any(|key| key.origin == KeyOrigin::Ourselves);
    let leaves_keys = leaves_keys(account, &own.settings);
    let remote_state =
        if leaves_keys || !(is_due || has_ours) { RemoteState::None } else { RemoteState::Remote };
    Some(Maintenance { check: CheckName::KeyRotation, remote_state })
}

/// Does what `maintenance` announced.
pub(super) async fn maintain(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    context: &CheckContext<'_>,
    evidence: ApiKeyEvidence,
    report: &mut Report,
) -> ApiKeyEvidence {
    if let (AccountPresence::Absent, Some(admin)) = (&evidence.account, &own.admin) {
        return creation::create(account, admin, instance, context, evidence, report).await;
    }
    rotate::rotate(account, own, instance, context, evidence, report).await
}

/// How soon the replaced keys are revoked if a person asked for that together with a new key.
const SOON: Duration = Duration::from_secs(1);

/// When the key must be replaced or another one revoked. A time that has passed already is left out: this run tried
/// and failed, and the key in use still works.
pub(super) fn renew_at(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    evidence: &ApiKeyEvidence,
    context: &CheckContext<'_>,
) -> Option<Timestamp> {
    let current = evidence.current.as_ref()?;
    let circumstances = circumstances(account, own, &evidence.published, context);
    let next = own.settings.rotation.and_then(|rotation| next_rotation(rotation, &current.record));
    let look = next_look(circumstances, current, evidence.keys.as_deref().unwrap_or_default());
    // Where this run has replaced the key, the next one may revoke the replaced ones, since the Secret holds the new
    // one then. A revocation that fails is tried again on the schedule.
    let before = context.published.and_then(Current::read);
    let is_replaced = before.is_some_and(|before| before.key != current.key);
    let soon = context.now.time.checked_add(SOON).ok();
    let soon = soon.filter(|_| is_replaced && circumstances.ends_overlap(&current.record));
    next.into_iter().chain(look).chain(soon).filter(|time| *time > context.now.time).min()
}

/// Evidence for a preview: a placeholder for the key, if a person has yet to make it.
pub(super) fn placeholder_evidence(own: &ApiKeyPlan) -> ApiKeyEvidence {
    let key = match own.bootstrap {
        Some(_) => None,
        None => ApiKey::parse(&"THE_API_KEY_THAT_A_PERSON_PUTS_INTO_THE_BOOTSTRAP_SECRET".into()).ok(),
    };
    ApiKeyEvidence { current: key.map(|key| adopt_key(key, None)), ..ApiKeyEvidence::default() }
}

/// The values to publish, or `None` if there is no key.
///
/// If the run found nothing out, the key stays the one in use, so that an outage changes nothing.
pub(super) fn render(
    plan: &AccountPlan,
    own: &ApiKeyPlan,
    evidence: Option<&ApiKeyEvidence>,
    context: &RenderContext<'_>,
) -> Option<Values> {
    let held = || context.current.and_then(|values| Current::read_of(values, &plan.settings));
    let accepted = evidence.and_then(|evidence| evidence.current.clone());
    let Current { key, record } = accepted.or_else(|| candidate(own, held()))?;
    let mut values = common::common(plan);
    values.set(common::API_KEY, key.sensitive().clone());
    values.set_record(record.write(&plan.settings));
    Some(values)
}
