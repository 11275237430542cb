//! An account's API key, from the one that a person copied to the ones that replace it.
//!
//! In reading order: `settings` reads the spec. `record` says which key is in use, `verify` proves it,
//! and `membership` what the account is part of; without a key, `creation` makes the account or finds it.
//! `keys` is what the server lists, `decide` what is to be done with that, and `rotate` does it.
//! `cleanup` ends it all, and `status` is what people see of it.
//!
//! Invariants:
//! - A key is revoked only where the Secret holds another one that the server accepted just now.
//! - A key that is generated carries the resource's identity, and is tried before it is published. Ours
//!   that were never published and are not about to be were left by a run that was cut short, and go.
//! - A key that was published stays valid for the overlap after another one took its place, also where
//!   somebody restored an older Secret: the status tells which one was published last.
//! - A key is sent to the server that it was published for, and to no other.

mod cleanup;
mod creation;
mod decide;
mod keys;
mod membership;
mod record;
mod rotate;
mod settings;
mod status;
mod verify;

pub(super) use cleanup::{cleanup, remote_state};
pub use settings::ApiKeySettings;
pub(super) use status::{events, status_details};

use jiff::Timestamp;

use decide::{Circumstances, extend_overlaps, next_look, next_rotation};
use record::{Current, Record};
use settings::AccountCreation;
use verify::AcceptedKey;

use super::{ServiceAccountPlan as WholePlan, render as common, settings::AccountSettings};
use crate::{
    api::{
        CheckName, DeletionPolicy,
        service_account::{AccountStatus, ApiKeySpec, KeyDeletionPolicy, ServiceAccountDetails},
    },
    api_server::Now,
    engine::{
        CheckContext, Checked, Inputs, Maintenance, Reference, RemoteState, RenderContext, Report, Values,
    },
    instance::{ApiKey, Instance},
    sensitive::Sensitive,
};
use keys::{KeyOrigin, RemoteKey};

/// Where the spec names the key that a person copied.
const BOOTSTRAP: &str = "spec.credentials.apiKey.bootstrapSecretRef";

/// Where the spec names the administrator's key.
const ADMIN: &str = "spec.credentials.apiKey.createWith.adminKeySecretRef";

/// What checks and rendering need of this credential.
pub struct ApiKeyPlan {
    settings: ApiKeySettings,
    /// The key that a person copied, if it is there.
    bootstrap: Option<Sensitive>,
    /// The administrator's key, if the spec has one.
    admin: Option<Sensitive>,
}

/// What a run learns beside its findings.
#[derive(Clone, Default)]
pub struct ApiKeyEvidence {
    /// What is known of the account.
    account: AccountPresence,
    /// The key that the server accepted.
    current: Option<Current>,
    /// Every key of the account, where all checks before the rotation passed.
    keys: Option<Vec<RemoteKey>>,
    /// The generated keys that are known to have been published last.
    published: Vec<String>,
}

/// Whether the server has the account.
#[derive(Clone, Default)]
enum AccountPresence {
    /// It was not asked, or did not tell.
    #[default]
    Unknown,
    /// It has no such account in the team.
    Absent,
    /// It has.
    Present(AccountStatus),
}

impl ApiKeyPlan {
    /// Joins the parsed spec with the referenced values.
    pub(super) fn new(settings: ApiKeySettings, inputs: &Inputs) -> Self {
        Self { settings, bootstrap: inputs.get(BOOTSTRAP).cloned(), admin: inputs.get(ADMIN).cloned() }
    }
}

/// Everything that the spec names. The key that a person copied may be missing where it is still to be
/// made, or where it may have been replaced and revoked.
pub(super) fn references(spec: &ApiKeySpec, details: &ServiceAccountDetails) -> Vec<Reference> {
    let bootstrap = Reference::secret(&spec.bootstrap_secret_ref, BOOTSTRAP);
    let is_replaced = spec.rotation.is_some() || details.key_id.is_some();
    let bootstrap = if is_replaced || spec.create_with.is_some() { bootstrap.optional() } else { bootstrap };
    let admin =
        spec.create_with.as_ref().map(|create| Reference::secret(&create.admin_key_secret_ref, ADMIN));
    [bootstrap].into_iter().chain(admin).collect()
}

