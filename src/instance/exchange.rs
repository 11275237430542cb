//! Exchanges an identity token for an access token (RFC 7523).

use std::time::Duration;

use hyper::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{AccessToken, Instance, ServerRefusal, answer::Answer};
use crate::sensitive::{Redactor, Sensitive};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The required members of an answer, for messages.
const EXPECTED: &str = "access_token, and expires_in as a number of seconds";

impl Instance<'_> {
    /// Exchanges an identity token: a signed JSON Web Token of an issuer that the server trusts.
    pub async fn exchange(&self, identity_token: &Sensitive) -> Result<AccessToken, ServerRefusal> {
        let url = self.base_url.token_url();
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (header::ACCEPT, HeaderValue::from_static("application/json")),
        ];
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT_TYPE)
            .append_pair("assertion", identity_token.expose())
            .finish();
        let response = self.post(url, headers, body).await?;
        let answer = Answer { url, response, redactor: Redactor::new([identity_token.clone()]) };
        answer.expect_token_answer()?;
        read(answer.object(EXPECTED)?).ok_or_else(|| answer.misshapen(EXPECTED))
    }
}

/// Reads a successful answer (RFC 6749 section 5.1).
fn read(answer: Map<String, Value>) -> Option<AccessToken> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: f64,
    }
    let granted: Granted = serde_json::from_value(Value::Object(answer)).ok()?;
    let is_token =
        !granted.access_token.is_empty() && granted.access_token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then_some(AccessToken {
        token: Sensitive::new(granted.access_token),
        expires_in: Duration::try_from_secs_f64(granted.expires_in).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn granted(answer: Value) -> Option<(String, u64)> {
        let token = serde_json::from_value(answer).ok().and_then(read)?;
        Some((token.token.expose().to_owned(), token.expires_in.as_secs()))
    }

    #[test]
    fn reads_what_is_needed_and_nothing_else() {
        for (answer, expected) in [
            (json!({ "access_token": "abc", "expires_in": 3600 }), Some(3600)),
            (
                json!({ "access_token": "abc", "expires_in": 3600.5, "token_type": null, "new": [] }),
                Some(3600),
            ),
            (json!({ "access_token": "abc" }), None),
            (json!({ "access_token": "abc", "expires_in": -1 }), None),
            (json!({ "access_token": "abc", "expires_in": 1e300 }), None),
            (json!({ "access_token": "abc", "expires_in": "3600" }), None),
            (json!({ "access_token": "", "expires_in": 3600 }), None),
            (json!({ "access_token": "a\nb", "expires_in": 3600 }), None),
            (json!({ "access_token": null, "expires_in": 3600 }), None),
        ] {
            let expected = expected.map(|seconds| ("abc".to_owned(), seconds));
            assert_eq!(granted(answer.clone()), expected, "{answer}");
        }
    }
}
