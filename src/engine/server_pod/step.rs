//! One step of the checks from a pod: looks how far the pod is, and creates, awaits or replaces it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    PodPresence, ServerPods,
    candidate::{self, PodCheck, owner_of},
    cluster::{self, Creation, PodView},
    decide::{self, EndingPod},
    news::rolled_out,
    outcome,
};
use crate::{
    api::Reason,
    engine::{CA_FILE, Context, Findings, Kind, Planned, Values, publish::secret::owner_in_targets},
    error::{Error, StepError},
    net::{Network, Said},
    probe::ProbeProgress,
    problem::Problem,
    sensitive::Sensitive,
    workloads::{self, Target},
};

/// How long the API server and a node may be late with what they say of a pod.
const GRACE: Duration = Duration::from_secs(10);

/// How far the checks are.
pub(super) enum PodLook {
    /// There is no pod, and none is wanted.
    Idle,
    /// The verdict is awaited; a sentence.
    Underway(String),
    /// The pod is made next; a sentence.
    Preparing(String),
    /// The pod is made once an earlier one is gone; a sentence.
    Ending(String),
    /// The checks are over.
    Over {
        /// What they found.
        findings: Findings,
        /// The revision after whose rollout the pod made them.
        revision: Option<u64>,
    },
}

/// Whether a verdict is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerdictNeed {
    /// The checks are due.
    Due,
    /// What is known is recent enough.
    Known,
}

/// What one step needs.
pub(super) struct PodStep<'a, K: Kind> {
    pub(super) object: &'a K,
    pub(super) context: &'a Context<K>,
    pub(super) planned: &'a Planned<K>,
    pub(super) network: &'a Network,
    pub(super) pods: &'a ServerPods,
    pub(super) check: PodCheck<'a, K>,
    /// The values in the published Secret, which the server has or is about to have.
    pub(super) published: Option<&'a Values>,
    pub(super) need: VerdictNeed,
    pub(super) presence: PodPresence,
}

