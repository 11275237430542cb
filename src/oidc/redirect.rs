//! Whether the provider knows the redirect URI: an authorization request that nobody has to answer.

use hyper::header::{self, HeaderValue};
use url::Url;

use super::{
    OidcPlan, OidcSettings, RedirectUri,
    authorization::{self, AuthorizationRequest, ResponseMode},
    discovery::ProviderMetadata,
    endpoints::seen_by_browsers,
    settings::SCOPES,
};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    issuer::{at, expect_available},
    net::{HttpClient, HttpRequest, HttpResponse},
    problem::{Problem, quote},
};

/// Asks the authorization endpoint, if the spec wants that.
pub(super) async fn check(
    plan: &OidcPlan,
    http: HttpClient<'_>,
    metadata: &ProviderMetadata,
    report: &mut Report,
) {
    let name = CheckName::RedirectUri;
    let settings = &plan.settings;
    if !settings.checks.redirect_uri {
        return report.skip(name, "Not run, since spec.checks.redirectURI is not true.");
    }
    let ask = async {
        let url = authorization_url(settings, metadata);
        let request = page_request(url.clone());
        match seen_by_browsers(settings.time_limit, Box::pin(http.send(request))).await {
            Ok(response) => judge(settings, &url, &response),
            Err(problem) => Ok(unreachable(settings, &problem)),
        }
    };
    report.check(name, ask).await;
}

/// Only people's browsers must reach the authorization endpoint, so that no answer from here fails nothing.
fn unreachable(settings: &OidcSettings, problem: &Problem) -> Checked {
    let Problem { message, .. } = at("authorization_endpoint", problem);
    Checked::warning(
        (),
        Reason::Inconclusive,
        format!(
            "{message} W&B Server does not connect there itself, so this says nothing of people's browsers. Whether the provider knows the redirect URI {} was not seen: try a login without --redirect-uri (wandb-auth-operator login), and turn spec.checks.redirectURI off if it works.",
            settings.redirect_uri
        ),
    )
}

/// Asks as a browser does: some providers answer programs in another way.
fn page_request(url: Url) -> HttpRequest {
    let headers = vec![(header::ACCEPT, HeaderValue::from_static("text/html"))];
    HttpRequest { headers, ..HttpRequest::get(url) }
}

/// RFC 7636 wants at least 43 characters. Nobody ever sends it, since no code comes of the request.
const UNUSED_VERIFIER: &str = "unused-since-no-code-comes-of-this-request-of-wandb-auth-operator";

/// The request of W&B's login page, with `prompt=none`: an error comes back instead of a login page.
fn authorization_url(settings: &OidcSettings, metadata: &ProviderMetadata) -> Url {
    let request = AuthorizationRequest {
        redirect_uri: settings.redirect_uri.as_str(),
        // Extra scopes could be refused for reasons of their own.
        scope: &SCOPES.join(" "),
        state: "unused",
        nonce: "unused",
        verifier: UNUSED_VERIFIER,
        response_mode: ResponseMode::FormPost,
    };
    let mut url = authorization::authorization_url(settings, metadata, &request);
    url.query_pairs_mut().append_pair("prompt", "none");
    url
}

/// Answers that only somebody gets whose redirect URI is known (OpenID Connect Core 1.0 section 3.1.2.6).
const NOT_LOGGED_IN: [&str; 4] =
    ["login_required", "consent_required", "interaction_required", "account_selection_required"];

fn judge(settings: &OidcSettings, asked: &Url, response: &HttpResponse) -> Result<Checked, Problem> {
    let uri = &settings.redirect_uri;
    let error = match response.redirect() {
        Some(location) => asked.join(location).ok().and_then(|url| error_in_redirect(uri, &url)),
        None => error_in_form(uri, &String::from_utf8_lossy(&response.body)),
    };
    if error.is_none() && !names_a_mismatch(response) {
        let next = "If people can log in anyway, set spec.checks.redirectURI to false";
        // Without the query, which is long and says nothing.
        let mut endpoint = asked.clone();
        endpoint.set_query(None);
        expect_available(&endpoint, response.status, next)
            .map_err(|problem| at("authorization_endpoint", &problem))?;
    }
    match error {
        Some(error) if NOT_LOGGED_IN.contains(&error.as_str()) => {
            Ok(Checked::passed((), format!("The provider knows the redirect URI {uri}.")))
        }
        Some(error) => Ok(unclear(&format!(
            "The provider knows the redirect URI {uri}, but answers an authorization request with {}",
            quote(&error)
        ))),
        None if response.status.is_client_error() || names_a_mismatch(response) => Err(Problem::new(
            Reason::RedirectUriRejected,
            format!(
                "The provider answers an authorization request with an error (status {}) instead of coming back to {uri}. Register exactly that redirect URI for the client {}.",
                response.status.as_u16(),
                settings.client_id
            ),
        )),
        None => Ok(unclear(&format!(
            "The provider answers an authorization request with {} instead of coming back to {uri}",
            match response.redirect() {
                Some(_) => "a redirect to another address".to_owned(),
                None => format!("a page (status {})", response.status.as_u16()),
            }
        ))),
    }
}

fn unclear(seen: &str) -> Checked {
    Checked::warning(
        (),
        Reason::Inconclusive,
        format!(
            "{seen}; expected login_required. Try a login without --redirect-uri (wandb-auth-operator login), and turn spec.checks.redirectURI off if it works."
        ),
    )
}

/// How Amazon Cognito, Google and Entra call a redirect URI that they do not know, whatever the status.
const MISMATCHES: [&str; 3] = ["redirect_mismatch", "redirect_uri_mismatch", "AADSTS50011"];

