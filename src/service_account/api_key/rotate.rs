//! Carries out what `decide` decided about an account's keys.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::account::AccountSettings,
    decide::{Circumstances, RotationStep, decide, next_rotation, prune, successor_record},
    keys::{self, RemoteKey},
    plan::{ApiKeyEvidence, ApiKeyPlan, circumstances},
    record::{Current, Leftover, Record},
    requests::KeyRequests,
    settings::Rotation,
};
use crate::{
    api::{
        CheckName, RECHECK_ANNOTATION, REVOKE_PREVIOUS_ANNOTATION, ROTATE_ANNOTATION, Reason,
        names::Resolution,
    },
    engine::{CheckContext, Checked, Finding, Report},
    instance::{self, Credential, GeneratedKey, Instance, ServerRefusal},
    problem::{Problem, enumerate, quote},
    sensitive::Redactor,
};

/// Replaces the key if that is due, and records `KeyRotation`.
///
/// Nothing is done unless the Secret holds the key in use, since otherwise nobody knows where else valid keys are
/// published.
pub(super) async fn rotate(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    instance: Instance<'_>,
    context: &CheckContext<'_>,
    evidence: ApiKeyEvidence,
    report: &mut Report,
) -> ApiKeyEvidence {
    let (Some(current), Some(keys)) = (&evidence.current, &evidence.keys) else { return evidence };
    // What was handled says nothing about the key.
    let handled = current.record.handled.clone();
    let published = context.published.and_then(|values| Current::read_of(values, account));
    let published =
        published.map(|Current { key, record }| Current { key, record: Record { handled, ..record } });
    let circumstances = circumstances(account, own, &evidence.published, context);
    let run = RotationRun { account, circumstances, instance, context, current };
    let outcome = async {
        let keys = keys.clone();
        if published.as_ref() == Some(current) {
            run.work(keys).await
        } else if !current.record.open(&own.settings.asked).is_empty() {
            Ok(Checked::passed((current.clone(), keys), POSTPONED))
        } else {
            Ok(run.status(current.clone()).with_keys(keys))
        }
    };
    let Some((current, keys)) = instance::check(report, CheckName::KeyRotation, Box::pin(outcome)).await
    else {
        return evidence;
    };
    current.key.secrets().iter().for_each(|secret| report.conceal(secret));
    ApiKeyEvidence { current: Some(current), keys: Some(keys), ..evidence }
}

/// The work of one run on the keys of one account.
struct RotationRun<'a> {
    account: &'a AccountSettings,
    circumstances: Circumstances<'a>,
    instance: Instance<'a>,
    context: &'a CheckContext<'a>,
    /// The key in use, which the Secret holds.
    current: &'a Current,
}

/// The key in use after the work, and every key of the account.
type Done = (Current, Vec<RemoteKey>);

impl Checked<Current> {
    fn with_keys(self, keys: Vec<RemoteKey>) -> Checked<Done> {
        self.map(|current| (current, keys))
    }
}

