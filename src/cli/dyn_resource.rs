//! The engine's own steps, for a resource whose kind is known only once a file was read.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use kube::ResourceExt;

use super::{
    CommandVerdict, LoginArguments,
    login::{LoginKind, LoginRun, TriedLogin},
};
use crate::{
    api::{CheckResult, ConditionType},
    api_server::Cluster,
    engine::{
        CheckContext, CheckRun, Claim, Contender, Env, Existing, Fetched, Finding, ObjectKey, Prepared,
        Reference, RenderContext, Repetition, Values, judge, owner_in_targets, prepare, read, references,
        secret_name,
    },
    net::{SharedNetwork, Terms, Trust},
    problem::Problem,
    sensitive::Sensitive,
    workloads::{Owner, Target},
};

/// A resource of any kind.
pub(super) trait Examinable: Sync {
    /// Where it was read.
    fn origin(&self) -> &str;
    /// Kind, namespace and name.
    fn title(&self) -> Title;
    /// The resource's namespace.
    fn namespace(&self) -> String;
    /// What it refers to.
    fn references(&self) -> Vec<Reference>;
    /// Runs the checks as the controller does.
    fn examine<'a>(
        &'a self,
        surroundings: CheckSurroundings<'a>,
        network: &'a Arc<SharedNetwork>,
    ) -> BoxFuture<'a, CheckedResource>;
    /// Tries a login as the arguments say.
    fn log_in<'a>(
        &'a self,
        surroundings: CheckSurroundings<'a>,
        network: &'a Arc<SharedNetwork>,
        arguments: &'a LoginArguments,
    ) -> BoxFuture<'a, anyhow::Result<TriedLogin>>;
    /// The values as they are published once every check has passed.
    fn render(&self, surroundings: CheckSurroundings<'_>) -> Result<Rendered, CheckObstacle>;
    /// What it stands in others' way with.
    fn claimant(&self) -> Option<Contender>;
}

/// What a resource is looked at with.
#[derive(Clone, Copy)]
pub(super) struct CheckSurroundings<'a> {
    /// What it refers to.
    pub(super) objects: &'a BTreeMap<ObjectKey, Fetched>,
    /// Every resource of the files, itself included.
    pub(super) resources: &'a [Box<dyn Examinable>],
    /// The cluster that references are read from, if any.
    pub(super) cluster: Option<&'a Cluster>,
}

/// Kind, namespace and name. What was read of variables has only a kind.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Title {
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        if name.is_empty() { f.write_str(kind) } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

/// What kept the checks from running, and the condition that says so in a cluster.
pub(super) struct CheckObstacle {
    pub(super) condition: ConditionType,
    pub(super) problem: Problem,
}

/// What an examination found.
pub(super) enum CheckedResource {
    /// The checks did not run.
    Obstructed(CheckObstacle),
    /// The checks ran.
    Checked(Vec<Finding>),
}

impl CheckedResource {
    /// How it ended.
    pub(super) fn verdict(&self) -> CommandVerdict {
        match self {
            Self::Obstructed(_) => CommandVerdict::NotUsable,
            Self::Checked(findings)
                if findings.iter().any(|finding| finding.result == CheckResult::Failed) =>
            {
                CommandVerdict::Failed
            }
            Self::Checked(findings)
                if findings.iter().any(|finding| finding.result == CheckResult::Warning) =>
            {
                CommandVerdict::PassedWithWarnings
            }
            Self::Checked(_) => CommandVerdict::Passed,
        }
    }
}

/// The Secret that a resource leads to.
pub(super) struct Rendered {
    pub(super) secret_name: String,
    pub(super) values: Values,
    pub(super) environment: &'static [Env],
    pub(super) destination: &'static str,
    /// The names that the resource has in targets.
    pub(super) owner: Owner,
    /// The resource's target, if it has one.
    pub(super) target: Option<Target>,
    /// What was read of Secrets, and so is not shown.
    pub(super) secrets: Vec<Sensitive>,
}

/// Stands for a value that is not printed.
pub(super) const MASK: &str = "********";

/// A secret of fewer characters may be a part of a longer value by chance.
const TELLING: usize = 8;

impl Rendered {
    /// The value, unless it is or holds what was read of a Secret.
    pub(super) fn shown<'a>(&self, value: &'a Sensitive) -> &'a str {
        let is_within = |secret: &Sensitive| {
            value == secret || (secret.expose().len() >= TELLING && value.expose().contains(secret.expose()))
        };
        if self.secrets.iter().any(is_within) { MASK } else { value.expose() }
    }
}

/// A resource as it was read from a file.
pub(super) struct Loaded<K> {
    pub(super) origin: String,
    pub(super) object: K,
}

