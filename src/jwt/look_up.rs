//! What other kinds ask of an issuer that a `JwtIssuer` describes.

use url::Url;

use super::{JwtPlan, JwtSettings, discovery, keys};
use crate::{
    issuer::KeySet,
    net::{CaBundle, HttpClient, Lasting, Network, Recency, Trust},
    problem::Problem,
};

/// What an issuer publishes of itself.
pub(crate) struct IssuerPublication {
    /// Where it makes tokens for clients.
    pub token_endpoint: Option<Url>,
    /// The keys that it signs with.
    pub keys: KeySet,
}

impl JwtPlan {
    /// The plan of a resource that refers to the issuer, with the authorities of that resource.
    pub(crate) fn of_neighbour(settings: JwtSettings, ca_bundle: Option<CaBundle>, trust: Trust) -> Self {
        Self { settings, samples: Vec::new(), ca_bundle, trust }
    }

    /// The spec.
    pub(crate) fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// The way to the issuer.
    pub(crate) fn http<'a>(&'a self, network: &'a Network) -> HttpClient<'a> {
        HttpClient { network, trust: &self.trust }
    }
}

/// Asks for the discovery document, at the older place only where the usual one has none, and the keys.
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
