//! The way to W&B Server, and whether it answers.

use super::Plan;
use crate::{
    api::CheckName,
    engine::{self, Report},
    instance::{self, Instance, health},
    net::{Duplex, HttpClient, Network},
};

/// The checks of every run, in the order in which people read them.
pub(super) fn checks(plan: &Plan) -> impl Iterator<Item = CheckName> + use<> {
    let tls = plan.account.base_url.is_encrypted().then_some(CheckName::TlsVerifies);
    [CheckName::DnsResolves, CheckName::EgressAllowed, CheckName::TcpConnects]
        .into_iter()
        .chain(tls)
        .chain([CheckName::InstanceReachable])
}

/// Reaches the server. `None` means that a check failed.
pub(super) async fn connect<'a>(
    plan: &'a Plan,
    network: &'a Network,
    report: &mut Report,
) -> Option<Instance<'a>> {
    let base_url = &plan.account.base_url;
    let connection = dial(plan, network, report).await?;
    instance::check(report, CheckName::InstanceReachable, health(base_url, connection)).await?;
    Some(instance(plan, network))
}

/// The server, for requests on connections of their own.
pub(super) fn instance<'a>(plan: &'a Plan, network: &'a Network) -> Instance<'a> {
    let base_url = &plan.account.base_url;
    let server_name = plan.account.server_name.as_ref().map(|name| (base_url.endpoint(), name));
    Instance { base_url, http: HttpClient { network, trust: &plan.trust, server_name } }
}

async fn dial(plan: &Plan, network: &Network, report: &mut Report) -> Option<Box<dyn Duplex>> {
    let base_url = &plan.account.base_url;
    let stream = engine::reach(report, network, base_url.endpoint()).await?;
    if !base_url.is_encrypted() {
        return Some(Box::new(stream));
    }
    // Every host that parses has a name that certificates can carry.
    let name = plan.account.server_name.clone().or_else(|| base_url.endpoint().host.server_name())?;
    Some(Box::new(engine::encrypt_stage(report, stream, &name, &plan.trust).await?))
}
