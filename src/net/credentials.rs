//! The answers of servers to credentials, for the whole process. Servers count a wrong password towards a
//! lock-out each time that it is sent, whichever resource sends it.
//!
//! All credentials are sent through [`Network::send_once`]. Runs that want to send the same ones at the same time
//! wait for the answer to the first. Only keyed digests of credentials are kept, and only a limited number of
//! them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand};
use tokio::sync::watch;

use super::{Endpoint, Network, memory::Waiting};
use crate::{api::Reason, problem::Problem, sensitive::Sensitive};

mod decide;

pub use decide::{Consent, Consequence, Said, Terms};
use decide::{CredentialEntry, CredentialVerdict, SendStep, decide};

/// Credentials for an account at a server.
pub struct Login {
    /// The server. Several ports may lead to the same one.
    pub server: Endpoint,
    /// The account, written in such a way that equal texts mean the same account.
    pub account: String,
    /// The password, key or secret.
    pub secret: Sensitive,
    /// What happens after a wrong secret.
    pub consequence: Consequence,
}

/// Identifies a [`Login`] in this process, without revealing anything about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LoginDigest([u8; 32]);

/// A refusal of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialRefusal {
    login: LoginDigest,
    /// When they were refused; `None` if that is known from a status only.
    at: Option<Instant>,
}

/// What this process knows about credentials.
pub struct Credentials {
    key: hmac::Key,
    entries: Mutex<HashMap<LoginDigest, CredentialEntry>>,
    /// The number of answers so far.
    answers: watch::Sender<u64>,
    /// How often credentials were accepted after they had been refused.
    acceptances: watch::Sender<u64>,
    /// The recalls that are still running: kinds whose statuses may hold refusals that this process does not know
    /// yet.
    recalls: watch::Sender<HashSet<u64>>,
    /// When the first recall began.
    recalls_since: Mutex<Option<Instant>>,
}

/// How many credentials are remembered at most: many times what a cluster has, in some hundred kilobytes.
const MOST_ENTRIES: usize = 4096;

impl Consequence {
    /// How long to wait for the answer that another run gets.
    fn patience(self) -> Duration {
        match self {
            Self::Lock => Duration::from_secs(5),
            // One more try does no harm, so a run need not depend on another run's connection for long.
            Self::Refusal => Duration::from_secs(1),
        }
    }
}

/// How long to wait for the refusals in the statuses of an earlier process. A kind that cannot be listed must not
/// stop all others.
const RECALL_PATIENCE: Duration = Duration::from_secs(10);

/// The answers to credentials in one run.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// What is left of the consent with which the run began.
    pub consent: Consent,
    /// The credentials that were refused, in this run or before it.
    pub refused: Vec<CredentialRefusal>,
    /// When the oldest answer was asked for that the run shares with another resource.
    pub oldest_answer: Option<Instant>,
}

impl Default for Credentials {
    fn default() -> Self {
        let mut key = [0; 32];
        // An error can be ignored: a process without random numbers cannot speak TLS either, so it never sends
        // credentials.
        let _ = rand::fill(&mut key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            entries: Mutex::default(),
            answers: watch::Sender::default(),
            acceptances: watch::Sender::default(),
            recalls: watch::Sender::default(),
            recalls_since: Mutex::default(),
        }
    }
}

impl Credentials {
    /// Whether any of these credentials were accepted after they had been refused.
    pub fn were_accepted(&self, refusals: &[CredentialRefusal]) -> bool {
        let entries = self.entries();
        refusals.iter().any(|CredentialRefusal { login, at }| {
            entries.get(login).is_some_and(|entry| entry.is_accepted_since(*at))
        })
    }

    /// The number of times that refused credentials were accepted later, as a channel that reports changes.
    pub fn acceptances(&self) -> watch::Receiver<u64> {
        self.acceptances.subscribe()
    }

    /// Begins a recall: every run that sends credentials waits for its end, up to a limit.
    pub fn begin_recall(&self) -> u64 {
        self.recalls_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        let mut id = 0;
        self.recalls.send_modify(|recalls| {
            id = recalls.iter().max().map_or(0, |last| last.saturating_add(1));
            recalls.insert(id);
        });
        id
    }

    /// Ends a recall: every refusal that the statuses hold is known now.
    pub fn end_recall(&self, id: u64) {
        self.recalls.send_modify(|recalls| {
            recalls.remove(&id);
        });
    }

