//! Secrets stay in Secrets.

use anyhow::{Result, ensure};
use kube::api::ListParams;
use test_support::{OpenIdClient, OpenIdProvider, Slapd, wait_until};

use crate::world::{
    PATIENCE, REDIRECT_URI, certificate, eventually, jwt_issuer, ldap_config, oidc_provider, program,
    put_authority, workspace,
};

const BIND_PASSWORD: &str = "planted-bind-password-7f3a";
const WRONG_PASSWORD: &str = "planted-wrong-password-91bc";
const CLIENT_SECRET: &str = "planted-client-secret-c2d8";
const WRONG_SECRET: &str = "planted-wrong-secret-44e0";

#[tokio::test]
async fn planted_secrets_appear_nowhere_outside_secrets() -> Result<()> {
    let certificate = certificate()?;
    let directory = Slapd::builder(BIND_PASSWORD).certificate(&certificate).start()?;
    let provider = OpenIdProvider::builder()
        .certificate(&certificate)
        .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
        .start()?;
    let workspace = workspace().await?;
    let arguments = ["--allow-egress", "127.0.0.0/8"];
    let operator = workspace.start_operator_in(program(), &arguments, &[("RUST_LOG", "trace")])?;
    put_authority(&workspace, &certificate).await?;
    for (secret, key, value) in [
        ("ldap-bind", "password", BIND_PASSWORD),
        ("ldap-wrong", "password", WRONG_PASSWORD),
        ("oidc-client", "secret", CLIENT_SECRET),
        ("oidc-wrong", "secret", WRONG_SECRET),
    ] {
        workspace.put_secret(secret, &[(key, value)]).await?;
    }
    let ldap = ldap_config(&directory.ldaps_url()?, "");
    let oidc = oidc_provider(provider.issuer(), "");
    workspace.apply(&ldap).await?;
    workspace.apply(&oidc).await?;
    workspace.apply(&ldap.replace("ldap-bind", "ldap-wrong").replace("name: corp", "name: wrong")).await?;
    workspace.apply(&oidc.replace("oidc-client", "oidc-wrong").replace("name: main", "name: wrong")).await?;
    let token =
        |audience: &str| provider.issue(&serde_json::json!({"sub": "ci@example.org", "aud": audience}));
    let tokens = [token("my-org")?, token("another-org")?];
    workspace.put_secret("tokens", &[("right", &tokens[0]), ("wrong", &tokens[1])]).await?;
    let sample = |key: &str| {
        format!(
            "samples: [{{name: ci, tokenSecretRef: {{name: tokens, key: {key}}}, expect: {{valid: true}}}}]"
        )
    };
    workspace.apply(&jwt_issuer(provider.issuer(), &sample("right"))).await?;
    let wrong =
        jwt_issuer(provider.issuer(), &sample("wrong")).replace("name: ci}\nspec", "name: wrong}\nspec");
    workspace.apply(&wrong).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    workspace.wait_until_ready("OidcProvider", "main").await?;
    workspace.wait_until_ready("JwtIssuer", "ci").await?;
    workspace.wait_for_reason("JwtIssuer", "wrong", "Verified", "UnexpectedRuling").await?;
    workspace.wait_for_reason("LdapConfig", "wrong", "Verified", "InvalidCredentials").await?;
    workspace.wait_for_reason("OidcProvider", "wrong", "Verified", "ClientRejected").await?;

    // Both are written after the status.
    operator.log().wait_for("CheckFailed", PATIENCE)?;
    eventually("the events of what failed", || async {
        Ok(workspace.events().await?.contains("CheckFailed").then_some(()))
    })
    .await?;
    let mut outputs = vec![("log", operator.log().read()?), ("events", workspace.events().await?)];
    for path in ["/metrics", "/healthz", "/readyz"] {
        let (status, body) = operator.get(path)?;
        ensure!(status == 200, "{path} answered {status}");
        outputs.push(("server", body));
    }
    for kind in ["LdapConfig", "OidcProvider", "JwtIssuer"] {
        let list = workspace.resources(kind)?.list(&ListParams::default()).await?;
        outputs.push(("resources", serde_json::to_string(&list.items)?));
    }
    ensure!(outputs.iter().any(|(_, text)| text.contains("CheckFailed")), "the outputs hold what happened");
    for (place, text) in outputs {
        for secret in [BIND_PASSWORD, WRONG_PASSWORD, CLIENT_SECRET, WRONG_SECRET] {
            ensure!(!text.contains(secret), "{secret} stands in the {place}");
        }
        // The signature is what makes a token of claims that everybody may know.
        for signature in tokens.iter().filter_map(|token| token.rsplit('.').next()) {
            ensure!(!text.contains(signature), "{signature} stands in the {place}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn metrics_tell_what_conditions_tell() -> Result<()> {
    let certificate = certificate()?;
    let directory = crate::world::directory(&certificate)?;
    let workspace = workspace().await?;
    let operator = crate::world::operator(&workspace)?;
    crate::world::put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&directory.ldaps_url()?, "")).await?;
    workspace.wait_until_ready("LdapConfig", "corp").await?;
    let labels = format!("kind=\"LdapConfig\",namespace=\"{}\",name=\"corp\"", workspace.namespace());
    for line in [
        format!("wandb_auth_ready{{{labels}}} 1"),
        format!("wandb_auth_check_result{{{labels},check=\"Bind\",result=\"Passed\"}} 1"),
        "wandb_auth_check_duration_seconds_count{kind=\"LdapConfig\",check=\"Bind\"} 1".to_owned(),
        format!("wandb_auth_last_check_timestamp_seconds{{{labels}}}"),
        format!("wandb_auth_certificate_not_after_seconds{{{labels}}}"),
        "wandb_auth_reconcile_duration_seconds_count{kind=\"LdapConfig\"}".to_owned(),
        format!("wandb_auth_suspended{{{labels}}} 0"),
        "wandb_auth_leading 1".to_owned(),
    ] {
        wait_until(PATIENCE, &line, || Ok(operator.get("/metrics")?.1.contains(&line)))?;
    }
    workspace.patch("LdapConfig", "corp", &serde_json::json!({"spec": {"suspend": true}})).await?;
    let suspended = format!("wandb_auth_suspended{{{labels}}} 1");
    wait_until(PATIENCE, &suspended, || Ok(operator.get("/metrics")?.1.contains(&suspended)))?;
    workspace.resources("LdapConfig")?.delete("corp", &kube::api::DeleteParams::background()).await?;
    wait_until(PATIENCE, "the series to go", || Ok(!operator.get("/metrics")?.1.contains("name=\"corp\"")))?;
    Ok(())
}
