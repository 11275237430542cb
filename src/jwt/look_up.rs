//! What other kinds need from an issuer that a `JwtIssuer` describes.

use url::Url;

use super::{JwtPlan, JwtSettings, discovery, keys};
use crate::{
    issuer::KeySet,
    net::{CaBundle, HttpClient, Lasting, Network, Recency, Trust},
    problem::Problem,
};

/// The document and keys of an issuer, as far as other kinds need them.
pub(crate) struct IssuerPublication {
    /// The URL at which clients request tokens.
    pub token_endpoint: Option<Url>,
    /// The keys with which the issuer signs.
    pub keys: KeySet,
}

impl JwtPlan {
    /// The plan for a resource that refers to the `JwtIssuer`, with the certificate authorities of that resource.
    pub(crate) fn of_neighbour(settings: JwtSettings, ca_bundle: Option<CaBundle>, trust: Trust) -> Self {
        Self { settings, samples: Vec::new(), ca_bundle, trust }
    }

    /// The parsed spec.
    pub(crate) fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// The client for requests to the issuer.
    pub(crate) fn http<'a>(&'a self, network: &'a Network) -> HttpClient<'a> {
        HttpClient { network, trust: &self.trust }
    }
}

/// Fetches the discovery document and the keys. The older place of the document is tried only if the usual one
/// fails.
pub(crate) async fn look_up(plan: &JwtPlan, network: &Network) -> Result<IssuerPublication, Problem> {
    let http = plan.http(network);
    let issuer = &plan.settings.issuer;
    let document =
        match discovery::document(plan, http, issuer.well_known_url(), (Lasting::Found, Recency::JustNow))
            .await
        {
            Ok(document) => document,
            Err(problem) => discovery::document(
                plan,
                http,
                issuer.older_well_known_url(),
                (Lasting::FoundOrAbsent, Recency::JustNow),
            )
            .await
            .map_err(|_| problem)?,
        };
    issuer.matches(&document.issuer)?;
    let keys = keys::fetch(plan, http, &document.jwks_uri, Recency::JustNow).await?.into_value();
    let token_endpoint = document.token_endpoint.as_deref().and_then(|text| Url::parse(text).ok());
    Ok(IssuerPublication { token_endpoint, keys })
}
