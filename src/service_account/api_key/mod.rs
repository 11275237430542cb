//! An account's API key, from the one that a person copied to the ones that replace it.
//!
//! In reading order: `settings` reads the spec. `record` says which key is in use, `accept` proves it,
//! and `membership` what the account is part of; without a key, `creation` makes the account or finds it.
//! `keys` is what the server lists, `decide` what is to be done with that, and `rotate` does it.
//! `dismantle` ends it all, and `told` is what the status says.
//!
//! Invariants:
//! - A key is revoked only where the Secret holds another one that the server accepted just now.
//! - A key that is generated carries the resource's identity, and is tried before it is published. Ours
//!   that are neither current nor in their overlap were left by a run that was cut short, and go.

mod accept;
mod creation;
mod decide;
mod dismantle;
mod keys;
mod membership;
mod record;
mod rotate;
mod settings;
mod told;

pub(super) use dismantle::dismantle;
pub use settings::ApiKeySettings;
pub(super) use told::{describe, news};

use jiff::Timestamp;

use accept::Accepted;
use decide::next_rotation;
use record::{Current, Record};
use settings::Creation;

use super::{Plan as WholePlan, render as common, settings::AccountSettings};
use crate::{
    api::{
        CheckName, DeletionPolicy,
        service_account::{AccountStatus, ApiKeySpec, KeyDeletionPolicy, ServiceAccountDetails},
    },
    engine::{Checked, Inputs, Reference, RenderContext, Report, Scene, Traces, Upkeep, Values},
    instance::{ApiKey, Instance},
    sensitive::Sensitive,
};
use keys::{Maker, RemoteKey};

/// Where the spec names the key that a person copied.
const BOOTSTRAP: &str = "spec.credentials.apiKey.bootstrapSecretRef";

/// Where the spec names the administrator's key.
const ADMIN: &str = "spec.credentials.apiKey.createWith.adminKeySecretRef";

/// What checks and rendering need of this credential.
pub struct Plan {
    settings: ApiKeySettings,
    /// The key that a person copied, if it is there.
    bootstrap: Option<Sensitive>,
    /// The administrator's key, if the spec has one.
    admin: Option<Sensitive>,
}

/// What a run learns beside its findings.
#[derive(Clone, Default)]
pub struct Evidence {
    /// What is known of the account.
    account: Presence,
    /// The key that the server accepted.
    current: Option<Current>,
    /// Every key of the account, where all checks before the rotation passed.
    keys: Option<Vec<RemoteKey>>,
}

/// Whether the server has the account.
#[derive(Clone, Default)]
enum Presence {
    /// It was not asked, or did not tell.
    #[default]
    Unknown,
    /// It has no such account in the team.
    Absent,
    /// It has.
    Present(AccountStatus),
}

impl Plan {
    /// Joins the parsed spec with the referenced values.
    pub(super) fn new(settings: ApiKeySettings, inputs: &Inputs) -> Self {
        Self { settings, bootstrap: inputs.get(BOOTSTRAP).cloned(), admin: inputs.get(ADMIN).cloned() }
    }
}

/// Everything that the spec names. The key that a person copied may be missing where it is still to be
/// made, or where it was replaced and revoked.
pub(super) fn references(spec: &ApiKeySpec, details: &ServiceAccountDetails) -> Vec<Reference> {
    let bootstrap = Reference::secret(&spec.bootstrap_secret_ref, BOOTSTRAP);
    let is_replaced = details.key_id.is_some();
    let bootstrap = if is_replaced || spec.create_with.is_some() { bootstrap.optional() } else { bootstrap };
    let admin =
        spec.create_with.as_ref().map(|create| Reference::secret(&create.admin_key_secret_ref, ADMIN));
    [bootstrap].into_iter().chain(admin).collect()
}

/// The checks after the server was reached.
pub(super) fn checks(own: &Plan) -> Vec<CheckName> {
    let manual = (own.settings.creation == Creation::ByOperator).then_some(CheckName::ManualStepRequired);
    let rotation = own.settings.rotation.map(|_| CheckName::KeyRotation);
    let always = [CheckName::KeyShape, CheckName::KeyAccepted, CheckName::Membership];
    always.into_iter().chain(manual).chain(rotation).collect()
}

/// Runs them.
pub(super) async fn probe(
    plan: &WholePlan,
    own: &Plan,
    instance: Instance<'_>,
    scene: &Scene<'_>,
    report: &mut Report,
) -> Evidence {
    let in_use = Current::choose(scene.published, scene.last_verified);
    if let (Some(admin), None, None) = (&own.admin, &own.bootstrap, &in_use) {
        return creation::look_up(plan, own, admin, instance, report).await;
    }
    let Some(Accepted { current, account, viewer, credential }) =
        accept::accept(plan, own, instance, in_use, scene.now, report).await
    else {
        return Evidence::default();
    };
    let evidence =
        Evidence { account: Presence::Present(account), current: Some(current), ..Evidence::default() };
    if membership::check(plan, instance, &credential, &viewer, report).await.is_none() {
        return evidence;
    }
    if own.settings.creation == Creation::ByOperator {
        let message = "The account has an API key.";
        report.record(CheckName::ManualStepRequired, Ok(Checked::passed((), message)));
    }
    let keys = viewer.api_keys.iter().map(|listed| RemoteKey::new(listed, &plan.account.uid)).collect();
    Evidence { keys: Some(keys), ..evidence }
}

