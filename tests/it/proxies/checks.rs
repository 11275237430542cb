//! Every check of every kind, by an operator behind a proxy.

use anyhow::{Result, ensure};
use kube::api::ListParams;
use serde_json::{Value, json};
use test_support::{
    CertificateAuthority, ForwardProxy, Leaf, OpenIdClient, OpenIdProvider, Operator, Slapd, WandbServer,
    Workspace,
    hostile::{HttpServer, Response},
};

use super::{AUDIENCE, IN_URL, LOGIN, PASSWORD, USER, certificate_for, check, directory, finding, result};
use crate::{
    service_account::federated,
    world::{
        CLIENT_SECRET, PASSWORD as BIND_PASSWORD, REDIRECT_URI, jwt_issuer, ldap_config, oidc_provider,
        program, put_references, workspace,
    },
};

/// The name of W&B Server.
const WANDB: &str = "wandb.corp.test";

/// What is said of a client of a provider that refuses the made-up code, and whose product is not known.
const UNSURE: (&str, &str) = ("Warning", "Inconclusive");

/// The servers of one company, which only its proxy can name, but for the directory.
struct Company {
    provider: OpenIdProvider,
    server: WandbServer,
    directory: Slapd,
    proxy: ForwardProxy,
    workspace: Workspace,
    operator: Operator,
}

/// How the proxy is talked to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    WithCredentials,
    WithTls,
}

impl Company {
    /// An operator behind this kind of proxy.
    async fn behind(kind: Kind) -> Result<Self> {
        let authority = CertificateAuthority::new("company")?;
        let provider = OpenIdProvider::builder()
            .certificate(&certificate_for(&authority, LOGIN)?)
            .named(LOGIN)
            .audience(AUDIENCE)
            .client(OpenIdClient::confidential("wandb", CLIENT_SECRET, REDIRECT_URI))
            .client(OpenIdClient::machine("ci", CLIENT_SECRET))
            .start()?;
        let server = WandbServer::builder().certificate(&certificate_for(&authority, WANDB)?).start()?;
        server.register_issuer(provider.issuer(), &provider.jwks()?)?;
        server.accept_audience(AUDIENCE);
        server.federated_account("ci", "research");
        let local = authority.issue(&Leaf::loopback())?;
        let directory = Slapd::builder(BIND_PASSWORD).certificate(&local).start()?;

        let of_proxy = CertificateAuthority::new("authority of the proxy")?.issue(&Leaf::loopback())?;
        let mut builder = ForwardProxy::builder()
            .server("login.corp.test:443", provider.address())
            .server("wandb.corp.test:443", server.address());
        if kind != Kind::Open {
            builder = builder.credentials(USER, PASSWORD);
        }
        if kind == Kind::WithTls {
            builder = builder.certificate(&of_proxy);
        }
        let proxy = builder.start()?;
        let url = if kind == Kind::Open { proxy.url() } else { proxy.url_with(IN_URL) };
        let bundle = tempfile::NamedTempFile::new()?;
        std::fs::write(&bundle, &of_proxy.authority_pem)?;
        let bundle = bundle.into_temp_path();

        let workspace = workspace().await?;
        put_references(&workspace, &local).await?;
        workspace.put_secret("client", &[("secret", CLIENT_SECRET)]).await?;
        let key = server.service_account("robot", "research")?;
        workspace.put_secret("sa-key", &[("key", &key)]).await?;
        let token = provider.issue(&json!({"sub": "ci", "aud": AUDIENCE}))?;
        workspace.put_secret("ci-token", &[("token", &token)]).await?;
        let file = bundle.to_string_lossy().into_owned();
        let arguments =
            ["--allow-egress", "127.0.0.0/8", "--proxy-ca-file", &file, "--failure-patience", "2s"];
        let environment = [("HTTPS_PROXY", url.as_str()), ("RUST_LOG", "trace"), ("NO_PROXY", "a.example,,")];
        let operator = workspace.start_operator_in(program(), &arguments, &environment)?;
        operator.wait_until_ready()?;
        Ok(Self { provider, server, directory, proxy, workspace, operator })
    }

    /// Applies a resource of each kind, and of each kind of credentials.
    async fn apply(&self) -> Result<()> {
        let issuer = self.provider.issuer();
        let samples = format!(
            "instance: {{baseURL: 'https://{WANDB}'}}\nsamples: [{{name: ci, tokenSecretRef: {{name: ci-token, key: token}}, expect: {{valid: true}}}}]"
        );
        self.workspace.apply(&ldap_config(&self.directory.ldaps_url()?, "")).await?;
        self.workspace.apply(&oidc_provider(issuer, "checks: {redirectURI: true}")).await?;
        let jwt = jwt_issuer(issuer, &samples).replace("name: ci}\nspec", "name: main}\nspec");
        self.workspace.apply(&jwt).await?;
        self.workspace
            .apply(&federated::service_account(&format!("https://{WANDB}"), federated::FROM_ISSUER, ""))
            .await?;
        let robot = format!(
            "apiVersion: auth.wandb.com/v1alpha1\nkind: ServiceAccount\nmetadata: {{name: robot}}\nspec:\n  instance: {{baseURL: 'https://{WANDB}'}}\n  team: research\n  credentials: {{apiKey: {{bootstrapSecretRef: {{name: sa-key, key: key}}}}}}\n  tls: {{caBundle: {{configMapKeyRef: {{name: authority, key: ca.crt}}}}}}\n"
        );
        self.workspace.apply(&robot).await
    }

