//! Documents that anybody may read, which many resources ask for.

use std::sync::Arc;

use url::Url;

use super::expect_ok;
use crate::{
    net::{CaBundle, HttpClient, HttpRequest, HttpResponse, Lasting, Recency, RequestKey, endpoint_of},
    problem::Problem,
};

/// The answer to a request without credentials, which several resources may share. `advice` is for an answer that is no
/// document.
///
/// Whether the operator may connect there is asked for each resource, also where the answer is shared.
pub(crate) async fn fetch(
    http: HttpClient<'_>,
    ca_bundle: Option<&CaBundle>,
    url: &Url,
    (lasting, recency): (Lasting, Recency),
    advice: impl Fn() -> &'static str,
) -> Result<Arc<HttpResponse>, Problem> {
    let network = http.network;
    let endpoint = endpoint_of(url)?;
    network.admit(url).await?;
    let key = RequestKey {
        url: url.clone(),
        host: network.identity(&endpoint.host),
        ca_bundle: ca_bundle.cloned(),
    };
    let is_as_expected = |response: &HttpResponse| expect_ok(response, url, &network.egress(), &advice);
    // Boxed, since it is moved several times on its way to being the one that is awaited.
    let request = Box::pin(async {
        let response = http.send(HttpRequest::get(url.clone())).await?;
        // What does not last is this resource's own problem.
        if !lasting.is(response.status) {
            is_as_expected(&response)?;
        }
        Ok(response)
    });
    let response = network.document(key, (lasting, recency), request).await?;
    is_as_expected(&response)?;
    Ok(response)
}
