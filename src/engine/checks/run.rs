//! One run of the checks within its time limit, and the maintenance that follows it.

use std::time::Duration;

use crate::engine::{Account, CheckContext, Checked, Finding, Findings, Kind, Maintenance, Planned, Report};
use crate::{
    api::{CheckName, Reason},
    net::Usage,
    problem::Problem,
};

/// A run of the checks: its findings, and what must still be maintained at the server.
pub struct CheckRun<'a, K: Kind> {
    plan: &'a K::Plan,
    context: CheckContext<'a>,
    limit: Duration,
    report: Report,
    evidence: K::Evidence,
    maintained: Option<CheckName>,
}

/// The outcome of a check run.
pub struct CheckOutcome<E> {
    /// The findings.
    pub findings: Findings,
    /// What the run obtained beside its findings.
    pub evidence: E,
    /// The refusal of the maintenance request, if only a person can fix its cause.
    pub refusal: Option<Finding>,
    /// The answers to credentials.
    pub usage: Usage,
}

impl<'a, K: Kind> CheckRun<'a, K> {
    /// Runs every check of the plan; `limit` bounds all of them together.
    pub async fn run(planned: &'a Planned<K>, context: CheckContext<'a>, limit: Duration) -> Self {
        let plan = &planned.plan;
        let values = values_check(planned);
        let shared = values.iter().map(|_| CheckName::SecretValues);
        let order = shared.chain(K::checks(plan)).collect();
        let mut report = planned.report(order, context.repetition);
        if let Some(checked) = values {
            report.record(CheckName::SecretValues, Ok(checked));
        }
        // The future is boxed because it is the largest part of a run.
        let probed = context.within(limit, Box::pin(K::probe(plan, &context, &mut report))).await;
        let evidence = probed.unwrap_or_else(|awaited| {
            report.time_out(limit, awaited);
            K::Evidence::default()
        });
        Self { plan, context, limit, report, evidence, maintained: None }
    }

    /// What must be maintained at the server, if anything.
    pub fn maintenance(&self) -> Option<Maintenance> {
        K::maintenance(self.plan, &self.evidence, &self.context)
    }

    /// Maintains it, again within the time limit of the checks.
    pub async fn maintain(&mut self, maintenance: Maintenance) {
        self.maintained = Some(maintenance.check);
        let evidence = self.evidence.clone();
        let maintained = K::maintain(self.plan, &self.context, evidence, &mut self.report);
        match self.context.within(self.limit, maintained).await {
            Ok(evidence) => self.evidence = evidence,
            Err(awaited) => self.report.time_out(self.limit, awaited),
        }
    }

    /// Records that the maintenance could not be started.
    pub fn refuse(&mut self, maintenance: Maintenance, problem: Problem) {
        self.report.record::<()>(maintenance.check, Err(problem));
    }

    /// Records that the maintenance is left to the running operator.
    pub fn leave(&mut self, maintenance: Maintenance) {
        self.report.skip(
            maintenance.check,
            "Not run here: it changes something at the server, so only the running operator does it.",
        );
    }

    /// Ends the run.
    pub fn finish(self) -> CheckOutcome<K::Evidence> {
        let findings = self.report.finish();
        let refusal = self.maintained.and_then(|check| findings.refusal(&check).cloned());
        CheckOutcome { findings, evidence: self.evidence, refusal, usage: self.context.network.usage() }
    }
}

/// The check of the values that the spec refers to; `None` if there are none.
pub(in crate::engine) fn values_check<K: Kind>(planned: &Planned<K>) -> Option<Checked> {
    // The bundle need not come from a Secret, but a remark about it still needs this check.
    let judges_values = planned.account == Account::Named || !planned.remarks.is_empty();
    judges_values.then(|| secret_values(&planned.remarks))
}

fn secret_values(remarks: &[Problem]) -> Checked {
    let Some(first) = remarks.first() else {
        return Checked::passed((), "The referenced values are clean.");
    };
    let messages: Vec<_> = remarks.iter().map(|remark| remark.message.as_str()).collect();
    let graver = [Reason::DoubtfulValue, Reason::SurroundingWhitespace];
    let has = |reason: &Reason| remarks.iter().any(|remark| remark.reason == *reason);
    let reason = graver.into_iter().find(has).unwrap_or(first.reason);
    Checked::warning((), reason, messages.join(" "))
}
