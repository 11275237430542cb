//! How a test breaks the server.

use serde_json::json;

use crate::hostile::Response;

/// What happens to a request instead of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with an error of the server in GraphQL's form; nothing is done.
    Status(u16),
    /// 429 with so many seconds in `Retry-After`; nothing is done.
    TooManyRequests {
        /// What `Retry-After` says.
        retry_after: u64,
    },
    /// 200 with a document that ends in the middle; nothing is done.
    MalformedJson,
    /// 200 with an error of GraphQL that has this message; nothing is done.
    Error(String),
    /// 200 with `errors` that are no list of objects; nothing is done.
    MisshapenErrors,
    /// 302 to this address; nothing is done.
    Redirect(String),
    /// No answer, and the connection stays open; nothing is done.
    Hang,
    /// The connection is closed; nothing is done.
    Close,
    /// It is done, and then the connection is closed without an answer.
    CloseAfterPerforming,
}

impl Fault {
    /// The answer, which for [`Fault::CloseAfterPerforming`] is to be given when it is done.
    pub(super) fn response(&self) -> Response {
        match self {
            Self::Status(code) => {
                let message = format!("the test makes the server answer {code}");
                Response::json_status(*code, &errors(&message))
            }
            Self::TooManyRequests { retry_after } => {
                Response::json_status(429, &errors("rate limit exceeded"))
                    .header("Retry-After", &retry_after.to_string())
            }
            Self::MalformedJson => Response::text("application/json", "{\"data\": {"),
            Self::Error(message) => Response::json(&errors(message)),
            Self::MisshapenErrors => Response::json(&json!({ "errors": "something failed", "data": [] })),
            Self::Redirect(location) => Response::redirect(location),
            Self::Hang => Response::silent(),
            Self::Close | Self::CloseAfterPerforming => Response::broken_off(),
        }
    }
}

/// An error as GraphQL has it.
pub(super) fn errors(message: &str) -> serde_json::Value {
    json!({ "errors": [{ "message": message }], "data": null })
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    operation: String,
    fault: Fault,
    /// How many more requests it is for; nothing if it is for all.
    remaining: Option<usize>,
}

impl FaultPlan {
    pub(super) fn add(&mut self, operation: &str, fault: Fault, times: Option<usize>) {
        self.entries.push(Entry { operation: operation.to_owned(), fault, remaining: times });
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The fault for a request: the oldest that is not used up.
    pub(super) fn next(&mut self, operation: &str) -> Option<Fault> {
        self.entries.retain(|entry| entry.remaining != Some(0));
        let entry = self.entries.iter_mut().find(|entry| entry.operation == operation)?;
        if let Some(remaining) = &mut entry.remaining {
            *remaining -= 1;
        }
        Some(entry.fault.clone())
    }
}
