//! The line of checks.

use super::{
    Plan, capabilities, client,
    discovery::{self, Metadata},
    endpoints, keys, provider, redirect,
};
use crate::{
    api::CheckName,
    engine::{self, Report},
    net::{HttpClient, Network},
};

/// Runs the checks. Whatever needs the document ends when there is none; the rest is independent, so
/// that one run shows everything that is to be mended.
pub(super) async fn probe(plan: &Plan, network: &Network, report: &mut Report) {
    report.record(CheckName::ProviderRules, provider::check(&plan.settings, plan.secret.as_ref()));
    let Some(metadata) = discover(plan, network, report).await else { return };

    report.record(CheckName::FlowSupported, capabilities::flow(&plan.settings, &metadata));
    report.record(CheckName::Scopes, capabilities::scopes(&plan.settings, &metadata));

    let http = HttpClient { network, trust: &plan.trust };
    report.check(CheckName::SigningKeys, keys::check(http, &metadata)).await;
    client::check(plan, http, &metadata, report).await;
    redirect::check(plan, http, &metadata, report).await;
}

/// From the issuer to a document whose issuer is the right one and whose endpoints are permitted.
async fn discover(plan: &Plan, network: &Network, report: &mut Report) -> Option<Metadata> {
    let endpoint = plan.settings.issuer.endpoint();
    let connection = engine::connect(report, network, endpoint, plan.protection()).await?;
    let metadata = report.check(CheckName::Discovery, discovery::fetch(plan, network, connection)).await?;
    report.record(CheckName::IssuerMatches, plan.settings.issuer.matches(metadata.issuer().as_str()))?;
    report.check(CheckName::Endpoints, endpoints::check(plan, network, &metadata)).await?;
    Some(metadata)
}
