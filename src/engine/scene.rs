//! Where a run happens: what checks may use beside their plan.

use jiff::Timestamp;
use kube::Client;

use super::{Awaited, Finding, Values};
use crate::{net::Network, problem::Problem};

/// What checks may use beside their plan.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Connections to the outside.
    pub network: &'a Network,
    /// The API server; nothing for `check` without a cluster.
    pub client: Option<&'a Client>,
    /// The resource's namespace.
    pub namespace: &'a str,
    /// What the Secret holds, if it is there and ours.
    pub published: Option<&'a Values>,
    /// What this process saw pass last; somebody else may have edited the Secret since, or it was never written.
    pub last_verified: Option<&'a Values>,
    /// What the last run found, where it had the same inputs.
    pub last_findings: &'a [Finding],
    /// Whether the same inputs passed before: what is published for them comes from them.
    pub proven: bool,
    /// How the other side refused what [`Kind::tend`](super::Kind::tend) asked, where asking again is of no use.
    pub last_upkeep: Option<&'a Finding>,
    /// Why the Secret could not be written a short while ago: what is made for it would be lost.
    pub unwritable: Option<&'a Problem>,
    /// The time of the run.
    pub now: Timestamp,
}

impl<'a> Scene<'a> {
    /// What a run waited for when its time was over.
    pub fn awaited(&self) -> Awaited {
        if self.network.meter().is_waiting() { Awaited::Memory } else { Awaited::Answer }
    }

    /// A scene without a cluster, in which nothing was published yet.
    pub fn without_cluster(network: &'a Network) -> Self {
        Self {
            network,
            client: None,
            namespace: "",
            published: None,
            last_verified: None,
            last_findings: &[],
            proven: false,
            last_upkeep: None,
            unwritable: None,
            now: Timestamp::now(),
        }
    }
}