    async fn recalled(&self) {
        let since = *self.recalls_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = since else { return };
        let left = RECALL_PATIENCE.saturating_sub(since.elapsed());
        let mut recalls = self.recalls.subscribe();
        let _ = tokio::time::timeout(left, recalls.wait_for(HashSet::is_empty)).await;
    }

    fn digest(&self, parts: [&str; 3]) -> LoginDigest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        digest.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        LoginDigest(digest)
    }

    /// Decides what to do with the credentials. [`SendStep::Send`] marks them as being sent.
    fn begin(&self, digest: LoginDigest, consequence: Consequence, terms: &Terms) -> SendStep {
        let mut entries = self.entries();
        let entry = entries.entry(digest).or_default();
        let step = decide(entry, consequence, terms, Instant::now());
        if step == SendStep::Send {
            entry.is_asked = true;
        }
        step
    }

    fn end(&self, digest: LoginDigest, said: Said, problem: Option<&Problem>) {
        let verdict = CredentialVerdict { said, problem: problem.cloned(), at: Some(Instant::now()) };
        let mut entries = self.entries();
        let entry = entries.entry(digest).or_default();
        entry.is_asked = false;
        let is_over = said == Said::Accepted && entry.is_refused();
        // One slow answer says nothing against credentials that were accepted, because W&B Server uses them all
        // the time.
        if said != Said::Nothing && !(said == Said::Unclear && entry.is_accepted()) {
            entry.verdict = Some(verdict);
        }
        bound(&mut entries);
        drop(entries);
        self.answers.send_modify(|count| *count = count.wrapping_add(1));
        if is_over {
            self.acceptances.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<LoginDigest, CredentialEntry>> {
        // Entries are changed as a whole, so a panic elsewhere cannot leave one half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the oldest answers beyond the limit, those of accepted credentials before those of refused ones.
fn bound(entries: &mut HashMap<LoginDigest, CredentialEntry>) {
    let now = Instant::now();
    entries.retain(|_, entry| entry.is_asked || entry.is_elsewhere(now) || entry.verdict.is_some());
    while entries.len() > MOST_ENTRIES {
        let forgettable = entries.iter().filter(|(_, entry)| !entry.is_asked);
        let Some(first) = forgettable.min_by_key(|(_, entry)| entry.rank()).map(|(digest, _)| *digest) else {
            return;
        };
        entries.remove(&first);
    }
}

/// An attempt to send credentials. If it is given up, the server may have counted it all the same.
struct Try<'a> {
    network: &'a Network,
    digest: LoginDigest,
    login: &'a Login,
    progress: SendProgress,
}

#[derive(PartialEq)]
enum SendProgress {
    Sent,
    Answered,
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if self.progress == SendProgress::Answered {
            return;
        }
        let said = match self.login.consequence {
            Consequence::Lock => Said::Unclear,
            Consequence::Refusal => Said::Nothing,
        };
        let problem = Problem::new(
            Reason::TimedOut,
            format!("{} did not answer within the time limit.", self.login.server),
        );
        self.network.used(self.digest, said);
        self.network.credentials.end(self.digest, said, Some(&problem));
    }
}

impl Network {
    /// Sends credentials, unless the server has refused them; then that answer is returned without sending.
    /// `said` decides what an answer means for the credentials.
    pub async fn send_once<T>(
        &self,
        login: &Login,
        send: impl Future<Output = Result<T, Problem>>,
        said: impl Fn(Result<&T, &Problem>) -> Said,
    ) -> Result<T, Problem> {
        let known = &self.credentials;
        if login.consequence == Consequence::Lock {
            let _waiting = Waiting::begin(&self.awaiting_others);
            known.recalled().await;
        }
        let digest = self.login_digest(login);
        let patience = tokio::time::Instant::now() + login.consequence.patience();
        loop {
            let mut answers = known.answers.subscribe();
            match known.begin(digest, login.consequence, &self.terms) {
                SendStep::Send | SendStep::SendAlong => break,
                SendStep::Known(problem) => {
                    self.used(digest, Said::Refused);
                    return Err(not_sent(login, &problem));
                }
                SendStep::Wait => {
                    let _waiting = Waiting::begin(&self.awaiting_others);
                    if tokio::time::timeout_at(patience, answers.changed()).await.is_err() {
                        match login.consequence {
                            Consequence::Lock => return Err(still_asked(login)),
                            Consequence::Refusal => break,
                        }
                    }
                }
            }
        }
        let mut attempt = Try { network: self, digest, login, progress: SendProgress::Sent };
        let outcome = send.await;
        attempt.progress = SendProgress::Answered;
        let said = said(outcome.as_ref());
        self.used(digest, said);
        known.end(digest, said, outcome.as_ref().err());
        outcome
    }

    /// Asks whether a pod may send credentials, within the time limit for which others then wait. The error is what
    /// [`send_once`](Self::send_once) would return without sending them.
    pub async fn begin_elsewhere(&self, login: &Login, limit: Duration) -> Result<(), Problem> {
        let known = &self.credentials;
        if login.consequence == Consequence::Lock {
            known.recalled().await;
        }
        let digest = self.login_digest(login);
        let mut entries = known.entries();
        let entry = entries.entry(digest).or_default();
        let now = Instant::now();
        match decide(entry, login.consequence, &self.terms, now) {
            // Credentials that were accepted delay nobody.
            SendStep::SendAlong => Ok(()),
            SendStep::Send => {
                if !entry.is_accepted() {
                    entry.is_elsewhere_until = now.checked_add(limit);
                }
                Ok(())
            }
            SendStep::Known(problem) => {
                drop(entries);
                self.used(digest, Said::Refused);
                Err(not_sent(login, &problem))
            }
            SendStep::Wait => Err(still_asked(login)),
        }
    }

    /// Records that a pod which an earlier run made may still be sending credentials.
    pub fn goes_on_elsewhere(&self, login: &Login, limit: Duration) {
        let digest = self.login_digest(login);
        let mut entries = self.credentials.entries();
        let entry = entries.entry(digest).or_default();
        if entry.verdict.is_none() {
            entry.is_elsewhere_until = Instant::now().checked_add(limit);
        }
    }

    /// Records that no pod sends these credentials after all.
    pub fn release_elsewhere(&self, login: &Login) {
        let digest = self.login_digest(login);
        if let Some(entry) = self.credentials.entries().get_mut(&digest) {
            entry.is_elsewhere_until = None;
        }
    }

    /// Records the answer to credentials that a pod has sent, or that it sent none.
    pub fn end_elsewhere(&self, login: &Login, said: Said, problem: Option<&Problem>) {
        self.release_elsewhere(login);
        let digest = self.login_digest(login);
        self.used(digest, said);
        self.credentials.end(digest, said, problem);
    }

    /// Records that an earlier process saw these credentials refused, so that they are not sent again.
    pub fn recall_refusal(&self, login: &Login, said: Said, problem: &Problem) -> CredentialRefusal {
        let digest = self.login_digest(login);
        let at = (said == Said::Unclear).then(Instant::now);
        let mut entries = self.credentials.entries();
        let entry = entries.entry(digest).or_default();
        entry.verdict.get_or_insert_with(|| CredentialVerdict { said, problem: Some(problem.clone()), at });
        CredentialRefusal { login: digest, at: None }
    }

    /// Records the answer to credentials in this run.
    fn used(&self, digest: LoginDigest, said: Said) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if said != Said::Nothing {
            usage.consent = Consent::None;
        }
        if matches!(said, Said::Refused | Said::Unclear) {
            usage.refused.push(CredentialRefusal { login: digest, at: Some(Instant::now()) });
        }
    }

    /// What became of credentials in this run: the ones that were refused, and whether a person's consent to send
    /// them is left. Also, how old the answers are that it shares.
    pub fn usage(&self) -> Usage {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same network, for a run on these terms.
    #[must_use]
    pub fn on_terms(self, terms: Terms) -> Self {
        let usage = Mutex::new(Usage { consent: terms.consent, ..Usage::default() });
        Self { terms, usage, ..self }
    }

    fn login_digest(&self, login: &Login) -> LoginDigest {
        let Endpoint { host, port } = &login.server;
        let server = format!("{}:{port}", self.identity(host).trim_end_matches('.').to_lowercase());
        self.credentials.digest([&server, &login.account, login.secret.expose()])
    }
}

const NOT_SENT: &str = "and they were not sent again.";

/// The problem of credentials that were not sent, with the answer to the same ones that were sent before.
fn not_sent(login: &Login, problem: &Problem) -> Problem {
    let Problem { reason, message } = problem;
    if message.ends_with(NOT_SENT) {
        return problem.clone();
    }
    Problem::new(
        *reason,
        format!(
            "{message} {} gave this answer when the same credentials were sent before, by this resource or another one, {NOT_SENT}",
            login.server
        ),
    )
}

fn still_asked(login: &Login) -> Problem {
    Problem::new(
        Reason::AwaitingAnswer,
        format!(
            "{} has given no clear answer yet to another resource that sent the same credentials, so they were not sent a second time.",
            login.server
        ),
    )
}

#[cfg(test)]
mod tests;
