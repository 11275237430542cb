//! The events of one run, which are published together.

use super::events::EventDraft;
use crate::engine::{Context, Kind};

/// The events of a run until it is over. They are published when this is dropped: what a step has done stands in an
/// event also if a later step fails or the run is ended, because the next run finds it done and has no event for it.
pub(in crate::engine) struct RunEvents<'a, K: Kind> {
    object: &'a K,
    context: &'a Context<K>,
    drafts: Vec<EventDraft>,
}

impl<'a, K: Kind> RunEvents<'a, K> {
    /// Nothing has happened yet.
    pub(in crate::engine) fn new(object: &'a K, context: &'a Context<K>) -> Self {
        Self { object, context, drafts: Vec::new() }
    }

    /// Adds an event, and writes it to the log at once.
    pub(in crate::engine) fn add(&mut self, event: EventDraft) {
        Context::<K>::log_event(self.object, &event);
        self.drafts.push(event);
    }

    /// Adds events that are in the log already.
    pub(in crate::engine) fn add_logged(&mut self, events: Vec<EventDraft>) {
        self.drafts.extend(events);
    }
}

impl<K: Kind> Drop for RunEvents<'_, K> {
    fn drop(&mut self) {
        self.context.publish_events(self.object, std::mem::take(&mut self.drafts));
    }
}
