//! Decides who is next when there is a limited number of places. This is pure.
//!
//! Nobody may hold more places than remain free. So a single holder that takes as much as possible leaves half of
//! the places free, two holders leave a third, and a new holder always finds a place at once. Fixed shares would
//! require knowing the number of holders.

mod permits;

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

pub(crate) use permits::{Permit, Permits};

/// A number of places, and how many of them each holder has.
#[derive(Debug)]
pub(crate) struct Pool<H> {
    places: usize,
    taken: usize,
    held: HashMap<H, usize>,
}

impl<H: Clone + Eq + Hash> Pool<H> {
    /// A pool of this many places, all of them free.
    pub(crate) fn new(places: usize) -> Self {
        Self { places, taken: 0, held: HashMap::new() }
    }

    /// So many places from now on. Who has one keeps it, also where there are fewer now.
    pub(crate) fn resize(&mut self, places: usize) {
        self.places = places;
    }

    /// Takes a place if the holder may have another one. Returns whether it did.
    pub(crate) fn take(&mut self, holder: &H) -> bool {
        let fits = self.fits(holder);
        if fits {
            self.taken += 1;
            *self.held.entry(holder.clone()).or_default() += 1;
        }
        fits
    }

    /// Returns a place that the holder has.
    pub(crate) fn give_back(&mut self, holder: &H) {
        let Some(held) = self.held.get_mut(holder) else { return };
        self.taken -= 1;
        *held -= 1;
        if *held == 0 {
            self.held.remove(holder);
        }
    }

    fn fits(&self, holder: &H) -> bool {
        self.held(holder) < self.free()
    }

    fn free(&self) -> usize {
        self.places.saturating_sub(self.taken)
    }

    fn held(&self, holder: &H) -> usize {
        self.held.get(holder).copied().unwrap_or_default()
    }
}

/// A pool with a queue. `W` is the handle by which a waiter learns that it has got a place.
#[derive(Debug)]
pub(crate) struct Shares<H, W> {
    pool: Pool<H>,
    waiting: HashMap<H, VecDeque<(Position, W)>>,
    arrivals: u64,
}

/// A position in the queue, by the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    /// Before all others.
    First(u64),
    /// Ahead of all who are in line.
    Ahead(u64),
    /// In line.
    InLine(u64),
}

impl<H: Clone + Eq + Hash, W> Shares<H, W> {
    /// A pool of this many places, with an empty queue.
    pub(crate) fn new(places: usize) -> Self {
        Self { pool: Pool::new(places), waiting: HashMap::new(), arrivals: 0 }
    }

    /// Sets the number of places; [`Shares::next`] says who gets one where there are more.
    pub(crate) fn resize(&mut self, places: usize) {
        self.pool.resize(places);
    }

    /// Takes a place if the holder may have another one, past the queue. That takes nothing from those who wait:
    /// none of them could have had the place.
    pub(crate) fn take(&mut self, holder: &H) -> bool {
        self.pool.take(holder)
    }

    /// Puts a waiter into the queue.
    pub(crate) fn wait(&mut self, holder: H, waiter: W) {
        self.queue(holder, Position::InLine, waiter);
    }

    /// Puts a waiter into the queue ahead of those who came by [`Shares::wait`]. That gives the holder no more places.
    pub(crate) fn wait_ahead(&mut self, holder: H, waiter: W) {
        self.queue(holder, Position::Ahead, waiter);
    }

    /// Puts a waiter into the queue before those of [`Shares::wait_ahead`], too.
    pub(crate) fn wait_first(&mut self, holder: H, waiter: W) {
        self.queue(holder, Position::First, waiter);
    }

    fn queue(&mut self, holder: H, position: fn(u64) -> Position, waiter: W) {
        self.arrivals += 1;
        let position = position(self.arrivals);
        let queue = self.waiting.entry(holder).or_default();
        queue.insert(queue.partition_point(|(other, _)| *other < position), (position, waiter));
    }

