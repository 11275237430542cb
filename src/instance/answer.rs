//! Judges answers of W&B Server. This is the only place that interprets the server's statuses and texts.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use super::{
    Credential, ServerRefusal,
    api_key::{is_key_character, is_key_sized},
    refusal::retry_after,
};
use crate::{
    api::Reason,
    net::HttpResponse,
    problem::{CUT, quote},
    sensitive::Redactor,
};

/// An answer, with what is needed to describe it in messages.
pub(super) struct Answer<'a> {
    /// The URL of the request.
    pub(super) url: &'a Url,
    /// The response to the request.
    pub(super) response: HttpResponse,
    /// Removes the secrets of the request from texts of the server.
    pub(super) redactor: Redactor,
}

/// Recognizes the server's words for a refusal. Returns the reason, and advice about what to do next.
pub(super) type Recognize = fn(&str) -> Option<(Reason, &'static str)>;

impl Answer<'_> {
    /// Fails if this is not a successful answer to a query.
    pub(super) fn expect_query_answer(
        &self,
        credential: &Credential,
        recognize: Recognize,
    ) -> Result<(), ServerRefusal> {
        self.expect_available()?;
        match self.response.status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(unauthorized(self.url, &self.seen(), credential)),
            StatusCode::FORBIDDEN => {
                let (reason, next) = recognize(&self.words()).unwrap_or((
                    Reason::AccessDenied,
                    "The server does not allow this account to do that: give the account the right, or use another account",
                ));
                Err(ServerRefusal::new(
                    reason,
                    format!("{} answers with {}. {next}.", self.shown_url(), self.seen()),
                ))
            }
            _ => Err(self.unexpected_status()),
        }
    }

    /// Fails if this is not a successful answer to an exchange of tokens.
    pub(super) fn expect_token_answer(&self) -> Result<(), ServerRefusal> {
        self.expect_available()?;
        let status = self.response.status;
        if status == StatusCode::OK {
            return Ok(());
        }
        let is_absent = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if !status.is_client_error() || (is_absent && !self.is_json()) {
            return Err(self.unexpected_status());
        }
        Err(ServerRefusal::new(
            Reason::TokenRefused,
            format!(
                "{} answers with {}: the server does not exchange the token. Check that its issuer is registered with the organization, that an account has exactly its subject, and that its audience is accepted.",
                self.shown_url(),
                self.seen()
            ),
        ))
    }

    /// The problem that the answer is JSON without the expected members.
    pub(super) fn misshapen(&self, expected: &str) -> ServerRefusal {
        ServerRefusal::new(
            Reason::InvalidDocument,
            format!(
                "{} answers with JSON of another shape; expected {expected}. Check that the server is a W&B Server, and which version.",
                self.shown_url()
            ),
        )
    }

    /// Parses the body as a JSON object.
    pub(super) fn object(&self, expected: &str) -> Result<Map<String, Value>, ServerRefusal> {
        match serde_json::from_slice(&self.response.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(self.misshapen(expected)),
            Err(_) => Err(ServerRefusal::new(
                Reason::NotJson,
                format!(
                    "{} answers with {} instead of JSON. Check that spec.instance.baseURL is the address of W&B Server, and that no proxy or login page answers in its place.",
                    self.shown_url(),
                    if self.is_web_page() { "a web page" } else { "something else" }
                ),
            )),
        }
    }

    /// Makes a text of the server safe to show: without secrets, on one line, and short.
    pub(super) fn show(&self, text: &str) -> String {
        // The limit is longer than what is shown. The mark at the end lets the redactor recognize a secret that is
        // cut off there.
        const READ: usize = 4096;
        let mut characters = text.chars();
        let mut read: String = characters.by_ref().take(READ).collect();
        if characters.next().is_some() {
            read.push_str(CUT);
        }
        quote(&without_keys(&self.redactor.redact(read))).trim_end_matches('.').to_owned()
    }

    /// The URL of the request, as messages show it.
    pub(super) fn shown_url(&self) -> String {
        quote(self.url.as_str())
    }

    /// Fails if the server redirects, or cannot answer the request now.
    fn expect_available(&self) -> Result<(), ServerRefusal> {
        let url = self.shown_url();
        if let Some(location) = self.response.redirect() {
            return Err(ServerRefusal::new(
                Reason::Redirected,
                format!(
                    "{url} redirects to {}, and redirects are not followed, since they could send secrets to another server. Set spec.instance.baseURL to the address that answers without a redirect.",
                    self.show(location)
                ),
            ));
        }
        self.expect_working()
    }

    /// Fails if the server does not work now, or wants fewer requests.
    pub(super) fn expect_working(&self) -> Result<(), ServerRefusal> {
        let url = self.shown_url();
        let refuse = |reason, message| ServerRefusal {
            retry_after: retry_after(&self.response.headers, Timestamp::now()),
            ..ServerRefusal::new(reason, message)
        };
        match self.response.status {
            StatusCode::TOO_MANY_REQUESTS => Err(refuse(
                Reason::RateLimited,
                format!(
                    "{url} answers with {}: the server asks for fewer requests. If this goes on, find out what else uses this account.",
                    self.seen()
                ),
            )),
            status if status.is_server_error() => Err(refuse(
                Reason::ServerUnavailable,
                format!(
                    "{url} answers with {}, which usually means that the server is starting, overloaded or broken. If this goes on, look into the server's log.",
                    self.seen()
                ),
            )),
            _ => Ok(()),
        }
    }

    fn unexpected_status(&self) -> ServerRefusal {
        ServerRefusal::new(
            Reason::UnexpectedStatus,
            format!(
                "{} answers with {} instead of 200. Check that spec.instance.baseURL is the address of W&B Server, and the server's version.",
                self.shown_url(),
                self.seen()
            ),
        )
    }

    /// The status, with the server's own words if there are any.
    fn seen(&self) -> String {
        let status = self.response.status.as_u16();
        match self.show(&self.words()).as_str() {
            "" => format!("the status {status}"),
            words => format!("the status {status} ({words})"),
        }
    }

    /// The server's own words, unchanged. A web page counts as no words.
    fn words(&self) -> String {
        let body = &self.response.body;
        match serde_json::from_slice(body) {
            Ok(document) => words_in(&document),
            Err(_) if self.is_web_page() => String::new(),
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        }
    }

    fn is_json(&self) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(&self.response.body).is_ok()
    }

    fn is_web_page(&self) -> bool {
        self.response.body.trim_ascii_start().starts_with(b"<")
    }
}

