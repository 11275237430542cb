//! Does with an account's keys what was decided.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::Plan as WholePlan,
    Current, Evidence,
    accept::whole_seconds,
    decide::{Step, decide, next_rotation, prune, succeed},
    keys::{self, RemoteKey},
    record::{Leftover, Record},
    settings::Rotation,
};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report, Scene},
    instance::{self, Credential, GeneratedKey, Instance, Refusal},
    problem::Problem,
};

/// Replaces the key where that is due, and records `KeyRotation`.
///
/// Nothing is done unless the Secret holds the key in use: what else holds a valid key nobody knows.
pub(super) async fn rotate(
    plan: &WholePlan,
    rotation: Option<Rotation>,
    instance: Instance<'_>,
    scene: &Scene<'_>,
    evidence: Evidence,
    report: &mut Report,
) -> Evidence {
    let (Some(current), Some(keys)) = (&evidence.current, &evidence.keys) else { return evidence };
    let is_published = scene.published.and_then(Current::read).as_ref() == Some(current);
    let shift = Shift { plan, rotation, instance, scene, current };
    let outcome =
        async { if is_published { shift.work(keys.clone()).await } else { Ok(shift.told(current.clone())) } };
    match instance::check(report, CheckName::KeyRotation, outcome).await {
        Some(current) => Evidence { current: Some(current), ..evidence },
        None => evidence,
    }
}

/// One run's work on the keys of one account.
struct Shift<'a> {
    plan: &'a WholePlan,
    rotation: Option<Rotation>,
    instance: Instance<'a>,
    scene: &'a Scene<'a>,
    /// The key in use, which the Secret holds.
    current: &'a Current,
}

impl Shift<'_> {
    async fn work(&self, mut keys: Vec<RemoteKey>) -> Result<Checked<Current>, Refusal> {
        loop {
            match decide(self.rotation, self.current, &keys, self.scene.now) {
                Step::Rest => {
                    let record = prune(self.current, &keys);
                    return Ok(self.told(Current { record, ..self.current.clone() }));
                }
                Step::Doubt => return Ok(self.in_doubt()),
                Step::Revoke { key_id } => {
                    self.expect_not_refused()?;
                    self.revoke(&key_id).await?;
                    keys.retain(|key| key.id != key_id);
                }
                Step::Generate { rotation, overlap } => {
                    self.expect_not_refused()?;
                    let replaced = self.generate(rotation, overlap, &keys).await?;
                    return Ok(self.told(replaced));
                }
            }
        }
    }

    /// What the server refused is not asked for again.
    fn expect_not_refused(&self) -> Result<(), Refusal> {
        match self.scene.last_upkeep.filter(|finding| finding.name == CheckName::KeyRotation) {
            Some(refused) => Err(Problem::new(refused.reason, refused.message.clone()).into()),
            None => Ok(()),
        }
    }

    async fn revoke(&self, key_id: &str) -> Result<(), Refusal> {
        let outcome = self.instance.delete_api_key(&self.credential(), key_id).await;
        outcome.map_err(|Refusal { problem: Problem { reason, message }, retry_after }| {
            let message = format!("The old key {key_id} stays valid: {message}");
            Refusal { problem: Problem { reason, message }, retry_after }
        })
    }

    /// Generates a key and tries it. One that cannot be used goes at once, as far as the server lets it.
    async fn generate(&self, number: u32, overlap: Duration, keys: &[RemoteKey]) -> Result<Current, Refusal> {
        let now = whole_seconds(self.scene.now).map_or(self.scene.now, |now| now.0);
        let description = keys::describe(&self.plan.account.uid, number, now);
        let made = self.instance.generate_api_key(&self.credential(), &description).await?;
        if let Err(refusal) = self.try_out(&made).await {
            // What stays is found by its description next time.
            let _ = self.instance.delete_api_key(&self.credential(), &made.id).await;
            return Err(refusal);
        }
        let record = succeed(overlap, self.current, keys, (made.id, number), now);
        Ok(Current { key: made.key, record })
    }

    async fn try_out(&self, made: &GeneratedKey) -> Result<(), Refusal> {
        let id = &made.id;
        let account_name = &self.plan.account.account_name;
        let viewer = self.instance.viewer(&Credential::Key(made.key.clone())).await;
        let viewer = viewer.map_err(|refusal| unusable(id, refusal))?;
        match viewer.username {
            Some(username) if username != *account_name => Err(Problem::new(
                Reason::AccountMismatch,
                format!(
                    "The server generated the key {id} for another account than \"{account_name}\", so it is not published. Look into the server's log."
                ),
            )
            .into()),
            _ => Ok(()),
        }
    }

    fn credential(&self) -> Credential {
        Credential::Key(self.current.key.clone())
    }

    /// The finding of keys that are as they should be.
    fn told(&self, current: Current) -> Checked<Current> {
        if current.record.leftover == Some(Leftover::Bootstrap) {
            let account = &self.plan.account.account_name;
            let message = format!(
                "The key that a person copied was replaced, and which of the keys of \"{account}\" it is cannot be told, so it stays valid. Whoever copied it must delete it in the web UI, in the settings of \"{account}\" under API keys; the operator's own keys there are described with \"{}\".",
                self.plan.account.uid
            );
            return Checked::warning(current, Reason::KeyNotIdentified, message);
        }
        let message = schedule(self.rotation, &current.record);
        Checked::passed(current, message)
    }

    fn in_doubt(&self) -> Checked<Current> {
        let message = format!(
            "The server does not list the published key {} as one of the account's, so no key is generated or revoked: another one in its list could be the published key. Check that the account may list its own API keys, and that nobody edited the Secret.",
            self.current.record.key_id.as_deref().unwrap_or_default()
        );
        Checked::warning(self.current.clone(), Reason::KeyNotIdentified, message)
    }
}

fn unusable(id: &str, Refusal { problem: Problem { reason, message }, retry_after }: Refusal) -> Refusal {
    let message = format!("The server generated the key {id}, which is not published: {message}");
    Refusal { problem: Problem { reason, message }, retry_after }
}

fn schedule(rotation: Option<Rotation>, record: &Record) -> String {
    let show = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    match (rotation, &record.previous) {
        (Some(rotation), _) => next_rotation(rotation, record).map_or_else(
            || "The key is replaced once it was in use for long enough.".to_owned(),
            |next| format!("The key is replaced from {} on.", show(next)),
        ),
        (None, Some(previous)) => format!(
            "The key is not replaced any more; the one before it is revoked from {} on.",
            show(previous.until.0)
        ),
        (None, None) => "The key is not replaced any more; the one before it is revoked.".to_owned(),
    }
}
