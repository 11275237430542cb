//! What is known of the products that people log in with.

use super::OidcSettings;
use crate::{
    api::{
        Reason,
        oidc_provider::{AuthMethod, Provider},
    },
    engine::Checked,
    issuer::Issuer,
    problem::Problem,
    sensitive::Sensitive,
};

/// The product that an issuer like this belongs to.
pub(super) fn guess(issuer: &Issuer) -> Provider {
    let host = issuer.host();
    if host.ends_with(".amazoncognito.com") || is_cognito(host) {
        Provider::Cognito
    } else if is_okta(host) {
        Provider::Okta
    } else if is_entra(host) || host == ENTRA_VERSION_1 {
        Provider::Entra
    } else if host.ends_with(".auth0.com") {
        Provider::Auth0
    } else if host == "accounts.google.com" {
        Provider::Google
    } else if realm(issuer).is_some() {
        Provider::Keycloak
    } else {
        Provider::Generic
    }
}

fn is_cognito(host: &str) -> bool {
    host.starts_with("cognito-idp.")
        && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

fn is_okta(host: &str) -> bool {
    [".okta.com", ".oktapreview.com", ".okta-emea.com"].iter().any(|domain| host.ends_with(domain))
}

fn is_entra(host: &str) -> bool {
    matches!(
        host,
        "login.microsoftonline.com"
            | "login.microsoftonline.us"
            | "login.partner.microsoftonline.cn"
            | "login.chinacloudapi.cn"
    )
}

/// The host of the issuers of Entra's first version, whose tokens and endpoints are others.
const ENTRA_VERSION_1: &str = "sts.windows.net";

fn realm(issuer: &Issuer) -> Option<&str> {
    let mut segments = issuer.path_segments().into_iter();
    segments.find(|segment| *segment == "realms")?;
    segments.next()
}

/// Whether the product that was chosen comes with surprises for this spec.
pub(super) fn check(settings: &OidcSettings, secret: Option<&Sensitive>) -> Result<Checked, Problem> {
    let issuer = &settings.issuer;
    let doubt = match settings.provider {
        Provider::Generic => None,
        Provider::Cognito => cognito(issuer, settings.flow)?,
        Provider::Okta => okta(issuer, secret),
        Provider::Entra => entra(issuer, secret)?,
        Provider::Keycloak => keycloak(issuer),
        Provider::Auth0 => auth0(issuer)?,
        Provider::Google => google(issuer, secret)?,
    };
    let register =
        format!("Register {} as redirect URI{}.", settings.redirect_uri, registration(settings, secret));
    Ok(match doubt {
        None => Checked::passed((), register),
        Some(doubt) => Checked::warning((), Reason::ProviderRuleDoubtful, format!("{doubt} {register}")),
    })
}

/// Which form of registration the product wants.
fn registration(settings: &OidcSettings, secret: Option<&Sensitive>) -> &'static str {
    match (settings.provider, settings.flow, secret) {
        (Provider::Entra, AuthMethod::Pkce, None) => " on the platform Single-page application",
        (Provider::Entra, AuthMethod::Pkce, Some(_)) => " on the platform Web",
        (Provider::Entra, AuthMethod::Implicit, _) => " on the platform Web, with ID tokens allowed",
        (Provider::Okta, AuthMethod::Pkce, None) => " of a single-page app",
        (Provider::Okta, AuthMethod::Implicit, _) => " of a single-page app with the implicit (hybrid) grant",
        (Provider::Google, ..) => " of a client of the type Web application",
        _ => "",
    }
}

fn broken<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(Reason::ProviderRuleBroken, message))
}

fn cognito(issuer: &Issuer, flow: AuthMethod) -> Result<Option<String>, Problem> {
    let host = issuer.host();
    if host.ends_with(".amazoncognito.com") {
        let region = match host.split('.').rev().nth(2) {
            Some(region) if host.contains(".auth.") => region,
            _ => "<region>",
        };
        return broken(format!(
            "{host} is the Cognito domain, which has no discovery document. Set spec.issuer to https://cognito-idp.{region}.amazonaws.com/<user pool ID>."
        ));
    }
    if is_cognito(host) && issuer.path_segments().len() != 1 {
        return broken(format!(
            "The issuer of a Cognito user pool ends with the pool's ID. Set spec.issuer to https://{host}/<user pool ID>."
        ));
    }
    if flow == AuthMethod::Implicit {
        return broken("Amazon Cognito works with authMethod: pkce only. Set spec.authMethod to pkce.");
    }
    Ok((!is_cognito(host)).then(|| {
        "Issuers of Cognito user pools are usually https://cognito-idp.<region>.amazonaws.com/<user pool ID>. Check spec.issuer.".into()
    }))
}

