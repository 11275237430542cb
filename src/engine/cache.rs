//! What the operator remembers of each resource between runs.
//!
//! What is kept of a resource, in bytes of the heap with what the allocator adds, as a mean over the four kinds of the
//! benchmark `mixed`, which have no target:
//!
//! | what | where | bytes |
//! |---|---|---|
//! | metadata and spec, without `managedFields` (7,200) and what `kubectl apply` keeps | the watch's store | 2,050 |
//! | the status: one copy for the store, and for what was found, sent and stored ([`Reported`]) | store and entry | 1,650 |
//! | when it runs next | the controller's queue | 1,650 |
//! | what it is looked up by, and the versions that its runs know | the index | 1,000 |
//! | the findings of the last run | [`CheckHistory`] | 800 |
//! | the entry itself, and the digest of the spec | this map | 750 |
//! | names and messages that only this resource has | [`Text`] | 600 |
//! | series and results of checks | the metrics | 600 |
//! | the published values: one copy for what was verified and written, and of equal ones of all ([`Values`]) | entry | 350 |
//! | what leads to a run where it changes, and its slot | the watch and the queue for slots | 100 |
//!
//! Together that is 9.3 KiB. Secrets and `ConfigMap`s are not kept at all, nor is what servers answered, except for 4 MiB
//! of documents that resources share. A run that waits for its turn takes some 2 KiB beside that, one that makes its
//! checks up to 30, and each connection some 40.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt};

use super::{
    CheckHistory, Kind, SpecDigest, Values,
    publish::secret::SecretWrite,
    server_pod::PodMemory,
    spec_digest::KeptDigest,
    status::own_writes::{Foreign, Reported},
};
use crate::{
    api::{Reason, SharedStatus, Status},
    problem::Problem,
    text::Text,
    workloads::{Sightings, Target},
};

/// How long a failed write of the Secret is remembered. Rights, quotas and policies change without a watch event.
const UNWRITABLE_LASTS: Duration = Duration::from_hours(1);

/// What is kept of each resource, by its namespace and name.
type CacheEntries<K> = HashMap<(Text, Text), Box<CacheEntry<K>>>;

/// What is remembered of every resource of a kind.
pub struct ResourceCache<K: Kind> {
    /// In boxes: a map has room for nearly twice as many as there are.
    entries: Mutex<CacheEntries<K>>,
}

impl<K: Kind> Default for ResourceCache<K> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

struct CacheEntry<K: Kind> {
    /// A resource that was deleted and created again is another one.
    uid: Text,
    spec: Option<KeptDigest>,
    history: Option<CheckHistory<K::Evidence>>,
    last_verified: Option<Values>,
    reported: Reported<K::Details>,
    last_event_message: Option<Text>,
    unwritable: Option<Box<(Problem, Instant)>>,
    /// The number of runs in a row in which the API server refused a write.
    rejections: u32,
    /// The values that were published last, and the resource's generation at that time.
    published: Option<(Option<i64>, Values)>,
    /// What is remembered of its targets, where it has or had one.
    target: Option<Box<TargetMemory>>,
    /// What is remembered of the pod that makes its checks, where one does or did.
    server_pod: Option<Box<PodMemory>>,
}

/// What is remembered of a resource's targets.
#[derive(Default)]
struct TargetMemory {
    /// The last attempt to deliver, and when the same was written again.
    delivered: Option<(Attempted, Vec<Instant>)>,
    /// The failures that were seen in the target's pods.
    sightings: Sightings,
    /// When this process first saw that the resource leaves these targets, or is being deleted.
    leaving: BTreeMap<Option<Target>, Instant>,
    /// When this process first removed the entries of the deleted resource from a target.
    withdrawing: Option<Instant>,
    /// The last revision whose values were found not to work any more, and what was found.
    refused_revision: Option<(u64, String)>,
}

/// A revision, if any, and the inputs with which it was delivered.
pub(super) type Attempted = (Option<u64>, String);

/// The time over which repairs of the same entries are counted. More of them mean a conflict with another field
/// manager.
const REPAIRS_WITHIN: Duration = Duration::from_hours(1);

/// The fault that a write to a target repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Entries that are missing, or point elsewhere.
    Missing,
    /// Entries that somebody else has given another value.
    Replaced,
}

impl Repair {
    /// How often the repair is made for the same revision and inputs, before the operator stops competing.
    fn limit(self) -> usize {
        match self {
            Self::Missing => 3,
            Self::Replaced => 2,
        }
    }

    /// After how long without a repair it is made once more. Entries that are missing leave the server without a
    /// setting, so they are restored sooner than entries that somebody else replaced by a value.
    fn pause(self) -> Duration {
        match self {
            Self::Missing => MISSING_AGAIN,
            Self::Replaced => REPAIRS_WITHIN,
        }
    }
}

