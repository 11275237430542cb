//! Tokens that Kubernetes makes for its service accounts (`TokenRequest`).

use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};

use crate::{
    api::Reason,
    engine::Scene,
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// Has Kubernetes make a token for the service account, for one audience.
pub(super) async fn request(
    account: &str,
    expiration: Duration,
    audience: &str,
    scene: &Scene<'_>,
) -> Result<Sensitive, Problem> {
    let Some(client) = scene.client else {
        return Err(Problem::new(
            Reason::ServerUnavailable,
            "There is no cluster that could make a token. Name one, for example with --from-cluster.",
        ));
    };
    let wanted = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: i64::try_from(expiration.as_secs()).ok(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), scene.namespace);
    let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await;
    let made = made.map_err(|error| refused(account, &error))?;
    // An answer without a token is told as one that is no token.
    Ok(Sensitive::new(made.status.map(|status| status.token).unwrap_or_default()))
}

fn refused(account: &str, error: &kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => Problem::new(
            Reason::Forbidden,
            format!(
                "The operator may not request tokens for the service account \"{account}\". Whoever may do that is that account, so the right is off by default: to allow it, give the operator a Role with the verb create on serviceaccounts/token and resourceNames [\"{account}\"], as deploy/token-request.yaml shows."
            ),
        ),
        kube::Error::Api(status) if status.is_not_found() => Problem::new(
            Reason::ResourceNotFound,
            format!(
                "There is no service account \"{account}\" in this namespace. Create it, or correct spec.credentials.federated.token.serviceAccount.name."
            ),
        ),
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => Problem::new(
            Reason::OperationRefused,
            format!(
                "Kubernetes makes no token for the service account \"{account}\": {}. Correct spec.credentials.federated.token.serviceAccount.",
                quote(&status.message)
            ),
        ),
        _ => Problem::new(
            Reason::ServerUnavailable,
            "Kubernetes does not answer the request for a token. The operator tries again by itself; look at the API server if that does not pass.",
        ),
    }
}
