//! Asynchronous permits, which are given out in fair shares.

use std::{
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::Shares;

/// A number of permits. Each has at most one holder at a time.
pub(crate) struct Permits<H: Clone + Eq + Hash>(Arc<Mutex<Queue<H>>>);

type Queue<H> = Shares<H, oneshot::Sender<Permit<H>>>;

/// A permit. Dropping it returns it.
pub(crate) struct Permit<H: Clone + Eq + Hash> {
    permits: Permits<H>,
    holder: H,
}

impl<H: Clone + Eq + Hash> fmt::Debug for Permits<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").finish_non_exhaustive()
    }
}

impl<H: Clone + Eq + Hash> Clone for Permits<H> {
    /// The same permits.
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Clone + Eq + Hash> Permits<H> {
    /// This many permits, all of them free.
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(Shares::new(permits))))
    }

    /// Waits for a permit. If the future is dropped, its place in the queue is passed over.
    pub(crate) async fn take(&self, holder: H) -> Option<Permit<H>> {
        // The sender is never dropped without having sent, so this is never an error.
        self.wait(holder, Queue::wait).await.ok()
    }

    /// The same, ahead of those who came by [`Permits::take`] and whose holders have as few.
    pub(crate) async fn take_ahead(&self, holder: H) -> Option<Permit<H>> {
        self.wait(holder, Queue::wait_ahead).await.ok()
    }

    /// The same, before those of [`Permits::take_ahead`], too.
    pub(crate) async fn take_first(&self, holder: H) -> Option<Permit<H>> {
        self.wait(holder, Queue::wait_first).await.ok()
    }

    /// Sets the number of permits. Whoever has one keeps it, even where there are fewer now.
    pub(crate) fn resize(&self, permits: usize) {
        self.queue().resize(permits);
        self.hand_out();
    }

    /// Whether anybody is waiting for a permit.
    pub(crate) fn are_wanted(&self) -> bool {
        self.queue().waiters().any(|waiter| !waiter.is_closed())
    }

    fn wait(
        &self,
        holder: H,
        line_up: fn(&mut Queue<H>, H, oneshot::Sender<Permit<H>>),
    ) -> oneshot::Receiver<Permit<H>> {
        let (sender, permit) = oneshot::channel();
        let mut queue = self.queue();
        if queue.take(&holder) {
            drop(queue);
            let _ = sender.send(self.permit(holder));
        } else {
            line_up(&mut queue, holder, sender);
        }
        permit
    }

    fn permit(&self, holder: H) -> Permit<H> {
        Permit { permits: self.clone(), holder }
    }

    /// Gives every permit that is left to who is next.
    fn hand_out(&self) {
        while let Some((holder, waiter)) = self.next() {
            // A permit that nobody takes is given back as it is dropped.
            let _ = waiter.send(self.permit(holder));
        }
    }

    fn next(&self) -> Option<(H, oneshot::Sender<Permit<H>>)> {
        self.queue().next()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<H>> {
        // No code panics in the middle of a change under this lock, so a poisoned lock still guards consistent
        // data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Clone + Eq + Hash> Drop for Permit<H> {
    fn drop(&mut self) {
        self.permits.queue().give_back(&self.holder);
        self.permits.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn take_all(permits: &Permits<&'static str>, holder: &'static str) -> Vec<Permit<&'static str>> {
        std::iter::from_fn(|| permits.take(holder).now_or_never().flatten()).collect()
    }

    #[test]
    fn more_permits_are_handed_out_at_once() {
        let permits = Permits::new(2);
        let first = take_all(&permits, "a");
        assert_eq!(first.len(), 1);
        let mut waits = Box::pin(permits.take("a"));
        assert!((&mut waits).now_or_never().is_none());
        permits.resize(4);
        let second = (&mut waits).now_or_never().flatten();
        assert!(second.is_some());
        permits.resize(1);
        assert!(permits.take("b").now_or_never().is_none(), "two are held, and there is one now");
        drop(first);
        assert!(permits.take("b").now_or_never().is_none());
        drop(second);
        assert!(permits.take("b").now_or_never().flatten().is_some());
    }

    #[test]
    fn who_goes_ahead_has_the_next_one() {
        let permits = Permits::new(2);
        let held = take_all(&permits, "a");
        let mut waits = [Box::pin(permits.take("a")), Box::pin(permits.take("a"))];
        assert!(waits.iter_mut().all(|waits| waits.now_or_never().is_none()));
        let mut ahead = Box::pin(permits.take_ahead("a"));
        let mut first = Box::pin(permits.take_first("a"));
        assert!((&mut ahead).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        drop(held);
        assert!((&mut ahead).now_or_never().is_none());
        drop(first.now_or_never().flatten().unwrap());
        assert!(waits.iter_mut().all(|waits| waits.now_or_never().is_none()));
        assert!(ahead.now_or_never().flatten().is_some());
    }

    #[test]
    fn who_gives_up_is_passed_over() {
        let permits = Permits::new(4);
        let mut taken = take_all(&permits, "a");
        assert_eq!(taken.len(), 2);
        for _ in 0..3 {
            assert!(permits.take("a").now_or_never().is_none());
        }
        let mut waits = Box::pin(permits.take("a"));
        assert!((&mut waits).now_or_never().is_none());
        taken.pop();
        assert!(waits.now_or_never().flatten().is_some());
        taken.clear();
        assert_eq!(take_all(&permits, "a").len(), 2, "none is lost");
    }
}