fn names_a_mismatch(response: &HttpResponse) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    let texts = [response.redirect().unwrap_or_default(), body.as_ref()];
    MISMATCHES.iter().any(|mismatch| texts.iter().any(|text| text.contains(mismatch)))
}

/// The error that a redirect carries to the redirect URI, in the query or the fragment.
fn error_in_redirect(uri: &RedirectUri, url: &Url) -> Option<String> {
    if !uri.is_reached_by(url) {
        return None;
    }
    let parameters = [url.query(), url.fragment()].into_iter().flatten();
    parameters
        .flat_map(|text| url::form_urlencoded::parse(text.as_bytes()))
        .find(|(name, _)| name == "error")
        .map(|(_, value)| value.into_owned())
}

/// The error that a page posts to the redirect URI (OAuth 2.0 Form Post Response Mode).
fn error_in_form(uri: &RedirectUri, page: &str) -> Option<String> {
    let tags: Vec<_> = page.split('<').filter_map(|part| part.split('>').next()).collect();
    let posts_to_us = |tag: &&str| {
        let action = is_tag(tag, "form").then(|| attribute(tag, "action")).flatten();
        action.and_then(|action| Url::parse(&action).ok()).is_some_and(|url| uri.is_reached_by(&url))
    };
    tags.iter().find(|tag| posts_to_us(tag))?;
    let is_error = |tag: &&&str| is_tag(tag, "input") && attribute(tag, "name").as_deref() == Some("error");
    tags.iter().find(is_error).and_then(|tag| attribute(tag, "value"))
}

fn is_tag(tag: &str, name: &str) -> bool {
    tag.split([' ', '\t', '\r', '\n', '/']).next().is_some_and(|seen| seen.eq_ignore_ascii_case(name))
}

/// A quoted attribute of a tag, without the entities that matter in URLs.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let quotation = after.chars().next().filter(|character| matches!(character, '"' | '\''))?;
        let mut parts = after.split(quotation).skip(1);
        let value = parts.next()?;
        if before.split_whitespace().next_back().is_some_and(|seen| seen.eq_ignore_ascii_case(name)) {
            return Some(unescape(value));
        }
        rest = after.get(value.len() + 2..)?;
    }
    None
}

fn unescape(text: &str) -> String {
    [("&#x2F;", "/"), ("&#x2f;", "/"), ("&#47;", "/"), ("&#x3A;", ":"), ("&#58;", ":"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::{HeaderMap, StatusCode};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{engine::Report, sensitive::Redactor};

    fn reason(status: u16, location: Option<&str>, body: &str) -> Reason {
        let settings = OidcSettings::parse(
            &serde_json::from_value(
                json!({"issuer": "https://idp.example", "clientID": "w", "host": "https://wandb.example"}),
            )
            .unwrap(),
        );
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(header::LOCATION, location.parse().unwrap());
        }
        let response = HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from(body.to_owned()),
        };
        let asked = Url::parse("https://idp.example/authorize?x").unwrap();
        let mut report = Report::new(Vec::new(), Redactor::default());
        report.record(CheckName::RedirectUri, judge(&settings.ok().unwrap(), &asked, &response));
        report.finish().list[0].reason
    }

    #[test]
    fn reads_redirects() {
        for (location, expected) in [
            ("https://wandb.example/oidc/callback?error=login_required&state=unused", Reason::Passed),
            ("https://wandb.example/oidc/callback#state=unused&error=interaction_required", Reason::Passed),
            ("https://wandb.example/oidc/callback?error=invalid_scope", Reason::Inconclusive),
            ("https://wandb.example/oidc/callback", Reason::Inconclusive),
            ("https://evil.example/oidc/callback?error=login_required", Reason::Inconclusive),
            ("/login", Reason::Inconclusive),
            ("/error?error=redirect_mismatch&client_id=w", Reason::RedirectUriRejected),
        ] {
            assert_eq!(reason(302, Some(location), ""), expected, "{location}");
        }
    }

    proptest! {
        #[test]
        fn survives_any_page(page in "(<(form|input)?|action=|name=|value=|[\"'>/ aä]){0,40}") {
            let uri = RedirectUri::of_host("https://wandb.example").unwrap();
            prop_assert_eq!(error_in_form(&uri, &page), None);
        }
    }

    #[test]
    fn reads_pages() {
        let form = |action: &str, error: &str| {
            format!(
                r#"<html><body><FORM method="post" action="{action}"><input type='hidden' name='error' value='{error}'/><input name="state" value="unused"></form>"#
            )
        };
        let uri = "https://wandb.example/oidc/callback";
        for (status, page, expected) in [
            (200, form(uri, "login_required"), Reason::Passed),
            (
                200,
                form("https:&#x2F;&#x2F;wandb.example&#x2F;oidc&#x2F;callback", "login_required"),
                Reason::Passed,
            ),
            (200, form(uri, "server_error"), Reason::Inconclusive),
            (200, form("https://evil.example/", "login_required"), Reason::Inconclusive),
            (
                200,
                "<form>login_required https://wandb.example/oidc/callback".to_owned(),
                Reason::Inconclusive,
            ),
            (200, "<form action=x =\"\" ='".to_owned(), Reason::Inconclusive),
            (400, "<html>invalid redirect_uri".to_owned(), Reason::RedirectUriRejected),
            (200, "<html>AADSTS50011: The redirect URI".to_owned(), Reason::RedirectUriRejected),
            (400, String::new(), Reason::RedirectUriRejected),
            (429, String::new(), Reason::ServerUnavailable),
            (500, String::new(), Reason::ServerUnavailable),
            (500, "<html>redirect_mismatch".to_owned(), Reason::RedirectUriRejected),
        ] {
            assert_eq!(reason(status, None, &page), expected, "{page}");
        }
    }
}
