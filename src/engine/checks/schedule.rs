//! When the checks of a resource are made again. Pure.

use std::time::Duration;

use super::history::{CheckHistory, Renewal, Retrial, RunVerdict};
use crate::api::names::CredentialsAnswer;

/// The settings of the spec that decide when checks are repeated.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long after checks that passed they are made again: `spec.checkInterval`, or a multiple of it where a pod
    /// makes them. It delays no checks that failed.
    pub interval: Duration,
    /// How long after checks that failed they are made again at the latest: `spec.checkInterval`.
    pub retry: Duration,
    /// `spec.failureThreshold`.
    pub threshold: u32,
}

/// The first wait after a failure. It doubles with each failure, up to the interval.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest wait while values are overdue, since they may expire before the next check.
pub(super) const OVERDUE_RETRY: Duration = Duration::from_mins(1);

/// The shortest wait before credentials that got no clear answer are sent again: servers usually count wrong
/// passwords over the last half hour.
pub(super) const SELDOM: Duration = Duration::from_mins(30);

/// The share of a wait by which it may be extended at random.
pub(super) const JITTER_SHARE: f64 = 0.05;

impl Schedule {
    pub(super) fn delay<E>(self, history: &CheckHistory<E>) -> Duration {
        // The server counts wrong credentials and only other ones help, so quick retries are left out.
        if history.findings.need_other_credentials() {
            return self.retry;
        }
        if history.retrial() == Retrial::Seldom {
            return match history.findings.credentials_answer() {
                // Tries on a long interval could come as regularly as the windows over which servers count, so
                // the interval is doubled.
                Some(CredentialsAnswer::Unclear) if self.retry >= SELDOM => self.retry.saturating_mul(2),
                _ => self.retry.max(SELDOM),
            };
        }
        match history.verdict(self.threshold) {
            RunVerdict::Passed | RunVerdict::Tolerated { .. } if history.renewal == Renewal::Overdue => {
                self.interval.min(OVERDUE_RETRY)
            }
            RunVerdict::Passed => self.interval,
            RunVerdict::Tolerated { .. } => self.retry,
            RunVerdict::Failed(_) | RunVerdict::Held(_) | RunVerdict::Pending(_) => {
                let doublings = history.failures.saturating_sub(1).min(16);
                let longest = match history.renewal {
                    Renewal::Overdue => self.retry.min(OVERDUE_RETRY),
                    Renewal::Never | Renewal::At(_) => self.retry,
                };
                FIRST_RETRY.saturating_mul(1 << doublings).min(longest)
            }
        }
    }
}
