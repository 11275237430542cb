//! Leader election with a Lease, in the same way as client-go. Every write carries the version that was read.
//! Expiry is measured by this process's own clock since it last observed a change of the Lease, so clocks that
//! differ between nodes cannot lead to two leaders.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, ResourceExt, api::PostParams};

use crate::{error::in_words, server::Readiness};

/// How long a leader that does not renew the Lease stays leader.
const LEASE_DURATION: Duration = Duration::from_secs(10);

/// How long a leader continues without a successful renewal. It is shorter than the time that others wait.
const RENEW_DEADLINE: Duration = Duration::from_secs(7);

/// The time between two renewals by the leader.
const RENEW_PERIOD: Duration = Duration::from_secs(2);

/// How long the end of the process may be delayed by giving up the Lease.
pub(crate) const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// The time between two reads by a process that waits. A Lease that was given up is taken within two seconds.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A candidate in the election, and the Lease that decides it.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<SeenLease>,
}

/// The Lease as it was read last, and since when it has been unchanged.
struct SeenLease {
    lease: Lease,
    since: Instant,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseStep {
    /// Create it, because it does not exist.
    Create,
    /// Renew it, because this process holds it.
    Renew,
    /// Take it over, because nobody holds it or its holder has not renewed it for too long.
    TakeOver,
    /// Wait, because somebody else leads.
    Wait,
}

/// Decides what to do about the Lease. This is pure.
fn decide(identity: &str, seen: Option<(&LeaseSpec, Duration)>) -> LeaseStep {
    let Some((spec, unchanged_for)) = seen else {
        return LeaseStep::Create;
    };
    match spec.holder_identity.as_deref() {
        Some(holder) if holder == identity => LeaseStep::Renew,
        None | Some("") => LeaseStep::TakeOver,
        Some(_) => {
            let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let duration = seconds.map_or(LEASE_DURATION, Duration::from_secs);
            if unchanged_for > duration { LeaseStep::TakeOver } else { LeaseStep::Wait }
        }
    }
}

impl Election {
    /// A candidate with this identity.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), identity, seen: None }
    }

