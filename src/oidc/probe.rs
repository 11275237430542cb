//! The line of checks.

use super::{
    OidcPlan, capabilities, client,
    discovery::{self, ProviderMetadata},
    endpoints, keys, provider, redirect,
};
use crate::{
    api::CheckName,
    engine::{self, Report},
    issuer::expect_issuer,
    net::{HttpClient, Network},
};

/// Runs the checks. Whatever needs the document ends when there is none; the rest is independent, so
/// that one run shows everything that is to be mended.
pub(super) async fn probe(plan: &OidcPlan, network: &Network, report: &mut Report) {
    report.record(CheckName::ProviderRules, provider::check(&plan.settings, plan.secret.as_ref()));
    let http = HttpClient { network, trust: &plan.trust };
    let Some(metadata) = discover(plan, http, report).await else { return };

    report.record(CheckName::FlowSupported, capabilities::flow(&plan.settings, &metadata.offers));
    report.record(CheckName::Scopes, capabilities::scopes(&plan.settings, &metadata.offers));
    report.check(CheckName::SigningKeys, keys::check(plan, http, &metadata)).await;
    client::check(plan, http, &metadata, report).await;
    redirect::check(plan, http, &metadata, report).await;
}

/// From the issuer to a document whose issuer is the right one and whose endpoints are permitted.
pub(super) async fn discover(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    report: &mut Report,
) -> Option<ProviderMetadata> {
    let (network, settings) = (http.network, &plan.settings);
    let connection = engine::connect(report, network, settings.issuer.endpoint(), plan.protection()).await?;
    let metadata = report.check(CheckName::Discovery, discovery::fetch(plan, http, connection)).await?;
    let comparison = expect_issuer(&settings.issuer, &metadata.document.issuer, http, settings.time_limit);
    report.check(CheckName::IssuerMatches, comparison).await?;
    report.check(CheckName::Endpoints, endpoints::check(plan, network, &metadata)).await?;
    Some(metadata)
}