/// The problem that the server does not accept the credential.
pub(super) fn unauthorized(url: &Url, seen: &str, credential: &Credential) -> ServerRefusal {
    let next = match credential {
        Credential::Key(_) => {
            "Check that the key belongs to this server and was not deleted, and store a valid one"
        }
        Credential::Token(_) => "Check that the account still exists",
    };
    let (url, noun) = (quote(url.as_str()), credential.noun());
    ServerRefusal::new(
        Reason::Unauthorized,
        format!("{url} answers with {seen}: the server does not accept the {noun}. {next}."),
    )
}

/// The text of an error document, in the forms of GraphQL, of OAuth (RFC 6749 section 5.2) and of simple services.
fn words_in(document: &Value) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let (words, separator) = match document.get("errors") {
        Some(Value::Array(errors)) => (errors.iter().filter_map(message).collect(), "; "),
        _ => (["error", "error_description", "message"].into_iter().filter_map(text).collect(), ": "),
    };
    let words: Vec<_> = words;
    words.join(separator)
}

/// The message of a GraphQL error (section 7.1.2 of the GraphQL specification).
pub(super) fn message(error: &Value) -> Option<&str> {
    error.get("message").and_then(Value::as_str)
}

/// Replaces every word that could be a key. A redactor cannot do that for a key that the server has just made.
fn without_keys(text: &str) -> String {
    text.split_inclusive(|character| !is_key_character(character))
        .map(|piece| {
            let word = piece.trim_end_matches(|character| !is_key_character(character));
            match piece.strip_prefix(word) {
                Some(rest) if is_key_sized(word) => format!("[redacted]{rest}"),
                _ => piece.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::LazyLock, time::Duration};

    use hyper::header::{HeaderName, LOCATION, RETRY_AFTER};

    use super::*;
    use crate::{
        instance::AccessToken,
        problem::Problem,
        sensitive::{Sensitive, base64},
    };

    const SECRET: &str = "hunter2hunter2";
    const NO_ACCOUNT: &str =
        r#"{"error":"invalid_grant","error_description":"no account for hunter2hunter2."}"#;
    static URL: LazyLock<Url> = LazyLock::new(|| Url::parse("https://wandb.example/graphql").unwrap());

    fn answer(status: u16, body: &str) -> Answer<'static> {
        let status = StatusCode::from_u16(status).unwrap();
        let response =
            HttpResponse { status, headers: hyper::HeaderMap::new(), body: body.to_owned().into() };
        Answer { url: &URL, response, redactor: Redactor::new([SECRET.into()]) }
    }

    fn with_header(mut answer: Answer<'static>, name: HeaderName, value: &str) -> Answer<'static> {
        answer.response.headers.insert(name, value.parse().unwrap());
        answer
    }

    fn judge_query(answer: &Answer<'_>) -> Result<(), ServerRefusal> {
        let token = AccessToken { token: SECRET.into(), expires_in: Duration::ZERO };
        answer.expect_query_answer(&Credential::Token(token), |_| None)
    }

    #[test]
    fn every_status_has_its_reason() {
        for (status, query, token) in [
            (201, Reason::UnexpectedStatus, Reason::UnexpectedStatus),
            (304, Reason::Redirected, Reason::Redirected),
            (307, Reason::Redirected, Reason::Redirected),
            (400, Reason::UnexpectedStatus, Reason::TokenRefused),
            (401, Reason::Unauthorized, Reason::TokenRefused),
            (403, Reason::AccessDenied, Reason::TokenRefused),
            (404, Reason::UnexpectedStatus, Reason::UnexpectedStatus),
            (405, Reason::UnexpectedStatus, Reason::UnexpectedStatus),
            (422, Reason::UnexpectedStatus, Reason::TokenRefused),
            (429, Reason::RateLimited, Reason::RateLimited),
            (500, Reason::ServerUnavailable, Reason::ServerUnavailable),
            (503, Reason::ServerUnavailable, Reason::ServerUnavailable),
        ] {
            let answer = answer(status, "no");
            assert_eq!(judge_query(&answer).unwrap_err().problem.reason, query, "{status}");
            assert_eq!(answer.expect_token_answer().unwrap_err().problem.reason, token, "{status}");
        }
        assert!(judge_query(&answer(200, "")).is_ok() && answer(200, "").expect_token_answer().is_ok());
        // A server may report a missing account by the status 404.
        let refusal = answer(404, NO_ACCOUNT).expect_token_answer().unwrap_err();
        assert_eq!(refusal.problem.reason, Reason::TokenRefused);
    }

    #[test]
    fn hands_on_how_long_to_wait() {
        for (status, pause) in [(429, Some(7)), (503, Some(7)), (400, None), (401, None)] {
            let answer = with_header(answer(status, ""), RETRY_AFTER, "7");
            let refusal = judge_query(&answer).unwrap_err();
            assert_eq!(refusal.retry_after, pause.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn repeats_the_server_without_secrets() {
        for (body, words) in [
            (NO_ACCOUNT, "the status 400 (invalid_grant: no account for [redacted]):"),
            (r#"{"errors":[{"message":"no"},{"message":"never"}]}"#, "the status 400 (no; never):"),
            (r#"{"error":{"a":1},"message":"not now"}"#, "the status 400 (not now):"),
            ("plain\r\n text hunter2hunter2", "the status 400 (plain text [redacted]):"),
            ("<html>hunter2", "the status 400:"),
            (r#"{"errors":"no"}"#, "the status 400:"),
            (r#"["no"]"#, "the status 400:"),
            ("", "the status 400:"),
        ] {
            let message = answer(400, body).expect_token_answer().unwrap_err().problem.message;
            assert!(message.contains(words), "{words} is not in: {message}");
        }
        let redirect = with_header(answer(302, ""), LOCATION, "https://else.example/?key=hunter2hunter2");
        let message = judge_query(&redirect).unwrap_err().problem.message;
        assert!(message.contains("https://else.example/?key=[redacted]"), "{message}");
    }

    #[test]
    fn finds_a_secret_however_it_is_sent_back() {
        let secret = "abc.def~ghi+jkl/mno=";
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for text in [secret, &form, &base64(secret)] {
            let body = serde_json::json!({ "error": text }).to_string();
            let answer = Answer { redactor: Redactor::new([Sensitive::from(secret)]), ..answer(400, &body) };
            let message = answer.expect_token_answer().unwrap_err().problem.message;
            assert!(message.contains("([redacted])"), "{message}");
        }
    }

    #[test]
    fn takes_out_what_could_be_a_key() {
        let key = "x".repeat(40);
        let shown = |text: &str| answer(200, "").show(text);
        assert_eq!(shown(&format!("made local-{key}, {key}. Bye")), "made [redacted], [redacted]. Bye");
        assert_eq!(
            shown("trace 0af7651916cd43dd8448eb211c80319c."),
            "trace 0af7651916cd43dd8448eb211c80319c"
        );
        // The text is cut off within the secret.
        let filling = format!("{SECRET} ").repeat(272);
        let cut = shown(&format!("{filling}{SECRET}{SECRET}{SECRET}"));
        assert!(!cut.contains("hunter"), "{cut}");
    }

    #[test]
    fn tells_web_pages_from_other_answers() {
        for (body, reason, words) in [
            (" <!doctype html>", Reason::NotJson, "a web page"),
            ("", Reason::NotJson, "something else"),
            ("{", Reason::NotJson, "something else"),
            ("[]", Reason::InvalidDocument, "expected an object"),
        ] {
            let Problem { reason: seen, message } =
                answer(200, body).object("an object").unwrap_err().problem;
            assert_eq!(seen, reason, "{body}");
            assert!(message.contains(words), "{message}");
        }
    }
}
