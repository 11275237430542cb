//! The engine's own steps, for a resource whose kind is known only once a file was read.

use std::collections::BTreeMap;

use futures::{FutureExt, future::BoxFuture};
use kube::ResourceExt;

use super::Verdict;
use crate::{
    api::{CheckResult, ConditionType},
    engine::{
        Env, Fetched, Finding, Kind, ObjectKey, Prepared, Reference, RenderContext, Values, prepare, probe,
        references, secret_name,
    },
    net::{Network, Trust},
    problem::Problem,
};

/// A resource of any kind.
pub(super) trait Examinable {
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
        objects: &'a BTreeMap<ObjectKey, Fetched>,
        network: &'a Network,
    ) -> BoxFuture<'a, Examined>;
    /// The values as they are published once every check has passed.
    fn render(&self, objects: &BTreeMap<ObjectKey, Fetched>) -> Result<Rendered, Obstacle>;
}

/// Kind, namespace and name.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Title {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What kept the checks from running, and the condition that says so in a cluster.
pub(super) struct Obstacle {
    pub(super) condition: ConditionType,
    pub(super) problem: Problem,
}

/// What an examination found.
pub(super) enum Examined {
    /// The checks did not run.
    Obstructed(Obstacle),
    /// The checks ran.
    Checked(Vec<Finding>),
}

impl Examined {
    /// How it ended.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Obstructed(_) => Verdict::NotUsable,
            Self::Checked(findings)
                if findings.iter().any(|finding| finding.result == CheckResult::Failed) =>
            {
                Verdict::Failed
            }
            Self::Checked(_) => Verdict::Passed,
        }
    }
}

/// The Secret that a resource leads to.
pub(super) struct Rendered {
    pub(super) secret_name: String,
    pub(super) values: Values,
    pub(super) environment: &'static [Env],
}

/// A resource as it was read from a file.
pub(super) struct Loaded<K> {
    pub(super) origin: String,
    pub(super) object: K,
}

impl<K: Kind> Loaded<K> {
    fn prepare(
        &self,
        objects: &BTreeMap<ObjectKey, Fetched>,
        trust: &Trust,
    ) -> Result<crate::engine::Planned<K>, Obstacle> {
        let (condition, problem) = match prepare(&self.object, objects, trust) {
            Prepared::Planned(planned) => return Ok(planned),
            Prepared::NotAccepted(problem) => (ConditionType::Accepted, problem),
            Prepared::Unresolved(problem) => (ConditionType::ResolvedRefs, problem),
        };
        Err(Obstacle { condition, problem })
    }
}

impl<K: Kind> Examinable for Loaded<K> {
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
        objects: &'a BTreeMap<ObjectKey, Fetched>,
        network: &'a Network,
    ) -> BoxFuture<'a, Examined> {
        async move {
            match self.prepare(objects, &network.system_trust) {
                Err(obstacle) => Examined::Obstructed(obstacle),
                Ok(planned) => {
                    let limit = self.object.common().check_timeout.get();
                    Examined::Checked(probe(&planned, network, limit).await.list)
                }
            }
        }
        .boxed()
    }

    fn render(&self, objects: &BTreeMap<ObjectKey, Fetched>) -> Result<Rendered, Obstacle> {
        let planned = self.prepare(objects, &Trust::nobody())?;
        let values = K::render(&planned.plan, &RenderContext { verified: true, current: None });
        Ok(Rendered { secret_name: secret_name(&self.object), values, environment: K::ENVIRONMENT })
    }
}
