//! The line of checks.

use super::{
    Plan, capabilities, client,
    discovery::{self, Metadata},
    endpoints, keys, provider, redirect,
};
use crate::{
    api::CheckName,
    engine::{self, Report},
    net::{Duplex, HttpClient, Network},
};

/// Runs the checks. Whatever needs the document ends when there is none; the rest is independent, so
/// that one run shows everything that is to be mended.
pub(super) async fn probe(plan: &Plan, network: &Network, report: &mut Report) {
    report.record(CheckName::ProviderRules, provider::check(&plan.settings, plan.secret.as_ref()));
    let Some(metadata) = discover(plan, network, report).await else { return };

    report.record(CheckName::FlowSupported, capabilities::flow(&plan.settings, &metadata));
    report.record(CheckName::Scopes, capabilities::scopes(&plan.settings, &metadata));

    let issuer = &plan.settings.issuer;
    let http = HttpClient {
        network,
        trust: &plan.trust,
        server_name: plan.settings.server_name.as_ref().map(|name| (issuer.endpoint(), name)),
    };
    report.check(CheckName::SigningKeys, keys::check(http, &metadata)).await;
    client::check(plan, http, &metadata, report).await;
    redirect::check(plan, http, &metadata, report).await;
}

/// From the issuer to a document whose issuer is the right one and whose endpoints are permitted.
async fn discover(plan: &Plan, network: &Network, report: &mut Report) -> Option<Metadata> {
    let connection = connect(plan, network, report).await?;
    let metadata = report.check(CheckName::Discovery, discovery::fetch(plan, network, connection)).await?;
    report.record(CheckName::IssuerMatches, discovery::matches(&plan.settings.issuer, &metadata))?;
    report.check(CheckName::Endpoints, endpoints::check(plan, network, &metadata)).await?;
    Some(metadata)
}

async fn connect(plan: &Plan, network: &Network, report: &mut Report) -> Option<Box<dyn Duplex>> {
    let issuer = &plan.settings.issuer;
    let stream = engine::reach(report, network, issuer.endpoint()).await?;
    if !issuer.is_encrypted() {
        return Some(Box::new(stream));
    }
    // Every host that parses has a name that certificates can carry.
    let name = plan.settings.server_name.clone().or_else(|| issuer.endpoint().host.server_name())?;
    Some(Box::new(engine::encrypt_stage(report, stream, &name, &plan.trust).await?))
}
