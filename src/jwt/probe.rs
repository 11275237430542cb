//! Runs the checks of a `JwtIssuer` in their order.

use std::time::Instant;

use super::{JwtPlan, TrustedKeys, discovery, exchange, keys, reachability, samples};
use crate::{
    api::{CheckName, jwt_issuer::KeyStatus},
    engine::{CheckContext, Report},
    issuer::KeySet,
    net::HttpClient,
};

/// Runs the checks, and returns the keys that were found. Checks that need no keys run even if there are none, so
/// that one run shows everything that must be corrected.
pub(super) async fn probe(
    plan: &JwtPlan,
    context: &CheckContext<'_>,
    report: &mut Report,
) -> Option<Vec<KeyStatus>> {
    let started = Instant::now();
    let settings = &plan.settings;
    let http = plan.http(context.network);
    let found = fetch_keys(plan, http, report).await;
    let set = found.as_ref().map(|(set, _)| set);
    let trusted = set.map(|set| TrustedKeys { set, policy: &settings.keys });
    if let (Some(trusted), Some((_, advertised))) = (trusted, &found) {
        report.record(CheckName::KeysStrong, keys::strength(trusted, advertised));
    }
    let genuine = samples::judge(plan, trusted, context.now.likely, report);
    let learnt = set.map(keys::status);
    if !report.has_failed() {
        // The exchange gets a limit of its own. By the engine's limit, a server that is only slow would count as a
        // failure.
        let time_left = settings.time_limit.saturating_sub(started.elapsed()).mul_f32(SHARE);
        exchange::check(plan, http, &genuine, time_left, report).await;
    }
    learnt
}

/// The share of the remaining time that the last check may use.
const SHARE: f32 = 0.8;

/// The keys, and the algorithms that the document names.
pub(super) async fn fetch_keys(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    report: &mut Report,
) -> Option<(KeySet, Vec<String>)> {
    let document = discovery::discover(plan, http, report).await?;
    let url = &document.jwks_uri;
    let set =
        report.check(CheckName::JwksFetches, keys::fetch(plan, http, url, plan.recency_of_keys())).await?;
    let reachability = async { Ok(reachability::check(url, http.network).await) };
    report.check(CheckName::JwksReachableFromOutside, reachability).await;
    Some((set, document.algorithms))
}
