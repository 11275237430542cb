//! Tokens that Kubernetes makes for its own service accounts.

use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use test_support::{API_AUDIENCE, ControlPlane, WandbServer, Workspace};

use super::{AUDIENCE, claims, published, service_account};
use crate::{
    service_account::most_requests,
    world::{self, certificate, operator, put_authority, workspace},
};

const FROM_KUBERNETES: &str = "serviceAccount: {name: trainer, expiration: 10m}";

/// The same right for the control plane's user that stands for the operator.
const BINDING: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: token-request}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: wandb-auth-operator-token-request}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: operator}]
";

#[tokio::test]
async fn kubernetes_makes_tokens_once_it_is_allowed_to() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let certificate = certificate()?;
    let workspace = workspace().await?;
    let issuer = format!("https://{}", plane.address());
    let subject = format!("system:serviceaccount:{}:trainer", workspace.namespace());
    let server = WandbServer::builder().certificate(&certificate).start()?;
    server.accept_audience(AUDIENCE);
    server.federated_account(&subject, "research");
    let discovery = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "issuer-discovery"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
    });
    let bindings = Api::<ClusterRoleBinding>::all(workspace.client().clone());
    bindings
        .patch("issuer-discovery", &PatchParams::apply("test").force(), &Patch::Apply(&discovery))
        .await?;
    let keys = workspace.client().request_text(http_get("/openid/v1/jwks")?).await?;
    server.register_issuer(&issuer, &keys)?;

    // The authorities of the API server and of W&B Server in one bundle.
    let bundle = format!("{}{}", plane.authority_pem(), certificate.authority_pem);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": bundle}});
    workspace.apply(&map.to_string()).await?;
    workspace.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: trainer}\n").await?;
    let _operator = operator(&workspace)?;
    workspace.apply(&super::jwt_issuer(&issuer, "")).await?;
    workspace.wait_until_ready("JwtIssuer", "main").await?;
    let account = service_account(&server.base_url(), FROM_KUBERNETES, "checkInterval: 10s");
    let account = account.replace("subject: ci", &format!("subject: {subject}"));
    workspace.apply(&account).await?;
    let status = workspace.wait_for_reason("ServiceAccount", "ci", "Verified", "Forbidden").await?;
    let message = super::message(&status, "Ready")?;
    assert!(message.contains("serviceaccounts/token") && message.contains("trainer"), "{message}");

    workspace.apply(include_str!("../../../../deploy/token-request.yaml")).await?;
    workspace.apply(BINDING).await?;
    workspace.wait_until_ready("ServiceAccount", "ci").await?;
    let token = published(&workspace).await?.remove("identity-token").unwrap_or_default();
    let claimed = claims(&token)?;
    assert_eq!((&claimed["sub"], &claimed["aud"]), (&json!(subject), &json!([AUDIENCE])));
    let expiration =
        claimed["exp"].as_i64().unwrap_or_default() - claimed["iat"].as_i64().unwrap_or_default();
    assert_eq!(expiration, 600);

    // The right is for that account and no other.
    let other = account.replace("name: trainer", "name: default").replace("{name: ci}", "{name: other}");
    let other = other.replace(":trainer", ":default");
    workspace.apply(&other).await?;
    workspace.wait_for_reason("ServiceAccount", "other", "Verified", "Forbidden").await?;
    Ok(())
}

/// Applies an account whose tokens would be for that audience, and gives what is said of it.
async fn refused(workspace: &Workspace, issuer: &str, audience: &str) -> Result<String> {
    workspace.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: trainer}\n").await?;
    workspace.apply(include_str!("../../../../deploy/token-request.yaml")).await?;
    let issuer = super::jwt_issuer(issuer, "").replace(AUDIENCE, audience);
    workspace.apply(&issuer).await?;
    workspace.wait_until_ready("JwtIssuer", "main").await?;
    let account = service_account("https://127.0.0.1:1", FROM_KUBERNETES, "");
    workspace.apply(&account.replace(AUDIENCE, audience)).await?;
    let is_refused = |status: &Value| {
        super::finding(status, "TokenObtained").is_ok_and(|found| found["reason"] == "InvalidSpec")
    };
    let status = workspace.wait_for("ServiceAccount", "ci", is_refused).await?;
    ensure!(workspace.secrets().get_opt("ci-wsa").await?.is_none(), "nothing is published");
    Ok(super::finding(&status, "TokenObtained")?["message"].to_string())
}

#[tokio::test]
async fn no_token_opens_the_api_server() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let certificate = certificate()?;
    let provider = world::provider(&certificate)?;
    for inside in [true, false] {
        let (workspace, started) = (workspace().await?, Instant::now());
        put_authority(&workspace, &certificate).await?;
        // With a token of its own the operator knows the audiences; without, it tries the token that it gets.
        let _operator = if inside {
            workspace.start_operator_inside(world::program(), &world::ARGUMENTS).await?
        } else {
            workspace.apply(BINDING).await?;
            operator(&workspace)?
        };
        let message = refused(&workspace, provider.issuer(), API_AUDIENCE).await?;
        ensure!(message.contains(API_AUDIENCE) && message.contains("accepts for itself"), "{message}");
        let made = plane.audit_in(workspace.namespace())?;
        let made =
            made.iter().filter(|event| event.name == "trainer" && event.subresource == "token").count();
        if inside {
            assert_eq!(made, 0, "requests for a token");
        } else {
            // What failed is checked again, for the first time after five seconds.
            ensure!((1..=most_requests(1, started)).contains(&made), "{made} requests for a token");
        }
    }
    Ok(())
}

fn http_get(path: &str) -> Result<hyper::Request<Vec<u8>>> {
    Ok(hyper::Request::get(path).body(Vec::new())?)
}
