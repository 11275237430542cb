//! One run of the checks, within its time limit.

use std::time::Duration;

use crate::engine::{Account, CheckContext, Checked, Finding, Findings, Kind, Maintenance, Planned, Report};
use crate::{
    api::{CheckName, Reason},
    net::Usage,
    problem::Problem,
};

/// A run of the checks: what it found, and what is left to be kept up on the other side.
pub struct CheckRun<'a, K: Kind> {
    plan: &'a K::Plan,
    scene: CheckContext<'a>,
    limit: Duration,
    report: Report,
    evidence: K::Evidence,
    tended: Option<CheckName>,
}

/// What an examination came to.
pub struct CheckOutcome<E> {
    /// What was found.
    pub findings: Findings,
    /// What was learnt beside that.
    pub evidence: E,
    /// How the other side refused to be changed, where only a person can end that.
    pub refusal: Option<Finding>,
    /// What became of credentials.
    pub usage: Usage,
}

impl<'a, K: Kind> CheckRun<'a, K> {
    /// Runs every check of the plan; `limit` bounds all of them together.
    pub async fn run(planned: &'a Planned<K>, scene: CheckContext<'a>, limit: Duration) -> Self {
        let plan = &planned.plan;
        // A CA bundle need not come from a Secret, and is worth a remark all the same.
        let judges_values = planned.account == Account::Named || !planned.remarks.is_empty();
        let shared = judges_values.then_some(CheckName::SecretValues);
        let order = shared.into_iter().chain(K::checks(plan)).collect();
        let mut report = Report::new(order, planned.redactor.clone())
            .on_behalf_of(planned.account)
            .repeated(scene.repetition);
        if judges_values {
            report.record(CheckName::SecretValues, Ok(secret_values(&planned.remarks)));
        }
        // Boxed, since it is the largest part of a run.
        let probed = scene.within(limit, Box::pin(K::probe(plan, &scene, &mut report))).await;
        let evidence = probed.unwrap_or_else(|awaited| {
            report.time_out(limit, awaited);
            K::Evidence::default()
        });
        Self { plan, scene, limit, report, evidence, tended: None }
    }

    /// What is to be kept up, if anything.
    pub fn maintenance(&self) -> Option<Maintenance> {
        K::maintenance(self.plan, &self.evidence, &self.scene)
    }

    /// Keeps it up, within the time limit of the checks once more.
    pub async fn maintain(&mut self, maintenance: Maintenance) {
        self.tended = Some(maintenance.check);
        let evidence = self.evidence.clone();
        let tended = K::maintain(self.plan, &self.scene, evidence, &mut self.report);
        match self.scene.within(self.limit, tended).await {
            Ok(evidence) => self.evidence = evidence,
            Err(awaited) => self.report.time_out(self.limit, awaited),
        }
    }

    /// Tells that it could not be begun.
    pub fn refuse(&mut self, maintenance: Maintenance, problem: Problem) {
        self.report.record::<()>(maintenance.check, Err(problem));
    }

    /// Tells that it is left to the operator.
    pub fn leave(&mut self, maintenance: Maintenance) {
        self.report.skip(
            maintenance.check,
            "Left to the running operator, since it changes something at the server.",
        );
    }

    /// What it came to.
    pub fn finish(self) -> CheckOutcome<K::Evidence> {
        let findings = self.report.finish();
        let refusal = self.tended.and_then(|check| findings.refusal(&check).cloned());
        CheckOutcome { findings, evidence: self.evidence, refusal, usage: self.scene.network.usage() }
    }
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
