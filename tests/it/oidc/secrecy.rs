//! Providers that repeat what they were told.

use serde_json::json;
use test_support::hostile::Response;
use wandb_auth_operator::api::{CheckName, Reason};

use super::{examine, finding, scripted_provider::Provider, spec, told};

const SECRET: &str = "pä ss+w/o:rd=%~hunter22.";
/// The secret as forms and HTTP Basic carry it (RFC 6749 section 2.3.1), and with the other spelling of a space.
const ENCODED: [&str; 2] =
    ["p%C3%A4+ss%2Bw%2Fo%3Ard%3D%25%7Ehunter22.", "p%C3%A4%20ss%2Bw%2Fo%3Ard%3D%25~hunter22."];

#[tokio::test]
async fn a_secret_that_the_provider_repeats_in_any_encoding_is_taken_out() {
    for (status, error, reason) in
        [(401, "invalid_client", Reason::ClientRejected), (400, "invalid_request", Reason::Inconclusive)]
    {
        // Filling moves the place where a long text is cut through what must not be seen.
        for filling in ["", &"x".repeat(40), &"x".repeat(140), &"x".repeat(180)] {
            let filling = filling.to_owned();
            let server = Provider::with(json!({}))
                .answering("/token", move |request| {
                    let header = request.header("authorization").unwrap_or_default();
                    let body = &request.body;
                    let [form, url] = ENCODED;
                    let parts =
                        [header, SECRET, &format!("client_secret={form}"), body, &format!("?s={url}"), SECRET];
                    let rotated = parts.iter().cycle().skip(filling.len() % 6).take(6);
                    let told: Vec<_> = rotated.copied().collect();
                    let answer =
                        json!({ "error": error, "error_description": format!("{filling} {}", told.join(" ")) });
                    Response::status(status, &answer.to_string())
                })
                .start();
            let secret = json!({ "clientID": "w&b", "clientSecretRef": { "name": "oidc", "key": "secret" } });
            let findings = examine(&spec(&server.url(""), &secret), &[("secret", SECRET)]).await;
            let found = finding(&findings, &CheckName::ClientCredentials);
            assert_eq!(found.reason, reason, "{}", found.message);
            assert!(found.message.contains("[redacted]") || found.message.contains('…'), "{}", found.message);
            let requests = server.requests();
            let basic = requests.iter().find_map(|request| request.header("authorization")).unwrap();
            let basic = basic.strip_prefix("Basic ").unwrap();
            let told = told(&findings);
            // The first half of an encoded text is enough to guess the rest.
            for part in ["hunter", "p%C3%A4", "ss%2Bw", "pä ss", basic.get(..16).unwrap()] {
                assert!(!told.contains(part), "{part} of {basic} is in: {told}");
            }
        }
    }
}
