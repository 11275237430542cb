//! Asynchronous permits, which are given out in fair shares.

use std::{
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

impl<H: Clone + Eq + Hash> Permits<H> {
    /// This many permits, all of them free.
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(Shares::new(permits))))
    }

    /// Waits for a permit. If the future is dropped, its place in the queue is passed over.
    pub(crate) async fn take(&self, holder: H) -> Option<Permit<H>> {
        // The sender is never dropped without having sent, so this is never an error.
        self.wait(holder).await.ok()
    }

    /// Whether anybody is waiting for a permit.
    pub(crate) fn are_wanted(&self) -> bool {
        self.queue().waiters().any(|waiter| !waiter.is_closed())
    }

    fn wait(&self, holder: H) -> oneshot::Receiver<Permit<H>> {
        let (sender, permit) = oneshot::channel();
        let mut queue = self.queue();
        if queue.take(&holder) {
            drop(queue);
            let _ = sender.send(self.permit(holder));
        } else {
            queue.wait(holder, sender);
        }
        permit
    }

    fn permit(&self, holder: H) -> Permit<H> {
        Permit { permits: Self(Arc::clone(&self.0)), holder }
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
        while let Some((holder, waiter)) = self.permits.next() {
            // If the receiver is gone, the permit is dropped and thereby returned.
            let _ = waiter.send(self.permits.permit(holder));
        }
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