/// The checks after the server was reached.
pub(super) fn checks(own: &ApiKeyPlan) -> Vec<CheckName> {
    let manual =
        (own.settings.creation == AccountCreation::ByOperator).then_some(CheckName::ManualStepRequired);
    let rotation = own.settings.rotation.map(|_| CheckName::KeyRotation);
    let always = [CheckName::KeyShape, CheckName::KeyAccepted, CheckName::Membership];
    always.into_iter().chain(manual).chain(rotation).collect()
}

/// Runs them.
pub(super) async fn probe(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    scene: &CheckContext<'_>,
    report: &mut Report,
) -> ApiKeyEvidence {
    let of_account = |values| Current::read_of(values, &plan.account);
    let (held, last) = (scene.published.and_then(of_account), scene.last_verified.and_then(of_account));
    conceal(own, [&held, &last].into_iter().flatten(), report);
    let in_use = Current::choose(held, last.clone());
    if let (Some(admin), None, None) = (&own.admin, &own.bootstrap, &in_use) {
        return creation::look_up(plan, own, admin, instance, report).await;
    }
    let Some(AcceptedKey { current, account, viewer, credential }) =
        verify::verify(plan, own, instance, (in_use, last.clone()), scene.now.time, report).await
    else {
        return ApiKeyEvidence::default();
    };
    let evidence = ApiKeyEvidence {
        account: AccountPresence::Present(account),
        current: Some(current),
        ..ApiKeyEvidence::default()
    };
    if membership::check(plan, instance, &credential, &viewer, report).await.is_none() {
        return evidence;
    }
    if own.settings.creation == AccountCreation::ByOperator {
        let message = "The account has an API key.";
        report.record(CheckName::ManualStepRequired, Ok(Checked::passed((), message)));
    }
    let keys: Vec<_> =
        viewer.api_keys.iter().map(|listed| RemoteKey::new(listed, &plan.account.uid)).collect();
    let mut published = published_last(own, scene);
    // A copied key has no identifier of its own.
    let last = last.filter(|last| last.record.key_id.is_none());
    published.extend(last.and_then(|last| keys::identify(&last.key, &keys).map(str::to_owned)));
    let circumstances = circumstances(plan, own, &published, scene);
    let current = evidence
        .current
        .map(|current| Current { record: extend_overlaps(circumstances, &current, &keys), ..current });
    ApiKeyEvidence { current, keys: Some(keys), published, ..evidence }
}

/// Keeps every key that the run may send or receive out of its messages; the inputs' own are already.
fn conceal<'a>(own: &ApiKeyPlan, known: impl Iterator<Item = &'a Current>, report: &mut Report) {
    let inputs = [&own.bootstrap, &own.admin].into_iter().flatten();
    let inputs = inputs.filter_map(|text| ApiKey::parse(text).ok());
    for key in known.map(|current| current.key.clone()).chain(inputs) {
        key.secrets().iter().for_each(|secret| report.conceal(secret));
    }
}

/// The generated keys that were published last, as the status, the Secret and this process know them.
fn published_last(own: &ApiKeyPlan, scene: &CheckContext<'_>) -> Vec<String> {
    let held = [scene.published, scene.last_verified].into_iter().flatten().filter_map(Current::read);
    own.settings.published.iter().cloned().chain(held.filter_map(|held| held.record.key_id)).collect()
}

fn circumstances<'a>(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    published: &'a [String],
    scene: &CheckContext<'_>,
) -> Circumstances<'a> {
    // A run has its time limit once for its checks and once for the rotation.
    let patience = plan.account.time_limit.saturating_mul(2);
    let (rotation, overlap) = (own.settings.rotation, own.settings.overlap);
    let Now { time: now, earliest, latest, .. } = scene.now;
    Circumstances { rotation, overlap, patience, published, now, earliest, latest }
}

