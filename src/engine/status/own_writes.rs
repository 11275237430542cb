//! Remembers what this process wrote into a resource's status, so that a status that somebody else wrote is
//! recognised. Everything here is pure.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::api::{SharedStatus, Status};

/// The status of a resource as this process knows it.
pub(in crate::engine) struct Reported<D> {
    /// What stands in the cluster, unless somebody else changed it.
    standing: Option<KnownStatus<D>>,
    /// What was sent last; it may stand although no answer told so.
    sent: Option<KnownStatus<D>>,
    /// The last write as the API server stored it, where that is another one: it may round times.
    stored: Option<KnownStatus<D>>,
    /// The version that this process made by its last write.
    head: Option<String>,
    /// Resource versions that this process replaced by its own writes, and when it did. A watch may still deliver them.
    replaced: VecDeque<(String, Instant)>,
    /// When statuses of somebody else were repaired.
    mended: Vec<Instant>,
}

/// A status with its details, of which all who keep it hold one copy.
#[derive(Clone)]
pub(in crate::engine) struct KnownStatus<D> {
    /// What every kind's status has.
    pub(in crate::engine) status: SharedStatus,
    /// The rest of it.
    pub(in crate::engine) details: Arc<D>,
}

impl<D: PartialEq> KnownStatus<D> {
    fn is(&self, status: Option<&Status>, details: &D) -> bool {
        status == Some(&*self.status) && *details == *self.details
    }
}

impl<D> Default for Reported<D> {
    fn default() -> Self {
        Self {
            standing: None,
            sent: None,
            stored: None,
            head: None,
            replaced: VecDeque::new(),
            mended: Vec::new(),
        }
    }
}

/// What must be done about a status that a watch delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Foreign {
    /// Nothing: this process wrote it.
    No,
    /// Somebody else wrote it, so it is repaired at once.
    Mend,
    /// It is repaired at once, for the last time in a while.
    MendOnceMore,
    /// Somebody else keeps writing it, so only the regular runs repair it.
    Leave,
}

/// How many replaced versions are remembered: more than a watch lags behind.
const REPLACED_VERSIONS: usize = 16;

/// How often within [`MENDED_WITHIN`] a status of somebody else is repaired at once.
const MENDED_AT_ONCE: usize = 5;

/// The time over which such repairs are counted. Without a limit, two writers would overwrite each other for
/// ever.
const MENDED_WITHIN: Duration = Duration::from_mins(10);

impl<D: Clone + PartialEq> Reported<D> {
    /// A run begins on this status: what it was before this process wrote any.
    pub(in crate::engine) fn begin(&mut self, status: Option<&SharedStatus>, details: &D) {
        if self.standing.is_none() {
            let known = |status: &SharedStatus| KnownStatus {
                status: status.clone(),
                details: Arc::new(details.clone()),
            };
            self.standing = status.map(known);
        }
    }

    /// Records that a write is being sent.
    pub(in crate::engine) fn send(&mut self, status: &Status, details: &D) {
        self.sent = Some(KnownStatus { status: status.clone().into(), details: Arc::new(details.clone()) });
    }

    /// Records that the write succeeded: it replaced version `from` by version `to`, in which the status is
    /// `stored`.
    pub(in crate::engine) fn wrote(
        &mut self,
        (from, to): (Option<String>, Option<String>),
        stored: Option<(SharedStatus, D)>,
        now: Instant,
    ) {
        let is_sent = |status: &Status, details: &D| {
            self.sent.as_ref().is_some_and(|sent| sent.is(Some(status), details))
        };
        self.stored = stored
            .filter(|(status, details)| !is_sent(status, details))
            .map(|(status, details)| KnownStatus { status, details: Arc::new(details) });
        if let Some(sent) = &self.sent {
            self.standing = Some(sent.clone());
        }
        self.moved(from, to, now);
    }

    /// Records that this process replaced one version of the resource by another.
    fn moved(&mut self, from: Option<String>, to: Option<String>, now: Instant) {
        self.replaced.extend(from.filter(|from| Some(from) != to.as_ref()).map(|from| (from, now)));
        while self.replaced.len() > REPLACED_VERSIONS {
            self.replaced.pop_front();
        }
        self.head = to;
    }

