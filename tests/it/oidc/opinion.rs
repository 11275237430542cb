//! Discovery documents, judged here and by go-oidc: what it refuses is refused, and what it accepts passes, unless
//! people could not log in with it.

use serde_json::{Value, json};
use test_support::{
    DiscoveryCase, GoOpinion,
    hostile::{HttpServer, Response},
};
use wandb_auth_operator::api::CheckName;

use super::{
    examine,
    scripted_provider::{WELL_KNOWN, strong_key},
    spec, told,
};

/// What is made of a document.
#[derive(Clone, Copy)]
enum Verdict {
    Accepted,
    Refused,
    /// Go accepts it, and the operator refuses it on purpose.
    OnlyGo(&'static str),
}

/// A document that lacks nothing, where `ISSUER` stands for the issuer.
fn document() -> Value {
    json!({
        "issuer": "ISSUER",
        "authorization_endpoint": "ISSUER/authorize",
        "token_endpoint": "ISSUER/token",
        "jwks_uri": "ISSUER/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email"],
        "code_challenge_methods_supported": ["S256"],
    })
}

fn cases() -> Vec<(String, Verdict)> {
    use Verdict::{Accepted, OnlyGo, Refused};
    let nobody_logs_in = OnlyGo("go-oidc makes a provider of it that nobody can log in with");
    let never_spoken = OnlyGo("the provider says itself that it does not do what W&B will ask for");
    let changes = [
        (json!({}), Accepted),
        // Fields that nobody uses.
        (json!({ "op_tos_uri": "", "op_policy_uri": 7, "service_documentation": null }), Accepted),
        (json!({ "claims_parameter_supported": "true", "request_uri_parameter_supported": 1 }), Accepted),
        (json!({ "subject_types_supported": null }), Accepted),
        (json!({ "subject_types_supported": "public" }), Accepted),
        (json!({ "registration_endpoint": "" }), Accepted),
        (json!({ "end_session_endpoint": ["a"] }), Accepted),
        (json!({ "acr_values_supported": {}, "ui_locales_supported": "en" }), Accepted),
        (json!({ "grant_types_supported": "implicit" }), Accepted),
        (json!({ "token_endpoint_auth_methods_supported": ["from-the-future", 7] }), Accepted),
        (json!({ "claims_supported": [1], "display_values_supported": false }), Accepted),
        // Fields that say what the provider offers.
        (json!({ "response_types_supported": null }), Accepted),
        (json!({ "response_types_supported": "code" }), Accepted),
        (json!({ "response_types_supported": ["code", "id_token", "code  id_token"] }), Accepted),
        (json!({ "response_types_supported": ["id_token"] }), never_spoken),
        (json!({ "scopes_supported": null }), Accepted),
        (json!({ "scopes_supported": "openid" }), Accepted),
        (json!({ "scopes_supported": ["email"] }), never_spoken),
        (json!({ "code_challenge_methods_supported": null }), Accepted),
        (json!({ "code_challenge_methods_supported": "S256" }), Accepted),
        (json!({ "code_challenge_methods_supported": ["plain"] }), never_spoken),
        (json!({ "response_modes_supported": 7 }), Accepted),
        // Fields that go-oidc reads.
        (json!({ "issuer": null }), Refused),
        (json!({ "issuer": "" }), Refused),
        (json!({ "issuer": 7 }), Refused),
        (json!({ "issuer": "ISSUER/" }), Refused),
        (json!({ "issuer": "https://other.example" }), Refused),
        (json!({ "jwks_uri": 7 }), Refused),
        (json!({ "jwks_uri": ["ISSUER/jwks"] }), Refused),
        (json!({ "jwks_uri": null }), nobody_logs_in),
        (json!({ "jwks_uri": "" }), nobody_logs_in),
        (json!({ "jwks_uri": "/jwks" }), nobody_logs_in),
        (json!({ "authorization_endpoint": false }), Refused),
        (json!({ "authorization_endpoint": null }), nobody_logs_in),
        (json!({ "authorization_endpoint": "/authorize" }), nobody_logs_in),
        (json!({ "token_endpoint": 7 }), Refused),
        (json!({ "token_endpoint": null }), nobody_logs_in),
        (json!({ "token_endpoint": "" }), nobody_logs_in),
        (json!({ "token_endpoint": "token" }), nobody_logs_in),
        (json!({ "userinfo_endpoint": 7 }), Refused),
        (json!({ "userinfo_endpoint": "" }), Accepted),
        (json!({ "userinfo_endpoint": "/userinfo" }), Accepted),
        (json!({ "userinfo_endpoint": "ftp://login.example.com/" }), Accepted),
        (json!({ "device_authorization_endpoint": {} }), Refused),
        (json!({ "device_authorization_endpoint": "" }), Accepted),
        (json!({ "id_token_signing_alg_values_supported": null }), Accepted),
        (json!({ "id_token_signing_alg_values_supported": [] }), Accepted),
        (json!({ "id_token_signing_alg_values_supported": ["HS256"] }), Accepted),
        (json!({ "id_token_signing_alg_values_supported": ["RS256", null] }), Accepted),
        (json!({ "id_token_signing_alg_values_supported": "RS256" }), Refused),
        (json!({ "id_token_signing_alg_values_supported": ["RS256", 7] }), Refused),
        (json!({ "id_token_signing_alg_values_supported": ["ES512"] }), nobody_logs_in),
        // Go compares the names of fields without regard to case.
        (
            json!({ "issuer": null, "Issuer": "ISSUER", "jwks_uri": null, "JWKS_URI": "ISSUER/jwks" }),
            Accepted,
        ),
    ];
    let mut cases: Vec<_> = changes
        .into_iter()
        .map(|(changes, verdict)| {
            let mut document = document();
            let fields = document.as_object_mut().unwrap();
            fields.extend(changes.as_object().unwrap().clone());
            fields.retain(|_, value| !value.is_null());
            (document.to_string(), verdict)
        })
        .collect();
    let text = document().to_string();
    cases.extend([
        (text.replace("\"public\"", "null"), Accepted),
        (format!("  \n{text}\n"), Accepted),
        (format!("\u{feff}{text}"), Refused),
        (format!("{text}{text}"), Refused),
        (format!("[{text}]"), Refused),
        (text.trim_end_matches('}').to_owned(), Refused),
        (String::new(), Refused),
        ("null".to_owned(), Refused),
        ("<html>".to_owned(), Refused),
    ]);
    cases
}

