//! What the provider says that it offers.

use super::{OidcSettings, discovery::Offers};
use crate::{
    api::{
        Reason,
        oidc_provider::{AuthMethod, Provider},
    },
    engine::Checked,
    problem::{Problem, enumerate},
};

/// Whether the provider offers the flow of the spec. W&B Server does not read what the document says of that, so
/// only what speaks against the flow fails; what the document leaves out is a warning.
pub(super) fn flow(settings: &OidcSettings, offers: &Offers) -> Result<Checked, Problem> {
    match settings.flow {
        AuthMethod::Pkce => pkce(settings.provider, offers),
        AuthMethod::Implicit => implicit(offers),
    }
}

fn not_supported<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(Reason::FlowNotSupported, message))
}

fn unmentioned(message: impl Into<String>) -> Checked {
    Checked::warning((), Reason::FlowNotSupported, message)
}

fn pkce(provider: Provider, offers: &Offers) -> Result<Checked, Problem> {
    let is_listed = expect_response_type(
        offers,
        "code",
        "authMethod: pkce needs code. Enable the authorization code flow at the provider.",
    )?;
    match &offers.code_challenge_methods {
        Some(methods) if methods.iter().any(|method| method == "S256") => {
            if !is_listed {
                return Ok(unmentioned(
                    "The provider offers PKCE (S256), but its discovery document does not list response types. Try a login (wandb-auth-operator login), and enable the authorization code flow at the provider if it fails.",
                ));
            }
            Ok(Checked::passed((), "The provider offers the authorization code flow with PKCE (S256)."))
        }
        Some(methods) => not_supported(format!(
            "The provider offers PKCE with {}, but authMethod: pkce needs S256. Enable S256 at the provider.",
            enumerate(methods.iter().map(String::as_str))
        )),
        // Both support S256 and have always left it out of their documents.
        None if matches!(provider, Provider::Cognito | Provider::Entra) => Ok(unmentioned(format!(
            "The discovery document does not mention PKCE (code_challenge_methods_supported), as usual with {provider}, which supports it. You need to do nothing."
        ))),
        None => Ok(unmentioned(
            "The discovery document does not mention PKCE (code_challenge_methods_supported), which authMethod: pkce uses. Many providers support it without saying so, such as AD FS and Azure AD B2C. Try a login (wandb-auth-operator login), and enable PKCE with S256 at the provider if it fails.",
        )),
    }
}

fn implicit(offers: &Offers) -> Result<Checked, Problem> {
    let is_listed = expect_response_type(
        offers,
        "id_token",
        "authMethod: implicit needs id_token. Enable it at the provider, or set spec.authMethod to pkce.",
    )?;
    match &offers.response_modes {
        Some(modes) if modes.iter().any(|mode| mode == "form_post") && is_listed => {
            Ok(Checked::passed((), "The provider offers the implicit flow with form_post."))
        }
        Some(modes) if !modes.iter().any(|mode| mode == "form_post") => not_supported(format!(
            "The provider offers the response modes {}, but authMethod: implicit needs form_post. Enable it at the provider, or set spec.authMethod to pkce.",
            enumerate(modes.iter().map(String::as_str))
        )),
        _ => Ok(unmentioned(
            "The discovery document does not mention all that authMethod: implicit uses (id_token in response_types_supported, form_post in response_modes_supported). Try a login (wandb-auth-operator login), and enable them at the provider, or set spec.authMethod to pkce, if it fails.",
        )),
    }
}

/// Whether the document lists the response type; it fails where it lists others only.
fn expect_response_type(offers: &Offers, expected: &str, need: &str) -> Result<bool, Problem> {
    let Some(offered) = &offers.response_types else { return Ok(false) };
    if offered.iter().any(|types| types.split_whitespace().eq([expected])) {
        return Ok(true);
    }
    not_supported(format!("The provider offers the response types {}, but {need}", enumerate(offered)))
}

