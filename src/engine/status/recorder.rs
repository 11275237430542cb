//! Writes the events of the cluster. Conditions carry the same words, so events are optional: no run waits until
//! one is written, and an event that cannot be written in time is dropped.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams, runtime::events::Reporter};
use tokio::sync::mpsc;

use crate::engine::{EventDraft, EventType};
use crate::error::in_words;

/// How many events may wait to be written.
const QUEUE: usize = 1024;

/// The time limit for writing one event.
const LIMIT: Duration = Duration::from_secs(5);

/// The most bytes that an object's name may have.
const NAME_LIMIT: usize = 253;

/// The most characters of an event's note. Kubernetes allows 1024 bytes, and a character has at most four.
const NOTE_LIMIT: usize = 256;

/// The queue of events that are to be written.
#[derive(Clone, Debug)]
pub struct Events {
    reporter: Reporter,
    queue: mpsc::Sender<Event>,
}

impl Events {
    /// The queue, and the future that writes its events in order until no sender is left.
    pub fn start(client: Client, reporter: Reporter) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { reporter, queue }, write(client, waiting))
    }

    /// Queues an event about the object.
    pub(in crate::engine) fn publish_event(&self, regarding: ObjectReference, notice: &EventDraft) {
        let event = event(&self.reporter, regarding, notice, Timestamp::now());
        if self.queue.try_send(event).is_err() {
            tracing::debug!("an event was dropped, since too many wait to be written");
        }
    }
}

async fn write(client: Client, mut waiting: mpsc::Receiver<Event>) {
    while let Some(event) = waiting.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(client.clone(), &namespace);
        let parameters = PostParams::default();
        match tokio::time::timeout(LIMIT, api.create(&parameters, &event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(error = in_words(&error), "an event was not written"),
            Err(_) => tracing::debug!("an event was not written within {LIMIT:?}"),
        }
    }
}

fn event(reporter: &Reporter, regarding: ObjectReference, notice: &EventDraft, now: Timestamp) -> Event {
    let type_ = match notice.tone {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    };
    let name = name(regarding.name.as_deref().unwrap_or_default(), now);
    Event {
        action: Some(notice.action.clone()),
        event_time: Some(MicroTime(now)),
        metadata: ObjectMeta {
            name: Some(name),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        note: Some(notice.note.chars().take(NOTE_LIMIT).collect()),
        reason: Some(notice.reason.to_string()),
        regarding: Some(regarding),
        reporting_controller: Some(reporter.controller.clone()),
        reporting_instance: Some(reporter.instance.as_ref().unwrap_or(&reporter.controller).clone()),
        type_: Some(type_.to_owned()),
        ..Event::default()
    }
}

/// The name of an event: the object's name, shortened if necessary, and the time.
fn name(object: &str, now: Timestamp) -> String {
    let time = format!("{:x}", now.as_nanosecond());
    let room = NAME_LIMIT.saturating_sub(time.len() + 1);
    let object: String = object.chars().take(room).collect();
    // Kubernetes requires that each part of a name ends with a letter or a digit.
    format!("{}.{time}", object.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(name("corp", now), "corp.18fae27693b40000");
        for length in [236, 237, 253] {
            let name = name(&"a".repeat(length), now);
            assert_eq!((name.len(), name.starts_with("aaa")), (253, true));
        }
        let cut = format!("{}.{}", "a".repeat(235), "b".repeat(17));
        assert_eq!(name(&cut, now), format!("{}.18fae27693b40000", "a".repeat(235)));
    }
}
