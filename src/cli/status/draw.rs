//! The tree of all resources: servers, what they get, and what is not as it should be. Pure.

use jiff::Timestamp;

use super::{
    moments::moment,
    pods::{PodsOfRevision, ServerReport},
    report::{ResourceReport, StatusReport, UnreadReport},
    standing::{ResourceStanding, STEPS, find},
};
use crate::{
    api::{CheckResult, CheckStatus, ConditionType},
    cli::{
        tally::counted,
        terminal::{TITLE, styled},
        tree::{Branch, Detail, Layout, Mark, draw_tree, is_shown, remark},
    },
};

/// A tree for each namespace with what is to be shown, what could not be read, and how many there are of what.
pub(in crate::cli) fn overview(
    shown: &StatusReport,
    all: &StatusReport,
    now: Timestamp,
    layout: Layout,
) -> String {
    let mut trees = Vec::new();
    for resources in shown.resources.chunk_by(|left, right| left.namespace == right.namespace) {
        let Some(first) = resources.first() else { continue };
        let servers = shown.servers.iter().filter(|server| server.namespace == first.namespace);
        let branches = branches(&servers.collect::<Vec<_>>(), resources, now);
        let title = styled(TITLE, format!("Namespace {}", first.namespace));
        trees.push(draw_tree(&Branch::new(Mark::None, title).with(branches), layout));
    }
    trees.push(ending(all, layout));
    trees.join("\n")
}

/// What could not be read, and the last line.
pub(super) fn ending(report: &StatusReport, layout: Layout) -> String {
    let unread = unread(&report.unread);
    let unread: String = unread.iter().map(|line| remark(Mark::Doubtful, line, layout)).collect();
    unread + &last_line(&report.resources)
}

/// A branch for each server with what it gets, and one for what goes to no server.
fn branches(servers: &[&ServerReport], resources: &[ResourceReport], now: Timestamp) -> Vec<Branch> {
    let of_servers = servers.iter().map(|server| {
        let title = server.title();
        let own = resources.iter().filter(|resource| resource.targets.first() == Some(&title));
        of_server(server).with(own.map(|resource| of_resource(resource, now)))
    });
    let is_unreadable = |resource: &&ResourceReport| resource.standing == ResourceStanding::Unreadable;
    let unreadable = resources.iter().filter(is_unreadable).map(|resource| of_resource(resource, now));
    let alone = resources.iter().filter(|each| each.targets.is_empty() && !is_unreadable(each));
    let alone: Vec<_> = alone.map(|resource| of_resource(resource, now)).collect();
    let without =
        (!alone.is_empty()).then(|| Branch::new(Mark::None, "Secret only, without a target").with(alone));
    of_servers.chain(without).chain(unreadable).collect()
}

/// The line of a server.
pub(super) fn of_server(server: &ServerReport) -> Branch {
    let title = styled(TITLE, server.title());
    match (server.exists, server.wanted_pods, server.ready_pods) {
        (Some(false), ..) => Branch::new(Mark::Bad, format!("{title}  does not exist")),
        (Some(true), Some(wanted), Some(ready)) => {
            let mark = if ready >= wanted { Mark::Good } else { Mark::Doubtful };
            Branch::new(mark, format!("{title}  {ready} of {wanted} {} ready", plural(wanted, "pod", "pods")))
        }
        _ => Branch::new(Mark::None, title),
    }
}

/// A resource, with what is to be known of it and with every check that did not pass.
fn of_resource(resource: &ResourceReport, now: Timestamp) -> Branch {
    let mut branch = heading(resource);
    for text in [explanation(resource), facts(resource), times(resource, now)] {
        branch = branch.saying(text);
    }
    let checks = resource.checks.iter().filter(|check| is_shown(check, Detail::Complaints));
    branch.with(others(resource)).with(checks.map(Branch::of_check))
}

/// The line of a resource: what it is and what it comes to.
pub(super) fn heading(resource: &ResourceReport) -> Branch {
    let mark = mark(resource);
    let title = styled(TITLE, format!("{}/{}", resource.kind, resource.name));
    Branch::new(mark, format!("{title}  {}", styled(mark.style(), word(resource))))
}

