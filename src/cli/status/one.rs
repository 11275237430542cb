//! Everything of one resource: conditions, checks, Secret, target, pods and events. Pure.

use jiff::Timestamp;

use super::{
    draw::{ending, explanation, facts, heading, of_server, times},
    moments::{age, moment},
    pods::PodReport,
    report::{EventReport, ResourceReport, StatusReport},
    standing::{STEPS, find},
};
use crate::{
    api::{CheckResult, ConditionType},
    cli::tree::{Branch, Layout, Mark, draw_tree, of_checks},
};

/// The tree of the resource that is to be shown, if it is, with what could not be read and what it comes to.
pub(in crate::cli) fn details(
    shown: &StatusReport,
    all: &StatusReport,
    now: Timestamp,
    layout: Layout,
) -> String {
    let mut trees = Vec::new();
    for resource in &shown.resources {
        let sections = [
            conditions(resource, now),
            checks(resource),
            values(resource, now),
            target(shown, resource),
            events(resource, now),
        ];
        let root = heading(resource)
            .saying(explanation(resource))
            .saying(facts(resource))
            .saying(times(resource, now));
        trees.push(draw_tree(&root.with(sections.into_iter().flatten()), layout));
    }
    trees.push(ending(all, layout));
    trees.join("\n")
}

/// Each condition that Ready is made of. What is True needs no message.
fn conditions(resource: &ResourceReport, now: Timestamp) -> Option<Branch> {
    let steps = STEPS.iter().filter_map(|type_| find(&resource.conditions, *type_));
    let branches: Vec<_> = steps
        .map(|condition| {
            let age = age(now, condition.last_transition_time.0);
            let label = format!("{}: {}, for {age}", condition.type_, condition.reason);
            match condition.status.as_str() {
                "True" => Branch::new(Mark::Good, label),
                "False" => Branch::new(Mark::Bad, label).saying(told(resource, condition.type_.as_str())),
                _ => Branch::new(Mark::Idle, label),
            }
        })
        .collect();
    (!branches.is_empty()).then(|| Branch::new(Mark::None, "Conditions").with(branches))
}

/// The message of a condition, unless the heading or a check says the same.
fn told<'a>(resource: &'a ResourceReport, type_: &str) -> &'a str {
    let is_said = resource.condition.as_deref() == Some(type_) || type_ == ConditionType::Verified.as_str();
    let condition = resource.conditions.iter().find(|condition| condition.type_ == type_);
    condition.filter(|_| !is_said).map_or("", |condition| condition.message.as_str())
}

/// Every check of the last run.
fn checks(resource: &ResourceReport) -> Option<Branch> {
    let findings: Vec<_> = resource.checks.iter().map(|check| (check, 0.0)).collect();
    let passed = resource.checks.iter().filter(|check| check.result == CheckResult::Passed).count();
    let label = format!("Checks: {passed} of {} passed", resource.checks.len());
    (!findings.is_empty()).then(|| Branch::new(Mark::None, label).with(of_checks(&findings)))
}

/// Where the values come from and when they were written.
fn values(resource: &ResourceReport, now: Timestamp) -> Option<Branch> {
    let line = |label: String| Branch::new(Mark::None, label);
    let read = (!resource.references.is_empty())
        .then(|| line(format!("read from {}", resource.references.join(", "))));
    let checked = resource
        .last_check_time
        .map(|time| line(format!("last check {}, or up to an hour later", moment(now, time))));
    let published = resource.last_published_time.map(|time| line(format!("published {}", moment(now, time))));
    let previous =
        resource.previous_revision.map(|number| line(format!("would go back to revision {number}")));
    let branches: Vec<_> = [read, checked, published, previous].into_iter().flatten().collect();
    (!branches.is_empty()).then(|| line("Values".to_owned()).with(branches))
}

/// The objects of the target, and the pods that run with which revision.
fn target(report: &StatusReport, resource: &ResourceReport) -> Option<Branch> {
    let servers: Vec<_> = report.servers.iter().map(of_server).collect();
    let pod = |pod: &PodReport| {
        let (mark, word) = if pod.ready { (Mark::Good, "") } else { (Mark::Doubtful, ", not ready") };
        let revision = pod
            .revision
            .map_or_else(|| "without a revision".to_owned(), |number| format!("revision {number}"));
        Branch::new(mark, format!("pod {}  {revision}{word}", pod.name))
    };
    let pods = resource.pods.iter().map(pod);
    (!servers.is_empty()).then(|| Branch::new(Mark::None, "Target").with(servers).with(pods))
}

/// The last events.
fn events(resource: &ResourceReport, now: Timestamp) -> Option<Branch> {
    let event = |event: &EventReport| {
        let mark = if event.type_ == "Normal" { Mark::None } else { Mark::Doubtful };
        let age = event.time.map_or_else(String::new, |time| format!("  {} ago", age(now, time)));
        Branch::new(mark, format!("{}{age}", event.reason)).saying(&event.message)
    };
    let events: Vec<_> = resource.events.iter().flatten().map(event).collect();
    (!events.is_empty()).then(|| Branch::new(Mark::None, "Last events").with(events))
}