fn okta(issuer: &Issuer, secret: Option<&Sensitive>) -> Option<String> {
    let host = issuer.host();
    if let Some((company, domain)) = host.split_once("-admin.").filter(|_| is_okta(host)) {
        return Some(format!(
            "{host} is Okta's administration console. Set spec.issuer to https://{company}.{domain}."
        ));
    }
    match issuer.path_segments().as_slice() {
        [] | ["oauth2", _] => secret.map(|_| {
            "W&B is registered with Okta as a single-page app, and those have no client secret. Remove spec.clientSecretRef if the app is one.".into()
        }),
        _ => Some(
            "Okta's issuers are https://<company>.okta.com, or that and /oauth2/<authorization server>. Check spec.issuer."
                .into(),
        ),
    }
}

fn entra(issuer: &Issuer, secret: Option<&Sensitive>) -> Result<Option<String>, Problem> {
    let is_version_1 = issuer.host() == ENTRA_VERSION_1;
    let host = if is_version_1 { "login.microsoftonline.com" } else { issuer.host() };
    let segments = issuer.path_segments();
    let tenant = segments.first().copied().unwrap_or_default();
    if ["common", "organizations", "consumers"].contains(&tenant) {
        return broken(format!(
            "Entra's endpoint for several tenants ({tenant}) has no fixed issuer, so none can match. Set spec.issuer to https://{host}/<tenant ID>/v2.0."
        ));
    }
    if is_version_1 && is_uuid(tenant) {
        return Ok(Some(format!(
            "{issuer} is the issuer of Entra's version 1, whose tokens lack claims that W&B needs unless they are configured one by one. Set spec.issuer to https://{host}/{tenant}/v2.0."
        )));
    }
    if is_entra(host) && (!is_uuid(tenant) || segments.get(1..) != Some(["v2.0"].as_slice())) {
        return broken(format!(
            "Entra's issuer is https://{host}/<tenant ID>/v2.0 with the tenant's ID (a UUID), not {issuer}. Set spec.issuer to that."
        ));
    }
    if secret.is_some_and(|secret| is_uuid(secret.expose())) {
        return Ok(Some(
            "The client secret looks like its Secret ID (a UUID); the secret's Value is needed, which Entra shows once, when the secret is made.".into(),
        ));
    }
    Ok(None)
}

fn keycloak(issuer: &Issuer) -> Option<String> {
    if realm(issuer).is_none() {
        return Some("Keycloak's issuers end with /realms/<realm>. Check spec.issuer.".into());
    }
    issuer
        .as_str()
        .ends_with('/')
        .then(|| "Keycloak's issuers do not end with a slash. Check spec.issuer.".into())
}

fn auth0(issuer: &Issuer) -> Result<Option<String>, Problem> {
    if !issuer.as_str().ends_with('/') {
        return broken(format!("Auth0's issuers end with a slash. Set spec.issuer to {issuer}/."));
    }
    Ok(None)
}

fn google(issuer: &Issuer, secret: Option<&Sensitive>) -> Result<Option<String>, Problem> {
    if issuer.as_str() != "https://accounts.google.com" {
        return broken(format!(
            "Google's issuer is exactly https://accounts.google.com, not {issuer}. Set spec.issuer to that."
        ));
    }
    Ok(secret.is_none().then(|| {
        "Google's clients for web applications have a secret; put it into a Secret and name it in spec.clientSecretRef.".into()
    }))
}

