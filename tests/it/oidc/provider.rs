//! The real provider, which all tests share: every kind of client, right and wrong.

use std::sync::LazyLock;

use serde_json::{Value, json};
use test_support::{CertificateAuthority, Leaf, OpenIdClient, OpenIdProvider};
use wandb_auth_operator::{
    api::{CheckName, CheckResult, Reason},
    engine::Findings,
};

use super::{REDIRECT_URI, assert_failure, assert_not_reached, examine, finding, spec, told};

const SECRET: &str = "correct-horse-battery-staple";

struct Shared {
    provider: OpenIdProvider,
    authority: String,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let certificate = CertificateAuthority::new("provider").unwrap().issue(&Leaf::loopback()).unwrap();
    let provider = OpenIdProvider::builder()
        .certificate(&certificate)
        .issuer_path("/realms/wandb")
        .scope("groups-of-wandb")
        .client(OpenIdClient::public("public", REDIRECT_URI))
        .client(OpenIdClient::implicit("implicit", REDIRECT_URI))
        .client(OpenIdClient::confidential("basic", SECRET, REDIRECT_URI))
        .client(OpenIdClient::confidential("post", SECRET, REDIRECT_URI).with_secret_in_body())
        .client(OpenIdClient::public("elsewhere", "https://other.example.com/oidc/callback"))
        .client(OpenIdClient::implicit("elsewhere-implicit", "https://other.example.com/oidc/callback"))
        .start()
        .unwrap();
    Shared { provider, authority: certificate.authority_pem }
});

/// The provider's issuer, its authority in the Secret `oidc`, and these changes.
fn shared_spec(changes: &Value) -> Value {
    let mut spec = spec(SHARED.provider.issuer(), changes);
    spec["tls"] = json!({ "caBundle": { "secretKeyRef": { "name": "oidc", "key": "ca" } } });
    spec
}

fn authority() -> (&'static str, &'static str) {
    ("ca", &SHARED.authority)
}

fn confidential(client: &str) -> Value {
    json!({ "clientID": client, "clientSecretRef": { "name": "oidc", "key": "secret" } })
}

/// What was found, without what differs from run to run.
fn told_the_same(findings: &Findings) -> String {
    let told = told(findings).replace(SHARED.provider.issuer(), "ISSUER");
    let told = told.replace(&format!("Port {} ", SHARED.provider.port()), "Port PORT ");
    let until = told.split("valid until ").nth(1).and_then(|rest| rest.split('.').next());
    until.map_or_else(|| told.clone(), |day| told.replace(day, "DAY"))
}