    async fn ready(&self, kind: &str, name: &str) -> Result<Value> {
        let status = self.workspace.wait_until_ready(kind, name).await;
        status.inspect_err(|_| eprintln!("the proxy was asked for {:?}", self.proxy.asked()))
    }
}

/// Everything that an operator shows.
async fn outputs(company: &Company) -> Result<Vec<(&'static str, String)>> {
    let mut outputs =
        vec![("log", company.operator.log().read()?), ("events", company.workspace.events().await?)];
    for path in ["/metrics", "/healthz", "/readyz"] {
        outputs.push(("server", company.operator.get(path)?.1));
    }
    for kind in ["LdapConfig", "OidcProvider", "JwtIssuer", "ServiceAccount"] {
        let list = company.workspace.resources(kind)?.list(&ListParams::default()).await?;
        outputs.push(("resources", serde_json::to_string(&list.items)?));
    }
    Ok(outputs)
}

async fn every_check_passes(kind: Kind) -> Result<()> {
    let company = Company::behind(kind).await?;
    company.apply().await?;
    for (kind, name) in [
        ("OidcProvider", "main"),
        ("JwtIssuer", "main"),
        ("ServiceAccount", "ci"),
        ("ServiceAccount", "robot"),
    ] {
        let status = company.ready(kind, name).await?;
        let checks = status.get("checks").and_then(Value::as_array).into_iter().flatten();
        let names = checks.filter_map(|check| check.get("name")?.as_str());
        let first: Vec<_> = names.skip_while(|name| *name != "DnsResolves").take(4).collect();
        assert_eq!(
            json!(first),
            json!(["DnsResolves", "EgressAllowed", "ProxyConnects", "TlsVerifies"]),
            "{kind}"
        );
        assert_eq!(finding(&status, "TcpConnects"), None, "{kind} {name}");
        let server = if kind == "ServiceAccount" { WANDB } else { LOGIN };
        assert_eq!(
            finding(&status, "ProxyConnects").map(|it| it["message"].clone()),
            Some(json!(format!("The proxy {} connects to {server}:443.", company.proxy.url())))
        );
    }
    let exchanged = company.ready("JwtIssuer", "main").await?;
    assert_eq!(result(&exchanged, "TokenExchange"), Some(("Passed", "Passed")), "{exchanged:#}");
    let provider = company.ready("OidcProvider", "main").await?;
    assert_eq!(result(&provider, "ClientCredentials"), Some(UNSURE), "{provider:#}");
    assert_eq!(result(&provider, "RedirectUri"), Some(("Passed", "Passed")), "{provider:#}");
    // LDAP goes directly.
    let ldap = company.ready("LdapConfig", "corp").await?;
    assert_eq!(result(&ldap, "TcpConnects"), Some(("Passed", "Passed")));
    assert_eq!(finding(&ldap, "ProxyConnects"), None);
    assert_eq!(company.proxy.asked(), ["CONNECT login.corp.test:443", "CONNECT wandb.corp.test:443"]);
    let authorized = company.proxy.requests().iter().all(|it| it.header("proxy-authorization").is_some());
    assert_eq!(authorized, kind != Kind::Open);
    let calls = company.server.calls();
    ensure!(calls.iter().all(|call| call.header("proxy-authorization").is_none()), "the server was told");

    let outputs = outputs(&company).await?;
    ensure!(outputs.iter().any(|(_, text)| text.contains("ProxyConnects")), "the outputs hold what happened");
    let encoded =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{PASSWORD}"));
    for (place, text) in &outputs {
        for secret in [USER, PASSWORD, IN_URL, "planted%2Fproxy", &encoded] {
            ensure!(!text.contains(secret), "{secret} stands in the {place}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn through_a_proxy_that_lets_everybody_in() -> Result<()> {
    every_check_passes(Kind::Open).await
}

#[tokio::test]
async fn through_a_proxy_that_wants_credentials() -> Result<()> {
    every_check_passes(Kind::WithCredentials).await
}

#[tokio::test]
async fn through_a_proxy_with_tls_and_an_authority_of_its_own() -> Result<()> {
    every_check_passes(Kind::WithTls).await
}

#[test]
fn without_tls_the_proxy_is_told_whole_urls() -> Result<()> {
    let issuer = format!("http://{LOGIN}");
    let document = json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"), "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    });
    let server = HttpServer::plain(move |request| match request.path.as_str() {
        "/.well-known/openid-configuration" => Response::json(&document),
        "/token" => Response::status(400, r#"{"error": "invalid_grant"}"#),
        _ => Response::status(404, "nothing"),
    })?;
    let proxy = ForwardProxy::builder()
        .credentials(USER, PASSWORD)
        .server("login.corp.test:80", server.address())
        .start()?;
    let certificate = crate::world::certificate()?;
    let files = directory(&issuer, &certificate, "insecurePlaintext: true")?
        .variable("HTTP_PROXY", proxy.url_with(IN_URL))
        .variable("HTTPS_PROXY", "http://127.0.0.1:1");
    let report = check(&files, "")?;
    assert_eq!(result(&report, "ProxyConnects"), Some(("Passed", "Passed")), "{report:#}");
    assert_eq!(result(&report, "ClientCredentials"), Some(UNSURE), "{report:#}");
    let asked = proxy.asked();
    ensure!(
        asked.contains(&format!("GET {issuer}/.well-known/openid-configuration"))
            && asked.contains(&format!("POST {issuer}/token")),
        "{asked:?}"
    );
    ensure!(
        server.requests().iter().all(|request| request.header("host") == Some(LOGIN)),
        "the host is the server's"
    );
    Ok(())
}
