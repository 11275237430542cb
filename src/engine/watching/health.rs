//! How the watches of this process are doing: for the probes of a kubelet, for people, and for those who must know
//! every resource before they decide.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// Every watch of this process.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<SharedHealth>);

#[derive(Debug, Default)]
struct SharedHealth {
    entries: Mutex<Entries>,
    /// Counts whenever a watch has listed, or fails, or is over a failure.
    changes: watch::Sender<u64>,
    /// Counts the times that the API server came back.
    returns: watch::Sender<u64>,
    /// Counts the times that everything must be listed anew.
    restarts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    watches: BTreeMap<u64, WatchState>,
    /// When the API server answered anything last.
    answered: Option<Instant>,
}

/// Whether the process is ready without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// It is ready only once this was listed.
    Needed,
    /// It is ready anyway.
    Optional,
}

#[derive(Debug)]
struct WatchState {
    importance: Importance,
    what: String,
    /// When it was listed first, or first after a restart.
    listed: Option<Instant>,
    /// Whether it was ever listed.
    has_begun: bool,
    trouble: Option<Trouble>,
    /// When the API server sent anything for it last.
    progress: Instant,
}

/// Why a watch cannot list, or cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is by its nature.
    pub cause: Cause,
    /// The same for people, with what to do. Equal texts are told once.
    pub words: String,
}

/// What a watch's trouble is by its nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The API server does not serve the kind, so there is no object of it.
    Missing,
    /// The API server answered that it will not.
    Refused,
    /// The API server did not answer, or could not.
    Unanswered,
}

/// Longer than a watch that works is without any sign: it is set up again before. See `follow`.
const STALLED: Duration = Duration::from_mins(2);

/// How old an answer may be to say that the API server answers.
const ANSWERS: Duration = Duration::from_secs(30);

/// How long a run waits for the kinds that are not listed, after one that is.
const GRACE: Duration = Duration::from_secs(10);

impl Watches {
    /// Adds a watch of that name.
    pub fn add(&self, what: String, importance: Importance) -> WatchHandle {
        let mut entries = self.0.entries();
        let id = entries.next;
        entries.next += 1;
        let standing = WatchState {
            importance,
            what,
            listed: None,
            has_begun: false,
            trouble: None,
            progress: Instant::now(),
        };
        entries.watches.insert(id, standing);
        WatchHandle { id, shared: Arc::clone(&self.0) }
    }

    /// What keeps needed watches from being listed, each cause once.
    pub fn obstacles(&self) -> Vec<String> {
        let entries = self.0.entries();
        let mut words: Vec<_> = entries
            .watches
            .values()
            .filter(|watch| watch.is_awaited())
            .filter_map(|watch| watch.trouble.as_ref().map(|trouble| trouble.words.clone()))
            .collect();
        words.sort();
        words.dedup();
        words
    }

    /// Waits until every needed watch has listed.
    pub async fn listed(&self) {
        self.0.until(|entries| !entries.watches.values().any(WatchState::is_awaited)).await;
    }

    /// The watch that was without a sign for longer than any may be, although the API server answers.
    pub fn stalled(&self, now: Instant) -> Option<String> {
        let entries = self.0.entries();
        let within = |then: Instant, limit| now.saturating_duration_since(then) <= limit;
        entries.answered.filter(|answered| within(*answered, ANSWERS))?;
        let mut stalled = entries.watches.values().filter(|watch| !within(watch.progress, STALLED));
        stalled.next().map(|watch| watch.what.clone())
    }

    /// Notes that the API server answered something.
    pub fn answered(&self) {
        self.0.entries().answered = Some(Instant::now());
    }

    /// Has every watch list anew, since what it knows may never have been.
    pub fn restart(&self) {
        self.0.entries().watches.values_mut().for_each(|watch| watch.listed = None);
        self.0.restarts.send_modify(|count| *count += 1);
    }

    /// Counts the times that the API server came back after it had not answered.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.0.returns.subscribe()
    }
}

impl WatchState {
    fn is_awaited(&self) -> bool {
        self.importance == Importance::Needed && self.listed.is_none()
    }