/// Whether the provider offers the scopes that W&B asks for.
pub(super) fn scopes(settings: &OidcSettings, offers: &Offers) -> Result<Checked, Problem> {
    let Some(offered) = &offers.scopes else {
        return Ok(Checked::passed(
            (),
            "The discovery document does not list scopes, so the provider decides at login.",
        ));
    };
    let is_missing = |scope: &&str| !offered.iter().any(|offer| offer == *scope);
    let missing: Vec<_> = settings.scopes().filter(is_missing).collect();
    let wanted: Vec<_> = settings.scopes().collect();
    if missing.is_empty() {
        return Ok(Checked::passed((), format!("The provider offers {}.", wanted.join(" "))));
    }
    let offers = enumerate(offered);
    if missing.contains(&"openid") {
        return Err(Problem::new(
            Reason::ScopeNotSupported,
            format!(
                "The provider offers the scopes {offers}, but not openid, without which there is no ID token. Enable OpenID Connect at the provider."
            ),
        ));
    }
    // The list may leave out scopes that are offered (OpenID Connect Discovery 1.0 section 3).
    Ok(Checked::warning(
        (),
        Reason::ScopeNotSupported,
        format!(
            "The provider lists the scopes {offers}, but not {}, which W&B will ask for. Allow it for this client at the provider.",
            missing.join(" ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{CheckName, CheckResult},
        engine::Report,
        sensitive::Redactor,
    };

    fn settings(changes: &Value) -> OidcSettings {
        let mut spec =
            json!({"issuer": "https://idp.example", "clientID": "wandb", "host": "https://wandb.example"});
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        OidcSettings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap()
    }

    fn offers(changes: &Value) -> Offers {
        let list = |name: &str| {
            let list = changes.get(name)?.as_array()?;
            Some(list.iter().map(|text| text.as_str().unwrap().to_owned()).collect())
        };
        let usual = ["code", "id_token", "code id_token"].map(str::to_owned).to_vec();
        let is_unlisted = changes.get("response_types_supported").is_some_and(Value::is_null);
        Offers {
            response_types: list("response_types_supported").or((!is_unlisted).then_some(usual)),
            response_modes: list("response_modes_supported"),
            scopes: list("scopes_supported"),
            code_challenge_methods: list("code_challenge_methods_supported"),
        }
    }

    fn result(outcome: Result<Checked, Problem>) -> (CheckResult, String) {
        let mut report = Report::new(Vec::new(), Redactor::default());
        report.record(CheckName::Scopes, outcome);
        let finding = report.finish().list.remove(0);
        (finding.result, finding.message.into())
    }

    #[test]
    fn pkce_needs_code_and_s256() {
        for (provider, document, expected) in [
            ("Generic", json!({"code_challenge_methods_supported": ["plain", "S256"]}), CheckResult::Passed),
            ("Generic", json!({"code_challenge_methods_supported": ["plain"]}), CheckResult::Failed),
            ("Generic", json!({}), CheckResult::Warning),
            ("Auth0", json!({}), CheckResult::Warning),
            ("Entra", json!({}), CheckResult::Warning),
            ("Cognito", json!({}), CheckResult::Warning),
            ("Cognito", json!({"code_challenge_methods_supported": []}), CheckResult::Failed),
            (
                "Generic",
                json!({
                    "code_challenge_methods_supported": ["S256"],
                    "response_types_supported": ["id_token", "code token"],
                }),
                CheckResult::Failed,
            ),
            (
                "Generic",
                json!({"code_challenge_methods_supported": ["S256"], "response_types_supported": null}),
                CheckResult::Warning,
            ),
        ] {
            let (result, message) =
                result(flow(&settings(&json!({"provider": provider})), &offers(&document)));
            assert_eq!(result, expected, "{provider} {document}: {message}");
            // The flow that is worse in every respect is never the way out.
            assert!(!message.contains("implicit"), "{message}");
        }
    }

    #[test]
    fn implicit_needs_id_token_and_form_post() {
        let settings = settings(&json!({"authMethod": "implicit"}));
        for (document, expected) in [
            (json!({"response_modes_supported": ["query", "form_post"]}), CheckResult::Passed),
            (json!({"response_modes_supported": ["query"]}), CheckResult::Failed),
            (json!({}), CheckResult::Warning),
            (
                json!({"response_modes_supported": ["form_post"], "response_types_supported": null}),
                CheckResult::Warning,
            ),
            (
                json!({"response_modes_supported": ["form_post"], "response_types_supported": ["code"]}),
                CheckResult::Failed,
            ),
        ] {
            let (result, message) = result(flow(&settings, &offers(&document)));
            assert_eq!(result, expected, "{document}: {message}");
        }
    }

    #[test]
    fn only_a_missing_openid_scope_fails() {
        let settings = settings(&json!({"extraScopes": ["groups"]}));
        for (document, expected, word) in [
            (json!({}), CheckResult::Passed, "does not list"),
            (
                json!({"scopes_supported": ["openid", "profile", "email", "groups"]}),
                CheckResult::Passed,
                "openid profile email groups",
            ),
            (json!({"scopes_supported": ["openid", "profile"]}), CheckResult::Warning, "not email groups"),
            (json!({"scopes_supported": []}), CheckResult::Failed, "scopes none"),
        ] {
            let (result, message) = result(scopes(&settings, &offers(&document)));
            assert_eq!(result, expected, "{document}: {message}");
            assert!(message.contains(word), "{document}: {message}");
        }
    }
}
