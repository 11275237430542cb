//! How many requests the API server was sent, by what they ask for and how it answered.

use hyper::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    verb: &'static str,
    code: &'static str,
}

/// The counters, one for each verb and class of status codes.
pub type Requests = Family<RequestLabels, Counter>;

/// Counts a request that was answered with this status, or not at all.
pub(super) fn count(requests: &Requests, verb: &'static str, answer: Option<StatusCode>) {
    requests.get_or_create(&RequestLabels { verb, code: class(answer) }).inc();
}

/// The class of a status code, as people write it.
fn class(answer: Option<StatusCode>) -> &'static str {
    match answer.map(|code| code.as_u16() / 100) {
        None => "none",
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(_) => "5xx",
    }
}

/// The verb of a request, as the API server's rules of rights know it.
pub(super) fn verb(method: &Method, path: &str, is_watch: bool) -> &'static str {
    let is_list = is_collection(path);
    match *method {
        Method::GET if is_watch => "watch",
        Method::GET if is_list => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_list => "deletecollection",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// Whether a path is that of all objects of a resource: `/api/v1/…` or `/apis/group/version/…`, in a namespace or not.
fn is_collection(path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    let named = match parts.next() {
        Some("api") => parts.skip(1),
        Some("apis") => parts.skip(2),
        _ => return false,
    };
    matches!(named.collect::<Vec<_>>().as_slice(), [_] | ["namespaces", _, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_the_verb_that_rights_are_given_for() {
        let ours = "/apis/auth.wandb.com/v1alpha1";
        for (method, path, is_watch, expected) in [
            (Method::GET, "/api/v1/secrets".to_owned(), false, "list"),
            (Method::GET, "/api/v1/namespaces/a/secrets".to_owned(), false, "list"),
            (Method::GET, "/api/v1/namespaces/a/secrets".to_owned(), true, "watch"),
            (Method::GET, "/api/v1/namespaces/a/secrets/b".to_owned(), false, "get"),
            (Method::GET, "/api/v1/namespaces/a".to_owned(), false, "get"),
            (Method::GET, "/api/v1/namespaces".to_owned(), false, "list"),
            (Method::GET, "/version".to_owned(), false, "get"),
            (Method::GET, format!("{ours}/ldapconfigs"), false, "list"),
            (Method::GET, format!("{ours}/namespaces/a/ldapconfigs/b"), false, "get"),
            (Method::POST, "/api/v1/namespaces/a/secrets".to_owned(), false, "create"),
            (Method::PUT, "/api/v1/namespaces/a/secrets/b".to_owned(), false, "update"),
            (Method::PATCH, format!("{ours}/namespaces/a/ldapconfigs/b/status"), false, "patch"),
            (Method::DELETE, "/api/v1/namespaces/a/secrets/b".to_owned(), false, "delete"),
            (Method::DELETE, "/api/v1/namespaces/a/secrets".to_owned(), false, "deletecollection"),
        ] {
            assert_eq!(verb(&method, &path, is_watch), expected, "{method} {path}");
        }
    }

    #[test]
    fn no_answer_is_a_class_of_its_own() {
        for (answer, expected) in [
            (None, "none"),
            (Some(StatusCode::OK), "2xx"),
            (Some(StatusCode::CONFLICT), "4xx"),
            (Some(StatusCode::SERVICE_UNAVAILABLE), "5xx"),
        ] {
            assert_eq!(class(answer), expected);
        }
    }
}
