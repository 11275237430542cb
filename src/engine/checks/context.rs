//! The circumstances of a run: what checks may use beside their plan.

use std::time::Duration;

use crate::engine::{Awaited, Finding, Values};
use crate::{
    api_server::{Cluster, Now},
    net::Network,
    problem::Problem,
};

/// What checks may use beside their plan.
#[derive(Clone, Copy)]
pub struct CheckContext<'a> {
    /// Connections to the outside.
    pub network: &'a Network,
    /// The cluster; `None` for the command `check` without one.
    pub cluster: Option<&'a Cluster>,
    /// The resource's namespace.
    pub namespace: &'a str,
    /// The values in the Secret, if it exists and belongs to the resource.
    pub published: Option<&'a Values>,
    /// The values that last passed in this process. The Secret may have other ones, because somebody edited it or
    /// it was never written.
    pub last_verified: Option<&'a Values>,
    /// The findings of the last run, if that had the same inputs.
    pub last_findings: &'a [Finding],
    /// Whether the same inputs passed before, so that the published values come from them.
    pub verified_once: bool,
    /// The refusal of the last [`Kind::maintain`](crate::engine::Kind::maintain), if repeating the request would
    /// not help.
    pub refused_maintenance: Option<&'a Finding>,
    /// Why the Secret could not be written a short while ago. Credentials that are made while that lasts would be
    /// lost.
    pub unwritable: Option<&'a Problem>,
    /// The time of the run.
    pub now: Now,
    /// Whether anybody looks again by himself.
    pub repetition: Repetition,
}

/// Whether the checks are made again without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repetition {
    /// The operator makes them, again and again.
    #[default]
    ByOperator,
    /// A person makes them, once: nothing is to be promised.
    Never,
}

impl<'a> CheckContext<'a> {
    /// Awaits work within a time limit. The error says what the work was waiting for when the time was over.
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Awaited> {
        let mut work = std::pin::pin!(work);
        let meter = self.network.meter();
        let done = tokio::select! {
            done = tokio::time::timeout(limit, work.as_mut()) => done,
            () = meter.overstays() => return Err(Awaited::Rest),
        };
        // This must be read while the work still exists, because dropping the work ends its waiting.
        let awaited = if meter.is_waiting() {
            Awaited::Memory
        } else if self.network.awaits_others() {
            Awaited::Others
        } else {
            Awaited::Answer
        };
        done.map_err(|_| awaited)
    }

    /// A context without a cluster, in which nothing was published yet.
    pub fn without_cluster(network: &'a Network) -> Self {
        Self {
            network,
            cluster: None,
            namespace: "",
            published: None,
            last_verified: None,
            last_findings: &[],
            verified_once: false,
            refused_maintenance: None,
            unwritable: None,
            now: Now::local(),
            repetition: Repetition::ByOperator,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use super::*;
    use crate::net::{Consequence, EgressPolicy, Endpoint, Host, Login, Said, SharedNetwork};

    #[tokio::test]
    async fn a_run_that_waited_for_others_has_sent_nothing() {
        let shared = Arc::new(SharedNetwork::new(EgressPolicy::Unrestricted));
        let network = shared.seen_from("a");
        let login = Login {
            server: Endpoint { host: Host::parse("ldap.example.com").unwrap(), port: 636 },
            account: "cn=w".to_owned(),
            secret: "password".into(),
            consequence: Consequence::Lock,
        };
        let _recall = shared.credentials.begin_recall();
        let send = network.send_once(&login, pending::<Result<(), Problem>>(), |_| Said::Accepted);
        let outcome = CheckContext::without_cluster(&network).within(Duration::from_millis(20), send).await;
        assert_eq!(outcome.err(), Some(Awaited::Others));
    }

    #[tokio::test]
    async fn a_run_that_had_no_memory_in_time_says_nothing_about_the_server() {
        const LARGE: u64 = 2 << 20;
        const LIMIT: Duration = Duration::from_millis(20);
        let shared = Arc::new(SharedNetwork::new(EgressPolicy::Unrestricted));
        let [first, second, third] = [(); 3].map(|()| shared.seen_from("a"));
        let check_context = CheckContext::without_cluster(&third);
        assert_eq!(check_context.within(LIMIT, pending::<()>()).await, Err(Awaited::Answer));
        first.meter().take(LARGE).await;
        second.meter().take(LARGE).await;
        assert_eq!(check_context.within(LIMIT, third.meter().take(LARGE)).await, Err(Awaited::Memory));
        drop(first);
        assert_eq!(check_context.within(LIMIT, third.meter().take(0)).await, Ok(()));
    }
}
