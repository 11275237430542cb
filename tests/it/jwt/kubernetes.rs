//! A Kubernetes API server as issuer: it shows its document to nobody until somebody lets it.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use test_support::{ControlPlane, User, hostile::Response};
use wandb_auth_operator::api::{CheckName, Reason};

use super::{
    Examined, examine,
    scripted_issuer::{Issuer, OLDER_WELL_KNOWN, WELL_KNOWN},
    spec,
};
use crate::world::eventually;

const ROLE: &str = "system:service-account-issuer-discovery";

/// What a person without credentials finds there.
async fn examine_plane(plane: &ControlPlane) -> Examined {
    let bundle = json!({ "secretKeyRef": { "name": "tokens", "key": "ca" } });
    let issuer = format!("https://{}", plane.address());
    examine(&spec(&issuer, &json!({ "tls": { "caBundle": bundle } })), &[("ca", plane.authority_pem())]).await
}

#[tokio::test]
async fn a_refusal_names_the_role_and_whom_to_give_it_to() -> Result<()> {
    // One of its own, since roles are everybody's.
    let plane = ControlPlane::start().await?;
    let examined = examine_plane(&plane).await;
    let words = ["403", ROLE, "system:unauthenticated", "kubectl create clusterrolebinding"];
    examined.assert_failure(&CheckName::Discovery, Reason::UnexpectedStatus, &words);

    let binding: Value = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "service-account-issuer-discovery" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated" }],
    });
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig(User::Admin))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let bindings = Api::<ClusterRoleBinding>::all(Client::try_from(config)?);
    let name = "service-account-issuer-discovery";
    bindings.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&binding)).await?;
    // The API server's authorizer learns of it a moment later.
    let is_shown = eventually("the document and the keys", || async {
        Ok(examine_plane(&plane).await.findings.failure().is_none().then_some(()))
    })
    .await;
    examine_plane(&plane).await.assert_nothing_failed();
    is_shown
}

#[tokio::test]
async fn a_refusal_of_requests_without_credentials_is_told_apart() {
    let status = |code: u16| {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code });
        Response::json_status(code, &status)
    };
    let other = Response::json_status(403, &json!({ "message": "no" }));
    for (answer, words, is_kubernetes) in [
        (status(401), "--anonymous-auth", true),
        (status(403), "system:unauthenticated", true),
        (other, "Check spec.issuer", false),
    ] {
        let server = Issuer::publishing(&[])
            .answering(WELL_KNOWN, answer.clone())
            .answering(OLDER_WELL_KNOWN, answer)
            .start();
        let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
        examined.assert_failure(&CheckName::Discovery, Reason::UnexpectedStatus, &[words]);
        assert_eq!(examined.told().contains(ROLE), is_kubernetes, "{}", examined.told());
    }
    // The document may be had, and the keys not.
    let server = Issuer::publishing(&[]).answering("/jwks", status(403)).start();
    let examined = examine(&spec(&server.url(""), &json!({})), &[]).await;
    examined.assert_failure(&CheckName::JwksFetches, Reason::UnexpectedStatus, &["jwks_uri", ROLE]);
}
