//! Which resources a change concerns: pure.
//!
//! It is kept up by the watch events of the resources, so that a change of any object is looked up instead of being
//! compared with every resource. It also knows which versions of other objects each resource's runs have read or
//! written, since an event about one of them is no reason to run again.

mod observed;

use std::{
    borrow::{Borrow, Cow},
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use kube::{Resource, ResourceExt};

use super::{
    Contender, Kind, ObjectKey, Reference, ReferenceSource, WatchScope, finalizer::Finalizer,
    precedence::MeetingPoint, publish::secret::published, references, watching::undecodable::Guarded,
};

use self::observed::Observed;
use crate::text::Text;

/// A resource of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KindKey {
    /// Its kind.
    pub(super) kind: Cow<'static, str>,
    /// Its name.
    pub(super) name: Text,
}

impl KindKey {
    /// The resource's.
    pub(super) fn of<K: Kind>(object: &impl Resource<DynamicType = ()>) -> Self {
        Self { kind: K::kind(&()), name: object.name_any().into() }
    }
}

/// What a resource is looked up by.
#[derive(Clone, Debug, Default)]
pub(super) struct IndexEntry {
    uid: Option<Text>,
    /// What it refers to, and the Secret that it publishes: few, each once.
    objects: Vec<ObjectKey>,
    /// The name of the Secret of which it makes numbered revisions, if it may have any.
    revisions: Option<Text>,
    /// As far as it stands in others' way.
    claimant: Option<Arc<Contender>>,
    /// Whether a finalizer of the operator's is on it.
    is_held: bool,
}

impl IndexEntry {
    /// The resource's. One that cannot be read refers to nothing that is known.
    pub(super) fn of<K: Kind>(object: &Guarded<K>) -> Self {
        let (uid, is_held) = (object.uid().map(Text::from), Finalizer::is_on(object));
        let claimant = Contender::of_guarded(object).map(Arc::new);
        let Ok(resource) = &object.0 else { return Self { uid, claimant, is_held, ..Self::default() } };
        let published = published(resource);
        let revisions = resource.common().target.is_some().then(|| published.name.clone());
        let mut objects: Vec<_> =
            references(resource).iter().map(Reference::object).chain([published]).collect();
        objects.sort_unstable();
        objects.dedup();
        objects.shrink_to_fit();
        Self { uid, objects, revisions, claimant, is_held }
    }

    /// Whether the object may be one of the numbered revisions that the resource makes.
    fn makes(&self, object: &ObjectKey) -> bool {
        let is_own = |name: &str| self.revisions.as_deref() == Some(name);
        object.source == ReferenceSource::Secret && revised(&object.name).is_some_and(is_own)
    }

    fn meeting_points(&self) -> Vec<MeetingPoint> {
        self.claimant.as_ref().map(|claimant| claimant.meeting_points()).unwrap_or_default()
    }
}

/// A resource's claims before and after a change.
#[derive(Debug, Default)]
pub(super) struct ClaimChange {
    pub(super) before: Option<Arc<Contender>>,
    pub(super) now: Option<Arc<Contender>>,
}

/// The resources of every namespace.
#[derive(Debug, Default)]
pub(super) struct Index {
    namespaces: HashMap<String, Residents>,
}

#[derive(Debug, Default)]
struct Residents {
    entries: HashMap<Arc<KindKey>, Resident>,
    users: Postings<ObjectKey>,
    revisions: Postings<Text>,
    contenders: Postings<MeetingPoint>,
    /// How many of them a finalizer of the operator's is on.
    held: usize,
}

#[derive(Debug, Default)]
struct Resident {
    entry: IndexEntry,
    observed: Observed,
}

/// From what resources are looked up by to the resources.
#[derive(Debug)]
struct Postings<T>(HashMap<T, Vec<Arc<KindKey>>>);

