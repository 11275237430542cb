//! Connects to W&B Server, and checks that it answers.

use super::account::AccountPlan;
use crate::{
    api::CheckName,
    engine::{self, Protection, Report},
    instance::{self, Instance, health},
    net::{HttpClient, Network},
};

/// The names of the checks with which every run begins, in their order.
pub(super) fn checks(plan: &AccountPlan) -> impl Iterator<Item = CheckName> + use<> {
    protection(plan).checks().chain([CheckName::InstanceReachable])
}

fn protection(plan: &AccountPlan) -> Protection<'_> {
    if !plan.settings.base_url.is_encrypted() {
        return Protection::Plaintext;
    }
    Protection::Tls(&plan.trust)
}

/// Connects to the server. `None` means that a check failed.
pub(super) async fn connect<'a>(
    plan: &'a AccountPlan,
    network: &'a Network,
    report: &mut Report,
) -> Option<Instance<'a>> {
    let base_url = &plan.settings.base_url;
    let connection = engine::connect(report, network, base_url.endpoint(), protection(plan)).await?;
    instance::check(report, CheckName::InstanceReachable, health(base_url, connection, network.meter()))
        .await?;
    Some(instance(plan, network))
}

/// The server for further requests, each of which uses a connection of its own.
pub(super) fn instance<'a>(plan: &'a AccountPlan, network: &'a Network) -> Instance<'a> {
    Instance { base_url: &plan.settings.base_url, http: HttpClient { network, trust: &plan.trust } }
}