/// How often entries that somebody keeps removing are restored.
pub(super) const MISSING_AGAIN: Duration = Duration::from_mins(5);

impl<K: Kind> CacheEntry<K> {
    fn new(uid: Text) -> Self {
        Self {
            uid,
            spec: None,
            history: None,
            last_verified: None,
            reported: Reported::default(),
            last_event_message: None,
            unwritable: None,
            rejections: 0,
            published: None,
            target: None,
            server_pod: None,
        }
    }

    /// The copy of these values that is kept already, or else another one.
    fn copy_of(&self, values: &Values) -> Values {
        let published = self.published.as_ref().map(|(_, published)| published);
        let mut kept = self.last_verified.iter().chain(published);
        kept.find(|kept| *kept == values).unwrap_or(values).clone()
    }

    fn target(&mut self) -> &mut TargetMemory {
        self.target.get_or_insert_default()
    }
}

fn key_of(object: &impl Resource) -> (Text, Text) {
    (object.namespace().unwrap_or_default().into(), object.name_any().into())
}

impl<K: Kind> ResourceCache<K> {
    /// What was computed of the resource's spec.
    pub(super) fn spec(&self, object: &K) -> Arc<SpecDigest> {
        let mut kept = self.with(object, |entry| entry.spec.take());
        // Outside of the lock, since it may take a while.
        let digest = KeptDigest::digest(&mut kept, object);
        self.with(object, |entry| entry.spec = kept);
        digest
    }

    /// Forgets what was computed of the spec: after a restored backup, another spec may have the same generation.
    pub fn forget_spec(&self, object: &impl Resource<DynamicType = ()>) {
        self.with(object, |entry| entry.spec = None);
    }

    /// What the last run found.
    pub fn history(&self, object: &K) -> Option<CheckHistory<K::Evidence>> {
        self.with(object, |entry| entry.history.clone())
    }

    /// Keeps what a run found.
    pub fn remember(&self, object: &K, history: CheckHistory<K::Evidence>) {
        self.with(object, |entry| entry.history = Some(history));
    }

    /// Keeps values that passed, to restore them while later ones do not.
    pub fn verified(&self, object: &K, values: &Values) {
        self.with(object, |entry| entry.last_verified = Some(entry.copy_of(values)));
    }

    /// The values that passed last, with any inputs.
    pub fn last_verified(&self, object: &K) -> Option<Values> {
        self.with(object, |entry| entry.last_verified.clone())
    }

    /// The status that this process wrote last, or found first: a watch may not have brought it back yet, and what
    /// somebody else wrote since is not to be built upon.
    pub fn previous_status(&self, object: &K) -> Option<SharedStatus> {
        let own = self.reported(object, |reported| reported.own().map(|known| known.status.clone()));
        own.or_else(|| object.shared_status().cloned())
    }

    /// The rest of the status that was written last.
    pub fn previous_details(&self, object: &K) -> K::Details {
        let own = self.reported(object, |reported| reported.own().map(|known| Arc::clone(&known.details)));
        own.map_or_else(|| object.details(), |details| (*details).clone())
    }

    /// Keeps the status with which the first run begins.
    pub(super) fn begin_status(&self, object: &K) {
        let details = object.details();
        self.reported(object, |reported| reported.begin(object.shared_status(), &details));
    }

    /// Whether the status in the cluster is this one, as far as that is known.
    pub(super) fn is_reported(&self, object: &K, status: &Status, details: &K::Details) -> bool {
        let (version, seen) = (object.resource_version(), object.details());
        let seen = (object.status(), &seen);
        self.reported(object, |reported| reported.stands((status, details), version.as_deref(), seen))
    }

    /// Has the watched object hold the copy of its status that is kept here, where they are equal.
    pub(super) fn share_status(&self, object: &mut K) {
        let kept = object.status().and_then(|status| {
            let entries = self.entries();
            entries.get(&key_of(object))?.reported.copy_of(status)
        });
        if let Some(kept) = kept {
            object.share_status(&kept);
        }
    }

    /// Whether somebody else wrote the status of this object.
    pub(super) fn is_foreign(&self, object: &K) -> bool {
        let (version, details) = (object.resource_version(), object.details());
        self.reported(object, |reported| reported.is_foreign(version.as_deref(), object.status(), &details))
    }

    /// Records that this process changed another part of this object than its status. A status of somebody else
    /// stays marked as such.
    pub(super) fn changed(&self, object: &K, from: &str, to: &str) {
        let (version, details) = (object.resource_version(), object.details());
        self.reported(object, |reported| {
            if !reported.is_foreign(version.as_deref(), object.status(), &details) {
                reported.changed((from, to), version.as_deref(), Instant::now());
            }
        });
    }