impl<T> Default for Postings<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + Eq + Hash> Postings<T> {
    /// Moves a resource from where it was found to where it is found now.
    fn replace(&mut self, key: &Arc<KindKey>, before: &[T], now: &[T]) {
        for gone in before.iter().filter(|one| !now.contains(one)) {
            let Some(keys) = self.0.get_mut(gone) else { continue };
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.0.remove(gone);
            }
        }
        for new in now.iter().filter(|one| !before.contains(one)) {
            let keys = self.0.entry(new.clone()).or_default();
            // It may be named twice.
            if keys.last() != Some(key) {
                keys.push(Arc::clone(key));
            }
        }
    }

    fn get<Q: Eq + Hash + ?Sized>(&self, wanted: &Q) -> &[Arc<KindKey>]
    where
        T: Borrow<Q>,
    {
        self.0.get(wanted).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Residents {
    /// Takes a resource in as it is now, or out.
    fn replace(&mut self, key: KindKey, now: Option<IndexEntry>) -> ClaimChange {
        let (key, mut resident) =
            self.entries.remove_entry(&key).unwrap_or_else(|| (Arc::new(key), Resident::default()));
        let before = std::mem::take(&mut resident.entry);
        let is_gone = now.is_none();
        let now = now.unwrap_or_default();
        self.users.replace(&key, &before.objects, &now.objects);
        self.revisions.replace(&key, before.revisions.as_slice(), now.revisions.as_slice());
        self.contenders.replace(&key, &before.meeting_points(), &now.meeting_points());
        self.held = (self.held + usize::from(now.is_held)).saturating_sub(usize::from(before.is_held));
        let change = ClaimChange { before: before.claimant, now: now.claimant.clone() };
        if !is_gone {
            if before.uid != now.uid {
                resident.observed.forget_versions();
            }
            resident.entry = now;
            self.entries.insert(key, resident);
        }
        change
    }

    fn claimant(&self, key: &KindKey) -> Option<&Arc<Contender>> {
        self.entries.get(key)?.entry.claimant.as_ref()
    }

    /// Those that can be met from these points, and from the points where those can be met, and so on.
    fn reachable(&self, mut points: Vec<MeetingPoint>, by: fn(&MeetingPoint) -> bool) -> Vec<Contender> {
        let mut visited = HashSet::new();
        let mut found = HashMap::new();
        while let Some(point) = points.pop() {
            if !by(&point) || visited.contains(&point) {
                continue;
            }
            for key in self.contenders.get(&point) {
                let Some(claimant) = self.claimant(key) else { continue };
                if found.insert(Arc::clone(key), Arc::clone(claimant)).is_none() {
                    points.extend(claimant.meeting_points());
                }
            }
            visited.insert(point);
        }
        let mut found: Vec<_> = found.into_iter().collect();
        // The order says nothing, but messages that name the first one must not change from run to run.
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.into_iter().map(|(_, claimant)| Contender::clone(&claimant)).collect()
    }

    /// The resources that read this object or publish it.
    fn users(&self, object: &ObjectKey) -> HashSet<Arc<KindKey>> {
        let revised = revised(&object.name).filter(|_| object.source == ReferenceSource::Secret);
        let makers = revised.map(|name| self.revisions.get(name)).unwrap_or_default();
        self.users.get(object).iter().chain(makers).cloned().collect()
    }
}

/// The name of the Secret of which one of this name is a numbered revision.
fn revised(secret: &str) -> Option<&str> {
    let (name, digits) = secret.rsplit_once('-')?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(name)
}

/// The object of this name, unless it is nobody's: no resource has its name, nor makes numbered revisions of that name.
pub(super) fn known(source: ReferenceSource, name: &str) -> Option<ObjectKey> {
    let revision = || revised(name).and_then(Text::known).map(|_| Text::from(name));
    Some(ObjectKey { source, name: Text::known(name).or_else(revision)? })
}

impl Index {
    /// Takes a resource in as it is now.
    pub(super) fn put(&mut self, namespace: &str, key: KindKey, entry: IndexEntry) -> ClaimChange {
        if !self.namespaces.contains_key(namespace) {
            self.namespaces.insert(namespace.to_owned(), Residents::default());
        }
        self.namespaces
            .get_mut(namespace)
            .map(|residents| residents.replace(key, Some(entry)))
            .unwrap_or_default()
    }

    /// Takes a resource out that is gone.
    pub(super) fn remove(&mut self, namespace: &str, key: KindKey) -> ClaimChange {
        let Some(residents) = self.namespaces.get_mut(namespace) else { return ClaimChange::default() };
        let change = residents.replace(key, None);
        if residents.entries.is_empty() {
            self.namespaces.remove(namespace);
        }
        change
    }

    /// The resources of a kind in a scope, each with its namespace.
    pub(super) fn of_kind(&self, kind: &str, scope: &WatchScope) -> HashSet<(String, KindKey)> {
        let covered = self.namespaces.iter().filter(|(namespace, _)| scope.covers(namespace));
        let keys = covered.flat_map(|(namespace, residents)| {
            residents.entries.keys().map(move |key| (namespace.clone(), KindKey::clone(key)))
        });
        keys.filter(|(_, key)| key.kind == kind).collect()
    }

    /// The resources of a namespace, or of all.
    pub(super) fn keys(&self, namespace: Option<&str>) -> Vec<(String, Arc<KindKey>)> {
        let chosen = self.namespaces.iter().filter(|(name, _)| namespace.is_none_or(|own| own == *name));
        let keys = chosen.flat_map(|(namespace, residents)| {
            residents.entries.keys().map(move |key| (namespace.clone(), Arc::clone(key)))
        });
        keys.collect()
    }

    /// The namespaces in which a finalizer of the operator's is on any resource.
    pub(super) fn holding(&self) -> impl Iterator<Item = &String> {
        self.namespaces.iter().filter(|(_, residents)| residents.held > 0).map(|(namespace, _)| namespace)
    }

    /// Everybody who may have to do with what the claimant wants, which may include it.
    pub(super) fn rivals(&self, namespace: &str, claimant: &Contender) -> Vec<Contender> {
        self.reachable(namespace, claimant, |_| true)
    }

    /// The same as far as only its identity goes.
    pub(super) fn namesakes(&self, namespace: &str, claimant: &Contender) -> Vec<Contender> {
        self.reachable(namespace, claimant, |point| matches!(point, MeetingPoint::Identity(_)))
    }

    fn reachable(
        &self,
        namespace: &str,
        claimant: &Contender,
        by: fn(&MeetingPoint) -> bool,
    ) -> Vec<Contender> {
        let residents = self.namespaces.get(namespace);
        residents.map(|residents| residents.reachable(claimant.meeting_points(), by)).unwrap_or_default()
    }

    /// Those who share a place or an object with one of the claimants; everybody, where one may be anywhere.
    pub(super) fn beside(&self, namespace: &str, claimants: &[&Contender]) -> Vec<Arc<Contender>> {
        let Some(residents) = self.namespaces.get(namespace) else { return Vec::new() };
        if claimants.iter().any(|claimant| claimant.may_be_anywhere()) {
            return residents
                .entries
                .values()
                .filter_map(|resident| resident.entry.claimant.clone())
                .collect();
        }
        let points: HashSet<_> = claimants.iter().flat_map(|claimant| claimant.meeting_points()).collect();
        let exact = points.iter().filter(|point| **point != MeetingPoint::AnyTarget);
        let keys: HashSet<_> = exact.flat_map(|point| residents.contenders.get(point)).collect();
        keys.into_iter().filter_map(|key| residents.claimant(key)).cloned().collect()
    }

    /// Those who deliver to an object or may have entries there.
    pub(super) fn at_object(&self, namespace: &str, object: String) -> Vec<Arc<Contender>> {
        let Some(residents) = self.namespaces.get(namespace) else { return Vec::new() };
        let keys = residents.contenders.get(&MeetingPoint::Object(object)).iter();
        keys.filter_map(|key| residents.claimant(key)).cloned().collect()
    }

    /// Who is to run because an object has this version now, or is gone. A run that is under way takes it in when it
    /// ends.
    pub(super) fn object_changed(
        &mut self,
        namespace: &str,
        object: &ObjectKey,
        version: Option<&str>,
    ) -> Vec<Arc<KindKey>> {
        let Some(residents) = self.namespaces.get_mut(namespace) else { return Vec::new() };
        let mut users: Vec<_> = residents.users(object).into_iter().collect();
        users.retain(|key| {
            let resident = residents.entries.get_mut(key);
            resident.is_some_and(|resident| resident.observed.is_news(object, version))
        });
        users
    }

    /// The objects of a source that any resource of a scope uses, by namespace and name.
    pub(super) fn used(&self, source: ReferenceSource, scope: &WatchScope) -> Vec<(String, String)> {
        let covered = self.namespaces.iter().filter(|(namespace, _)| scope.covers(namespace));
        let used = covered.flat_map(|(namespace, residents)| {
            residents.users.0.keys().map(move |object| (namespace, object))
        });
        used.filter(|(_, object)| object.source == source)
            .map(|(namespace, object)| (namespace.clone(), object.name.to_string()))
            .collect()
    }

    /// A run of the resource begins.
    pub(super) fn run_began(&mut self, namespace: &str, key: &KindKey) {
        if let Some(resident) = self.resident(namespace, key) {
            resident.observed.run_began();
        }
    }

    /// A run of the resource is over; whether it missed a change.
    pub(super) fn run_ended(&mut self, namespace: &str, key: &KindKey) -> bool {
        self.resident(namespace, key).is_some_and(|resident| resident.observed.run_ended())
    }

    /// The resource's run has read or written this version of an object, or found that there is none.
    pub(super) fn observe(
        &mut self,
        namespace: &str,
        key: &KindKey,
        object: ObjectKey,
        version: Option<&str>,
    ) {
        if let Some(Resident { entry, observed }) = self.resident(namespace, key)
            && (entry.objects.contains(&object) || entry.makes(&object))
        {
            observed.observe(object, version);
        }
    }

    /// The resource's run has read the versions of all its revisions. What was known of others is forgotten: they are
    /// gone.
    pub(super) fn observe_revisions(
        &mut self,
        namespace: &str,
        key: &KindKey,
        revisions: Vec<(ObjectKey, String)>,
    ) {
        if let Some(Resident { entry, observed }) = self.resident(namespace, key) {
            observed.retain(|object| entry.objects.contains(object) || !entry.makes(object));
            for (revision, version) in revisions.into_iter().filter(|(object, _)| entry.makes(object)) {
                observed.observe(revision, Some(&version));
            }
        }
    }

    fn resident(&mut self, namespace: &str, key: &KindKey) -> Option<&mut Resident> {
        self.namespaces.get_mut(namespace)?.entries.get_mut(key)
    }
}

#[cfg(test)]
mod tests;
