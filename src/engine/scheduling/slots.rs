//! Limits how many runs of one kind there are at a time, with fair shares for namespaces.
//!
//! If there is no slot for a run, the run ends at once and the resource is called as soon as it gets one, so
//! waiting takes no memory beside a name. A run that takes long mostly waits for a server, which takes two or
//! three sockets and little memory. So after a second it gives up its slot for one of the many lingering slots. A
//! resource whose last run lingered gets a share apart from the other resources of its namespace, so that it does
//! not delay them the next time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{backoff::ResourceKey, urgency::Urgency};
use crate::shares::{Pool, Shares};

/// The time after which a run counts as lingering. Healthy servers answer sooner.
pub(in crate::engine) const USUAL: Duration = Duration::from_secs(1);

/// How many runs of a kind may linger at a time; a namespace that is the only one may have half as many.
///
/// A lingering run takes three sockets for a directory over TLS, and at most two otherwise. Together with the
/// active runs, four kinds take some three thousand sockets at worst, and the memory that servers can make them
/// take stays below the limit of the chart.
pub(in crate::engine) const LINGERING: usize = 160;

/// The slots of one kind's runs.
#[derive(Clone)]
pub(in crate::engine) struct Slots(Arc<Mutex<SlotState>>);

struct SlotState {
    active: Shares<NamespaceShare, Waiter>,
    lingering: Pool<String>,
    /// The resources that wait for a slot.
    waiting: HashSet<ResourceKey>,
    /// The resources that were called and whose run has not begun yet.
    called: HashMap<ResourceKey, NamespaceShare>,
    /// The resources whose last run lingered.
    slow: HashSet<ResourceKey>,
}

/// The resources of a namespace that share their slots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NamespaceShare {
    namespace: String,
    pace: RunPace,
}

/// How long a resource's last run took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RunPace {
    Usual,
    Slow,
}

struct Waiter {
    key: ResourceKey,
    call: Box<dyn FnOnce() + Send>,
}

/// A run's slot, until it is dropped.
pub(in crate::engine) struct Slot {
    slots: Slots,
    key: ResourceKey,
    holder: NamespaceShare,
    stay: SlotStay,
    pace: RunPace,
}

#[derive(Clone, Copy, PartialEq)]
enum SlotStay {
    Active,
    Lingering,
}

impl Slots {
    /// This number of slots for active runs.
    pub(in crate::engine) fn new(active: u16) -> Self {
        Self(Arc::new(Mutex::new(SlotState {
            active: Shares::new(active.into()),
            lingering: Pool::new(LINGERING),
            waiting: HashSet::new(),
            called: HashMap::new(),
            slow: HashSet::new(),
        })))
    }

    /// A slot for the resource's run. If there is none, `call` is called as soon as there is one.
    pub(in crate::engine) fn enter(
        &self,
        key: ResourceKey,
        urgency: Urgency,
        call: impl FnOnce() + Send + 'static,
    ) -> Option<Slot> {
        let mut state = self.state();
        let holder = state.called.remove(&key).or_else(|| {
            let pace = if state.slow.contains(&key) { RunPace::Slow } else { RunPace::Usual };
            let holder = NamespaceShare { namespace: key.namespace().to_owned(), pace };
            if state.waiting.contains(&key) {
                return None;
            }
            if state.active.take(&holder) {
                return Some(holder);
            }
            state.waiting.insert(key.clone());
            let waiter = Waiter { key: key.clone(), call: Box::new(call) };
            match urgency {
                Urgency::Ordinary => state.active.wait(holder, waiter),
                Urgency::Urgent => state.active.wait_ahead(holder, waiter),
                Urgency::Expiring => state.active.wait_first(holder, waiter),
            }
            None
        })?;
        drop(state);
        Some(Slot { slots: self.clone(), key, holder, stay: SlotStay::Active, pace: RunPace::Usual })
    }

    /// Forgets a resource that is gone.
    pub(in crate::engine) fn forget(&self, key: &ResourceKey) {
        self.change(|state| {
            state.slow.remove(key);
            if let Some(holder) = state.called.remove(key) {
                state.active.give_back(&holder);
            }
        });
    }