impl RotationRun<'_> {
    async fn work(&self, mut keys: Vec<RemoteKey>) -> Result<Checked<Done>, ServerRefusal> {
        let mut refused =
            self.context.refused_maintenance.filter(|finding| finding.name == CheckName::KeyRotation);
        loop {
            match decide(self.circumstances, self.current, &keys) {
                RotationStep::Rest => {
                    return Ok(self.status(self.rested(&keys)).with_keys(keys));
                }
                RotationStep::Wait => {
                    return Ok(Checked::passed(self.rested(&keys), WAITING).with_keys(keys));
                }
                RotationStep::Crowded { overlapping } => {
                    return Ok(crowded(self.rested(&keys), overlapping).with_keys(keys));
                }
                RotationStep::Ambiguous => return Ok(self.ambiguous().with_keys(keys)),
                RotationStep::Revoke { key_id } => {
                    self.revoke(&key_id).await?;
                    keys.retain(|key| key.id != key_id);
                    // If the earlier refusal concerned this revocation, it no longer applies.
                    refused = None;
                }
                RotationStep::Generate { rotation, overlap } => {
                    if let Some(problem) = self.context.unwritable {
                        return Ok(self.unwritable(problem).with_keys(keys));
                    }
                    // A key that the server refused a short while ago is not requested again yet.
                    if let Some(Finding { reason, message, .. }) = refused {
                        return Err(Problem::new(*reason, message.clone()).into());
                    }
                    let replaced = self.generate(rotation, overlap, &keys).await.map_err(tried_again)?;
                    return Ok(self.status(replaced).with_keys(keys));
                }
            }
        }
    }

    /// The key in use when nothing is left to revoke for now.
    fn rested(&self, keys: &[RemoteKey]) -> Current {
        let record = prune(self.circumstances, self.current, keys);
        Current { record, ..self.current.clone() }
    }

    async fn revoke(&self, key_id: &str) -> Result<(), ServerRefusal> {
        let outcome = self.instance.delete_api_key(&self.credential(), key_id).await;
        outcome.map_err(|ServerRefusal { problem: Problem { reason, message }, retry_after }| {
            let message = format!("The old key {} stays valid: {message}", quote(key_id));
            ServerRefusal { problem: Problem { reason, message }, retry_after }
        })
    }

    /// Generates a key and tries it. A key that cannot be used is deleted at once, if the server allows that.
    async fn generate(
        &self,
        number: u32,
        overlap: Duration,
        keys: &[RemoteKey],
    ) -> Result<Current, ServerRefusal> {
        let description = keys::describe(&self.account.uid, number, self.circumstances.now);
        let made = self.instance.generate_api_key(&self.credential(), &description).await?;
        let tried = match expect_description(&made, &description) {
            Ok(()) => self.try_out(&made).await,
            Err(problem) => Err(problem.into()),
        };
        if let Err(ServerRefusal { problem: Problem { reason, message }, retry_after }) = tried {
            // If the deletion fails, a later run finds the key by its description, provided that it has one.
            let deleted = self.instance.delete_api_key(&self.credential(), &made.id).await;
            let fate = deleted.map_or_else(
                |refusal| format!("It could not be deleted: {}", refusal.problem.message),
                |()| "It was deleted at once.".to_owned(),
            );
            let message = Redactor::new(made.key.secrets()).redact(format!("{message} {fate}"));
            return Err(ServerRefusal { problem: Problem { reason, message }, retry_after });
        }
        let record = successor_record(self.circumstances, overlap, self.current, keys, (made.id, number));
        Ok(Current { key: made.key, record })
    }

    async fn try_out(&self, made: &GeneratedKey) -> Result<(), ServerRefusal> {
        let id = &made.id;
        let account_name = &self.account.account_name;
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

    /// The finding when nothing is left to do.
    fn status(&self, current: Current) -> Checked<Current> {
        if current.record.leftover == Some(Leftover::Bootstrap) {
            let account = &self.account.account_name;
            let message = format!(
                "The key that a person copied was replaced, but the operator does not know which of the keys of \"{account}\" it is, so it stays valid. Whoever copied it must delete it in the web UI, in the settings of \"{account}\" under API keys; the operator's own keys there are described with \"{}\".",
                self.account.uid
            );
            return Checked::warning(current, Reason::KeyNotIdentified, message);
        }
        let repeated = current.record.repeated(self.circumstances.asked);
        let schedule = schedule(self.circumstances.rotation, &current.record);
        let message = [schedule].into_iter().chain(ignored(&repeated)).collect::<Vec<_>>().join(" ");
        Checked::passed(current, message)
    }

    fn ambiguous(&self) -> Checked<Current> {
        let seen = match &self.current.record.key_id {
            Some(key_id) => format!(
                "The server does not list the published key {} as one of the account's, so no key is generated or revoked: another one in its list could be the published key. Check that the account may list its own API keys, and that nobody edited the Secret.",
                quote(key_id)
            ),
            None => format!(
                "The operator does not know which of the account's keys is the published one. It may be one that the operator generated, so no key is generated or revoked. Delete the keys that nobody uses in the web UI, in the settings of \"{}\" under API keys; the operator's own are described with \"{}\".",
                self.account.account_name, self.account.uid
            ),
        };
        Checked::warning(self.current.clone(), Reason::KeyNotIdentified, seen)
    }

    fn unwritable(&self, problem: &Problem) -> Checked<Current> {
        let message = format!(
            "The key is due to be replaced, and no new one is generated, since the Secret could not be written a short while ago: {}",
            problem.message
        );
        Checked::warning(self.current.clone(), problem.reason, message)
    }
}