/// What a resource comes to, in a few words.
pub(super) fn word(resource: &ResourceReport) -> String {
    match resource.standing {
        ResourceStanding::Ready if is_failing(resource) => "Ready, but a check fails".to_owned(),
        ResourceStanding::Ready if resource.warnings > 0 => {
            format!("Ready, {} {}", resource.warnings, plural(resource.warnings, "warning", "warnings"))
        }
        ResourceStanding::Ready => "Ready".to_owned(),
        ResourceStanding::Progressing | ResourceStanding::NotReady => {
            let (condition, reason) = (&resource.condition, &resource.reason);
            let reason = reason.as_deref().unwrap_or_default();
            condition
                .as_ref()
                .map_or_else(|| "not Ready".to_owned(), |condition| format!("{condition}: {reason}"))
        }
        ResourceStanding::Suspended => "suspended".to_owned(),
        ResourceStanding::Deleting => "being deleted".to_owned(),
        ResourceStanding::NotObserved => "not looked at yet".to_owned(),
        ResourceStanding::Outdated => "was Ready".to_owned(),
        ResourceStanding::Unreadable => "cannot be read".to_owned(),
    }
}

/// How a resource is.
pub(super) fn mark(resource: &ResourceReport) -> Mark {
    match resource.standing {
        ResourceStanding::Ready if resource.warnings > 0 || is_failing(resource) => Mark::Doubtful,
        ResourceStanding::Ready => Mark::Good,
        ResourceStanding::Progressing | ResourceStanding::Deleting => Mark::Moving,
        ResourceStanding::Suspended => Mark::Idle,
        ResourceStanding::NotObserved | ResourceStanding::Outdated => Mark::Doubtful,
        ResourceStanding::NotReady | ResourceStanding::Unreadable => Mark::Bad,
    }
}

fn is_failing(resource: &ResourceReport) -> bool {
    resource.checks.iter().any(|check| check.result == CheckResult::Failed)
}

