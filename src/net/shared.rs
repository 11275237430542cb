//! One answer for everybody who asks the same, as long as it is fresh enough for them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{Either, select};
use tokio::{sync::OnceCell, time::sleep};

/// Makes each value once for all who ask for its key while it is made, or later, as long as it is fresh enough for them.
///
/// A failure is its asker's alone, and ends what was shared: whoever waits or comes next makes an attempt of its own.
/// The same holds when an asker gives up or takes long, so nobody depends on somebody else's connection.
pub struct Shared<K, V> {
    /// How large all values may be together.
    limit: usize,
    size: fn(&V) -> usize,
    flights: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// How old a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// It was asked for at this time or later.
    pub not_before: Option<Instant>,
    /// It was asked for so long ago at most.
    pub at_most: Duration,
}

/// A value, or the attempt to make it.
struct Flight<V> {
    /// When the value was asked for, which is before it was made.
    began: Instant,
    value: OnceCell<Arc<V>>,
}

/// A value, and when it was asked for.
#[derive(Debug)]
pub struct Dated<V> {
    /// The value.
    pub value: Arc<V>,
    /// When it was asked for; nothing where this asker made it.
    pub shared_since: Option<Instant>,
}

/// How long somebody else's attempt is waited for before one of one's own.
const PATIENCE: Duration = Duration::from_secs(1);