impl<K: LoginKind> Loaded<K> {
    fn prepare(
        &self,
        surroundings: CheckSurroundings<'_>,
        trust: &Trust,
        held: Option<&Values>,
    ) -> Result<crate::engine::Planned<K>, CheckObstacle> {
        let others = surroundings.resources.iter().filter(|other| other.namespace() == self.namespace());
        let others: Vec<_> = others.filter_map(|other| other.claimant()).collect();
        let claim = Contender::of(&self.object).map(|claimant| judge(&claimant, &others));
        let prepared = prepare(&self.object, &others, surroundings.objects, trust, held.as_slice());
        let (condition, problem) = match (prepared, claim) {
            (Prepared::NotAccepted(problem), _) | (_, Some(Claim::Lost(problem))) => {
                (ConditionType::Accepted, problem)
            }
            (Prepared::Planned(planned), _) => return Ok(planned),
            (Prepared::Unresolved(problem), _) => (ConditionType::ResolvedRefs, problem),
        };
        Err(CheckObstacle { condition, problem })
    }

    /// The controller's checks, without what changes anything at a server.
    async fn look(
        &self,
        planned: &crate::engine::Planned<K>,
        surroundings: CheckSurroundings<'_>,
        published: Option<&Values>,
        network: &Arc<SharedNetwork>,
    ) -> Vec<Finding> {
        let namespace = self.namespace();
        let terms = Terms { interval: self.object.common().check_interval.get(), ..Terms::default() };
        let network = network.seen_from(&namespace).on_terms(terms);
        let check_context = CheckContext {
            cluster: surroundings.cluster,
            namespace: &namespace,
            published,
            repetition: Repetition::Never,
            ..CheckContext::without_cluster(&network)
        };
        let limit = self.object.common().check_timeout.get();
        let mut examination = CheckRun::run(planned, check_context, limit).await;
        if let Some(maintenance) = examination.maintenance() {
            examination.leave(maintenance);
        }
        examination.finish().findings.list
    }
}

impl<K: LoginKind> Examinable for Loaded<K> {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn title(&self) -> Title {
        Title { kind: K::kind(&()).into_owned(), namespace: self.namespace(), name: self.object.name_any() }
    }

    fn namespace(&self) -> String {
        self.object.namespace().unwrap_or_default()
    }

    fn references(&self) -> Vec<Reference> {
        references(&self.object)
    }

    fn examine<'a>(
        &'a self,
        surroundings: CheckSurroundings<'a>,
        network: &'a Arc<SharedNetwork>,
    ) -> BoxFuture<'a, CheckedResource> {
        async move {
            let existing = match surroundings.cluster {
                // Without the right to read the Secret, the checks begin as they do before the first publication.
                Some(cluster) => read(&cluster.client, &self.object).await.ok().map(|(_, existing)| existing),
                None => None,
            };
            let published = existing.as_ref().and_then(Existing::values);
            match self.prepare(surroundings, &network.system_trust, published) {
                Err(obstacle) => CheckedResource::Obstructed(obstacle),
                Ok(planned) => {
                    CheckedResource::Checked(self.look(&planned, surroundings, published, network).await)
                }
            }
        }
        .boxed()
    }

    fn log_in<'a>(
        &'a self,
        surroundings: CheckSurroundings<'a>,
        network: &'a Arc<SharedNetwork>,
        arguments: &'a LoginArguments,
    ) -> BoxFuture<'a, anyhow::Result<TriedLogin>> {
        async move {
            let planned = match self.prepare(surroundings, &network.system_trust, None) {
                Ok(planned) => planned,
                Err(obstacle) => return Ok(TriedLogin::obstructed(obstacle)),
            };
            let network = network.seen_from(&self.namespace());
            let limit = self.object.common().check_timeout.get();
            K::log_in(&planned, LoginRun { arguments, network: &network, limit }).await
        }
        .boxed()
    }

    fn render(&self, surroundings: CheckSurroundings<'_>) -> Result<Rendered, CheckObstacle> {
        let planned = self.prepare(surroundings, &Trust::empty(), None)?;
        let context = RenderContext { verified: true, current: None };
        let values =
            K::render(&planned.plan, &K::placeholder_evidence(&planned.plan), &context).unwrap_or_default();
        Ok(Rendered {
            secret_name: secret_name(&self.object),
            values,
            environment: K::ENVIRONMENT,
            destination: K::DESTINATION,
            owner: owner_in_targets(&self.object),
            target: self.object.common().target.as_ref().and_then(Target::of),
            secrets: planned.secrets,
        })
    }

    fn claimant(&self) -> Option<Contender> {
        Contender::of(&self.object)
    }
}