#[tokio::test]
async fn a_public_client_with_pkce_passes() {
    let changes = json!({ "clientID": "public", "checks": { "redirectURI": true } });
    let findings = examine(&shared_spec(&changes), &[authority()]).await;
    insta::assert_snapshot!(told_the_same(&findings), @r"
    ProviderRules Passed Passed: Register https://wandb.example.com/oidc/callback as redirect URI.
    DnsResolves Passed Passed: 127.0.0.1 is an address.
    EgressAllowed Passed Passed: Connections to it are allowed.
    TcpConnects Passed Passed: Port PORT accepts connections.
    TlsVerifies Passed Passed: The certificate is trusted and valid until DAY.
    Discovery Passed Passed: ISSUER/.well-known/openid-configuration has the discovery document.
    IssuerMatches Passed Passed: The document's issuer is exactly ISSUER.
    Endpoints Passed Passed: The document's authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint can be used.
    FlowSupported Passed Passed: The provider offers the authorization code flow with PKCE (S256).
    Scopes Passed Passed: The provider offers openid profile email.
    SigningKeys Passed Passed: The provider publishes an RSA key of 2048 bits.
    ClientCredentials Passed Passed: The provider knows the public client public.
    RedirectUri Passed Passed: The provider knows the redirect URI https://wandb.example.com/oidc/callback.
    ");
    assert!(findings.certificate.is_some());
}

#[tokio::test]
async fn a_confidential_client_passes_with_its_secret() {
    for client in ["basic", "post"] {
        let findings = examine(&shared_spec(&confidential(client)), &[authority(), ("secret", SECRET)]).await;
        assert!(findings.failure().is_none(), "{}", told(&findings));
        let known = finding(&findings, &CheckName::ClientCredentials);
        assert_eq!(known.result, CheckResult::Passed);
        assert!(known.message.contains("and its secret"), "{}", known.message);
    }
}

#[tokio::test]
async fn an_implicit_client_passes() {
    let changes =
        json!({ "clientID": "implicit", "authMethod": "implicit", "checks": { "redirectURI": true } });
    let findings = examine(&shared_spec(&changes), &[authority()]).await;
    insta::assert_snapshot!(told_the_same(&findings), @r"
    ProviderRules Passed Passed: Register https://wandb.example.com/oidc/callback as redirect URI.
    DnsResolves Passed Passed: 127.0.0.1 is an address.
    EgressAllowed Passed Passed: Connections to it are allowed.
    TcpConnects Passed Passed: Port PORT accepts connections.
    TlsVerifies Passed Passed: The certificate is trusted and valid until DAY.
    Discovery Passed Passed: ISSUER/.well-known/openid-configuration has the discovery document.
    IssuerMatches Passed Passed: The document's issuer is exactly ISSUER.
    Endpoints Passed Passed: The document's authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint can be used.
    FlowSupported Passed Passed: The provider offers the implicit flow with form_post.
    Scopes Passed Passed: The provider offers openid profile email.
    SigningKeys Passed Passed: The provider publishes an RSA key of 2048 bits.
    ClientCredentials Skipped NotRequested: Not run, since authMethod: implicit does not use the token endpoint.
    RedirectUri Passed Passed: The provider knows the redirect URI https://wandb.example.com/oidc/callback.
    ");
}

#[tokio::test]
async fn an_unregistered_redirect_uri_is_found() {
    for (client, flow) in [("elsewhere", "pkce"), ("elsewhere-implicit", "implicit")] {
        let changes = json!({ "clientID": client, "authMethod": flow, "checks": { "redirectURI": true } });
        let findings = examine(&shared_spec(&changes), &[authority()]).await;
        let words = [REDIRECT_URI, "Register"];
        assert_failure(&findings, &CheckName::RedirectUri, Reason::RedirectUriRejected, &words);
    }
}

#[tokio::test]
async fn optional_checks_run_as_the_spec_says() {
    let changes = json!({ "clientID": "public", "checks": { "clientCredentials": false } });
    let findings = examine(&shared_spec(&changes), &[authority()]).await;
    for name in [CheckName::ClientCredentials, CheckName::RedirectUri] {
        assert_eq!(finding(&findings, &name).reason, Reason::NotRequested);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_found_and_not_repeated() {
    let secrets = [authority(), ("secret", "incorrect-horse")];
    let findings = examine(&shared_spec(&confidential("basic")), &secrets).await;
    let words = [
        "basic",
        "invalid_client",
        "The credentials come from the key \"secret\" of the Secret \"oidc\" (spec.clientSecretRef).",
    ];
    assert_failure(&findings, &CheckName::ClientCredentials, Reason::ClientRejected, &words);
    assert!(!told(&findings).contains("incorrect-horse"));
}

#[tokio::test]
async fn an_unknown_client_is_found() {
    let findings = examine(&shared_spec(&json!({ "clientID": "wanbd" })), &[authority()]).await;
    assert_failure(&findings, &CheckName::ClientCredentials, Reason::ClientRejected, &["wanbd"]);
}

#[tokio::test]
async fn a_confidential_client_without_its_secret_is_found() {
    let findings = examine(&shared_spec(&json!({ "clientID": "basic" })), &[authority()]).await;
    let words = ["spec.clientSecretRef"];
    assert_failure(&findings, &CheckName::ClientCredentials, Reason::ClientRejected, &words);
}

#[tokio::test]
async fn a_slash_too_many_is_explained() {
    let mut spec = shared_spec(&json!({ "clientID": "public" }));
    spec["issuer"] = format!("{}/", SHARED.provider.issuer()).into();
    let findings = examine(&spec, &[authority()]).await;
    let words = [
        "the document's does not end with a slash, and the expected one does",
        "Remove the trailing slash from spec.issuer.",
    ];
    assert_failure(&findings, &CheckName::IssuerMatches, Reason::IssuerMismatch, &words);
    assert_not_reached(&findings, &[CheckName::Endpoints, CheckName::SigningKeys]);
}

#[tokio::test]
async fn a_wrong_realm_gets_its_advice() {
    let mut spec = shared_spec(&json!({ "clientID": "public" }));
    spec["issuer"] = SHARED.provider.issuer().replace("/realms/wandb", "/realms/WandB").into();
    let findings = examine(&spec, &[authority()]).await;
    assert_failure(&findings, &CheckName::Discovery, Reason::UnexpectedStatus, &["404", "realm's name"]);
}

#[tokio::test]
async fn scopes_that_are_not_listed_are_a_warning() {
    let changes =
        json!({ "clientID": "public", "extraScopes": ["groups-of-wandb", "groups-of-somebody-else"] });
    let findings = examine(&shared_spec(&changes), &[authority()]).await;
    assert!(findings.failure().is_none(), "{}", told(&findings));
    let scopes = finding(&findings, &CheckName::Scopes);
    assert_eq!(scopes.reason, Reason::ScopeNotSupported);
    assert!(scopes.message.contains("but not groups-of-somebody-else,"), "{}", scopes.message);
}