/// Whether the text has the shape of a UUID (RFC 9562 section 4).
fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn guesses_the_product() {
        for (issuer, provider) in [
            ("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_uiIFNdacd", Provider::Cognito),
            ("https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_abc", Provider::Cognito),
            ("https://wandb.auth.us-east-1.amazoncognito.com", Provider::Cognito),
            ("https://acme.okta.com", Provider::Okta),
            ("https://acme.oktapreview.com/oauth2/default", Provider::Okta),
            ("https://login.microsoftonline.com/common/v2.0", Provider::Entra),
            ("https://login.microsoftonline.us/x/v2.0", Provider::Entra),
            ("https://sts.windows.net/x/", Provider::Entra),
            ("https://LOGIN.microsoftonline.com/x/v2.0", Provider::Entra),
            ("https://login.example.com/realms/main", Provider::Keycloak),
            ("https://login.example.com/auth/realms/main", Provider::Keycloak),
            ("https://login.example.com/realms", Provider::Generic),
            ("https://acme.eu.auth0.com/", Provider::Auth0),
            ("https://accounts.google.com", Provider::Google),
            ("https://okta.com.example.com", Provider::Generic),
            ("https://cognito-idp.example.com", Provider::Generic),
        ] {
            assert_eq!(guess(&Issuer::parse(issuer).unwrap()), provider, "{issuer}");
        }
    }

    fn outcome(issuer: &str, flow: &str, secret: Option<&str>) -> (Reason, String) {
        let spec = json!({
            "issuer": issuer, "clientID": "wandb", "host": "https://wandb.example.com", "authMethod": flow,
        });
        let settings = OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap();
        let mut report = crate::engine::Report::new(Vec::new(), crate::sensitive::Redactor::default());
        let secret = secret.map(Sensitive::from);
        report.record(crate::api::CheckName::ProviderRules, check(&settings, secret.as_ref()));
        let finding = report.finish().list.remove(0);
        (finding.reason, finding.message.into())
    }

    #[test]
    fn knows_the_rules() {
        let tenant = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
        for (issuer, flow, secret, reason, word) in [
            (
                "https://idp.example.com",
                "pkce",
                None,
                Reason::Passed,
                "https://wandb.example.com/oidc/callback",
            ),
            (
                "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_x",
                "pkce",
                None,
                Reason::Passed,
                "Register",
            ),
            (
                "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_x",
                "implicit",
                None,
                Reason::ProviderRuleBroken,
                "pkce",
            ),
            (
                "https://cognito-idp.us-east-1.amazonaws.com",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "https://cognito-idp.us-east-1.amazonaws.com/<user pool ID>",
            ),
            (
                "https://acme.auth.eu-west-1.amazoncognito.com",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "https://cognito-idp.eu-west-1.amazonaws.com/<user pool ID>",
            ),
            ("https://acme.okta.com", "implicit", None, Reason::Passed, "hybrid"),
            ("https://acme.okta.com/oauth2/default", "pkce", None, Reason::Passed, "single-page"),
            ("https://acme.okta.com/oauth2", "pkce", None, Reason::ProviderRuleDoubtful, "/oauth2/<"),
            (
                "https://acme-admin.okta.com",
                "pkce",
                None,
                Reason::ProviderRuleDoubtful,
                "https://acme.okta.com.",
            ),
            (&tenant, "pkce", None, Reason::Passed, "Single-page"),
            (&tenant, "pkce", Some("a8Q~value"), Reason::Passed, "Web"),
            (&tenant, "pkce", Some(TENANT), Reason::ProviderRuleDoubtful, "Value"),
            (
                "https://login.microsoftonline.com/common/v2.0",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "common",
            ),
            (
                "https://login.microsoftonline.com/organizations/v2.0",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "<tenant ID>",
            ),
            (
                "https://login.microsoftonline.com/consumers/v2.0",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "consumers",
            ),
            (
                "https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0",
                "pkce",
                None,
                Reason::ProviderRuleBroken,
                "UUID",
            ),
            (tenant.trim_end_matches("/v2.0"), "pkce", None, Reason::ProviderRuleBroken, "/v2.0"),
            ("https://kc.example.com/realms/main", "pkce", None, Reason::Passed, "Register"),
            ("https://kc.example.com/realms/main/", "pkce", None, Reason::ProviderRuleDoubtful, "slash"),
            ("https://acme.auth0.com/", "pkce", None, Reason::Passed, "Register"),
            ("https://acme.auth0.com", "pkce", None, Reason::ProviderRuleBroken, "https://acme.auth0.com/."),
            ("https://accounts.google.com", "pkce", Some("GOCSPX-x"), Reason::Passed, "Web application"),
            ("https://accounts.google.com", "pkce", None, Reason::ProviderRuleDoubtful, "secret"),
            ("https://accounts.google.com/", "pkce", Some("x"), Reason::ProviderRuleBroken, "exactly"),
        ] {
            let (seen, message) = outcome(issuer, flow, secret);
            assert_eq!(seen, reason, "{issuer} {flow}: {message}");
            assert!(message.contains(word), "{issuer} {flow}: {message}");
        }
    }

    #[test]
    fn knows_what_kind_of_app_okta_wants() {
        for flow in ["pkce", "implicit"] {
            let (reason, message) = outcome("https://acme.okta.com", flow, Some("s3cret"));
            assert_eq!(reason, Reason::ProviderRuleDoubtful, "{message}");
            assert!(message.contains("Remove spec.clientSecretRef"), "{message}");
        }
    }

    #[test]
    fn knows_the_issuers_of_entras_first_version() {
        let (reason, message) = outcome(&format!("https://sts.windows.net/{TENANT}/"), "pkce", None);
        assert_eq!(reason, Reason::ProviderRuleDoubtful, "{message}");
        let right = format!("Set spec.issuer to https://login.microsoftonline.com/{TENANT}/v2.0.");
        assert!(message.contains(&right), "{message}");

        let (reason, message) = outcome("https://sts.windows.net/acme.onmicrosoft.com/", "pkce", None);
        assert_eq!(reason, Reason::ProviderRuleBroken, "{message}");
        assert!(message.contains("https://login.microsoftonline.com/<tenant ID>/v2.0"), "{message}");
    }
}
