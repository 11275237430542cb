//! What a cluster's resources come to, as `-o json` and `-o yaml` print it. The tree for people is drawn of the same
//! value. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::Serialize;

use super::{
    observed::{Gap, GapCause, ObservedCluster, ObservedResource},
    pods::{PodReport, PodsOfRevision, ServerReport, pods_of, servers},
    standing::{ResourceJudgement, ResourceStanding, standing},
};
use crate::{
    api::{CheckResult, CheckStatus, Condition, GROUP},
    cli::CommandVerdict,
    workloads::Target,
};

/// The version of the shape. Within it, fields are added and never removed or renamed.
const SHAPE: &str = "cli.auth.wandb.com/v1";

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct StatusReport {
    api_version: &'static str,
    kind: &'static str,
    /// Whether all resources are Ready: `Passed`, `Failed`, or `NotUsable` where resources could not be read.
    pub(super) verdict: &'static str,
    /// What the values go to.
    pub(super) servers: Vec<ServerReport>,
    /// Every resource, in the order of namespaces, kinds and names.
    pub(super) resources: Vec<ResourceReport>,
    /// What could not be read.
    pub(super) unread: Vec<UnreadReport>,
}

/// What a resource comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceReport {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The address of the directory, the issuer or W&B Server in the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// What it comes to, in one word.
    pub(super) standing: ResourceStanding,
    /// The condition that says so; nothing where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) condition: Option<String>,
    /// The reason of that condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// What to know and to do.
    pub(super) message: String,
    pub(super) warnings: usize,
    /// `status.conditions`.
    pub(super) conditions: Vec<Condition>,
    /// `status.checks`.
    pub(super) checks: Vec<CheckStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretReport>,
    /// `Secret/NAME` or `ConfigMap/NAME` of what the spec refers to.
    pub(super) references: Vec<String>,
    /// The objects of the target, such as `Deployment/wandb`; the first one is the spec's own.
    pub(super) targets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_revision: Option<u64>,
    /// How many pods run which revision; absent where pods could not be read, or there is no target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revisions_in_pods: Option<Vec<PodsOfRevision>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) pods: Vec<PodReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_rotation: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_expiration: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_check_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_published_time: Option<Timestamp>,
    /// The last events; absent where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Vec<EventReport>>,
}

/// The published Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SecretReport {
    pub(super) name: String,
    /// Whether it is there; absent where Secrets could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exists: Option<bool>,
}

/// An event of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<Timestamp>,
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct UnreadReport {
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) why: String,
}

/// How many events of a resource are shown.
const LAST_EVENTS: usize = 10;

impl StatusReport {
    /// What was observed, in the order of namespaces, kinds and names.
    pub(in crate::cli) fn of(observed: &ObservedCluster) -> Self {
        let mut resources: Vec<_> = observed.resources.iter().collect();
        let kinds = ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"];
        let rank = |resource: &ObservedResource| kinds.iter().position(|kind| *kind == resource.kind);
        resources.sort_by(|left, right| {
            (&left.namespace, rank(left), &left.name).cmp(&(&right.namespace, rank(right), &right.name))
        });
        let mut report = Self {
            api_version: SHAPE,
            kind: "StatusReport",
            verdict: "",
            servers: servers(observed),
            resources: resources.into_iter().map(|resource| ResourceReport::of(observed, resource)).collect(),
            unread: observed.gaps.iter().map(UnreadReport::of).collect(),
        };
        report.verdict = report.verdict().as_str();
        report
    }

    /// The worst of all. Resources that could not be read may be in any state.
    pub(in crate::cli) fn verdict(&self) -> CommandVerdict {
        if self.resources.is_empty() || self.verdict_is_doubtful() {
            return CommandVerdict::NotUsable;
        }
        let each = self.resources.iter().map(ResourceReport::verdict);
        each.fold(CommandVerdict::Passed, CommandVerdict::worse)
    }

    /// Whether resources could not be read, and not only what is around them.
    pub(super) fn verdict_is_doubtful(&self) -> bool {
        self.unread.iter().any(|unread| !AROUND.contains(&unread.what.as_str()))
    }

    /// The resources that could not be read for a cause that may pass by itself, such as a lost connection, unlike a
    /// right that the person lacks.
    pub(super) fn interruptions(&self) -> Vec<UnreadReport> {
        let is_lasting = |unread: &UnreadReport| ["Forbidden", "NotFound"].contains(&unread.why.as_str());
        let interruptions = self
            .unread
            .iter()
            .filter(|unread| !AROUND.contains(&unread.what.as_str()) && !is_lasting(unread));
        interruptions.cloned().collect()
    }

    /// Whether there is no resource.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The same of this resource alone.
    #[must_use]
    pub(in crate::cli) fn only(mut self, kind: &str, name: &str) -> Self {
        self.resources.retain(|each| each.kind == kind && each.name == name);
        self.retain_servers();
        self.unread
            .retain(|unread| AROUND.contains(&unread.what.as_str()) || unread.what == format!("{kind}s"));
        self.verdict = self.verdict().as_str();
        self
    }