/// Adds to the message when the operator will ask again, if only a person can correct the cause.
fn tried_again(
    ServerRefusal { problem: Problem { reason, mut message }, retry_after }: ServerRefusal,
) -> ServerRefusal {
    if reason.remedy() == Resolution::Person {
        message = format!(
            "{message} It is tried again after an hour, or at once when the annotation {RECHECK_ANNOTATION} gets a new value."
        );
    }
    ServerRefusal { problem: Problem { reason, message }, retry_after }
}

/// Fails if the generated key lacks its description. After a crash, nobody could know that the operator had made
/// it.
fn expect_description(made: &GeneratedKey, description: &str) -> Result<(), Problem> {
    if made.description.as_deref() == Some(description) {
        return Ok(());
    }
    let seen = made.description.as_deref().map_or_else(
        || "without a description".to_owned(),
        |seen| format!("described as \"{}\"", quote(seen)),
    );
    Err(Problem::new(
        Reason::InvalidDocument,
        format!(
            "The server generated the key {} {seen} instead of \"{description}\", by which the operator would recognise it, so it is not published. Check the server's version, and what is between it and the operator.",
            made.id
        ),
    ))
}

/// Why what a person asked for is not done yet.
const POSTPONED: &str = "What the annotations ask for is done as soon as the Secret holds the key in use.";

/// Why a key that a person asked for is not generated yet.
const WAITING: &str = "A new key was asked for, and another run may be about to publish one, so it is made within the next minutes. A key that such a run left behind is revoked first.";

/// What to know of an annotation whose value was handled before.
fn ignored(repeated: &KeyRequests) -> Option<String> {
    let rotate = repeated.rotate.as_ref().map(|_| ROTATE_ANNOTATION);
    let revoke = repeated.revoke_previous.as_ref().map(|_| REVOKE_PREVIOUS_ANNOTATION);
    let names: Vec<_> = rotate.into_iter().chain(revoke).collect();
    (!names.is_empty()).then(|| {
        format!(
            "Nothing is done for {}, whose value was acted on before and came back; a value that it never had asks again.",
            enumerate(names)
        )
    })
}

fn crowded(current: Current, overlapping: usize) -> Checked<Current> {
    let end = current.record.previous.iter().map(|previous| previous.until.0).min();
    let end = end.map_or_else(String::new, |end| format!(", which is {}", show(end)));
    let message = format!(
        "A new key was asked for by the annotation {ROTATE_ANNOTATION}, and {overlapping} replaced keys are still valid, which is the most there may be. The new key is made when the overlap of the oldest one is over{end}. If no program uses the replaced keys any longer, give the annotation {REVOKE_PREVIOUS_ANNOTATION} a new value: they are revoked then."
    );
    Checked::warning(current, Reason::TooManyKeys, message)
}

fn unusable(
    id: &str,
    ServerRefusal { problem: Problem { reason, message }, retry_after }: ServerRefusal,
) -> ServerRefusal {
    let message = format!("The server generated the key {id}, which is not published: {message}");
    ServerRefusal { problem: Problem { reason, message }, retry_after }
}

fn show(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn schedule(rotation: Option<Rotation>, record: &Record) -> String {
    let until = record.previous.iter().map(|previous| previous.until.0).max();
    match (rotation, until) {
        (Some(rotation), _) => next_rotation(rotation, record).map_or_else(
            || "The key is replaced once it was in use for long enough.".to_owned(),
            |next| format!("The key is replaced from {} on.", show(next)),
        ),
        (None, Some(until)) => {
            format!("The key is not replaced; the one before it is revoked from {} on.", show(until))
        }
        (None, None) => "The key is not replaced; what was generated before it is revoked.".to_owned(),
    }
}
