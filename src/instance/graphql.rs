//! Sends one GraphQL request, and judges its answer.

use hyper::header::{self, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    ApiKey, Credential, Instance, ServerRefusal,
    answer::{Answer, Recognize, message, unauthorized},
};
use crate::{
    api::Reason,
    net::{Consequence, Login, Said, endpoint_of},
    problem::Problem,
    sensitive::Sensitive,
};

/// A GraphQL operation that the operator uses.
pub(super) struct Operation {
    /// The field of `data` that contains the result.
    pub(super) field: &'static str,
    /// The GraphQL document.
    pub(super) text: &'static str,
    /// The expected result, for messages.
    pub(super) expected: &'static str,
    /// Recognizes the server's words for refusing this operation.
    pub(super) recognize: Recognize,
    /// The meaning of null instead of a result.
    pub(super) null: Null,
}

/// The meaning of null instead of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Null {
    /// The requested object does not exist.
    Nothing,
    /// The credential belongs to no account.
    Unauthorized,
}

/// The advice about an error whose words are not recognized.
const ADVICE: &str = "Check that the account may do this, and look into the server's log";

impl Instance<'_> {
    /// Sends the operation once, and parses the result.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        credential: &Credential,
        operation: &Operation,
        variables: Value,
    ) -> Result<T, ServerRefusal> {
        let asked = async {
            let answer = self.answer(credential, operation, variables).await?;
            let result = judge(&answer, credential, operation)?;
            // The message of the parser could repeat a key, so it is dropped.
            serde_json::from_value(result).map_err(|_| answer.misshapen(operation.expected))
        };
        match credential {
            Credential::Key(key) => self.ask_once(key, asked).await,
            Credential::Token(_) => asked.await,
        }
    }

    /// Shares a recent refusal of the key, so that several resources with the same wrong key do not all send it.
    async fn ask_once<T>(
        &self,
        key: &ApiKey,
        asked: impl Future<Output = Result<T, ServerRefusal>>,
    ) -> Result<T, ServerRefusal> {
        let url = self.base_url.graphql_url();
        let login = Login {
            server: endpoint_of(url)?,
            account: url.path().to_owned(),
            secret: Sensitive::new(key.basic()),
            consequence: Consequence::Refusal,
        };
        let asked = async {
            match asked.await {
                Err(refusal) if refusal.problem.reason == Reason::Unauthorized => Err(refusal.problem),
                outcome => Ok(outcome),
            }
        };
        let said = |outcome: Result<&Result<T, ServerRefusal>, &Problem>| match outcome {
            Ok(Ok(_)) => Said::Accepted,
            Ok(Err(_)) => Said::Nothing,
            Err(_) => Said::Refused,
        };
        self.http.network.send_once(&login, asked, said).await?
    }

    async fn answer(
        &self,
        credential: &Credential,
        operation: &Operation,
        variables: Value,
    ) -> Result<Answer<'_>, ServerRefusal> {
        let url = self.base_url.graphql_url();
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::AUTHORIZATION, credential.authorization()?),
        ];
        let body = json!({ "query": operation.text, "variables": variables }).to_string();
        let response = self.post(url, headers, body).await?;
        Ok(Answer { url, response, redactor: credential.redactor() })
    }
}

/// The result of the operation, or null if there is none.
fn judge(
    answer: &Answer<'_>,
    credential: &Credential,
    operation: &Operation,
) -> Result<Value, ServerRefusal> {
    answer.expect_query_answer(credential, operation.recognize)?;
    let mut document = answer.object(operation.expected)?;
    match document.get("errors") {
        None | Some(Value::Null) => (),
        Some(Value::Array(errors)) if errors.is_empty() => (),
        Some(errors) => return Err(failed(answer, operation, errors)),
    }
    match document.get_mut("data") {
        Some(Value::Object(data)) => match data.remove(operation.field).unwrap_or_default() {
            Value::Null if operation.null == Null::Unauthorized => {
                Err(unauthorized(answer.url, "nobody's account", credential))
            }
            result => Ok(result),
        },
        _ => Err(answer.misshapen(operation.expected)),
    }
}

/// The refusal for an answer with errors instead of a result.
fn failed(answer: &Answer<'_>, operation: &Operation, errors: &Value) -> ServerRefusal {
    let messages: Option<Vec<_>> = errors.as_array().and_then(|errors| errors.iter().map(message).collect());
    let Some(messages) = messages else {
        return answer.misshapen("each of its errors to have a message");
    };
    let words = messages.join("; ");
    let (reason, advice) = (operation.recognize)(&words).unwrap_or((Reason::QueryFailed, ADVICE));
    ServerRefusal::new(
        reason,
        format!(
            "{} answers {} with an error: {}. {advice}.",
            answer.shown_url(),
            operation.field,
            answer.show(&words)
        ),
    )
}
