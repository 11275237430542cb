//! Proves the key that is in use, and falls back to the one that a person copied.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{super::Plan as WholePlan, Current, Plan, candidate, follow, record::Record};
use crate::{
    api::{CheckName, Reason, service_account::AccountStatus},
    engine::{Checked, Report},
    instance::{self, ApiKey, Credential, Instance, Refusal, Viewer},
    problem::{Problem, quote},
};

/// A key that the server accepted as the account's.
pub(super) struct Accepted {
    pub(super) current: Current,
    pub(super) account: AccountStatus,
    pub(super) viewer: Viewer,
    pub(super) credential: Credential,
}

/// Records `KeyShape` and `KeyAccepted`.
pub(super) async fn accept(
    plan: &WholePlan,
    own: &Plan,
    instance: Instance<'_>,
    in_use: Option<Current>,
    now: Timestamp,
    report: &mut Report,
) -> Option<Accepted> {
    let current = report.record(CheckName::KeyShape, shape(own, in_use))?;
    instance::check(report, CheckName::KeyAccepted, judge(plan, own, instance, now, current)).await
}

fn shape(own: &Plan, in_use: Option<Current>) -> Result<Checked<Current>, Problem> {
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

async fn judge(
    plan: &WholePlan,
    own: &Plan,
    instance: Instance<'_>,
    now: Timestamp,
    current: Current,
) -> Result<Checked<Accepted>, Refusal> {
    let refused = match view(plan, instance, now, current.clone()).await {
        Err(refusal) if refusal.problem.reason == Reason::Unauthorized => refusal,
        outcome => return outcome.map(|accepted| passed(plan, accepted)),
    };
    let Some(key_id) = &current.record.key_id else { return Err(refused) };
    let bootstrap = own.bootstrap.as_ref().and_then(|text| ApiKey::parse(text).ok());
    let Some(bootstrap) = bootstrap.filter(|key| *key != current.key) else { return Err(refused) };
    let message = format!(
        "The server does not accept the key {key_id}, which was generated and published, any more. The key in spec.credentials.apiKey.bootstrapSecretRef is accepted and takes its place. Find out who revoked the other one."
    );
    match view(plan, instance, now, follow(bootstrap, Some(current))).await {
        Ok(accepted) => Ok(Checked::warning(accepted, Reason::Unauthorized, message)),
        Err(refusal) if refusal.problem.reason == Reason::Unauthorized => Err(refused),
        Err(refusal) => Err(refusal),
    }
}

fn passed(plan: &WholePlan, accepted: Accepted) -> Checked<Accepted> {
    let name = &plan.account.account_name;
    if accepted.viewer.username.is_none() {
        let message = format!(
            "The server accepts the key and does not say whose it is. Check that it is \"{name}\"'s."
        );
        return Checked::warning(accepted, Reason::Inconclusive, message);
    }
    Checked::passed(accepted, format!("The server accepts the key as \"{name}\"'s."))
}

/// Asks the server whose key it is.
async fn view(
    plan: &WholePlan,
    instance: Instance<'_>,
    now: Timestamp,
    Current { key, record }: Current,
) -> Result<Accepted, Refusal> {
    let credential = Credential::Key(key.clone());
    let viewer = instance.viewer(&credential).await?;
    let expected = &plan.account.account_name;
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
    let account = AccountStatus { id: viewer.id.clone(), username };
    let since = record.since.clone().or_else(|| whole_seconds(now));
    Ok(Accepted { current: Current { key, record: Record { since, ..record } }, account, viewer, credential })
}

/// The time as a record holds it.
pub(super) fn whole_seconds(now: Timestamp) -> Option<Time> {
    Timestamp::from_second(now.as_second()).ok().map(Time)
}