/// What is to be kept up on the other side.
pub(super) fn maintenance(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    evidence: &ApiKeyEvidence,
    scene: &CheckContext<'_>,
) -> Option<Maintenance> {
    if let (AccountPresence::Absent, Some(_)) = (&evidence.account, &own.admin) {
        return Some(Maintenance { check: CheckName::Membership, remote_state: RemoteState::None });
    }
    let (current, keys) = (evidence.current.as_ref()?, evidence.keys.as_ref()?);
    let rotation = own.settings.rotation;
    // A rotation that the spec does not want any more is still finished.
    let is_left = |key: &RemoteKey| {
        key.maker == KeyOrigin::Ourselves && current.record.key_id.as_ref() != Some(&key.id)
    };
    if rotation.is_none() && current.record.previous.is_empty() && !keys.iter().any(is_left) {
        return None;
    }
    let next = rotation.and_then(|rotation| next_rotation(rotation, &current.record));
    let is_due = next.is_some_and(|next| next <= scene.now.time);
    let has_ours =
        current.record.key_id.is_some() || keys.iter().any(|key| key.maker == KeyOrigin::Ourselves);
    let leaves_keys = leaves_keys(&plan.account, &own.settings);
    let remote_state =
        if leaves_keys || !(is_due || has_ours) { RemoteState::None } else { RemoteState::Remote };
    Some(Maintenance { check: CheckName::KeyRotation, remote_state })
}

/// Whether the keys that were generated outlive the resource: a Secret that stays must keep working.
fn leaves_keys(account: &AccountSettings, settings: &ApiKeySettings) -> bool {
    settings.deletion_policy == KeyDeletionPolicy::Orphan || account.deletion_policy == DeletionPolicy::Retain
}

/// Keeps it up.
pub(super) async fn maintain(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    scene: &CheckContext<'_>,
    evidence: ApiKeyEvidence,
    report: &mut Report,
) -> ApiKeyEvidence {
    if let (AccountPresence::Absent, Some(admin)) = (&evidence.account, &own.admin) {
        return creation::create(plan, admin, instance, scene, evidence, report).await;
    }
    rotate::rotate(plan, own, instance, scene, evidence, report).await
}

/// When the key must be replaced, or another one revoked. What this run should have done and could not is
/// not among that: the key in use lasts.
pub(super) fn renew_at(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    evidence: &ApiKeyEvidence,
    scene: &CheckContext<'_>,
) -> Option<Timestamp> {
    let current = evidence.current.as_ref()?;
    let circumstances = circumstances(plan, own, &evidence.published, scene);
    let next = own.settings.rotation.and_then(|rotation| next_rotation(rotation, &current.record));
    let look = next_look(circumstances, current, evidence.keys.as_deref().unwrap_or_default());
    next.into_iter().chain(look).filter(|time| *time > scene.now.time).min()
}

/// What a run would learn: a key in words, where a person is still to make it.
pub(super) fn placeholder_evidence(own: &ApiKeyPlan) -> ApiKeyEvidence {
    let key = match own.bootstrap {
        Some(_) => None,
        None => ApiKey::parse(&"THE_API_KEY_THAT_A_PERSON_PUTS_INTO_THE_BOOTSTRAP_SECRET".into()).ok(),
    };
    ApiKeyEvidence { current: key.map(|key| adopt_key(key, None)), ..ApiKeyEvidence::default() }
}

/// The values; nothing where there is no key that could be one.
///
/// Where a run learnt nothing, the key is the one that was in use, so that an outage changes nothing.
pub(super) fn render(
    plan: &WholePlan,
    own: &ApiKeyPlan,
    evidence: Option<&ApiKeyEvidence>,
    context: &RenderContext<'_>,
) -> Option<Values> {
    let held = || context.current.and_then(|values| Current::read_of(values, &plan.account));
    let accepted = evidence.and_then(|evidence| evidence.current.clone());
    let Current { key, record } = accepted.or_else(|| candidate(own, held()))?;
    let mut values = common::common(plan);
    values.set(common::API_KEY, key.sensitive().clone());
    values.set_record(record.write(&plan.account));
    Some(values)
}

/// The key that is to be tried: a generated one goes before the one that a person copied, which is
/// followed otherwise.
fn candidate(own: &ApiKeyPlan, current: Option<Current>) -> Option<Current> {
    let (Some(bootstrap), None) =
        (&own.bootstrap, current.as_ref().and_then(|current| current.record.key_id.as_ref()))
    else {
        return current;
    };
    let key = ApiKey::parse(bootstrap).ok()?;
    Some(adopt_key(key, current))
}

/// The key that a person copied, with what is known of it: it is new unless it is the one in use.
fn adopt_key(key: ApiKey, current: Option<Current>) -> Current {
    match current {
        Some(current) if current.key == key => current,
        Some(Current { record, .. }) => {
            Current { key, record: Record { key_id: None, since: None, ..record } }
        }
        None => Current { key, record: Record::default() },
    }
}
