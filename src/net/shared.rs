//! Shares one answer between all runs that ask for the same at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{Either, select};
use tokio::{sync::OnceCell, time::sleep};

/// Makes each value once for all who ask for its key at the same time, or shortly after.
///
/// A failure is returned only to the one whose attempt failed: the next one that waits makes an attempt of its
/// own. The same happens if an attempt is given up or takes long, so nobody depends on somebody else's
/// connection.
pub struct Shared<K, V> {
    keep: Duration,
    is_kept: fn(&V) -> bool,
    flights: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

/// How long to wait for somebody else's attempt before making another one.
const PATIENCE: Duration = Duration::from_secs(1);

type Flight<V> = OnceCell<(Instant, Arc<V>)>;

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    /// Values are shared while they are made. Those for which `is_kept` is true are shared for the time `keep`
    /// after that.
    pub fn new(keep: Duration, is_kept: fn(&V) -> bool) -> Self {
        Self { keep, is_kept, flights: Mutex::default() }
    }

    /// The value of the key. `make` makes it, unless somebody else is making it or has just done so.
    pub async fn get<E>(&self, key: K, make: impl Future<Output = Result<V, E>>) -> Result<Arc<V>, E> {
        let flight = self.flight(key.clone());
        let mut make = std::pin::pin!(make);
        let making = AtomicBool::new(false);
        let shared = {
            let attempt = flight.get_or_try_init(|| async {
                making.store(true, Ordering::Relaxed);
                Ok((Instant::now(), Arc::new(make.as_mut().await?)))
            });
            match select(std::pin::pin!(attempt), std::pin::pin!(sleep(PATIENCE))).await {
                Either::Left((shared, _)) => Some(shared?),
                Either::Right(((), attempt)) if making.load(Ordering::Relaxed) => Some(attempt.await?),
                Either::Right(_) => None,
            }
        };
        match shared {
            Some((_, value)) => {
                if !(self.is_kept)(value) {
                    self.let_go(&key, &flight);
                }
                Ok(Arc::clone(value))
            }
            None => make.await.map(Arc::new),
        }
    }

    /// Removes a value, unless another one has replaced it already. Those who wait for the value still get it.
    fn let_go(&self, key: &K, flight: &Arc<Flight<V>>) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(key).is_some_and(|present| Arc::ptr_eq(present, flight)) {
            flights.remove(key);
        }
    }

    fn flight(&self, key: K) -> Arc<Flight<V>> {
        // A panic elsewhere cannot leave the map half changed, because every change to it is a single call.
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| match flight.get() {
            Some((made, _)) => made.elapsed() < self.keep,
            None => Arc::strong_count(flight) > 1,
        });
        Arc::clone(flights.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    struct Maker(AtomicUsize);

    impl Maker {
        /// Fails the given number of times, and yields before each outcome.
        async fn make(&self, failures: usize) -> Result<usize, usize> {
            let attempt = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if attempt < failures { Err(attempt) } else { Ok(attempt) }
        }
    }

    #[tokio::test]
    async fn makes_equal_values_once_and_different_ones_each() {
        let (shared, maker) = (Shared::new(LONG, |_| true), Maker(AtomicUsize::new(0)));
        let (first, second, other) = tokio::join!(
            shared.get("a", maker.make(0)),
            shared.get("a", maker.make(0)),
            shared.get("b", maker.make(0)),
        );
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert_eq!(*other.unwrap(), 1);
        assert_eq!(*shared.get("a", maker.make(0)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_next_one_retries_a_failure() {
        let (shared, maker) = (Shared::new(LONG, |_| true), Maker(AtomicUsize::new(0)));
        let (first, second) = tokio::join!(shared.get("a", maker.make(1)), shared.get("a", maker.make(1)));
        assert_eq!(first.unwrap_err(), 0);
        assert_eq!(*second.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_next_one_goes_on_when_the_first_gives_up() {
        let (shared, maker) = (Shared::new(LONG, |_| true), Maker(AtomicUsize::new(0)));
        let endless = shared.get("a", std::future::pending::<Result<usize, usize>>());
        let (gave_up, made) = tokio::join!(
            async { tokio::time::timeout(Duration::from_millis(1), endless).await.is_err() },
            shared.get("a", maker.make(0)),
        );
        assert!(gave_up);
        assert_eq!(*made.unwrap(), 0);
    }

    #[tokio::test]
    async fn forgets_what_is_old() {
        let (shared, maker) = (Shared::new(Duration::ZERO, |_| true), Maker(AtomicUsize::new(0)));
        for attempt in 0..3 {
            assert_eq!(*shared.get("a", maker.make(0)).await.unwrap(), attempt);
        }
        assert_eq!(shared.flights.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_not_to_be_kept_is_shared_while_it_is_made() {
        let (shared, maker) = (Shared::new(LONG, |_| false), Maker(AtomicUsize::new(0)));
        let (first, second) = tokio::join!(shared.get("a", maker.make(0)), shared.get("a", maker.make(0)));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert!(shared.flights.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn somebody_elses_hung_attempt_is_not_waited_for() {
        let (shared, maker) = (Shared::new(LONG, |_| true), Maker(AtomicUsize::new(0)));
        let hung = shared.get("a", std::future::pending::<Result<usize, usize>>());
        let (hung, ()) = tokio::join!(tokio::time::timeout(PATIENCE * 2, hung), async {
            tokio::task::yield_now().await;
            assert_eq!(*shared.get("a", maker.make(0)).await.unwrap(), 0);
        });
        assert!(hung.is_err());
    }
}