impl<K: Kind> PodStep<'_, K> {
    /// Takes the step.
    pub(super) async fn take(&self) -> Result<PodLook, Error> {
        match cluster::find(self.object, self.context).await? {
            PodView::Absent => self.without_pod().await,
            PodView::Ending(pod, since) => self.with_ending_pod(&pod, since).await,
            PodView::Foreign => Ok(self.obstacle(&format!(
                "a pod \"{}\" exists and does not belong to this resource; rename it or delete it",
                self.check.name
            ))),
            PodView::Forbidden(words) => Ok(self.obstacle(&format!(
                "the operator may not look at it ({words}); install the chart with serverPodChecks.enabled=true"
            ))),
            PodView::Found(pod) if self.check.is_of_inputs(&pod.metadata) => self.with_pod(&pod).await,
            PodView::Found(pod) => self.with_former_pod(&pod).await,
        }
    }

    async fn with_ending_pod(&self, pod: &Pod, since: Timestamp) -> Result<PodLook, Error> {
        const STUCK: &str = "It is still being deleted: its node may not answer, or a finalizer keeps it.";
        let progress = ProbeProgress::of(pod);
        let is_of_inputs = self.check.is_of_inputs(&pod.metadata);
        let is_awaited =
            is_of_inputs && matches!(self.presence, PodPresence::Underway | PodPresence::Unknown);
        // Whoever deletes it takes nothing of what it has said.
        if is_awaited && matches!(progress, ProbeProgress::Answered(_)) {
            return self.with_pod(pod).await;
        }
        let presence = if is_of_inputs { self.presence } else { PodPresence::Ending };
        if !is_of_inputs && self.presence == PodPresence::Underway && candidate::may_have_begun(pod) {
            self.learn(progress).await?;
        }
        let ending_for = self.context.cluster.seconds().duration_since(since);
        Ok(match EndingPod::of(self.need, presence, ending_for, self.longest()) {
            EndingPod::Unwanted => {
                cluster::remove_secret(self.object, self.context).await?;
                PodLook::Idle
            }
            EndingPod::Awaited => self.waits("is being deleted"),
            EndingPod::InTheWay => PodLook::Ending(self.words("of an earlier check is still being deleted")),
            EndingPod::Lost => self.lost(STUCK),
            EndingPod::Stuck => {
                self.over(self.problem(Reason::ServerPodNotStarted, "cannot be made yet", STUCK))
            }
        })
    }

    async fn without_pod(&self) -> Result<PodLook, Error> {
        if decide::is_lost(self.need, self.presence) {
            match cluster::find_secret(self.object, self.context).await? {
                Some(secret) if !self.check.is_of_inputs(&secret) => {
                    // The pod had earlier values, and the present ones were never sent.
                    self.learn(ProbeProgress::Running).await?;
                }
                _ => return Ok(self.lost("It was deleted before it had answered.")),
            }
        }
        match self.need {
            VerdictNeed::Known => {
                // Somebody may have deleted the pod alone, or an earlier process was killed between the two.
                cluster::remove_secret(self.object, self.context).await?;
                Ok(PodLook::Idle)
            }
            VerdictNeed::Due => {
                if self.presence == PodPresence::Unknown {
                    cluster::remove_secret(self.object, self.context).await?;
                }
                self.start().await
            }
        }
    }

    /// Makes the Secret and the pod, unless the credentials must not be sent.
    async fn start(&self) -> Result<PodLook, Error> {
        let login = K::login(&self.planned.plan);
        if let Some(login) = &login
            && let Err(problem) = self.network.begin_elsewhere(login, self.longest()).await
        {
            return Ok(self.over(problem));
        }
        let look = self.begin().await;
        // Without a pod nobody sends them, also where the run ends in an error.
        if let Some(login) = &login
            && !matches!(look, Ok(PodLook::Underway(_)))
        {
            self.network.release_elsewhere(login);
        }
        look
    }

    /// Makes both once the status names them.
    async fn begin(&self) -> Result<PodLook, Error> {
        let previous = self.context.memory.previous_status(self.object);
        let named = previous.as_ref().and_then(|status| status.server_pod.as_ref());
        if named.is_none_or(|named| named.name != *self.check.name.as_str()) {
            return Ok(self.prepares("is about to be made"));
        }
        self.create(previous.as_deref().and_then(rolled_out)).await
    }

    async fn create(&self, revision: Option<u64>) -> Result<PodLook, Error> {
        let Self { object, context, check, pods, .. } = self;
        let namespace = object.namespace().unwrap_or_default();
        let Some(owner) = owner_of(*object) else { return Err(Error::Gone) };
        let Some(target) = object.common().target.as_ref().and_then(Target::of) else {
            return Ok(self.obstacle("spec has no target"));
        };
        let of_resource = owner_in_targets(*object);
        let given = self.published.and_then(|values| values.get(CA_FILE)).map(Sensitive::expose);
        let template =
            Box::pin(workloads::server_template(&context.client, &namespace, &target, &of_resource, given));
        let server = match template.await {
            Ok(Some(server)) => server,
            Ok(None) => return Ok(self.obstacle(&format!("{target} has no pods of a server to be like"))),
            Err(StepError::Problem(problem)) => {
                return Ok(self.obstacle(problem.message.trim_end_matches('.')));
            }
            Err(StepError::Error(error)) => return Err(error),
        };
        let secret = check.secret(&owner);
        match cluster::create_secret(check, &secret, context).await? {
            Creation::Created => {}
            Creation::Exists => return Ok(self.prepares("is about to be made")),
            Creation::Refused(words) => {
                return Ok(self.obstacle(&format!("the Secret with its values was not accepted: {words}")));
            }
        }
        let pod = check.pod(&owner, &server, pods, revision);
        match cluster::create_pod(*object, &pod, context).await? {
            Creation::Created | Creation::Exists => Ok(self.waits("makes the checks")),
            Creation::Refused(words) => Ok(self.obstacle(&format!(
                "the API server did not accept it: {words}. Look for a quota, an admission policy, and the right to create pods (serverPodChecks.enabled of the chart)"
            ))),
        }
    }

    /// Goes on with the pod of the present inputs.
    async fn with_pod(&self, pod: &Pod) -> Result<PodLook, Error> {
        let now = self.context.cluster.seconds();
        let is_late = candidate::age(pod, now).unsigned_abs() > self.longest();
        let revision = candidate::revision_of(pod);
        match ProbeProgress::of(pod) {
            ProbeProgress::Answered(verdict) => {
                let findings = match outcome::findings(self.planned, &verdict, &self.check.name) {
                    Ok(findings) => findings,
                    Err(why) => return Ok(self.no_verdict(pod, &why)),
                };
                let is_old = decide::is_outdated(pod, self.presence, now, self.longest());
                if is_old && findings.failure().is_none() {
                    cluster::remove(self.object, self.context).await?;
                    return Ok(self.prepares("is made again"));
                }
                if let Some(login) = K::login(&self.planned.plan) {
                    let (said, problem) = outcome::answer(&findings);
                    self.network.end_elsewhere(&login, said, problem.as_ref());
                }
                Ok(PodLook::Over { findings, revision })
            }
            // An earlier process has told of it.
            ProbeProgress::NoVerdict(_)
                if self.need == VerdictNeed::Known && self.presence == PodPresence::Unknown =>
            {
                cluster::remove(self.object, self.context).await?;
                Ok(PodLook::Idle)
            }
            ProbeProgress::NoVerdict(why) => Ok(self.no_verdict(pod, &why)),
            ProbeProgress::Waiting(why) if is_late => Ok(self.no_verdict(pod, &why)),
            ProbeProgress::Running if is_late => Ok(self
                .no_verdict(pod, &format!("It has not answered within {}s.", self.pods.patience.as_secs()))),
            ProbeProgress::Waiting(_) | ProbeProgress::Running => {
                if let Some(login) = K::login(&self.planned.plan)
                    && self.presence != PodPresence::Underway
                {
                    self.network.goes_on_elsewhere(&login, self.longest());
                }
                Ok(self.waits("makes the checks"))
            }
        }
    }

    /// Replaces a pod of earlier inputs. One that may be sending a password is awaited: what becomes of that must be
    /// known before it is sent again.
    async fn with_former_pod(&self, pod: &Pod) -> Result<PodLook, Error> {
        let now = self.context.cluster.seconds();
        let sends = K::login(&self.planned.plan).is_some() && candidate::may_have_begun(pod);
        let progress = ProbeProgress::of(pod);
        let is_late = candidate::age(pod, now).unsigned_abs() > self.longest();
        if sends && progress == ProbeProgress::Running && !is_late {
            return Ok(self.waits("still checks earlier values"));
        }
        if sends {
            self.learn(progress).await?;
        } else if let Some(login) = K::login(&self.planned.plan)
            && self.presence == PodPresence::Underway
        {
            self.network.release_elsewhere(&login);
        }
        cluster::remove(self.object, self.context).await?;
        match self.need {
            VerdictNeed::Due => Ok(self.prepares("of an earlier check is being deleted")),
            VerdictNeed::Known => Ok(PodLook::Idle),
        }
    }

    /// Takes over what a pod of earlier inputs found of its credentials, which may be those of the present ones.
    async fn learn(&self, progress: ProbeProgress) -> Result<(), Error> {
        let Some(values) = cluster::values(self.object, self.context).await? else { return Ok(()) };
        let plan = self.object.plan_of(&values, &self.network.system_trust);
        let Some(login) = plan.as_ref().and_then(K::login) else { return Ok(()) };
        let findings = match progress {
            ProbeProgress::Answered(verdict) => {
                outcome::findings(self.planned, &verdict, &self.check.name).ok()
            }
            _ => None,
        };
        let (said, problem) = findings.map_or_else(
            || {
                let why = "It ended before it had answered.";
                let problem = self.problem(Reason::ServerPodNoVerdict, "has left no verdict", why);
                (Said::Unclear, Some(problem))
            },
            |findings| outcome::answer(&findings),
        );
        self.network.end_elsewhere(&login, said, problem.as_ref());
        Ok(())
    }

    /// That a pod ended, or took too long, without a verdict.
    fn no_verdict(&self, pod: &Pod, why: &str) -> PodLook {
        if candidate::may_have_begun(pod) {
            return self.lost(why);
        }
        if let Some(login) = K::login(&self.planned.plan) {
            self.network.release_elsewhere(&login);
        }
        self.over(self.problem(Reason::ServerPodNotStarted, "has not started", why))
    }

    /// That a pod which may have sent a password left no verdict.
    fn lost(&self, why: &str) -> PodLook {
        let problem = self.problem(Reason::ServerPodNoVerdict, "has left no verdict", why);
        if let Some(login) = K::login(&self.planned.plan) {
            self.network.end_elsewhere(&login, Said::Unclear, Some(&problem));
        }
        self.over(problem)
    }

    fn problem(&self, reason: Reason, what: &str, why: &str) -> Problem {
        let name = &self.check.name;
        let message = format!(
            "The pod \"{name}\", which makes the checks in the place of the server, {what}. {why} What was verified before stays published."
        );
        Problem::new(reason, message)
    }

    /// That no pod can be made, where one is wanted.
    fn obstacle(&self, why: &str) -> PodLook {
        if self.need == VerdictNeed::Known {
            return PodLook::Idle;
        }
        let name = &self.check.name;
        let message = format!(
            "The pod \"{name}\", which would make the checks in the place of the server, cannot be made: {why}. What was verified before stays published."
        );
        self.over(Problem::new(Reason::ServerPodNotStarted, message))
    }

    fn over(&self, problem: Problem) -> PodLook {
        PodLook::Over { findings: outcome::without_verdict(self.planned, problem), revision: None }
    }

    fn prepares(&self, state: &str) -> PodLook {
        PodLook::Preparing(self.words(state))
    }

    fn waits(&self, state: &str) -> PodLook {
        PodLook::Underway(self.words(state))
    }

    fn words(&self, state: &str) -> String {
        format!("The pod \"{}\" {state}; its verdict is awaited.", self.check.name)
    }

    /// How long the pod can be there without a verdict.
    fn longest(&self) -> Duration {
        self.pods.patience.saturating_add(GRACE)
    }
}