    /// Records that this process changed another part of the resource. If the version before that change is not
    /// the known one, somebody else changed the resource in between, and that change must not count as known.
    pub(in crate::engine) fn changed(&mut self, (from, to): (&str, &str), seen: Option<&str>, now: Instant) {
        let known = self.version(seen);
        if known.as_deref() == Some(from) {
            self.moved(known, Some(to.to_owned()), now);
        }
    }

    /// Handles a new list of all resources, which was asked for at that time. A version that was replaced before is
    /// current again, if the cluster was restored from a backup; one that was replaced since is only older than that.
    pub(in crate::engine) fn listed(&mut self, version: Option<&str>, asked: Instant) {
        let is_restored = |(replaced, at): &(String, Instant)| Some(&**replaced) == version && *at < asked;
        if self.replaced.iter().any(is_restored) {
            self.replaced.clear();
            self.head = None;
        }
    }

    /// The newest version that is known, given the version that a run saw.
    pub(in crate::engine) fn version(&self, seen: Option<&str>) -> Option<String> {
        match &self.head {
            Some(head) if self.is_replaced(seen) => Some(head.clone()),
            _ => seen.map(str::to_owned),
        }
    }

    fn is_replaced(&self, version: Option<&str>) -> bool {
        version.is_some_and(|version| self.replaced.iter().any(|(replaced, _)| replaced == version))
    }

    /// Whether somebody else wrote this status.
    pub(in crate::engine) fn is_foreign(
        &self,
        version: Option<&str>,
        status: Option<&Status>,
        details: &D,
    ) -> bool {
        let Some(standing) = &self.standing else { return false };
        let is_same = |known: &KnownStatus<D>| known.is(status, details);
        let is_version = version.is_some() && self.head.as_deref() == version;
        !is_version
            && !self.is_replaced(version)
            && !is_same(standing)
            && ![&self.sent, &self.stored].into_iter().flatten().any(is_same)
    }

    /// Whether this stands in the cluster, where a run saw that version and that status.
    pub(in crate::engine) fn stands(
        &self,
        (status, details): (&Status, &D),
        version: Option<&str>,
        (seen, seen_details): (Option<&Status>, &D),
    ) -> bool {
        if self.is_foreign(version, seen, seen_details) {
            return seen == Some(status) && seen_details == details;
        }
        self.standing.as_ref().is_some_and(|standing| standing.is(Some(status), details))
    }

    /// The copy of this status that is kept already, if one is.
    pub(in crate::engine) fn copy_of(&self, status: &Status) -> Option<SharedStatus> {
        let known = [&self.standing, &self.sent, &self.stored].into_iter().flatten();
        known.map(|known| &known.status).find(|known| ***known == *status).cloned()
    }

    /// What this process wrote last, or what it found at first.
    pub(in crate::engine) fn own(&self) -> Option<&KnownStatus<D>> {
        self.standing.as_ref()
    }

