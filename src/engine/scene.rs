//! Where a run happens: what checks may use beside their plan.

use jiff::Timestamp;

use super::{Finding, Values};
use crate::{
    api_server::{Cluster, Now},
    net::Network,
    problem::Problem,
};

/// What checks may use beside their plan.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Connections to the outside.
    pub network: &'a Network,
    /// The cluster; nothing for `check` without one.
    pub cluster: Option<&'a Cluster>,
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
    /// The earliest that it may be: what cannot be undone goes by this.
    pub earliest: Timestamp,
}

impl<'a> Scene<'a> {
    /// A scene without a cluster, in which nothing was published yet.
    pub fn without_cluster(network: &'a Network) -> Self {
        let Now { time: now, earliest } = Now::local();
        Self {
            network,
            cluster: None,
            namespace: "",
            published: None,
            last_verified: None,
            last_findings: &[],
            proven: false,
            last_upkeep: None,
            unwritable: None,
            now,
            earliest,
        }
    }
}