impl Freshness {
    /// Whether a value that was asked for at that time is fresh enough now.
    fn suffices(&self, began: Instant, now: Instant) -> bool {
        let age = now.saturating_duration_since(began);
        age <= self.at_most && self.not_before.is_none_or(|earliest| began >= earliest)
    }
}

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    /// Values are shared while they are made, and kept after that as long as all of them have this size together; the
    /// oldest ones go first.
    pub fn new(limit: usize, size: fn(&V) -> usize) -> Self {
        Self { limit, size, flights: Mutex::default() }
    }

    /// The value of the key, made by `make` unless somebody else is about to or did, and it is fresh enough. It is
    /// shared with those who come later if `is_kept` is true of it.
    pub async fn get<E>(
        &self,
        key: K,
        freshness: Freshness,
        is_kept: impl Fn(&V) -> bool,
        make: impl Future<Output = Result<V, E>>,
    ) -> Result<Dated<V>, E> {
        let flight = self.flight(&key, freshness);
        let mut make = std::pin::pin!(make);
        let making = AtomicBool::new(false);
        let shared = {
            let attempt = flight.value.get_or_try_init(|| async {
                making.store(true, Ordering::Relaxed);
                make.as_mut().await.map(Arc::new)
            });
            match select(std::pin::pin!(attempt), std::pin::pin!(sleep(PATIENCE))).await {
                Either::Left((shared, _)) => Some(shared),
                Either::Right(((), attempt)) if making.load(Ordering::Relaxed) => Some(attempt.await),
                Either::Right(_) => None,
            }
        };
        let is_own = making.load(Ordering::Relaxed);
        match shared {
            Some(Ok(value)) => {
                if is_own && is_kept(value) {
                    self.make_room();
                } else if is_own {
                    self.let_go(&key, &flight);
                }
                let shared_since = (!is_own).then_some(flight.began);
                Ok(Dated { value: Arc::clone(value), shared_since })
            }
            Some(Err(error)) => Err(error),
            None => match make.await {
                Ok(value) => Ok(Dated { value: Arc::new(value), shared_since: None }),
                Err(error) => {
                    // Whatever somebody else was told, it is not so for everybody.
                    self.let_go(&key, &flight);
                    Err(error)
                }
            },
        }
    }

    /// Removes a value, unless another one has replaced it already. Those who wait for the value still get it.
    fn let_go(&self, key: &K, flight: &Arc<Flight<V>>) {
        let mut flights = self.flights();
        if flights.get(key).is_some_and(|present| Arc::ptr_eq(present, flight)) {
            flights.remove(key);
        }
    }

    /// Lets the oldest values go until the rest has room.
    fn make_room(&self) {
        let mut flights = self.flights();
        let made = |flight: &Arc<Flight<V>>| flight.value.get().map(|value| (self.size)(value));
        let mut total: usize = flights.values().filter_map(made).sum();
        while total > self.limit {
            let known = flights.iter().filter_map(|(key, flight)| Some((key, flight.began, made(flight)?)));
            let Some((oldest, _, size)) = known.min_by_key(|(_, began, _)| *began) else { return };
            let oldest = oldest.clone();
            flights.remove(&oldest);
            total = total.saturating_sub(size);
        }
    }

    fn flight(&self, key: &K, freshness: Freshness) -> Arc<Flight<V>> {
        let now = Instant::now();
        let mut flights = self.flights();
        if let Some(flight) = flights.get(key) {
            let is_abandoned = flight.value.get().is_none() && Arc::strong_count(flight) == 1;
            if !is_abandoned && freshness.suffices(flight.began, now) {
                return Arc::clone(flight);
            }
        }
        // What failed, or was given up, is nobody's any more.
        flights.retain(|_, flight| flight.value.get().is_some() || Arc::strong_count(flight) > 1);
        let flight = Arc::new(Flight { began: now, value: OnceCell::new() });
        flights.insert(key.clone(), Arc::clone(&flight));
        flight
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<K, Arc<Flight<V>>>> {
        // A panic elsewhere leaves the map whole: every change to it is a single call.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LONG: Freshness = Freshness { not_before: None, at_most: Duration::from_hours(1) };

    struct Maker(AtomicUsize);

    impl Maker {
        /// Fails the given number of times, and yields before each outcome.
        async fn make(&self, failures: usize) -> Result<usize, usize> {
            let attempt = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if attempt < failures { Err(attempt) } else { Ok(attempt) }
        }
    }

    /// Every value has the same size, and so many have room.
    fn shared(room: usize) -> (Shared<&'static str, usize>, Maker) {
        (Shared::new(room, |_| 1), Maker(AtomicUsize::new(0)))
    }

    async fn get(
        shared: &Shared<&'static str, usize>,
        key: &'static str,
        freshness: Freshness,
        make: impl Future<Output = Result<usize, usize>>,
    ) -> Result<usize, usize> {
        shared.get(key, freshness, |_| true, make).await.map(|made| *made.value)
    }

    #[tokio::test]
    async fn makes_equal_values_once_and_different_ones_each() {
        let (shared, maker) = shared(9);
        let (first, second, other) = tokio::join!(
            get(&shared, "a", LONG, maker.make(0)),
            get(&shared, "a", LONG, maker.make(0)),
            get(&shared, "b", LONG, maker.make(0)),
        );
        assert_eq!((first.unwrap(), second.unwrap(), other.unwrap()), (0, 0, 1));
        let own = shared.get("c", LONG, |_| true, maker.make(0)).await.unwrap();
        let later = shared.get("c", LONG, |_| true, maker.make(0)).await.unwrap();
        assert_eq!((*own.value, own.shared_since), (2, None));
        assert_eq!((*later.value, later.shared_since.is_some()), (2, true));
    }

    #[tokio::test]
    async fn a_value_that_is_not_fresh_enough_is_made_anew_for_all() {
        let (shared, maker) = shared(9);
        assert_eq!(get(&shared, "a", LONG, maker.make(0)).await, Ok(0));
        let looked = Freshness { not_before: Some(Instant::now()), ..LONG };
        assert_eq!(get(&shared, "a", looked, maker.make(0)).await, Ok(1));
        assert_eq!(get(&shared, "a", looked, maker.make(0)).await, Ok(1));
        assert_eq!(get(&shared, "a", LONG, maker.make(0)).await, Ok(1));
        let now = Freshness { at_most: Duration::ZERO, ..LONG };
        assert_eq!(get(&shared, "a", now, maker.make(0)).await, Ok(2));
    }

    #[tokio::test]
    async fn an_attempt_that_began_before_is_not_joined() {
        let (shared, maker) = shared(9);
        let begun = get(&shared, "a", LONG, maker.make(0));
        let asked = async {
            let freshness = Freshness { not_before: Some(Instant::now()), ..LONG };
            get(&shared, "a", freshness, maker.make(0)).await
        };
        assert_eq!(tokio::join!(begun, asked), (Ok(0), Ok(1)));
        assert_eq!(get(&shared, "a", LONG, maker.make(0)).await, Ok(1));
    }

    #[tokio::test]
    async fn a_failure_ends_what_was_shared() {
        let (shared, maker) = shared(9);
        assert_eq!(get(&shared, "a", LONG, async { Ok(7) }).await, Ok(7));
        let looked = Freshness { not_before: Some(Instant::now()), ..LONG };
        assert_eq!(get(&shared, "a", looked, maker.make(1)).await, Err(0));
        assert_eq!(get(&shared, "a", LONG, maker.make(1)).await, Ok(1), "the old value is nobody's any more");
    }

    #[tokio::test]
    async fn the_next_one_retries_a_failure() {
        let (shared, maker) = shared(9);
        let (first, second) =
            tokio::join!(get(&shared, "a", LONG, maker.make(1)), get(&shared, "a", LONG, maker.make(1)));
        assert_eq!((first, second), (Err(0), Ok(1)));
    }

    #[tokio::test]
    async fn the_next_one_goes_on_when_the_first_gives_up() {
        let (shared, maker) = shared(9);
        let endless = get(&shared, "a", LONG, std::future::pending());
        let (gave_up, made) = tokio::join!(
            async { tokio::time::timeout(Duration::from_millis(1), endless).await.is_err() },
            get(&shared, "a", LONG, maker.make(0)),
        );
        assert!(gave_up);
        assert_eq!(made, Ok(0));
    }

    #[tokio::test]
    async fn the_oldest_go_first() {
        let (shared, maker) = shared(2);
        for (key, made) in [("a", 0), ("b", 1), ("c", 2), ("b", 1), ("a", 3), ("c", 2), ("b", 4)] {
            assert_eq!(get(&shared, key, LONG, maker.make(0)).await, Ok(made), "{key}");
            assert!(shared.flights.lock().unwrap().len() <= 2);
        }
    }

    #[tokio::test]
    async fn what_is_not_to_be_kept_is_shared_while_it_is_made() {
        let (shared, maker) = shared(9);
        let never = |_: &usize| false;
        let (first, second) = tokio::join!(
            shared.get("a", LONG, never, maker.make(0)),
            shared.get("a", LONG, never, maker.make(0))
        );
        assert!(Arc::ptr_eq(&first.unwrap().value, &second.unwrap().value));
        assert!(shared.flights.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn somebody_elses_hung_attempt_is_not_waited_for() {
        let (shared, maker) = shared(9);
        let hung = get(&shared, "a", LONG, std::future::pending());
        let (hung, ()) = tokio::join!(tokio::time::timeout(PATIENCE * 2, hung), async {
            tokio::task::yield_now().await;
            assert_eq!(get(&shared, "a", LONG, maker.make(0)).await, Ok(0));
        });
        assert!(hung.is_err());
    }
}
