//! The addresses that a person's command may connect to.

use clap::Args;
use ipnet::IpNet;

use crate::net::EgressPolicy;

/// Whether the controller's own limits count.
#[derive(Debug, Args)]
pub struct EgressArgs {
    /// Refuse the addresses that the controller refuses.
    #[arg(long)]
    enforce_egress: bool,

    /// With --enforce-egress: network that is allowed anyway; may be repeated.
    #[arg(long, value_name = "CIDR", requires = "enforce_egress")]
    allow_egress: Vec<IpNet>,
}

impl EgressArgs {
    /// A person's own rights reach as far as that person's network; the controller's reach further.
    pub(super) fn policy(&self) -> EgressPolicy {
        if self.enforce_egress {
            EgressPolicy::Enforced { allowed: self.allow_egress.clone(), api_server: Vec::new() }
        } else {
            EgressPolicy::Unrestricted
        }
    }
}