    /// Whether all objects are known.
    fn is_settled(&self) -> bool {
        let is_missing = |trouble: &Trouble| trouble.cause == Cause::Missing;
        self.listed.is_some() || self.trouble.as_ref().is_some_and(is_missing)
    }
}

impl SharedHealth {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, is_so: impl Fn(&Entries) -> bool) {
        // The sender lives as long as this.
        let _ = self.changes.subscribe().wait_for(|_| is_so(&self.entries())).await;
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// One watch, as long as it goes on.
#[derive(Debug)]
pub struct WatchHandle {
    id: u64,
    shared: Arc<SharedHealth>,
}

impl WatchHandle {
    /// The API server sent something for it.
    pub fn progressed(&self) {
        let ended = self.update(|watch| watch.trouble.take());
        let Some(trouble) = ended else { return };
        if !self.is_told(&trouble) {
            tracing::info!("this is over: {}", trouble.words);
        }
        if trouble.cause == Cause::Unanswered {
            self.shared.returns.send_modify(|count| *count += 1);
        }
        self.shared.changed();
    }

    /// Every object is known.
    pub fn listed(&self) {
        self.progressed();
        self.update(|watch| {
            watch.listed.get_or_insert_with(Instant::now);
            watch.has_begun = true;
        });
        self.shared.changed();
    }

    /// It could not list or begin; the same words are logged once, whichever watch they are of.
    pub fn failed(&self, trouble: Trouble) {
        let is_news = !self.is_told(&trouble);
        let (cause, words) = (trouble.cause, trouble.words.clone());
        if cause == Cause::Unanswered {
            // Whether it is stuck is judged by what it got before.
            self.entry(|watch| watch.trouble = Some(trouble));
        } else {
            self.update(|watch| watch.trouble = Some(trouble));
        }
        if is_news {
            tracing::warn!("{words}");
        }
        self.shared.changed();
    }

    /// Whether it was ever listed.
    pub fn has_begun(&self) -> bool {
        self.entry(|watch| watch.has_begun).unwrap_or_default()
    }

    /// When it was listed first, or first after a restart.
    pub fn listed_at(&self) -> Option<Instant> {
        self.entry(|watch| watch.listed).flatten()
    }

    /// What it watches, and what keeps it from being listed, if all objects are not known.
    pub fn unsettled(&self) -> Option<String> {
        let tell = |watch: &WatchState| match &watch.trouble {
            Some(trouble) => trouble.words.clone(),
            None => format!("{} are not listed yet", watch.what),
        };
        self.entry(|watch| (!watch.is_settled()).then(|| tell(watch))).flatten()
    }

    /// Waits until all objects are known.
    pub async fn settled(&self) {
        let is_settled = |entries: &Entries| entries.watches.get(&self.id).is_none_or(WatchState::is_settled);
        self.shared.until(is_settled).await;
    }

    /// Counts the times that it must list anew.
    pub fn restarts(&self) -> watch::Receiver<u64> {
        self.shared.restarts.subscribe()
    }

    /// Whether any watch has the same trouble.
    fn is_told(&self, trouble: &Trouble) -> bool {
        self.shared.entries().watches.values().any(|watch| watch.trouble.as_ref() == Some(trouble))
    }

    /// Changes it upon a sign of the API server.
    fn update<T: Default>(&self, change: impl FnOnce(&mut WatchState) -> T) -> T {
        let now = Instant::now();
        self.shared.entries().answered = Some(now);
        self.entry(|watch| {
            watch.progress = now;
            change(watch)
        })
        .unwrap_or_default()
    }