    /// The same without what is Ready and has no warning; the verdict speaks of all.
    #[must_use]
    pub(in crate::cli) fn without_ready(mut self) -> Self {
        self.resources.retain(|each| each.verdict() != CommandVerdict::Passed);
        self.retain_servers();
        self
    }

    /// Leaves out the servers that are nobody's target here.
    fn retain_servers(&mut self) {
        let Self { servers, resources, .. } = self;
        servers.retain(|server| {
            let is_target = |each: &ResourceReport| {
                each.namespace == server.namespace && each.targets.contains(&server.title())
            };
            resources.iter().any(is_target)
        });
    }
}

fn titles(target: &Target) -> Vec<String> {
    target.objects().into_iter().map(ToString::to_string).collect()
}

/// What a missing right hides without making the verdict doubtful.
const AROUND: [&str; 7] =
    ["Deployments", "StatefulSets", "WeightsAndBiases", "pods", "Secrets", "ConfigMaps", "events"];

impl ResourceReport {
    fn of(observed: &ObservedCluster, resource: &ObservedResource) -> Self {
        let around = observed.around(&resource.namespace);
        let status = &resource.status;
        let ResourceJudgement { standing, condition, reason, message } = standing(observed, resource);
        let names = around.secrets.as_ref().map(|secrets| {
            secrets.iter().filter_map(|secret| secret.metadata.name.as_deref()).collect::<Vec<_>>()
        });
        let secret = status.secret_ref.as_ref().map(|secret| SecretReport {
            name: secret.name.clone(),
            exists: names.map(|names| names.contains(&secret.name.as_str())),
        });
        let pods = pods_of(observed, resource);
        let warnings = status.checks.iter().filter(|check| check.result == CheckResult::Warning).count();
        let account = resource.raw_status.pointer("/account/username").and_then(serde_json::Value::as_str);
        Self {
            kind: resource.kind.clone(),
            namespace: resource.namespace.clone(),
            name: resource.name.clone(),
            source: resource.source.clone(),
            standing,
            condition,
            reason,
            message,
            warnings,
            conditions: status.conditions.clone(),
            checks: status.checks.clone(),
            secret,
            references: status
                .observed_references
                .iter()
                .map(|each| format!("{}/{}", each.kind, each.name))
                .collect(),
            targets: resource.target().map(titles).unwrap_or_default(),
            revision: status.revision,
            previous_revision: status.previous_revision,
            revisions_in_pods: pods.as_ref().map(|pods| PodsOfRevision::count(pods)),
            pods: pods.unwrap_or_default(),
            account: account.map(str::to_owned),
            next_rotation: resource.time("nextRotation"),
            token_expiration: resource.time("tokenExpiration"),
            last_check_time: status.last_check_time.as_ref().map(|time| time.0),
            last_published_time: status.last_published_time.as_ref().map(|time| time.0),
            events: around.events.as_ref().map(|events| EventReport::last(events, resource)),
        }
    }

    /// Whether it is Ready, for the exit code.
    pub(super) fn verdict(&self) -> CommandVerdict {
        let has_complaint =
            |check: &CheckStatus| matches!(check.result, CheckResult::Warning | CheckResult::Failed);
        match self.standing {
            ResourceStanding::Ready if self.checks.iter().any(has_complaint) => {
                CommandVerdict::PassedWithWarnings
            }
            ResourceStanding::Ready => CommandVerdict::Passed,
            _ => CommandVerdict::Failed,
        }
    }
}

impl EventReport {
    /// The last events of the resource, the newest last.
    fn last(events: &[Event], resource: &ObservedResource) -> Vec<Self> {
        let regarding = |event: &&Event| {
            let of = &event.involved_object;
            // Kubernetes has a ServiceAccount of its own, perhaps of the same name.
            let group = of.api_version.as_ref().and_then(|version| version.split_once('/'));
            group.is_some_and(|(group, _)| group == GROUP)
                && of.kind.as_ref() == Some(&resource.kind)
                && of.name.as_ref() == Some(&resource.name)
        };
        let mut events: Vec<_> = events.iter().filter(regarding).map(Self::of).collect();
        events.sort_by_key(|event| event.time);
        events.split_off(events.len().saturating_sub(LAST_EVENTS))
    }

    fn of(event: &Event) -> Self {
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
        let time = series.or(event.event_time.as_ref()).map(|time| time.0);
        Self {
            time: time.or_else(|| event.last_timestamp.as_ref().map(|time| time.0)),
            type_: event.type_.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
        }
    }
}

impl UnreadReport {
    fn of(gap: &Gap) -> Self {
        let why = match &gap.cause {
            GapCause::Forbidden => "Forbidden".to_owned(),
            GapCause::Unknown => "NotFound".to_owned(),
            GapCause::Other(words) => words.clone(),
        };
        Self { what: gap.what.clone(), namespace: gap.namespace.clone(), why }
    }
}
