//! What the provider says that it offers.

use openidconnect::core::{CoreResponseMode, CoreResponseType};

use super::{Settings, discovery::Metadata};
use crate::{
    api::{
        Reason,
        oidc_provider::{AuthMethod, Provider},
    },
    engine::Checked,
    problem::{Problem, enumerate},
};

/// Whether the provider offers the flow of the spec.
pub(super) fn flow(settings: &Settings, metadata: &Metadata) -> Result<Checked, Problem> {
    match settings.flow {
        AuthMethod::Pkce => pkce(settings.provider, metadata),
        AuthMethod::Implicit => implicit(metadata),
    }
}

fn not_supported<T>(message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(Reason::FlowNotSupported, message))
}

fn pkce(provider: Provider, metadata: &Metadata) -> Result<Checked, Problem> {
    expect_response_type(metadata, &CoreResponseType::Code, "pkce")?;
    match &metadata.additional_metadata().code_challenge_methods_supported {
        Some(methods) if methods.iter().any(|method| method == "S256") => {
            Ok(Checked::passed((), "The provider offers the authorization code flow with PKCE (S256)."))
        }
        Some(methods) => not_supported(format!(
            "The provider offers PKCE with {}, but authMethod: pkce needs S256. Enable S256 at the provider.",
            enumerate(methods.iter().map(String::as_str))
        )),
        // Both support S256 and have always left it out of their documents.
        None if matches!(provider, Provider::Cognito | Provider::Entra) => Ok(Checked::warning(
            (),
            Reason::FlowNotSupported,
            format!(
                "The discovery document does not mention PKCE (code_challenge_methods_supported), as usual with {provider}, which supports it. Nothing is to be done."
            ),
        )),
        None => not_supported(
            "The discovery document does not mention PKCE (code_challenge_methods_supported), which authMethod: pkce needs. Enable PKCE with S256 at the provider, or set spec.authMethod to implicit.",
        ),
    }
}

fn implicit(metadata: &Metadata) -> Result<Checked, Problem> {
    expect_response_type(metadata, &CoreResponseType::IdToken, "implicit")?;
    match metadata.response_modes_supported() {
        Some(modes) if modes.contains(&CoreResponseMode::FormPost) => {
            Ok(Checked::passed((), "The provider offers the implicit flow with form_post."))
        }
        Some(modes) => not_supported(format!(
            "The provider offers the response modes {}, but authMethod: implicit needs form_post. Enable it at the provider, or set spec.authMethod to pkce.",
            enumerate(modes.iter().map(AsRef::as_ref))
        )),
        None => not_supported(
            "The discovery document names no response modes, which means query and fragment, but authMethod: implicit needs form_post. Enable it at the provider, or set spec.authMethod to pkce.",
        ),
    }
}

fn expect_response_type(
    metadata: &Metadata,
    expected: &CoreResponseType,
    method: &str,
) -> Result<(), Problem> {
    let offered = metadata.response_types_supported();
    if offered.iter().any(|types| types.as_slice() == std::slice::from_ref(expected)) {
        return Ok(());
    }
    let names = offered.iter().map(|types| {
        let parts: Vec<_> = types.iter().map(AsRef::as_ref).collect();
        parts.join(" ")
    });
    not_supported(format!(
        "The provider offers the response types {}, but authMethod: {method} needs {}. Enable it at the provider, or choose the other spec.authMethod.",
        enumerate(names),
        expected.as_ref()
    ))
}

/// Whether the provider offers the scopes that W&B asks for.
pub(super) fn scopes(settings: &Settings, metadata: &Metadata) -> Result<Checked, Problem> {
    let Some(offered) = metadata.scopes_supported() else {
        return Ok(Checked::passed(
            (),
            "The discovery document does not list scopes, so the provider decides at login.",
        ));
    };
    let is_missing = |scope: &&str| !offered.iter().any(|offer| offer.as_str() == *scope);
    let missing: Vec<_> = settings.scopes().filter(is_missing).collect();
    let wanted: Vec<_> = settings.scopes().collect();
    if missing.is_empty() {
        return Ok(Checked::passed((), format!("The provider offers {}.", wanted.join(" "))));
    }
    let offers = enumerate(offered.iter().map(|scope| scope.as_str()));
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

    fn settings(changes: &Value) -> Settings {
        let mut spec =
            json!({"issuer": "https://idp.example", "clientID": "wandb", "host": "https://wandb.example"});
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Settings::parse(&serde_json::from_value(spec).unwrap()).ok().unwrap()
    }

    fn metadata(changes: &Value) -> Metadata {
        let mut document = json!({
            "issuer": "https://idp.example",
            "authorization_endpoint": "https://idp.example/authorize",
            "jwks_uri": "https://idp.example/jwks",
            "response_types_supported": ["code", "id_token", "code id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn result(outcome: Result<Checked, Problem>) -> (CheckResult, String) {
        let mut report = Report::new(Vec::new(), Redactor::default());
        report.record(CheckName::Scopes, outcome);
        let finding = report.finish().list.remove(0);
        (finding.result, finding.message)
    }

    #[test]
    fn pkce_needs_code_and_s256() {
        for (provider, document, expected) in [
            ("Generic", json!({"code_challenge_methods_supported": ["plain", "S256"]}), CheckResult::Passed),
            ("Generic", json!({"code_challenge_methods_supported": ["plain"]}), CheckResult::Failed),
            ("Generic", json!({}), CheckResult::Failed),
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
        ] {
            let (result, message) =
                result(flow(&settings(&json!({"provider": provider})), &metadata(&document)));
            assert_eq!(result, expected, "{provider} {document}: {message}");
        }
    }

    #[test]
    fn implicit_needs_id_token_and_form_post() {
        let settings = settings(&json!({"authMethod": "implicit"}));
        for (document, expected) in [
            (json!({"response_modes_supported": ["query", "form_post"]}), CheckResult::Passed),
            (json!({"response_modes_supported": ["query"]}), CheckResult::Failed),
            (json!({}), CheckResult::Failed),
            (
                json!({"response_modes_supported": ["form_post"], "response_types_supported": ["code"]}),
                CheckResult::Failed,
            ),
        ] {
            let (result, message) = result(flow(&settings, &metadata(&document)));
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
            let (result, message) = result(scopes(&settings, &metadata(&document)));
            assert_eq!(result, expected, "{document}: {message}");
            assert!(message.contains(word), "{document}: {message}");
        }
    }
}
