//! Runs the checks of a plan within its time limit.

use std::time::Duration;

use super::{Checked, Findings, Kind, Planned, Report};
use crate::{
    api::{CheckName, Reason},
    net::Network,
    problem::Problem,
};

/// Runs every check of the plan; `limit` bounds all of them together.
pub async fn probe<K: Kind>(planned: &Planned<K>, network: &Network, limit: Duration) -> Findings {
    let own = K::checks(&planned.plan);
    let shared = planned.reads_secrets.then_some(CheckName::SecretValues);
    let mut report = Report::new(shared.into_iter().chain(own).collect(), planned.redactor.clone());
    if planned.reads_secrets {
        report.record(CheckName::SecretValues, Ok(secret_values(&planned.remarks)));
    }
    if tokio::time::timeout(limit, K::probe(&planned.plan, network, &mut report)).await.is_err() {
        report.time_out(limit);
    }
    report.finish()
}

fn secret_values(remarks: &[Problem]) -> Checked {
    let Some(first) = remarks.first() else {
        return Checked::passed((), "The referenced values are clean.");
    };
    let messages: Vec<_> = remarks.iter().map(|remark| remark.message.as_str()).collect();
    let reason = remarks
        .iter()
        .map(|remark| remark.reason)
        .find(|reason| *reason == Reason::SurroundingWhitespace)
        .unwrap_or(first.reason);
    Checked::warning((), reason, messages.join(" "))
}
