//! The places on the way of a resource's values, each with its state and what there is to know of it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    api::{CheckName, CheckResult, CheckStatus, Condition, ConditionType, Reason},
    cli::{
        status::{
            draw::{explanation, mark, plural, word},
            pods::ServerReport,
            report::ResourceReport,
            standing::{ResourceStanding, STEPS, find},
        },
        tree::{Branch, Mark},
    },
};

/// A place on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PictureNode {
    /// Tells it from all others of the page, and stays the same while its state changes.
    id: String,
    /// What kind of place it is, such as `Directory` or `Secret`.
    caption: String,
    /// Its name.
    title: String,
    mark: Mark,
    /// The mark in words.
    state: String,
    /// What to know and to do.
    text: String,
    /// More about it, for those who ask.
    details: Vec<PictureDetail>,
}

/// Something to know of a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PictureDetail {
    mark: Mark,
    title: String,
    /// Since when it is so, or when it happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    text: String,
}

impl PictureDetail {
    fn fact(title: &str, text: impl Into<String>) -> Self {
        Self { mark: Mark::None, title: title.to_owned(), time: None, text: text.into() }
    }

    fn at(title: &str, time: Option<Timestamp>) -> Option<Self> {
        time.map(|time| Self { time: Some(time), ..Self::fact(title, "") })
    }

    fn of_condition(condition: &Condition) -> Self {
        Self {
            mark: mark_of(condition),
            title: format!("{}: {}", condition.type_, condition.reason),
            time: Some(condition.last_transition_time.0),
            text: condition.message.to_string(),
        }
    }

    fn of_check(check: &CheckStatus) -> Self {
        let Branch { mark, label, texts, .. } = Branch::of_check(check);
        Self { mark, title: label, time: None, text: texts.join(" ") }
    }
}

/// How what a condition speaks of is.
pub(super) fn mark_of(condition: &Condition) -> Mark {
    match condition.status.as_str() {
        "True" => Mark::Good,
        "False" if condition.reason == Reason::Progressing.as_str() => Mark::Moving,
        "False" => Mark::Bad,
        _ => Mark::Idle,
    }
}

/// The places of a resource's values, in their order.
pub(super) fn flow(resource: &ResourceReport) -> Vec<PictureNode> {
    let has_target = !resource.targets.is_empty();
    let revision = has_target.then(|| revision(resource));
    // Of a spec that cannot be read nobody knows where its values go.
    let is_readable = resource.standing != ResourceStanding::Unreadable;
    let secret = is_readable.then(|| secret(resource));
    source(resource).into_iter().chain([whole(resource)]).chain(secret).chain(revision).collect()
}

fn id(resource: &ResourceReport, place: &str) -> String {
    format!("{}/{}/{}/{place}", resource.namespace, resource.kind, resource.name)
}

/// A condition that speaks of now: not of an earlier spec, nor of the time before somebody suspended the resource.
fn current(resource: &ResourceReport, type_: ConditionType) -> Option<&Condition> {
    let is_current = !matches!(
        resource.standing,
        ResourceStanding::NotObserved
            | ResourceStanding::Unreadable
            | ResourceStanding::Outdated
            | ResourceStanding::Suspended
    );
    find(&resource.conditions, type_).filter(|_| is_current)
}

/// The mark and the words of a condition; `good` are those of one that is True.
fn judged(condition: Option<&Condition>, good: &str, nothing: &str) -> (Mark, String) {
    match condition {
        Some(condition) => match mark_of(condition) {
            Mark::Good => (Mark::Good, good.to_owned()),
            Mark::Idle => (Mark::Idle, nothing.to_owned()),
            mark => (mark, condition.reason.to_string()),
        },
        None => (Mark::Idle, nothing.to_owned()),
    }
}

/// The directory, the provider, the issuer or the W&B Server that the values are about.
fn source(resource: &ResourceReport) -> Option<PictureNode> {
    let caption = match resource.kind.as_str() {
        "LdapConfig" => "Directory",
        "OidcProvider" => "OpenID Provider",
        "JwtIssuer" => "Token issuer",
        _ => "W&B Server",
    };
    let is_of_source =
        |check: &&CheckStatus| CheckName::parse(&check.name).is_none_or(|name| !name.looks_at_target());
    let checks: Vec<_> = resource.checks.iter().filter(is_of_source).collect();
    let verified = current(resource, ConditionType::Verified);
    let count = |result: CheckResult| checks.iter().filter(|check| check.result == result).count();
    let (mark, state) = match judged(verified, "verified", "not looked at") {
        (Mark::Good, _) if count(CheckResult::Failed) > 0 => {
            (Mark::Doubtful, "verified before, a check fails now".to_owned())
        }
        (Mark::Good, _) if count(CheckResult::Warning) > 0 => {
            (Mark::Doubtful, "verified, with warnings".to_owned())
        }
        other => other,
    };
    let condition = find(&resource.conditions, ConditionType::Verified).map(PictureDetail::of_condition);
    let last = PictureDetail::at("Last check", resource.last_check_time);
    let checks = checks.into_iter().map(PictureDetail::of_check);
    Some(PictureNode {
        id: id(resource, "source"),
        caption: caption.to_owned(),
        title: resource.source.clone()?,
        mark,
        state,
        text: String::new(),
        details: condition.into_iter().chain(checks).chain(last).collect(),
    })
}