/// What is to be known and done, without what stands at a check below.
pub(super) fn explanation(resource: &ResourceReport) -> String {
    match resource.standing {
        // The first sentence of what is True says how it came about, where that is not the usual way.
        ResourceStanding::Ready => {
            let verified = find(&resource.conditions, ConditionType::Verified);
            let tolerated = verified.filter(|_| is_failing(resource));
            let tolerated = tolerated.map(|condition| first_sentence(&condition.message).to_owned());
            [tolerated, accepted(resource)].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        ResourceStanding::NotReady => {
            let failed = resource.checks.iter().filter(|check| check.result == CheckResult::Failed);
            let rest = failed.into_iter().find_map(|check| resource.message.strip_prefix(&spoken(check)));
            rest.unwrap_or(&resource.message).trim().to_owned()
        }
        _ => resource.message.clone(),
    }
}

/// How the message of Ready repeats a check.
fn spoken(check: &CheckStatus) -> String {
    format!("{}: {}", check.name, check.message)
}

fn first_sentence(text: &str) -> &str {
    text.split_once(" Worth a look: ").map_or(text, |(first, _)| first)
}

/// What Accepted says beside that the spec makes sense, such as that the resource waits for another one to go.
fn accepted(resource: &ResourceReport) -> Option<String> {
    let accepted = find(&resource.conditions, ConditionType::Accepted)?;
    let rest = accepted.message.strip_prefix("The spec is valid. ")?;
    Some(rest.to_owned())
}

/// The conditions that are False beside the one that Ready speaks of: what it means for the Secret and for the pods.
fn others(resource: &ResourceReport) -> Vec<Branch> {
    if !matches!(resource.standing, ResourceStanding::NotReady | ResourceStanding::Progressing) {
        return Vec::new();
    }
    let steps = STEPS.iter().filter_map(|type_| find(&resource.conditions, *type_));
    let others = steps.filter(|condition| {
        condition.status == "False" && Some(condition.type_.as_str()) != resource.condition.as_deref()
    });
    let branches = others.map(|condition| {
        let label = format!("{}: {}", condition.type_, condition.reason);
        Branch::new(Mark::Doubtful, label).saying(condition.message.as_str())
    });
    branches.collect()
}

/// Secret, revision and pods, in one line.
pub(super) fn facts(resource: &ResourceReport) -> String {
    let secret = resource.secret.as_ref().map(|secret| match secret.exists {
        Some(false) => format!("Secret {}, which does not exist", secret.name),
        _ => format!("Secret {}", secret.name),
    });
    let revision = resource.revision.map(|number| format!("revision {number}"));
    let more = resource.targets.get(1..).filter(|more| !more.is_empty());
    let more = more.map(|more| format!("also in {}", more.join(", ")));
    let parts: Vec<_> = [secret, revision, more].into_iter().flatten().collect();
    // What was never delivered is in no pod.
    let has_revision = |pods: &&[PodsOfRevision]| {
        resource.revision.is_some() || pods.iter().any(|pods| pods.revision.is_some())
    };
    let pods = resource.revisions_in_pods.as_deref().filter(has_revision);
    let pods = pods.map(|pods| of_pods(pods, resource.revision));
    let parts = [parts.join(", "), pods.unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Which revision the pods run.
fn of_pods(pods: &[PodsOfRevision], current: Option<u64>) -> String {
    let each = |of: &PodsOfRevision| {
        let (noun, verb) = if of.pods == 1 { ("pod", "runs") } else { ("pods", "run") };
        let what = match of.revision {
            Some(number) if Some(number) == current && pods.len() == 1 => format!("{verb} it"),
            Some(number) => format!("{verb} revision {number}"),
            None => format!("{verb} without"),
        };
        let ready = if of.ready == of.pods { String::new() } else { format!(" ({} ready)", of.ready) };
        format!("{} {noun} {what}{ready}", of.pods)
    };
    match pods {
        [] => "no pods".to_owned(),
        pods => pods.iter().map(each).collect::<Vec<_>>().join(", "),
    }
}

/// When a key is replaced and a token ends, in one line.
pub(super) fn times(resource: &ResourceReport, now: Timestamp) -> String {
    let account = resource.account.as_ref().map(|name| format!("account {name}"));
    let rotation = resource.next_rotation.map(|time| format!("next rotation {}", moment(now, time)));
    let token = resource.token_expiration.map(|time| {
        let verb = if time > now { "ends" } else { "ended" };
        format!("token {verb} {}", moment(now, time))
    });
    [account, rotation, token].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What could not be read, a line for each cause.
pub(super) fn unread(unread: &[UnreadReport]) -> Vec<String> {
    let mut causes: Vec<&str> = Vec::new();
    for each in unread {
        if !causes.contains(&each.why.as_str()) {
            causes.push(&each.why);
        }
    }
    let line = |why: &&str| {
        let of_cause = unread.iter().filter(|each| each.why == **why);
        let (mut what, mut places): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for each in of_cause {
            what.extend(Some(each.what.as_str()).filter(|name| !what.contains(name)));
            places.extend(each.namespace.as_deref().filter(|place| !places.contains(place)));
        }
        let place = match places.as_slice() {
            [] => " in all namespaces".to_owned(),
            [one] => format!(" in the namespace {one}"),
            several => format!(" in {} namespaces", several.len()),
        };
        let what = what.join(", ");
        match *why {
            "Forbidden" => format!("Left out, since you have no right to list them{place}: {what}."),
            "NotFound" => {
                format!("The cluster does not know {what}; install the operator's definitions first.")
            }
            words => format!("{what}{place} could not be read: {}.", words.trim_end_matches('.')),
        }
    };
    causes.iter().map(line).collect()
}

/// How many resources are how.
fn last_line(resources: &[ResourceReport]) -> String {
    let (mark, text) = summary(resources);
    format!("{}\n", styled(mark.style(), text))
}

/// The mark of the worst resource, and how many are how.
pub(super) fn summary(resources: &[ResourceReport]) -> (Mark, String) {
    let count =
        |is_meant: &dyn Fn(&ResourceReport) -> bool| resources.iter().filter(|each| is_meant(each)).count();
    let of = |standing: ResourceStanding| count(&|each| each.standing == standing);
    let all = [
        (of(ResourceStanding::NotReady) + of(ResourceStanding::Unreadable), "not Ready", "not Ready"),
        (of(ResourceStanding::Outdated), "was Ready", "were Ready"),
        (of(ResourceStanding::NotObserved), "not looked at", "not looked at"),
        (of(ResourceStanding::Progressing), "in progress", "in progress"),
        (of(ResourceStanding::Deleting), "being deleted", "being deleted"),
        (of(ResourceStanding::Suspended), "suspended", "suspended"),
        (of(ResourceStanding::Ready), "Ready", "Ready"),
        (
            count(&|each| each.standing == ResourceStanding::Ready && mark(each) == Mark::Doubtful),
            "of them with a warning",
            "of them with warnings",
        ),
    ];
    (resources.iter().map(mark).fold(Mark::Good, worse), counted(&all))
}

/// The mark that people must see first.
fn worse(left: Mark, right: Mark) -> Mark {
    let order = [Mark::Bad, Mark::Doubtful, Mark::Moving, Mark::Idle, Mark::Good, Mark::None];
    order.into_iter().find(|mark| [left, right].contains(mark)).unwrap_or(left)
}

/// The word for so many.
pub(super) fn plural<N: PartialEq + From<u8> + Copy>(
    count: N,
    one: &'static str,
    several: &'static str,
) -> &'static str {
    if count == 1.into() { one } else { several }
}
