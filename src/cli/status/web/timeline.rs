//! What happened lately, and what comes next, in the order of time. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{nodes::mark_of, picture::PicturePlace};
use crate::{
    api::Condition,
    cli::{
        status::{
            report::{EventReport, ResourceReport},
            standing::{STEPS, find},
        },
        tree::Mark,
    },
};

/// Something that happened to a resource, or will.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TimelineEntry {
    time: Timestamp,
    mark: Mark,
    /// The resource.
    about: String,
    /// What it is, in a word or two.
    title: String,
    text: String,
}

/// How many entries are shown.
const MOST: usize = 40;

/// By how much an event may be later than the change that it speaks of.
const TOGETHER: SignedDuration = SignedDuration::from_secs(5);

/// What happened to these resources and what comes next, the newest first.
pub(super) fn timeline(resources: &[ResourceReport], place: &PicturePlace) -> Vec<TimelineEntry> {
    let mut entries: Vec<_> = resources.iter().flat_map(|resource| of_resource(resource, place)).collect();
    entries.sort_by(|left, right| {
        (right.time, &left.about, &left.title).cmp(&(left.time, &right.about, &right.title))
    });
    entries.truncate(MOST);
    entries
}

fn of_resource(resource: &ResourceReport, place: &PicturePlace) -> Vec<TimelineEntry> {
    let about = place.name(&resource.namespace, &format!("{}/{}", resource.kind, resource.name));
    let entry = |time: Timestamp, mark: Mark, title: &str, text: &str| TimelineEntry {
        time,
        mark,
        about: about.clone(),
        title: title.to_owned(),
        text: text.to_owned(),
    };
    let events: Vec<_> = resource.events.iter().flatten().collect();
    let of_events = events.iter().filter_map(|event| {
        let mark = if event.type_ == "Normal" { Mark::None } else { Mark::Doubtful };
        Some(entry(event.time?, mark, &event.reason, &event.message))
    });
    // An event says the same with more words.
    let is_told = |condition: &Condition| events.iter().any(|event| tells_of(event, condition));
    let steps = STEPS.iter().filter_map(|type_| find(&resource.conditions, *type_));
    let steps: Vec<_> = steps.filter(|condition| !is_told(condition)).collect();
    let failures = steps.iter().filter(|condition| condition.status == "False").map(|condition| {
        let title = format!("{}: {}", condition.type_, condition.reason);
        entry(condition.last_transition_time.0, mark_of(condition), &title, &condition.message)
    });
    let mut good: Vec<_> = steps.iter().filter(|condition| condition.status == "True").collect();
    good.sort_by_key(|condition| condition.last_transition_time.0);
    let successes = good
        .chunk_by(|left, right| left.last_transition_time == right.last_transition_time)
        .filter_map(|together| {
            let names: Vec<_> = together.iter().map(|condition| condition.type_.as_str()).collect();
            let time = together.first()?.last_transition_time.0;
            Some(entry(time, Mark::Good, &names.join(", "), "True from now on."))
        });
    let next = [
        (resource.next_rotation, "Next rotation", "The API key is replaced."),
        (resource.token_expiration, "End of the token", "A new one is fetched before."),
    ];
    let next = next.into_iter().filter_map(|(time, title, text)| Some(entry(time?, Mark::None, title, text)));
    of_events.chain(failures).chain(successes).chain(next).collect()
}

/// Whether the event is about this change of the condition.
fn tells_of(event: &EventReport, condition: &Condition) -> bool {
    let is_named = condition.type_ == *event.reason || condition.reason == *event.reason;
    let changed = condition.last_transition_time.0;
    is_named && event.time.is_some_and(|time| time.duration_since(changed).abs() <= TOGETHER)
}
