//! Explains why a watch cannot list or begin, in words for the person who can change that. The functions are
//! pure.

use kube::Resource;

use super::health::{Cause, Trouble};
use crate::{api::GROUP, error::in_words};

/// What is watched, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct WatchedPlace {
    /// The kind's name in URLs.
    pub plural: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The namespace, or every one.
    pub namespace: Option<String>,
}

impl WatchedPlace {
    /// The objects of a kind in a namespace, or in every one.
    pub(in crate::engine) fn of<K: Resource>(kind: &K::DynamicType, namespace: Option<&str>) -> Self {
        Self {
            plural: K::plural(kind).into_owned(),
            group: K::group(kind).into_owned(),
            namespace: namespace.map(str::to_owned),
        }
    }

    /// The kind with its group, and the namespace.
    pub(in crate::engine) fn in_words(&self) -> String {
        format!("{} in {}", self.kind(), self.scope())
    }

    fn kind(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    fn scope(&self) -> String {
        self.namespace.as_ref().map_or("all namespaces".to_owned(), |name| format!("namespace {name}"))
    }
}

/// Whether the requested version is so old that the API server does not have it any more.
pub(in crate::engine) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// Whether the API server was not reached, or was not able to answer at that time.
pub(in crate::engine) fn is_unanswered(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 502 | 503 | 504),
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// The trouble that an error means for a watch of this place.
pub(in crate::engine) fn trouble(error: &kube::Error, place: &WatchedPlace) -> Trouble {
    let said = in_words(error);
    let (kind, scope) = (place.kind(), place.scope());
    let (cause, words) = match error {
        kube::Error::Api(status) if status.code == 404 && place.group == GROUP => {
            (Cause::Missing, format!("The definition {kind} is missing: kubectl apply -f crds/"))
        }
        kube::Error::Api(status) if status.code == 404 => {
            (Cause::Missing, format!("The API server does not serve {kind}."))
        }
        kube::Error::Api(status) if status.code == 403 => (
            Cause::Refused,
            format!("The operator is not allowed to list {kind} in {scope}: see rbac and watchNamespaces. {said}"),
        ),
        kube::Error::Api(status) if status.code == 401 => (
            Cause::Refused,
            "The API server does not accept the operator's credentials: see the service account's token or KUBECONFIG."
                .to_owned(),
        ),
        error if is_unanswered(error) => (Cause::Unanswered, format!("The API server does not answer: {said}")),
        _ => (Cause::Refused, format!("The API server does not list {kind} in {scope}: {said}")),
    };
    Trouble { cause, words }
}

/// The trouble that the API server has again and again forgotten the version that it gave just before.
pub(in crate::engine) fn forgotten(place: &WatchedPlace) -> Trouble {
    let (kind, scope) = (place.kind(), place.scope());
    let words = format!(
        "The API server says again and again that the version of {kind} in {scope} that it listed just before is too old (410), so changes are seen late. Look whether it and etcd are well, and what answers between them and the operator."
    );
    Trouble { cause: Cause::Forgotten, words }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
    }

    #[test]
    fn says_what_to_do() {
        let place = |group: &str, plural: &str, namespace: Option<&str>| WatchedPlace {
            plural: plural.to_owned(),
            group: group.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        let issuers = place(GROUP, "jwtissuers", Some("x"));
        let secrets = place("", "secrets", Some("x"));
        let everywhere = place("", "secrets", None);
        let refused = kube::Error::Service("connection refused".into());
        for (error, place, cause, words) in [
            (
                answer(404, "the server could not find the requested resource"),
                &issuers,
                Cause::Missing,
                "The definition jwtissuers.auth.wandb.com is missing: kubectl apply -f crds/",
            ),
            (
                answer(403, "secrets is forbidden."),
                &secrets,
                Cause::Refused,
                "The operator is not allowed to list secrets in namespace x: see rbac and watchNamespaces. secrets is forbidden.",
            ),
            (
                answer(403, "secrets is forbidden."),
                &everywhere,
                Cause::Refused,
                "The operator is not allowed to list secrets in all namespaces: see rbac and watchNamespaces. secrets is forbidden.",
            ),
            (
                answer(401, "Unauthorized"),
                &secrets,
                Cause::Refused,
                "The API server does not accept the operator's credentials: see the service account's token or KUBECONFIG.",
            ),
            (answer(503, "busy"), &secrets, Cause::Unanswered, "The API server does not answer: busy"),
            (refused, &issuers, Cause::Unanswered, "The API server does not answer: connection refused"),
            (
                answer(500, "etcd is corrupt"),
                &issuers,
                Cause::Refused,
                "The API server does not list jwtissuers.auth.wandb.com in namespace x: etcd is corrupt",
            ),
        ] {
            assert_eq!(trouble(&error, place), Trouble { cause, words: words.to_owned() });
        }
    }
}