    /// Decides what must be done about a status that a watch delivered.
    pub(in crate::engine) fn judge(
        &mut self,
        version: Option<&str>,
        status: Option<&Status>,
        details: &D,
        now: Instant,
    ) -> Foreign {
        if !self.is_foreign(version, status, details) {
            return Foreign::No;
        }
        self.mended.retain(|at| now.saturating_duration_since(*at) < MENDED_WITHIN);
        if self.mended.len() >= MENDED_AT_ONCE {
            return Foreign::Leave;
        }
        self.mended.push(now);
        if self.mended.len() == MENDED_AT_ONCE { Foreign::MendOnceMore } else { Foreign::Mend }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(generation: i64) -> Status {
        Status { observed_generation: Some(generation), ..Status::default() }
    }

    /// The state of a process that found version 1 with the status 0, and then wrote versions 2 and 3 with the
    /// statuses 1 and 2.
    fn reported() -> Reported<()> {
        reported_at(Instant::now())
    }

    fn reported_at(now: Instant) -> Reported<()> {
        let mut reported = Reported::default();
        reported.begin(Some(&status(0).into()), &());
        for (from, to, written) in [("1", "2", 1), ("2", "3", 2)] {
            reported.send(&status(written), &());
            reported.wrote((Some(from.to_owned()), Some(to.to_owned())), None, now);
        }
        reported
    }

    #[test]
    fn knows_its_own_statuses_however_late_they_come() {
        let mut reported = reported();
        for (version, written, is_foreign) in [
            ("1", 0, false),
            ("2", 1, false),
            ("3", 2, false),
            // A person changed the spec, which leaves the status as it is.
            ("4", 2, false),
            ("4", 1, true),
            ("4", 7, true),
        ] {
            let found = reported.is_foreign(Some(version), Some(&status(written)), &());
            assert_eq!(found, is_foreign, "{version} {written}");
        }
        reported.send(&status(7), &());
        assert!(!reported.is_foreign(Some("4"), Some(&status(7)), &()), "the answer may be on its way");
        // The API server rounds.
        let versions = (Some("4".to_owned()), Some("5".to_owned()));
        reported.wrote(versions, Some((status(8).into(), ())), Instant::now());
        assert!(!reported.is_foreign(Some("6"), Some(&status(8)), &()));
        assert!(!Reported::default().is_foreign(Some("1"), Some(&status(0)), &()), "nothing is known yet");
    }

    #[test]
    fn a_write_is_based_on_the_newest_version_that_is_known() {
        let now = Instant::now();
        let mut reported = reported_at(now);
        for (seen, based_on) in [("1", "3"), ("2", "3"), ("3", "3"), ("4", "4")] {
            assert_eq!(reported.version(Some(seen)).as_deref(), Some(based_on), "{seen}");
        }
        // The process added a finalizer, and nobody else wrote in between.
        reported.changed(("3", "5"), Some("1"), now);
        assert_eq!(reported.version(Some("1")).as_deref(), Some("5"));
        // Somebody else wrote in between.
        reported.changed(("6", "7"), Some("1"), now);
        assert_eq!(reported.version(Some("1")).as_deref(), Some("5"));
        // The cluster was restored from a backup.
        reported.listed(Some("1"), now + Duration::from_secs(1));
        assert_eq!(reported.version(Some("1")).as_deref(), Some("1"));
        assert!(reported.is_foreign(Some("1"), Some(&status(0)), &()));
    }

    #[test]
    fn a_list_that_is_older_than_a_write_makes_it_nobody_elses() {
        let asked = Instant::now();
        let mut reported = reported_at(asked + Duration::from_secs(1));
        reported.listed(Some("2"), asked);
        assert!(!reported.is_foreign(Some("2"), Some(&status(1)), &()));
        assert_eq!(reported.version(Some("2")).as_deref(), Some("3"));
    }

    #[test]
    fn equal_statuses_are_one_copy() {
        let mut reported = reported();
        let standing = |reported: &Reported<()>| reported.own().unwrap().status.clone();
        let copy = reported.copy_of(&status(2)).unwrap();
        assert!(copy.is_same_copy(&standing(&reported)));
        assert_eq!(reported.copy_of(&status(7)), None);
        reported.send(&status(3), &());
        reported.wrote((None, Some("4".to_owned())), Some((status(3).into(), ())), Instant::now());
        assert!(reported.stored.is_none(), "it was stored as it was sent");
        assert!(reported.copy_of(&status(3)).unwrap().is_same_copy(&standing(&reported)));
    }

    #[test]
    fn two_writers_come_to_an_end() {
        let mut reported = reported();
        let begin = Instant::now();
        let mut judge = |after| reported.judge(Some("9"), Some(&status(7)), &(), begin + after);
        let found: Vec<_> = (0..7).map(|_| judge(Duration::ZERO)).collect();
        let mut expected = vec![Foreign::Mend; MENDED_AT_ONCE - 1];
        expected.extend([Foreign::MendOnceMore, Foreign::Leave, Foreign::Leave]);
        assert_eq!(found, expected);
        assert_eq!(judge(MENDED_WITHIN), Foreign::Mend);
    }
}