    /// Waits until this process leads.
    ///
    /// A replica that is on standby counts as ready, but only after it has read the Lease: a replica that cannot
    /// reach the API server must not replace one that can.
    pub async fn win(&mut self, readiness: &Readiness) {
        readiness.waits(format!("the Lease {} was not read yet", self.name));
        let mut last_warning = None;
        loop {
            match self.look_and_claim(RENEW_DEADLINE).await {
                // A leader becomes ready only when it has listed its resources.
                Ok(LeaseClaim::Ours) => {
                    readiness.waits_for_listing();
                    return;
                }
                Ok(LeaseClaim::Contested | LeaseClaim::Theirs) => {
                    last_warning = None;
                    readiness.set_ready();
                }
                Err(error) => {
                    let obstacle = format!("the Lease {} could not be read or written: {error}", self.name);
                    readiness.waits(obstacle.clone());
                    // It is tried every second, but each cause is logged only once.
                    if last_warning.as_ref() != Some(&obstacle) {
                        tracing::warn!("{obstacle}");
                        last_warning = Some(obstacle);
                    }
                }
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Keeps leading, and returns when the leadership is lost.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW_PERIOD).await;
            // Others measure from the write and not from its answer, so this process must do the same.
            let asked = Instant::now();
            match self.look_and_claim(RENEW_DEADLINE.saturating_sub(renewed.elapsed())).await {
                Ok(LeaseClaim::Ours) => renewed = asked,
                Ok(LeaseClaim::Theirs) => return,
                Ok(LeaseClaim::Contested) => {}
                Err(error) => tracing::warn!(error, "the Lease could not be renewed"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Reads the Lease within a time limit, and claims it if that is allowed. The error is a text.
    async fn look_and_claim(&mut self, limit: Duration) -> Result<LeaseClaim, String> {
        match tokio::time::timeout(limit, self.try_once()).await {
            Ok(claim) => claim.map_err(|error| in_words(&error)),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    async fn try_once(&mut self) -> Result<LeaseClaim, kube::Error> {
        self.look().await?;
        let now = Instant::now();
        let seen = self.seen.as_ref();
        let spec = seen.and_then(|seen| Some((seen.lease.spec.as_ref()?, now.duration_since(seen.since))));
        // A Lease without a spec has no holder.
        let step = match (seen, spec) {
            (Some(_), None) => LeaseStep::TakeOver,
            _ => decide(&self.identity, spec),
        };
        let lease = self.claim(step);
        let written = match step {
            LeaseStep::Wait => return Ok(LeaseClaim::Theirs),
            LeaseStep::Create => self.api.create(&PostParams::default(), &lease).await,
            LeaseStep::Renew | LeaseStep::TakeOver => {
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.seen = Some(SeenLease { lease, since: now });
                Ok(LeaseClaim::Ours)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(LeaseClaim::Contested)
            }
            Err(error) => Err(error),
        }
    }

    async fn look(&mut self) -> Result<(), kube::Error> {
        let lease = self.api.get_opt(&self.name).await?;
        self.seen = lease.map(|lease| match self.seen.take() {
            Some(seen) if seen.lease.resource_version() == lease.resource_version() => seen,
            _ => SeenLease { lease, since: Instant::now() },
        });
        Ok(())
    }

    /// The Lease with this process as its holder.
    fn claim(&self, step: LeaseStep) -> Lease {
        let mut lease = self.seen.as_ref().map(|seen| seen.lease.clone()).unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if step != LeaseStep::Renew {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = spec.lease_transitions.map_or(Some(0), |count| count.checked_add(1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }

    /// Gives the Lease up, so that another process need not wait for it to expire.
    pub async fn release(&mut self) {
        if !matches!(tokio::time::timeout(RELEASE_LIMIT, self.try_release()).await, Ok(Ok(()))) {
            tracing::warn!("the Lease was not released and will expire");
        }
    }

    async fn try_release(&mut self) -> Result<(), kube::Error> {
        // A renewal that was interrupted may still have been performed, so the Lease must be read again.
        self.look().await?;
        let Some(SeenLease { lease, .. }) = self.seen.take() else { return Ok(()) };
        let mut released = lease;
        match &mut released.spec {
            Some(spec) if spec.holder_identity.as_deref() == Some(&self.identity) => {
                spec.holder_identity = Some(String::new());
                spec.renew_time = Some(MicroTime(Timestamp::now()));
            }
            // Somebody else holds it by now.
            _ => return Ok(()),
        }
        self.api.replace(&self.name, &PostParams::default(), &released).await.map(drop)
    }
}

/// Who holds the Lease after an attempt to claim it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseClaim {
    /// This process holds it.
    Ours,
    /// Somebody wrote it at the same time, possibly an earlier attempt of this process. The next read shows who.
    Contested,
    /// Somebody else holds it.
    Theirs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(10),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn takes_only_what_is_free_or_expired() {
        let second = Duration::from_secs(1);
        assert_eq!(decide("me", None), LeaseStep::Create);
        for (holder, unchanged_for, step) in [
            ("me", second, LeaseStep::Renew),
            ("me", second * 60, LeaseStep::Renew),
            ("", second, LeaseStep::TakeOver),
            ("other", second * 10, LeaseStep::Wait),
            ("other", second * 11, LeaseStep::TakeOver),
        ] {
            assert_eq!(
                decide("me", Some((&held_by(holder), unchanged_for))),
                step,
                "{holder} {unchanged_for:?}"
            );
        }
    }

    #[test]
    fn a_leader_gives_up_before_others_take_over() {
        assert!(RENEW_DEADLINE + RENEW_PERIOD < LEASE_DURATION);
    }
}
