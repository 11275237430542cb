//! Requests tokens from Kubernetes for its service accounts (`TokenRequest`).

use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};

use crate::{
    api::Reason,
    api_server::{Acceptance, Cluster},
    engine::CheckContext,
    issuer::{Issuer, without_slash},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// The prefix of the audiences that API servers have by default.
const API_SERVER: &str = "https://kubernetes.default.svc";

/// Refuses audiences with which the token would be a credential for the cluster's own API server, as far as these
/// are known in advance. `own` are the audiences of the operator's own token.
pub(super) fn permit(audience: &str, issuer: &Issuer, own: &[String]) -> Result<(), Problem> {
    let is_issuer = without_slash(audience) == without_slash(issuer.as_str());
    let is_own = own.iter().any(|own| own == audience);
    if is_issuer || is_own || audience.starts_with(API_SERVER) {
        return Err(opens_the_cluster(audience));
    }
    Ok(())
}

fn opens_the_cluster(audience: &str) -> Problem {
    Problem::new(
        Reason::InvalidSpec,
        format!(
            "spec.credentials.federated.audience is \"{}\", which the API server of the cluster accepts for itself: whoever has such a token can use the cluster as that service account. Set an audience that only W&B Server accepts, here and in the JwtIssuer.",
            quote(audience)
        ),
    )
}

/// Refuses a token that the API server itself accepts, or whose acceptance is unknown.
async fn expect_stranger(cluster: &Cluster, token: &Sensitive, audience: &str) -> Result<(), Problem> {
    match cluster.accepts(token).await {
        Acceptance::Refused => Ok(()),
        Acceptance::Accepted => Err(opens_the_cluster(audience)),
        Acceptance::Unknown(seen) => Err(Problem::new(
            Reason::ServerUnavailable,
            format!(
                "Kubernetes made a token, but the operator could not find out whether the cluster's own API server accepts it ({}), so it is not used: only W&B Server may accept it. If this goes on, look at the API server.",
                quote(&seen)
            ),
        )),
    }
}

/// Requests a token for the service account, with one audience.
pub(super) async fn request(
    account: &str,
    expiration: Duration,
    audience: &str,
    context: &CheckContext<'_>,
) -> Result<Sensitive, Problem> {
    let Some(cluster) = context.cluster else {
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
    let accounts = Api::<ServiceAccount>::namespaced(cluster.client.clone(), context.namespace);
    let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await;
    let made = made.map_err(|error| refused(account, &error))?;
    // An answer without a token is reported later as a malformed token.
    let token = Sensitive::new(made.status.map(|status| status.token).unwrap_or_default());
    if !token.expose().is_empty() {
        expect_stranger(cluster, &token, audience).await?;
    }
    Ok(token)
}

fn refused(account: &str, error: &kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => Problem::new(
            Reason::Forbidden,
            format!(
                "The operator is not allowed to request tokens for the service account \"{account}\". Whoever may do that is that account, so the right is off by default: to allow it, name the account in the chart's value tokenRequest, or give the operator a Role with the verb create on serviceaccounts/token and resourceNames [\"{account}\"], as deploy/token-request.yaml shows."
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
            "Kubernetes does not answer the request for a token. If this goes on, look at the API server.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_made_for_the_api_server() {
        let issuer = Issuer::parse("https://oidc.eks.example/id/1").unwrap();
        let own = ["the-cluster".to_owned(), "https://api.example".to_owned()];
        for (audience, permitted) in [
            ("my-org", true),
            ("https://wandb.example", true),
            ("https://oidc.eks.example/id/2", true),
            ("https://oidc.eks.example/id/1", false),
            ("https://oidc.eks.example/id/1/", false),
            ("the-cluster", false),
            ("https://api.example", false),
            ("https://kubernetes.default.svc", false),
            ("https://kubernetes.default.svc.cluster.local", false),
        ] {
            assert_eq!(permit(audience, &issuer, &own).is_ok(), permitted, "{audience}");
        }
    }
}