    /// Changes the slots, and calls the resources that have one now.
    fn change(&self, act: impl FnOnce(&mut SlotState)) {
        let mut calls = Vec::new();
        {
            let mut state = self.state();
            act(&mut state);
            while let Some((holder, Waiter { key, call })) = state.active.next() {
                state.waiting.remove(&key);
                state.called.insert(key, holder);
                calls.push(call);
            }
        }
        for call in calls {
            call();
        }
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        // A poisoned lock can be used: no code under the lock panics in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Awaits the run. After [`USUAL`] the run gives up its active slot for a lingering one.
    pub(in crate::engine) async fn during<T>(mut self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        while self.stay == SlotStay::Active {
            match tokio::time::timeout(USUAL, &mut run).await {
                Ok(outcome) => return outcome,
                Err(_) => self.linger(),
            }
        }
        run.await
    }

    /// Changes to a lingering slot, if there is one.
    fn linger(&mut self) {
        self.pace = RunPace::Slow;
        let Self { slots, holder, stay, .. } = self;
        slots.change(|state| {
            if state.lingering.take(&holder.namespace) {
                state.active.give_back(holder);
                *stay = SlotStay::Lingering;
            }
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Self { slots, key, holder, stay, pace } = self;
        slots.change(|state| {
            match pace {
                RunPace::Usual => state.slow.remove(key),
                RunPace::Slow => state.slow.insert(key.clone()),
            };
            match stay {
                SlotStay::Active => state.active.give_back(holder),
                SlotStay::Lingering => state.lingering.give_back(&holder.namespace),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn enter(slots: &Slots, namespace: &str, name: &str) -> Option<Slot> {
        slots.enter(ResourceKey::new(namespace, name), Urgency::Ordinary, || {})
    }

    /// Runs that never end, each with the resource's name.
    fn begin(slots: &Slots, namespace: &str, names: std::ops::Range<usize>) -> Vec<Slot> {
        names.filter_map(|number| enter(slots, namespace, &number.to_string())).collect()
    }

    #[test]
    fn a_full_namespace_leaves_places_for_another() {
        let slots = Slots::new(64);
        let full = begin(&slots, "full", 0..100);
        assert_eq!(full.len(), 32);
        assert_eq!(begin(&slots, "another", 0..10).len(), 10);
    }

    #[test]
    fn who_waits_is_called_once_and_then_has_a_place() {
        let slots = Slots::new(1);
        let first = begin(&slots, "a", 0..1);
        let (calls, called) = mpsc::channel();
        for _ in 0..3 {
            let calls = calls.clone();
            let key = ResourceKey::new("b", "waits");
            assert!(slots.enter(key, Urgency::Ordinary, move || calls.send(()).unwrap()).is_none());
        }
        drop(first);
        assert_eq!(called.try_iter().count(), 1);
        assert!(begin(&slots, "c", 0..1).is_empty(), "the slot is kept for who was called");
        let second = enter(&slots, "b", "waits");
        assert!(second.is_some());
        drop(second);
        assert_eq!(begin(&slots, "c", 0..1).len(), 1);
    }

    #[test]
    fn what_expires_is_called_first_and_then_what_is_not_ready() {
        let slots = Slots::new(1);
        let first = begin(&slots, "a", 0..1);
        let (calls, called) = mpsc::channel();
        for (name, urgency) in [
            ("ready", Urgency::Ordinary),
            ("not-ready", Urgency::Urgent),
            ("ready-too", Urgency::Ordinary),
            ("expires", Urgency::Expiring),
            ("new", Urgency::Urgent),
            ("expires-too", Urgency::Expiring),
        ] {
            let calls = calls.clone();
            assert!(
                slots
                    .enter(ResourceKey::new("b", name), urgency, move || calls.send(name).unwrap())
                    .is_none()
            );
        }
        drop(first);
        let order =
            std::iter::from_fn(|| called.try_recv().ok().inspect(|name| drop(enter(&slots, "b", name))));
        assert_eq!(
            order.collect::<Vec<_>>(),
            ["expires", "expires-too", "not-ready", "new", "ready", "ready-too"]
        );
    }

    #[test]
    fn who_is_gone_when_called_keeps_no_place() {
        let slots = Slots::new(1);
        let first = begin(&slots, "a", 0..1);
        assert!(begin(&slots, "b", 0..1).is_empty());
        drop(first);
        slots.forget(&ResourceKey::new("b", "0"));
        assert_eq!(begin(&slots, "a", 0..1).len(), 1);
    }

    #[test]
    fn a_run_that_takes_long_holds_up_nobody_of_its_namespace() {
        let slots = Slots::new(64);
        let mut hanging = Vec::new();
        // A single namespace may have half of the lingering slots.
        while hanging.len() < LINGERING / 2 {
            let mut begun = begin(&slots, "full", hanging.len()..hanging.len() + 16);
            assert!(!begun.is_empty());
            begun.iter_mut().for_each(Slot::linger);
            hanging.extend(begun);
        }
        let full = begin(&slots, "full", 1000..2000);
        assert_eq!(full.len(), 32, "as if none of the others ran");
        assert_eq!(begin(&slots, "another", 0..2000).len(), 16);
    }

    #[tokio::test]
    async fn who_took_long_the_last_time_holds_up_nobody_who_did_not() {
        let slots = Slots::new(4);
        for slot in begin(&slots, "a", 0..2) {
            let run = async {
                tokio::time::sleep(USUAL * 2).await;
                // Where this process was held up, the end of the usual time is seen only now.
                tokio::task::yield_now().await;
            };
            slot.during(run).await;
        }
        let slow = begin(&slots, "a", 0..2);
        assert_eq!(slow.len(), 2);
        let usual = begin(&slots, "a", 2..10);
        assert_eq!(usual.len(), 1, "its own share, as of another namespace");
        // A resource whose run was quick again is treated like any other.
        for slot in slow {
            slot.during(async {}).await;
        }
        assert!(slots.state().slow.is_empty());
    }
}
