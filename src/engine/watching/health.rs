//! The state of the watches of this process: for the probes of a kubelet, for people, and for runs that must know
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
    /// The number of times that a watch has listed, failed, or recovered from a failure.
    changes: watch::Sender<u64>,
    /// The number of times that the API server came back.
    returns: watch::Sender<u64>,
    /// The number of times that everything had to be listed again.
    restarts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    watches: BTreeMap<u64, WatchState>,
    /// When the API server answered anything for the last time.
    answered: Option<Instant>,
}

/// Whether the process is ready without this watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// The process is ready only once this watch has listed its objects.
    Needed,
    /// The process is ready without it.
    Optional,
}

#[derive(Debug)]
struct WatchState {
    importance: Importance,
    what: String,
    /// When it listed its objects first, or first after a restart.
    listed: Option<Instant>,
    /// Whether a page of its list has come, and more are on their way.
    is_under_way: bool,
    /// Whether it was ever listed.
    has_begun: bool,
    trouble: Option<Trouble>,
    /// When the API server sent anything for this watch for the last time.
    progress: Instant,
}

/// Why a watch cannot list, or cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of trouble.
    pub cause: Cause,
    /// The trouble in words for people, with what to do. Equal texts are logged only once.
    pub words: String,
}

/// The kinds of trouble of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The API server does not serve the kind, so there is no object of it.
    Missing,
    /// The API server refused the request.
    Refused,
    /// The API server did not answer, or was not able to.
    Unanswered,
    /// The API server says again and again that it has forgotten what it was asked to go on with.
    Forgotten,
}

/// The time without any sign of a watch after which it counts as stalled. A working watch is set up again before
/// that, see `follow`.
const STALLED: Duration = Duration::from_mins(2);

/// How recent an answer must be to show that the API server answers now.
const ANSWERS: Duration = Duration::from_secs(30);

