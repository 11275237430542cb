//! The endpoints that the discovery document names, before anything is sent to them.

use std::collections::BTreeSet;

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
    /// W&B Server, so its cluster must know the name.
    Server,
    /// People's browsers or nobody: their network may know names that the cluster does not.
    Others,
}

/// Whether every endpoint is encrypted, known to DNS and permitted by the egress policy.
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
    let mut unknown = Vec::new();
    for (name, url, caller) in &endpoints {
        let endpoint = net::endpoint_of(url).map_err(|problem| at(name, &problem))?;
        if permitted.contains(&endpoint.to_string()) {
            continue;
        }
        match network.admit(url).await {
            Ok(()) => {
                permitted.insert(endpoint.to_string());
            }
            Err(problem) if *caller == Caller::Others && problem.reason == Reason::NameNotResolved => {
                unknown.push(format!("{name} ({})", endpoint.host));
            }
            Err(problem) => return Err(at(name, &problem)),
        }
    }
    // What holds for the issuer was told with its document.
    let is_plain = |url: &Url| settings.issuer.is_encrypted() && url.scheme() == "http";
    let unencrypted: Vec<_> =
        endpoints.iter().filter(|(_, url, _)| is_plain(url)).map(|(name, ..)| *name).collect();
    let concerns = [
        (!unencrypted.is_empty()).then(|| (Reason::Unencrypted, in_the_clear(&unencrypted))),
        (!unknown.is_empty()).then(|| (Reason::NameNotResolved, known_to_browsers(&unknown))),
        unusable.map(|problem| {
            (
                problem.reason,
                format!("{} W&B does not use it, so people can log in nevertheless.", problem.message),
            )
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
        "The document's {} without TLS: what goes there travels in the clear, as spec.insecurePlaintext accepts. Give the provider https:// addresses.",
        match names {
            [name] => format!("{name} is"),
            names => format!("{} are", names.join(" and ")),
        }
    )
}

fn known_to_browsers(endpoints: &[String]) -> String {
    format!(
        "The cluster's DNS does not know the host of {}, to which W&B Server does not connect itself. Check that people's browsers can reach it.",
        endpoints.join(" and ")
    )
}

const USER_INFO: &str = "userinfo_endpoint";

/// The endpoints that W&B or people's browsers use.
fn list(metadata: &ProviderMetadata) -> Vec<(&'static str, &Url, Caller)> {
    let mut endpoints = vec![("authorization_endpoint", &metadata.authorization_endpoint, Caller::Others)];
    endpoints.extend(metadata.token_endpoint.as_ref().map(|url| ("token_endpoint", url, Caller::Server)));
    endpoints.push(("jwks_uri", &metadata.document.jwks_uri, Caller::Server));
    endpoints
}
