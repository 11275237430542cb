//! What checks and rendering need of an account with an API key, and what a run finds out about it.

use super::{
    super::account::AccountSettings,
    decide::Circumstances,
    keys::RemoteKey,
    record::{Current, Record},
    settings::ApiKeySettings,
};
use crate::{
    api::{
        DeletionPolicy,
        service_account::{AccountStatus, KeyDeletionPolicy},
    },
    api_server::Now,
    engine::{CheckContext, Inputs},
    instance::ApiKey,
    sensitive::Sensitive,
};

/// The field that refers to the key that a person copied.
pub(super) const BOOTSTRAP: &str = "spec.credentials.apiKey.bootstrapSecretRef";

/// The field that refers to the administrator's key.
pub(super) const ADMIN: &str = "spec.credentials.apiKey.createWith.adminKeySecretRef";

/// What checks and rendering need for this kind of credential.
pub struct ApiKeyPlan {
    pub(super) settings: ApiKeySettings,
    /// The key that a person copied, if the Secret has it.
    pub(super) bootstrap: Option<Sensitive>,
    /// The administrator's key, if the spec refers to one.
    pub(super) admin: Option<Sensitive>,
}

/// What a run finds out in addition to the results of its checks.
#[derive(Clone, Default)]
pub struct ApiKeyEvidence {
    /// Whether the server has the account.
    pub(super) account: AccountPresence,
    /// The key that the server accepted.
    pub(super) current: Option<Current>,
    /// Every key of the account, if all checks before the rotation passed.
    pub(super) keys: Option<Vec<RemoteKey>>,
    /// The identifiers of the generated keys that are known to have been published last.
    pub(super) published: Vec<String>,
}

/// Whether the server has the account.
#[derive(Clone, Default)]
pub(super) enum AccountPresence {
    /// The server was not asked, or did not answer.
    #[default]
    Unknown,
    /// The team has no such account.
    Absent,
    /// The team has the account.
    Present(AccountStatus),
}

impl ApiKeyPlan {
    /// Combines the parsed spec with the referenced values.
    pub(in crate::service_account) fn new(settings: ApiKeySettings, inputs: &Inputs) -> Self {
        Self { settings, bootstrap: inputs.get(BOOTSTRAP).cloned(), admin: inputs.get(ADMIN).cloned() }
    }
}

/// What the decisions of this run depend on, apart from the keys.
pub(super) fn circumstances<'a>(
    account: &AccountSettings,
    own: &'a ApiKeyPlan,
    published: &'a [String],
    context: &CheckContext<'_>,
) -> Circumstances<'a> {
    // A run gets its time limit twice: once for its checks, and once for the rotation.
    let patience = account.time_limit.saturating_mul(2);
    let (rotation, overlap) = (own.settings.rotation, own.settings.overlap);
    let Now { time: now, earliest, latest, .. } = context.now;
    let ApiKeySettings { overlapping, asked, acknowledged, .. } = &own.settings;
    Circumstances {
        rotation,
        overlap,
        patience,
        published,
        overlapping,
        asked,
        acknowledged,
        now,
        earliest,
        latest,
    }
}

/// Whether the generated keys stay valid when the resource is deleted. If the Secret is retained, its key must keep
/// working.
pub(super) fn leaves_keys(account: &AccountSettings, settings: &ApiKeySettings) -> bool {
    settings.deletion_policy == KeyDeletionPolicy::Orphan || account.deletion_policy == DeletionPolicy::Retain
}

/// The key to try: the generated key in use if there is one, otherwise the key that a person copied.
pub(super) fn candidate(own: &ApiKeyPlan, current: Option<Current>) -> Option<Current> {
    let (Some(bootstrap), None) =
        (&own.bootstrap, current.as_ref().and_then(|current| current.record.key_id.as_ref()))
    else {
        return current;
    };
    let key = ApiKey::parse(bootstrap).ok()?;
    Some(adopt_key(key, current))
}

/// The key that a person copied, with its record. A key other than the one in use begins without identifier and
/// time.
pub(super) fn adopt_key(key: ApiKey, current: Option<Current>) -> Current {
    match current {
        Some(current) if current.key == key => current,
        Some(Current { record, .. }) => {
            Current { key, record: Record { key_id: None, since: None, ..record } }
        }
        None => Current { key, record: Record::default() },
    }
}