#[tokio::test]
async fn documents_are_judged_as_go_judges_them() {
    let mut asked = Vec::new();
    let mut judged = Vec::new();
    for (text, expected) in cases() {
        let template = text.clone();
        let server = HttpServer::plain(move |request| {
            let issuer = format!("http://{}", request.header("host").unwrap_or_default());
            match request.path.as_str() {
                WELL_KNOWN => Response::text("application/json", &template.replace("ISSUER", &issuer)),
                "/jwks" => Response::json(&json!({ "keys": [strong_key()] })),
                _ => Response::status(404, ""),
            }
        })
        .unwrap();
        let url = server.url("");
        let findings = examine(&spec(&url, &json!({ "checks": { "clientCredentials": false } })), &[]).await;
        let accepted = findings.failure().is_none();
        assert!(accepted || findings.failure().is_some_and(|failure| failure.name != CheckName::TcpConnects));
        judged.push((text.clone(), expected, accepted, told(&findings)));
        asked.push(DiscoveryCase { document: text.replace("ISSUER", &url), issuer: url });
    }
    let verdicts = GoOpinion::install().unwrap().discovery_documents(&asked).unwrap();
    let mut surprises = Vec::new();
    for ((text, expected, ours, told), go) in judged.iter().zip(&verdicts) {
        let fits = match expected {
            Verdict::Accepted => *ours && go.accepted,
            Verdict::Refused => !*ours && !go.accepted,
            Verdict::OnlyGo(why) => !why.is_empty() && !*ours && go.accepted,
        };
        if !fits {
            surprises.push(format!("{text}: accepted here {ours}, Go {} {}\n{told}", go.accepted, go.error));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n\n"));
}