/// What is to be kept up on the other side.
pub(super) fn upkeep(plan: &WholePlan, own: &Plan, evidence: &Evidence, scene: &Scene<'_>) -> Option<Upkeep> {
    if let (Presence::Absent, Some(_)) = (&evidence.account, &own.admin) {
        return Some(Upkeep { check: CheckName::Membership, traces: Traces::None });
    }
    let (current, keys) = (evidence.current.as_ref()?, evidence.keys.as_ref()?);
    let rotation = own.settings.rotation;
    // A rotation that the spec does not want any more is still finished.
    if rotation.is_none() && current.record.previous.is_none() {
        return None;
    }
    let next = rotation.and_then(|rotation| next_rotation(rotation, &current.record));
    let is_due = next.is_some_and(|next| next <= scene.now);
    let has_ours = current.record.key_id.is_some() || keys.iter().any(|key| key.maker == Maker::Ourselves);
    let leaves_keys = leaves_keys(&plan.account, &own.settings);
    let traces = if leaves_keys || !(is_due || has_ours) { Traces::None } else { Traces::Remote };
    Some(Upkeep { check: CheckName::KeyRotation, traces })
}

/// Whether the keys that were generated outlive the resource: a Secret that stays must keep working.
fn leaves_keys(account: &AccountSettings, settings: &ApiKeySettings) -> bool {
    settings.deletion_policy == KeyDeletionPolicy::Orphan || account.deletion_policy == DeletionPolicy::Retain
}

/// Keeps it up.
pub(super) async fn tend(
    plan: &WholePlan,
    own: &Plan,
    instance: Instance<'_>,
    scene: &Scene<'_>,
    evidence: Evidence,
    report: &mut Report,
) -> Evidence {
    if let (Presence::Absent, Some(admin)) = (&evidence.account, &own.admin) {
        return creation::create(plan, admin, instance, scene, evidence, report).await;
    }
    rotate::rotate(plan, own.settings.rotation, instance, scene, evidence, report).await
}

/// When the key must be replaced, or the one before revoked.
pub(super) fn due(own: &Plan, evidence: &Evidence) -> Option<Timestamp> {
    let record = &evidence.current.as_ref()?.record;
    let next = own.settings.rotation.and_then(|rotation| next_rotation(rotation, record));
    let until = record.previous.as_ref().map(|previous| previous.until.0);
    next.into_iter().chain(until).min()
}

/// What a run would learn: a key in words, where a person is still to make it.
pub(super) fn placeholders(own: &Plan) -> Evidence {
    let key = match own.bootstrap {
        Some(_) => None,
        None => ApiKey::parse(&"THE_API_KEY_THAT_A_PERSON_PUTS_INTO_THE_BOOTSTRAP_SECRET".into()).ok(),
    };
    Evidence { current: key.map(|key| follow(key, None)), ..Evidence::default() }
}

/// The values; nothing where there is no key that could be one.
///
/// Where a run learnt nothing, the key is the one that was in use, so that an outage changes nothing.
pub(super) fn render(
    plan: &WholePlan,
    own: &Plan,
    evidence: Option<&Evidence>,
    context: &RenderContext<'_>,
) -> Option<Values> {
    let accepted = evidence.and_then(|evidence| evidence.current.clone());
    let Current { key, record } =
        accepted.or_else(|| candidate(own, context.current.and_then(Current::read)))?;
    let mut values = common::common(plan);
    values.set(common::API_KEY, key.sensitive().clone());
    values.set_record(record.write());
    Some(values)
}

/// The key that is to be tried: a generated one goes before the one that a person copied, which is
/// followed otherwise.
fn candidate(own: &Plan, current: Option<Current>) -> Option<Current> {
    let (Some(bootstrap), None) =
        (&own.bootstrap, current.as_ref().and_then(|current| current.record.key_id.as_ref()))
    else {
        return current;
    };
    let key = ApiKey::parse(bootstrap).ok()?;
    Some(follow(key, current))
}

/// The key that a person copied, with what is known of it: it is new unless it is the one in use.
fn follow(key: ApiKey, current: Option<Current>) -> Current {
    match current {
        Some(current) if current.key == key => current,
        Some(Current { record, .. }) => {
            Current { key, record: Record { key_id: None, since: None, ..record } }
        }
        None => Current { key, record: Record::default() },
    }
}