/// How long a run waits for kinds that are not listed yet, after another kind was listed.
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
            is_under_way: false,
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

    /// Waits until every needed watch has listed its objects, or is about to: with many objects the rest of a list takes
    /// long, and shows nothing that its first page does not.
    pub async fn answered_for(&self) {
        let is_silent = |watch: &WatchState| watch.is_awaited() && !watch.is_under_way;
        self.0.until(|entries| !entries.watches.values().any(is_silent)).await;
    }

    /// The watch that had no sign for longer than a working watch can have, although the API server answers.
    pub fn stalled(&self, now: Instant) -> Option<String> {
        let entries = self.0.entries();
        let within = |then: Instant, limit| now.saturating_duration_since(then) <= limit;
        entries.answered.filter(|answered| within(*answered, ANSWERS))?;
        let mut stalled = entries.watches.values().filter(|watch| !within(watch.progress, STALLED));
        stalled.next().map(|watch| watch.what.clone())
    }

    /// Records that the API server answered something.
    pub fn answered(&self) {
        self.0.entries().answered = Some(Instant::now());
    }

    /// Makes every watch list again, because the objects that it knows may not exist after a restore of the
    /// cluster.
    pub fn restart(&self) {
        self.0.entries().watches.values_mut().for_each(|watch| watch.listed = None);
        self.0.restarts.send_modify(|count| *count += 1);
    }

    /// The number of times that the API server came back after it had not answered, as a channel that reports
    /// changes.
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
        // The result can be ignored: it is an error only once the sender is dropped, and the sender lives as long
        // as `self`.
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
    /// Records that the API server sent something for this watch. A list alone does not show that it can be followed.
    pub fn progressed(&self) {
        self.ended(self.update(|watch| watch.trouble.take_if(|trouble| trouble.cause != Cause::Forgotten)));
    }

    /// Records that the API server sent a change, or that nothing changed.
    pub fn follows(&self) {
        self.ended(self.update(|watch| watch.trouble.take()));
    }

    fn ended(&self, trouble: Option<Trouble>) {
        let Some(trouble) = trouble else { return };
        if !self.is_told(&trouble) {
            tracing::info!("this is over: {}", trouble.words);
        }
        if trouble.cause == Cause::Unanswered {
            self.shared.returns.send_modify(|count| *count += 1);
        }
        self.shared.changed();
    }

    /// Records that a page of the list has come, which is not the last.
    pub fn lists(&self) {
        self.update(|watch| watch.is_under_way = true);
        self.shared.changed();
    }

    /// Records that the list was cut short and begins again.
    pub fn begins_again(&self) {
        // It is no sign of the API server, so the time of the last sign stays as it was.
        self.entry(|watch| watch.is_under_way = false);
    }

    /// Records that the watch has listed every object.
    pub fn listed(&self) {
        self.progressed();
        self.update(|watch| {
            watch.listed.get_or_insert_with(Instant::now);
            watch.has_begun = true;
        });
        self.shared.changed();
    }

    /// Records that the watch could not list or begin. The same words are logged once, even if several watches
    /// have them.
    pub fn failed(&self, trouble: Trouble) {
        let is_news = !self.is_told(&trouble);
        let (cause, words) = (trouble.cause, trouble.words.clone());
        if matches!(cause, Cause::Unanswered | Cause::Forgotten) {
            // Neither is a sign of the API server, so the time of the last sign stays as it was.
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

    /// What this watch still needs before all objects are known; `None` if they are known.
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

    /// The number of times that everything had to be listed again, as a channel that reports changes.
    pub fn restarts(&self) -> watch::Receiver<u64> {
        self.shared.restarts.subscribe()
    }

    /// Whether any watch has the same trouble.
    fn is_told(&self, trouble: &Trouble) -> bool {
        self.shared.entries().watches.values().any(|watch| watch.trouble.as_ref() == Some(trouble))
    }

    /// Changes the state after a sign of the API server.
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

/// Waits until all of these watches are settled, but not for one that takes much longer than another one.
pub async fn all_settled(watches: &[&WatchHandle]) {
    let newest = watches.iter().filter_map(|watched| watched.listed_at()).max();
    let patience = newest.map_or(GRACE, |listed| GRACE.saturating_sub(listed.elapsed()));
    let all = futures::future::join_all(watches.iter().map(|watched| watched.settled()));
    // A timeout can be ignored: the caller reports what is not listed.
    let _ = tokio::time::timeout(patience, all).await;
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

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
        watches.answered_for().await;
        // A failure after the first list does not make the process unready.
        needed[1].failed(refused("may not list secrets"));
        assert!(watches.obstacles().is_empty());
    }

    #[tokio::test]
    async fn the_first_page_of_a_long_list_is_an_answer_but_not_the_list() {
        let watches = Watches::default();
        let long = watches.add("Secrets".into(), Importance::Needed);
        let short = watches.add("ConfigMaps".into(), Importance::Needed);
        let mut answered = Box::pin(watches.answered_for());
        long.lists();
        assert!((&mut answered).now_or_never().is_none(), "of the other one nothing is known");
        short.listed();
        answered.await;
        assert!(long.unsettled().is_some() && long.listed_at().is_none());
        assert!(Box::pin(long.settled()).now_or_never().is_none(), "runs wait for the rest");
        long.failed(refused("may not list secrets"));
        assert_eq!(watches.obstacles(), ["may not list secrets"]);
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
    fn a_list_does_not_end_the_trouble_that_it_cannot_be_followed() {
        let watches = Watches::default();
        let own = watches.add("Secrets".into(), Importance::Needed);
        own.failed(Trouble { cause: Cause::Forgotten, words: "410 again".into() });
        assert_eq!(watches.obstacles(), ["410 again"]);
        own.progressed();
        assert_eq!(own.unsettled().as_deref(), Some("410 again"));
        own.listed();
        let trouble = || own.entry(|watch| watch.trouble.is_some()).unwrap();
        assert!(trouble(), "it stays until something of the watch itself comes");
        own.follows();
        assert!(!trouble());
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
