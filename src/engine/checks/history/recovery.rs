//! What the next process learns of the checks from a status.

use std::time::Instant;

use super::{CheckHistory, CheckKey, Renewal, Retrial};
use crate::{
    api::{CheckName, Status},
    engine::{
        Account, CheckedInputs, Finding, Findings,
        checks::first_check::Spread,
        status::reading::{is_verified, was_verified_once},
    },
    net::Usage,
};

impl<E> CheckHistory<E> {
    /// The history that a status holds of an earlier process's run with the same inputs.
    ///
    /// Findings are taken from it only where repeating the checks could do harm; otherwise the checks are due.
    /// That the inputs passed is taken from it only if this same version of the operator wrote it, since another
    /// version may have published other values for them.
    pub fn recover(
        status: &Status,
        check_key: CheckKey,
        checked_inputs: &CheckedInputs,
        (account, threshold): (Account, u32),
        now: Instant,
    ) -> Option<Self>
    where
        E: Default,
    {
        if !checked_inputs.agrees_with(status) {
            return None;
        }
        let findings = Findings {
            list: status
                .checks
                .iter()
                .filter_map(Finding::from_status)
                .filter(|finding| !finding.name.looks_at_target())
                .collect(),
            account,
            ..Findings::default()
        };
        let verified = is_verified(status);
        let verified_once = was_verified_once(status) && checked_inputs.agrees_with_own(status);
        let failures = if verified { 0 } else { threshold };
        let refusal = CheckName::MAINTENANCE.iter().find_map(|check| findings.refusal(check)).cloned();
        let is_refused = refusal.is_some();
        // What was asked for while no operator ran is news.
        let check_key = CheckKey { requests: Vec::new(), ..check_key };
        let recovered = Self {
            check_key,
            findings,
            evidence: E::default(),
            verified_once,
            failures,
            checked_at: None,
            last_check: status.last_check_time.as_ref().map(|time| time.0),
            spread: None,
            renewal: Renewal::Never,
            refusal: refusal.map(|finding| Box::new((finding, now))),
            jitter: 0.0,
            usage: Usage::default(),
            pending: None,
            is_under_way: false,
        };
        let retrial = recovered.retrial();
        // The status does not say how long ago the credentials were sent, so the wait begins anew.
        let checked_at = (retrial == Retrial::Seldom).then_some(now);
        (retrial != Retrial::Scheduled || verified_once || is_refused)
            .then_some(Self { checked_at, ..recovered })
    }

    /// The same history, with the checks due at the resource's own point of the interval, if the status shows
    /// that nothing was wrong.
    #[must_use]
    pub fn spread(self, spread: Spread) -> Self {
        let is_settled = self.checked_at.is_none()
            && self.verified_once
            && self.failures == 0
            && self.refusal.is_none()
            && !self.findings.list.is_empty()
            && self.findings.failure().is_none();
        Self { spread: is_settled.then_some(spread), ..self }
    }
}
