//! The picture of the page: how values come from a directory or an issuer to the pods, each place on the way with its
//! state. Pure.

use serde::Serialize;

use super::{
    nodes::{PictureNode, flow, pods, server},
    timeline::{TimelineEntry, timeline},
};
use crate::cli::{
    status::{
        draw::{summary, unread},
        pods::ServerReport,
        report::{ResourceReport, StatusReport},
    },
    tree::Mark,
};

/// Everything that the page shows of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::status) struct StatusPicture {
    /// Where: a namespace, or all of them.
    place: String,
    /// The mark of the worst resource.
    mark: Mark,
    /// How many resources are how.
    summary: String,
    /// What could not be read.
    remarks: Vec<String>,
    /// A group for each server, and one for what goes to no server.
    groups: Vec<PictureGroup>,
    /// What happened lately and what comes next, the newest first.
    timeline: Vec<TimelineEntry>,
}

/// What goes to the same server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PictureGroup {
    /// The server, such as `Deployment/wandb`, with the namespace where several are shown.
    title: String,
    /// A way for each resource, from its source to its revision.
    flows: Vec<Vec<PictureNode>>,
    /// Where the ways end: the servers, and their pods.
    servers: Vec<PictureNode>,
    pods: Vec<PictureNode>,
    /// How many pods are not shown, since there are too many.
    more_pods: usize,
}

/// Which namespaces a page shows.
#[derive(Clone, Debug)]
pub(in crate::cli::status) enum PicturePlace {
    /// This one.
    Namespace(String),
    /// All of them.
    Everywhere,
}

impl PicturePlace {
    /// A name, with its namespace where several are shown.
    pub(super) fn name(&self, namespace: &str, name: &str) -> String {
        match self {
            Self::Namespace(_) => name.to_owned(),
            Self::Everywhere => format!("{namespace}: {name}"),
        }
    }
}

impl StatusPicture {
    /// The picture of a report.
    pub(in crate::cli::status) fn of(report: &StatusReport, place: &PicturePlace) -> Self {
        let of_namespaces = report.resources.chunk_by(|left, right| left.namespace == right.namespace);
        let groups = of_namespaces.flat_map(|resources| groups(&report.servers, resources, place));
        let (mark, summary) = summary(&report.resources);
        let mut remarks = unread(&report.unread);
        if report.is_empty() && remarks.is_empty() {
            remarks.push(
                "There is no LdapConfig, OidcProvider, JwtIssuer or ServiceAccount of auth.wandb.com here yet."
                    .to_owned(),
            );
        }
        Self {
            place: match place {
                PicturePlace::Namespace(name) => format!("Namespace {name}"),
                PicturePlace::Everywhere => "All namespaces".to_owned(),
            },
            mark,
            summary,
            remarks,
            groups: groups.collect(),
            timeline: timeline(&report.resources, place),
        }
    }
}

/// The groups of a namespace: each server with what it gets first, then what goes to none.
fn groups(servers: &[ServerReport], resources: &[ResourceReport], place: &PicturePlace) -> Vec<PictureGroup> {
    let mut targets: Vec<Option<&String>> = Vec::new();
    for resource in resources {
        let target = resource.targets.first();
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets.sort_by_key(|target| (target.is_none(), *target));
    let of_target = |target: Option<&String>| {
        let own: Vec<_> = resources.iter().filter(|each| each.targets.first() == target).collect();
        group(target.map(String::as_str), &own, servers, place)
    };
    targets.into_iter().map(of_target).collect()
}

fn group(
    target: Option<&str>,
    resources: &[&ResourceReport],
    servers: &[ServerReport],
    place: &PicturePlace,
) -> PictureGroup {
    let namespace = resources.first().map_or("", |resource| &resource.namespace);
    let is_meant = |each: &&ServerReport| {
        let is_target = |resource: &&ResourceReport| resource.targets.contains(&each.title());
        each.namespace == namespace && resources.iter().any(is_target)
    };
    let title = target.unwrap_or("Secret only, without a target");
    let (pods, more_pods) = pods(resources);
    PictureGroup {
        title: place.name(namespace, title),
        flows: resources.iter().map(|resource| flow(resource)).collect(),
        servers: servers.iter().filter(is_meant).map(server).collect(),
        pods,
        more_pods,
    }
}
