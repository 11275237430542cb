//! The endpoints that the discovery document names, before anything is sent to them.

use std::{collections::BTreeSet, time::Duration};

use url::Url;

use super::{OidcPlan, discovery::ProviderMetadata};
use crate::{
    api::{Reason, oidc_provider::AuthMethod},
    engine::Checked,
    issuer::{at, expect_encrypted},
    net::{self, Network},
    problem::Problem,
};

/// Who connects to an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// W&B Server, so it must be reachable from here.
    Server,
    /// People's browsers or nobody: their network may lead to places to which the cluster's does not.
    Others,
}

/// Whether every endpoint is encrypted, and those that W&B Server connects to are known to DNS and permitted by the
/// egress policy. What is seen from here of the other ones says little of people's browsers, so it never fails.
pub(super) async fn check(
    plan: &OidcPlan,
    network: &Network,
    metadata: &ProviderMetadata,
) -> Result<Checked, Problem> {
    let settings = &plan.settings;
    if metadata.token_endpoint.is_none() && settings.flow == AuthMethod::Pkce {
        return Err(Problem::new(
            Reason::InvalidEndpoint,
            "The discovery document names no token_endpoint, which authMethod: pkce needs. Enable the authorization code flow at the provider.",
        ));
    }
    let mut endpoints = list(metadata);
    for (name, url, _) in &endpoints {
        expect_encrypted(name, url, settings.plaintext)?;
    }
    // W&B does not use this one, but a request to it would carry a token, so it passes the same policy.
    let unused = metadata.userinfo_endpoint.as_ref();
    let unusable = unused.and_then(|url| expect_encrypted(USER_INFO, url, settings.plaintext).err());
    endpoints.extend(unused.filter(|_| unusable.is_none()).map(|url| (USER_INFO, url, Caller::Others)));
    let mut permitted = BTreeSet::new();
    let mut unreachable = Vec::new();
    for (name, url, caller) in &endpoints {
        let endpoint = net::endpoint_of(url).map_err(|problem| at(name, &problem))?;
        if permitted.contains(&endpoint.to_string()) {
            continue;
        }
        let admission = match caller {
            Caller::Server => network.admit(url).await.map_err(|problem| Some(at(name, &problem))),
            Caller::Others => {
                seen_by_browsers(settings.time_limit, network.admit(url)).await.map_err(|_| None)
            }
        };
        match admission {
            Ok(()) => drop(permitted.insert(endpoint.to_string())),
            Err(Some(problem)) => return Err(problem),
            Err(None) => unreachable.push(format!("{name} ({})", endpoint.host)),
        }
    }
    // What holds for the issuer was told with its document.
    let is_plain = |url: &Url| settings.issuer.is_encrypted() && url.scheme() == "http";
    let unencrypted: Vec<_> =
        endpoints.iter().filter(|(_, url, _)| is_plain(url)).map(|(name, ..)| *name).collect();
    let concerns = [
        (!unencrypted.is_empty()).then(|| (Reason::Unencrypted, in_the_clear(&unencrypted))),
        (!unreachable.is_empty()).then(|| (Reason::Inconclusive, for_browsers(&unreachable))),
        unusable.map(|problem| {
            (problem.reason, format!("{} W&B does not use it, so people can log in anyway.", problem.message))
        }),
    ];
    let concerns: Vec<_> = concerns.into_iter().flatten().collect();
    let Some((reason, _)) = concerns.first() else {
        let names: Vec<_> = endpoints.iter().map(|(name, ..)| *name).collect();
        return Ok(Checked::passed((), format!("The document's {} can be used.", names.join(", "))));
    };
    let messages: Vec<_> = concerns.iter().map(|(_, message)| message.as_str()).collect();
    Ok(Checked::warning((), *reason, messages.join(" ")))
}

fn in_the_clear(names: &[&str]) -> String {
    format!(
        "The document's {} without TLS: what goes there travels unencrypted, as spec.insecurePlaintext accepts. Give the provider https:// addresses.",
        match names {
            [name] => format!("{name} is"),
            names => format!("{} are", names.join(" and ")),
        }
    )
}

fn for_browsers(endpoints: &[String]) -> String {
    format!(
        "From here no address can be used for {}. W&B Server does not connect there itself, so this says nothing of people's browsers: check that they reach it.",
        endpoints.join(" and ")
    )
}

/// What part of the time of all checks a look may take that cannot fail, so that those which can still have time.
const SHARE: u32 = 4;

/// A look at a place that only people's browsers must reach. It ends early, since packets to another network may
/// get no answer at all.
pub(super) async fn seen_by_browsers<T>(
    time_limit: Duration,
    look: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let late = || Problem::new(Reason::TimedOut, "Nothing answers in time.");
    tokio::time::timeout(time_limit / SHARE, look).await.unwrap_or_else(|_| Err(late()))
}

const USER_INFO: &str = "userinfo_endpoint";

/// The endpoints that W&B or people's browsers use.
fn list(metadata: &ProviderMetadata) -> Vec<(&'static str, &Url, Caller)> {
    let mut endpoints = vec![("authorization_endpoint", &metadata.authorization_endpoint, Caller::Others)];
    endpoints.extend(metadata.token_endpoint.as_ref().map(|url| ("token_endpoint", url, Caller::Server)));
    endpoints.push(("jwks_uri", &metadata.document.jwks_uri, Caller::Server));
    endpoints
}