    /// Decides what must be done about the status of an object that a watch delivered.
    pub(super) fn judge_status(&self, object: &K, now: Instant) -> Foreign {
        let (version, details) = (object.resource_version(), object.details());
        self.reported(object, |reported| reported.judge(version.as_deref(), object.status(), &details, now))
    }

    /// What this process wrote into the status.
    pub(super) fn reported<T>(
        &self,
        object: &impl Resource<DynamicType = ()>,
        act: impl FnOnce(&mut Reported<K::Details>) -> T,
    ) -> T {
        self.with(object, |entry| act(&mut entry.reported))
    }

    /// Whether this message differs from the last one about the resource.
    pub fn is_news(&self, object: &K, message: &str) -> bool {
        self.with(object, |entry| {
            entry.last_event_message.replace(message.into()).as_deref() != Some(message)
        })
    }

    /// Keeps why the Secret could not be written.
    pub fn refused(&self, object: &K, problem: &Problem) {
        self.with(object, |entry| entry.unwritable = Some(Box::new((problem.clone(), Instant::now()))));
    }

    /// Forgets why the Secret could not be written, now that it was.
    pub fn written(&self, object: &K, written: SecretWrite) {
        self.with(object, |entry| {
            let is_over = |problem: &Problem| {
                written == SecretWrite::Changed || problem.reason == Reason::WriteRejected
            };
            entry.unwritable.take_if(|unwritable| is_over(&unwritable.0));
        });
    }

    /// Counts a run in which the API server refused a write. Returns how many there were in a row.
    pub fn rejected(&self, object: &K) -> u32 {
        self.with(object, |entry| {
            entry.rejections = entry.rejections.saturating_add(1);
            entry.rejections
        })
    }

    /// Records a run in which every write succeeded.
    pub fn accepted(&self, object: &K) {
        self.with(object, |entry| entry.rejections = 0);
    }

    /// Why the Secret could not be written, if that is not long ago.
    pub fn unwritable(&self, object: &K) -> Option<Problem> {
        let (problem, since) = *self.with(object, |entry| entry.unwritable.clone())?;
        (since.elapsed() < UNWRITABLE_LASTS).then_some(problem)
    }

    /// Whether the target may be written again: the same attempt only a limited number of times.
    pub(super) fn may_deliver(&self, object: &K, attempt: &Attempted, repair: Repair, now: Instant) -> bool {
        self.with(object, |entry| match &entry.target().delivered {
            Some((last, repairs)) if last == attempt => {
                let age = |at: &Instant| now.duration_since(*at);
                let recent = repairs.iter().filter(|at| age(at) < REPAIRS_WITHIN).count();
                recent < repair.limit() || repairs.last().is_none_or(|last| age(last) >= repair.pause())
            }
            _ => true,
        })
    }

    /// Records the published values. Returns whether the same values were published for the same spec before.
    pub(super) fn published(&self, object: &K, values: &Values) -> bool {
        let generation = object.meta().generation;
        self.with(object, |entry| {
            let published = (generation, entry.copy_of(values));
            let before = entry.published.replace(published.clone());
            before.is_some_and(|before| before == published)
        })
    }

    /// Records a write to the target. Returns whether the same was written before.
    pub(super) fn delivered(&self, object: &K, attempt: Attempted, now: Instant) -> bool {
        self.with(object, |entry| match &mut entry.target().delivered {
            Some((last, repairs)) if *last == attempt => {
                repairs.retain(|at| now.duration_since(*at) < REPAIRS_WITHIN);
                repairs.push(now);
                true
            }
            delivered => {
                *delivered = Some((attempt, Vec::new()));
                false
            }
        })
    }

    /// What is known of the pod that makes the resource's checks.
    pub(super) fn server_pod(&self, object: &K) -> PodMemory {
        self.with(object, |entry| entry.server_pod.as_deref().cloned().unwrap_or_default())
    }

    /// Keeps what is known of it.
    pub(super) fn keep_server_pod(&self, object: &K, memory: PodMemory) {
        self.with(object, |entry| entry.server_pod = Some(Box::new(memory)));
    }

    /// What was seen to fail in the target's pods.
    pub(super) fn sightings(&self, object: &K) -> Sightings {
        self.with(object, |entry| entry.target().sightings.clone())
    }

    /// Keeps what was seen to fail in the target's pods.
    pub(super) fn saw(&self, object: &K, sightings: Sightings) {
        self.with(object, |entry| entry.target().sightings = sightings);
    }

    /// How long this process has known that the resource leaves this target, or is being deleted.
    pub(super) fn leaving_for(
        &self,
        object: &impl Resource<DynamicType = ()>,
        target: Option<&Target>,
        now: Instant,
    ) -> Duration {
        self.with(object, |entry| {
            now.saturating_duration_since(*entry.target().leaving.entry(target.cloned()).or_insert(now))
        })
    }