/// The resource itself.
fn whole(resource: &ResourceReport) -> PictureNode {
    let conditions = STEPS.iter().filter_map(|type_| find(&resource.conditions, *type_));
    let conditions = conditions.map(PictureDetail::of_condition);
    let complaints = resource
        .checks
        .iter()
        .filter(|check| matches!(check.result, CheckResult::Failed | CheckResult::Warning))
        .map(PictureDetail::of_check);
    let references = (!resource.references.is_empty())
        .then(|| PictureDetail::fact("Read from", resource.references.join(", ")));
    let account = resource.account.as_ref().map(|name| PictureDetail::fact("Account", name));
    let times = [
        PictureDetail::at("Next rotation", resource.next_rotation),
        PictureDetail::at("End of the token", resource.token_expiration),
        PictureDetail::at("Last check", resource.last_check_time),
    ];
    PictureNode {
        id: id(resource, "resource"),
        caption: resource.kind.clone(),
        title: resource.name.clone(),
        mark: mark(resource),
        state: word(resource),
        text: explanation(resource),
        details: conditions
            .chain(complaints)
            .chain(references)
            .chain(account)
            .chain(times.into_iter().flatten())
            .collect(),
    }
}

/// The published Secret, of which nothing but its name is known here.
fn secret(resource: &ResourceReport) -> PictureNode {
    let published = find(&resource.conditions, ConditionType::Published);
    let state =
        judged(current(resource, ConditionType::Published), "holds the current values", "not looked at");
    let (title, (mark, state)) = match &resource.secret {
        Some(secret) if secret.exists == Some(false) => {
            (secret.name.as_str(), (Mark::Bad, "does not exist".to_owned()))
        }
        // What it keeps has been verified.
        Some(secret) if state.0 == Mark::Bad => (secret.name.as_str(), (Mark::Doubtful, state.1)),
        Some(secret) => (secret.name.as_str(), state),
        None if state.0 == Mark::Bad => ("none yet", state),
        None => ("none yet", (Mark::Idle, "not written".to_owned())),
    };
    let written = PictureDetail::at("Written", resource.last_published_time);
    PictureNode {
        id: id(resource, "secret"),
        caption: "Secret".to_owned(),
        title: title.to_owned(),
        mark,
        state,
        text: String::new(),
        details: published.map(PictureDetail::of_condition).into_iter().chain(written).collect(),
    }
}

/// The immutable copy that the target's pods refer to.
fn revision(resource: &ResourceReport) -> PictureNode {
    let rolled_out = find(&resource.conditions, ConditionType::RolledOut);
    let nothing = if resource.revision.is_some() { "not looked at" } else { "not delivered" };
    let (mark, state) = judged(current(resource, ConditionType::RolledOut), "all pods run with it", nothing);
    let counts = resource.revisions_in_pods.iter().flatten().map(|count| {
        let title = count
            .revision
            .map_or_else(|| "Without a revision".to_owned(), |number| format!("Revision {number}"));
        let text = format!("{} {}, {} ready", count.pods, plural(count.pods, "pod", "pods"), count.ready);
        PictureDetail::fact(&title, text)
    });
    let previous = resource
        .previous_revision
        .map(|number| PictureDetail::fact("Would go back to", format!("revision {number}")));
    PictureNode {
        id: id(resource, "revision"),
        caption: "Revision".to_owned(),
        title: resource.revision.map_or_else(|| "none yet".to_owned(), |number| number.to_string()),
        mark,
        state,
        text: String::new(),
        details: rolled_out
            .map(PictureDetail::of_condition)
            .into_iter()
            .chain(counts)
            .chain(previous)
            .collect(),
    }
}

/// A workload that gets the values.
pub(super) fn server(server: &ServerReport) -> PictureNode {
    let (mark, state) = match (server.exists, server.wanted_pods, server.ready_pods) {
        (Some(false), ..) => (Mark::Bad, "does not exist".to_owned()),
        (Some(true), Some(wanted), Some(ready)) => {
            let mark = if ready >= wanted { Mark::Good } else { Mark::Doubtful };
            (mark, format!("{ready} of {wanted} pods ready"))
        }
        (Some(true), ..) => (Mark::None, "exists".to_owned()),
        (None, ..) => (Mark::None, "could not be read".to_owned()),
    };
    PictureNode {
        id: format!("{}/{}/{}/server", server.namespace, server.kind, server.name),
        caption: server.kind.clone(),
        title: server.name.clone(),
        mark,
        state,
        text: String::new(),
        details: vec![PictureDetail::fact("Namespace", &server.namespace)],
    }
}

/// How many pods have a place of their own.
const MOST_PODS: usize = 6;

/// The pods that run with the values of these resources, those that are not ready first, and how many more there are.
pub(super) fn pods(resources: &[&ResourceReport]) -> (Vec<PictureNode>, usize) {
    let mut pods: BTreeMap<(bool, &str), PictureNode> = BTreeMap::new();
    for resource in resources {
        for pod in &resource.pods {
            let revision = pod
                .revision
                .map_or_else(|| "without a revision".to_owned(), |number| format!("revision {number}"));
            let title = format!("{}/{}", resource.kind, resource.name);
            let node = pods.entry((pod.ready, pod.name.as_str())).or_insert_with(|| PictureNode {
                id: format!("{}/Pod/{}", resource.namespace, pod.name),
                caption: "Pod".to_owned(),
                title: pod.name.clone(),
                mark: if pod.ready { Mark::Good } else { Mark::Doubtful },
                state: if pod.ready { "ready" } else { "not ready" }.to_owned(),
                text: String::new(),
                details: Vec::new(),
            });
            // A pod that runs with other values than the resource is delivered with.
            if pod.revision != resource.revision {
                node.mark = Mark::Doubtful;
                node.state = format!("{}, {revision} of {}", node.state, resource.name);
            }
            node.details.push(PictureDetail::fact(&title, revision));
        }
    }
    let more = pods.len().saturating_sub(MOST_PODS);
    (pods.into_values().take(MOST_PODS).collect(), more)
}