    /// All waiters, in no particular order.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &W> {
        self.waiting.values().flatten().map(|(_, waiter)| waiter)
    }

    /// Returns a place. Call [`Shares::next`] afterwards to give it to a waiter.
    pub(crate) fn give_back(&mut self, holder: &H) {
        self.pool.give_back(holder);
    }

    /// Gives a place to the next waiter: of the holders with the fewest places, the one that is ahead, or has waited
    /// longest.
    pub(crate) fn next(&mut self) -> Option<(H, W)> {
        let first = |(holder, queue): (&H, &VecDeque<(Position, W)>)| {
            let (position, _) = queue.front()?;
            let rank = (self.pool.held(holder), *position);
            self.pool.fits(holder).then(|| (rank, holder.clone()))
        };
        let (_, holder) = self.waiting.iter().filter_map(first).min_by_key(|(rank, _)| *rank)?;
        let queue = self.waiting.get_mut(&holder)?;
        let (_, waiter) = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&holder);
        }
        self.pool.take(&holder);
        Some((holder, waiter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everybody who gets a place now.
    fn called(shares: &mut Shares<&'static str, u32>) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| shares.next()).collect()
    }

    #[test]
    fn who_takes_all_leaves_room_for_whoever_comes_anew() {
        let mut shares = Shares::<_, u32>::new(64);
        let takes = |shares: &mut Shares<_, u32>, holder| (0..100).filter(|_| shares.take(&holder)).count();
        assert_eq!(takes(&mut shares, "a"), 32);
        assert_eq!(takes(&mut shares, "b"), 16);
        assert_eq!(takes(&mut shares, "c"), 8);
        assert!(shares.take(&"d"), "a fourth one finds a place at once");
    }

    #[test]
    fn a_single_place_is_had_by_one_after_the_other() {
        let mut shares = Shares::new(1);
        assert!(shares.take(&"a"));
        assert!(!shares.take(&"a") && !shares.take(&"b"));
        shares.wait("a", 1);
        shares.wait("b", 2);
        assert_eq!(called(&mut shares), []);
        shares.give_back(&"a");
        assert_eq!(called(&mut shares), [("a", 1)]);
        shares.give_back(&"a");
        assert_eq!(called(&mut shares), [("b", 2)]);
    }

    #[test]
    fn the_one_with_the_fewest_goes_first_and_then_the_one_who_waits_the_longest() {
        let mut shares = Shares::new(4);
        assert!(shares.take(&"a") && shares.take(&"a") && shares.take(&"b"));
        for (holder, waiter) in [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
            shares.wait(holder, waiter);
        }
        assert_eq!(called(&mut shares), [("c", 4)], "it has none yet");
        shares.give_back(&"b");
        assert_eq!(called(&mut shares), [("b", 3)], "it has none any more, and waits longer than the last");
        shares.give_back(&"c");
        assert_eq!(called(&mut shares), [("d", 5)]);
        shares.give_back(&"a");
        shares.give_back(&"a");
        assert_eq!(called(&mut shares), [("a", 1)], "no more than are left");
        shares.give_back(&"d");
        assert_eq!(called(&mut shares), [("a", 2)]);
    }

    #[test]
    fn who_goes_ahead_takes_no_place_of_another_holder() {
        let mut shares = Shares::new(1);
        assert!(shares.take(&"a"));
        for (holder, waiter) in [("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
            if waiter % 2 == 0 { shares.wait_ahead(holder, waiter) } else { shares.wait(holder, waiter) }
        }
        shares.wait_ahead("a", 5);
        let mut order = Vec::new();
        let mut last = "a";
        for _ in 0..5 {
            shares.give_back(&last);
            let [(holder, waiter)] = called(&mut shares)[..] else { panic!("one place, one waiter") };
            order.push(waiter);
            last = holder;
        }
        assert_eq!(order, [2, 4, 5, 1, 3]);
        let mut shares = Shares::new(4);
        assert!(shares.take(&"a") && shares.take(&"a"));
        shares.wait("b", 1);
        shares.wait_ahead("a", 2);
        assert_eq!(called(&mut shares), [("b", 1)], "who has fewer comes first all the same");
    }

    proptest! {
        /// However often the number of places changes, everybody comes to their turn as long as there is one place.
        #[test]
        fn everybody_comes_to_their_turn_in_a_pool_that_changes(steps in prop::collection::vec((0u8..3, 0u8..4, 1usize..20), 1..300)) {
            let mut shares = Shares::new(1);
            let (mut running, mut waiting, mut size) = (Vec::new(), 0usize, 1);
            let call = |shares: &mut Shares<u8, ()>, running: &mut Vec<u8>, waiting: &mut usize| {
                while let Some((holder, ())) = shares.next() {
                    running.push(holder);
                    *waiting -= 1;
                }
            };
            for (what, holder, places) in steps {
                let before = running.len();
                match what {
                    0 if shares.take(&holder) => running.push(holder),
                    0 => {
                        shares.wait(holder, ());
                        waiting += 1;
                    }
                    1 => {
                        if let Some(holder) = running.pop() {
                            shares.give_back(&holder);
                        }
                    }
                    _ => {
                        size = places;
                        shares.resize(places);
                    }
                }
                call(&mut shares, &mut running, &mut waiting);
                prop_assert!(running.len() <= size || running.len() <= before, "nobody gets a place that is not there");
            }
            while let Some(holder) = running.pop() {
                shares.give_back(&holder);
                call(&mut shares, &mut running, &mut waiting);
            }
            prop_assert_eq!(waiting, 0);
            prop_assert!(shares.waiting.is_empty() && shares.pool.taken == 0);
        }

        /// Whatever they do, nobody is passed over for ever, and places are neither lost nor made.
        #[test]
        fn everybody_comes_to_their_turn(places in 1usize..20, steps in prop::collection::vec((0u8..5, any::<bool>()), 1..300)) {
            let mut shares = Shares::new(places);
            let (mut running, mut waiting) = (Vec::new(), 0);
            for (holder, begins) in steps {
                if begins && shares.take(&holder) {
                    running.push(holder);
                } else if begins {
                    shares.wait(holder, ());
                    waiting += 1;
                } else if let Some(index) = running.iter().position(|other| *other == holder) {
                    running.swap_remove(index);
                    shares.give_back(&holder);
                }
                while let Some((holder, ())) = shares.next() {
                    running.push(holder);
                    waiting -= 1;
                }
                prop_assert!(running.len() <= places);
                prop_assert_eq!(shares.pool.free(), places - running.len());
            }
            while let Some(holder) = running.pop() {
                shares.give_back(&holder);
                while let Some((holder, ())) = shares.next() {
                    running.push(holder);
                    waiting -= 1;
                }
            }
            prop_assert_eq!(waiting, 0);
            prop_assert!(shares.pool.held.is_empty() && shares.waiting.is_empty());
        }
    }
}
