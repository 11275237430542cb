//! Which versions of other objects a resource's runs know: pure.
//!
//! An event about a version that was read, or that the run wrote itself, tells nothing new. What comes while a run is
//! under way may be either, so it waits for the end of the run.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use crate::engine::ObjectKey;

/// A version of an object; nothing where there is no object.
type ObjectVersion = Option<VersionHash>;

/// Tells a version from any other one. The text of a version would take several times as much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VersionHash(u64);

static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn hashed(version: Option<&str>) -> ObjectVersion {
    version.map(|version| VersionHash(HASH_KEY.hash_one(version)))
}

/// What a resource's runs know of other objects.
#[derive(Debug, Default)]
pub(super) struct Observed {
    versions: Vec<(ObjectKey, ObjectVersion)>,
    /// What came last for each object while runs were under way.
    arrived: Vec<(ObjectKey, ObjectVersion)>,
    /// Runs that are under way.
    runs: u32,
}

impl Observed {
    /// Whether the resource is to run at once, since the object has this version now.
    pub(super) fn is_news(&mut self, object: &ObjectKey, version: Option<&str>) -> bool {
        if self.runs > 0 {
            set(&mut self.arrived, object.clone(), hashed(version));
            return false;
        }
        self.version(object) != Some(hashed(version))
    }

    /// A run has read or written this version.
    pub(super) fn observe(&mut self, object: ObjectKey, version: Option<&str>) {
        set(&mut self.versions, object, hashed(version));
    }

    /// Forgets the versions of the objects for which this is false.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&ObjectKey) -> bool) {
        self.versions.retain(|(object, _)| is_kept(object));
    }

    /// A run begins.
    pub(super) fn run_began(&mut self) {
        self.runs = self.runs.saturating_add(1);
    }

    /// A run is over; whether something came meanwhile that it does not know.
    pub(super) fn run_ended(&mut self) -> bool {
        self.runs = self.runs.saturating_sub(1);
        if self.runs > 0 {
            return false;
        }
        let arrived = std::mem::take(&mut self.arrived);
        arrived.iter().any(|(object, version)| self.version(object) != Some(*version))
    }

    /// Forgets what another resource of the same name knew.
    pub(super) fn forget_versions(&mut self) {
        self.versions.clear();
    }

    /// How many objects are known.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.versions.len()
    }

    fn version(&self, object: &ObjectKey) -> Option<ObjectVersion> {
        self.versions.iter().find(|(known, _)| known == object).map(|(_, version)| *version)
    }
}

/// Sets the version of an object, of which there are a few: a map would take more memory than all of them.
fn set(versions: &mut Vec<(ObjectKey, ObjectVersion)>, object: ObjectKey, version: ObjectVersion) {
    if let Some((_, known)) = versions.iter_mut().find(|(known, _)| *known == object) {
        *known = version;
    } else {
        versions.reserve_exact(1);
        versions.push((object, version));
    }
}