    fn entry<T>(&self, use_it: impl FnOnce(&mut WatchState) -> T) -> Option<T> {
        self.shared.entries().watches.get_mut(&self.id).map(use_it)
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.shared.entries().watches.remove(&self.id);
        self.shared.changed();
    }
}

/// Waits until all of these are settled, but for those that take much longer than another one.
pub async fn all_settled(watches: &[&WatchHandle]) {
    let newest = watches.iter().filter_map(|watched| watched.listed_at()).max();
    let patience = newest.map_or(GRACE, |listed| GRACE.saturating_sub(listed.elapsed()));
    let all = futures::future::join_all(watches.iter().map(|watched| watched.settled()));
    // Who waits in vain is told what for.
    let _ = tokio::time::timeout(patience, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &str) -> Trouble {
        Trouble { cause: Cause::Refused, words: words.to_owned() }
    }

    #[tokio::test]
    async fn each_cause_is_named_once_until_it_is_over() {
        let watches = Watches::default();
        let needed: Vec<_> = (0..2).map(|_| watches.add("Secrets".into(), Importance::Needed)).collect();
        let optional = watches.add("Deployments".into(), Importance::Optional);
        assert!(watches.obstacles().is_empty());
        optional.failed(refused("may not list deployments"));
        for each in &needed {
            each.failed(refused("may not list secrets"));
        }
        assert_eq!(watches.obstacles(), ["may not list secrets"]);
        needed[0].listed();
        assert_eq!(watches.obstacles(), ["may not list secrets"], "the other one still cannot");
        needed[1].listed();
        assert!(watches.obstacles().is_empty());
        watches.listed().await;
        // What breaks later takes nothing back.
        needed[1].failed(refused("may not list secrets"));
        assert!(watches.obstacles().is_empty());
    }

    #[tokio::test]
    async fn a_kind_that_is_not_served_has_no_objects() {
        let watches = Watches::default();
        let own = watches.add("jwtissuers".into(), Importance::Needed);
        assert_eq!(own.unsettled().as_deref(), Some("jwtissuers are not listed yet"));
        own.failed(Trouble { cause: Cause::Missing, words: "the definition is missing".into() });
        own.settled().await;
        assert_eq!(own.unsettled(), None);
        assert_eq!(watches.obstacles(), ["the definition is missing"], "but the process is not ready");
        own.failed(refused("may not list jwtissuers"));
        assert_eq!(own.unsettled().as_deref(), Some("may not list jwtissuers"));
    }

    #[test]
    fn a_watch_without_a_sign_is_stalled_only_while_the_api_server_answers() {
        let watches = Watches::default();
        let own = watches.add("Secrets".into(), Importance::Needed);
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(watches.stalled(later(600)), None, "nothing answers");
        own.failed(Trouble { cause: Cause::Unanswered, words: "no answer".into() });
        watches.0.entries().answered = Some(later(600));
        assert_eq!(watches.stalled(later(100)), None);
        assert_eq!(watches.stalled(later(601)).as_deref(), Some("Secrets"), "no answer is no sign");
        assert_eq!(watches.stalled(later(700)), None, "the API server answers no more");
        own.failed(refused("a refusal is an answer"));
        watches.0.entries().watches.values_mut().for_each(|watch| watch.progress = later(590));
        watches.0.entries().answered = Some(later(600));
        assert_eq!(watches.stalled(later(601)), None);
        drop(own);
        assert_eq!(watches.stalled(later(601)), None);
    }

    #[tokio::test]
    async fn after_a_restart_nothing_is_known_until_it_is_listed() {
        let watches = Watches::default();
        let own = watches.add("Secrets".into(), Importance::Needed);
        let mut restarts = own.restarts();
        own.listed();
        watches.restart();
        restarts.changed().await.unwrap();
        assert!(own.listed_at().is_none() && own.unsettled().is_some() && own.has_begun());
        own.listed();
        own.settled().await;
    }

    #[tokio::test]
    async fn an_api_server_that_did_not_answer_comes_back() {
        let watches = Watches::default();
        let returns = watches.returns();
        let own = watches.add("Secrets".into(), Importance::Needed);
        own.failed(refused("may not list secrets"));
        own.progressed();
        assert_eq!(*returns.borrow(), 0, "it answered");
        own.failed(Trouble { cause: Cause::Unanswered, words: "no answer".into() });
        own.progressed();
        own.progressed();
        assert_eq!(*returns.borrow(), 1);
    }
}