    /// Forgets since when the resource has been leaving this target, now that it has left.
    pub(super) fn left(&self, object: &K, target: &Target) {
        self.with(object, |entry| entry.target().leaving.remove(&Some(target.clone())));
    }

    /// How long this process has been removing the entries of a deleted resource from its target.
    pub(super) fn withdrawing_for(&self, object: &K, now: Instant) -> Duration {
        self.with(object, |entry| {
            now.saturating_duration_since(*entry.target().withdrawing.get_or_insert(now))
        })
    }

    /// Why the values of this revision do not work any more, where a check has found that.
    pub(super) fn refused_revision(&self, object: &K, number: u64) -> Option<String> {
        let refused = self.with(object, |entry| entry.target().refused_revision.clone());
        refused.filter(|(refused, _)| *refused == number).map(|(_, found)| found)
    }

    /// Keeps why the values of this revision do not work any more.
    pub(super) fn refuse_revision(&self, object: &K, number: u64, found: String) {
        self.with(object, |entry| entry.target().refused_revision = Some((number, found)));
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.entries().remove(&(namespace.into(), name.into()));
    }

    fn with<T>(
        &self,
        object: &impl Resource<DynamicType = ()>,
        act: impl FnOnce(&mut CacheEntry<K>) -> T,
    ) -> T {
        let uid = Text::from(object.uid().unwrap_or_default());
        let mut entries = self.entries();
        let entry = entries.entry(key_of(object)).or_insert_with(|| Box::new(CacheEntry::new(uid.clone())));
        if entry.uid != uid {
            **entry = CacheEntry::new(uid);
        }
        act(entry)
    }

    fn entries(&self) -> MutexGuard<'_, CacheEntries<K>> {
        // Entries are replaced as a whole, so a panic elsewhere cannot leave one half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LdapConfig;

    #[test]
    fn a_finalizer_makes_no_status_of_somebody_else_an_own_one() {
        let object = |version: &str, generation: i64| -> LdapConfig {
            serde_json::from_value(json!({
                "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
                "metadata": {"name": "corp", "namespace": "team", "uid": "u", "resourceVersion": version},
                "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"},
                "status": {"observedGeneration": generation},
            }))
            .unwrap()
        };
        for (found, is_foreign) in [(1, false), (99, true)] {
            let memory = ResourceCache::default();
            memory.begin_status(&object("1", 1));
            memory.changed(&object("2", found), "2", "3");
            for version in ["2", "3"] {
                assert_eq!(memory.is_foreign(&object(version, found)), is_foreign, "{found} {version}");
            }
        }
    }

    #[test]
    fn after_a_restored_backup_a_spec_is_looked_at_anew() {
        let object = |base_dn: &str| -> LdapConfig {
            serde_json::from_value(json!({
                "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
                "metadata": {"name": "corp", "namespace": "team", "uid": "u", "generation": 3},
                "spec": {"address": "ldaps://ldap.example.com", "baseDN": base_dn},
            }))
            .unwrap()
        };
        let memory = ResourceCache::default();
        let lost = memory.spec(&object("dc=lost"));
        assert!(Arc::ptr_eq(&lost, &memory.spec(&object("dc=lost"))));
        // Only a list can bring another spec with a generation that was seen, and this is what is done for each.
        let restored = object("dc=restored");
        memory.forget_spec(&restored);
        assert_eq!(*memory.spec(&restored), SpecDigest::of(&restored));
        assert_ne!(*memory.spec(&restored), *lost);
    }

    #[test]
    fn a_tug_of_war_ends_with_a_value_in_place() {
        let object: LdapConfig = serde_json::from_value(json!({
            "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
            "metadata": {"name": "corp", "namespace": "team", "uid": "u"},
            "spec": {"address": "ldaps://ldap.example.com", "baseDN": "dc=example,dc=org"},
        }))
        .unwrap();
        let (begin, attempt) = (Instant::now(), (Some(1), "generation=1".to_owned()));
        for (repair, limit) in [(Repair::Missing, 3), (Repair::Replaced, 2)] {
            let memory = ResourceCache::default();
            let may = |after: Duration| memory.may_deliver(&object, &attempt, repair, begin + after);
            // The first one mends nothing.
            for _ in 0..=limit {
                assert!(may(Duration::ZERO), "{repair:?}");
                memory.delivered(&object, attempt.clone(), begin);
            }
            assert!(!may(Duration::from_secs(1)), "{repair:?}");
            // Where somebody only takes entries away, the server has none; a value of theirs is one.
            assert_eq!(may(MISSING_AGAIN), repair == Repair::Missing);
            assert!(may(REPAIRS_WITHIN), "{repair:?}");
            let other = (Some(2), attempt.1.clone());
            assert!(memory.may_deliver(&object, &other, repair, begin), "another revision is no repair");
        }
    }
}
