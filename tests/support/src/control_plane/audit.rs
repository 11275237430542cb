//! The API server's audit log: the exact list of requests.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Metadata of every request, once: a watch has no end while it is in use, so it counts when it begins.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  verbs: [watch]
  omitStages: [RequestReceived, ResponseComplete]
- level: Metadata
  omitStages: [RequestReceived, ResponseStarted]
";

/// A request that the API server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The name of the user, empty if it was not known.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The verb in terms of RBAC, such as `get`, `list` or `patch`.
    pub verb: String,
    /// The API group, empty for the core one.
    pub group: String,
    /// The resource in plural, empty if the request was for none.
    pub resource: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The path and query of the request.
    pub request_uri: String,
    /// When the request came, as the API server writes it.
    pub timestamp: String,
}

#[derive(Debug)]
pub(super) struct AuditLog {
    path: PathBuf,
    markers: AtomicUsize,
}

impl AuditLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, markers: AtomicUsize::new(0) }
    }

    /// A path that no other request of this control plane has.
    pub(super) fn next_marker(&self) -> String {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        format!("/version?audit-marker={number}.")
    }

    pub(super) fn contains(&self, text: &str) -> Result<bool> {
        Ok(self.read()?.contains(text))
    }

    /// The requests so far, without the harness's own markers.
    pub(super) fn events(&self) -> Result<Vec<AuditEvent>> {
        let text = self.read()?;
        // The last line may still be in writing.
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        let mut events = Vec::new();
        for line in complete.lines() {
            let event: RawEvent = serde_json::from_str(line)
                .with_context(|| format!("an audit event is not as expected: {line}"))?;
            if !event.request_uri.contains("audit-marker=") {
                events.push(AuditEvent::from(event));
            }
        }
        Ok(events)
    }

    fn read(&self) -> Result<String> {
        fs::read_to_string(&self.path)
            .with_context(|| format!("cannot read the audit log {}", self.path.display()))
    }
}

/// An event as the API server writes it, as far as tests are interested.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    request_received_timestamp: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    user: RawUser,
    #[serde(default)]
    object_ref: RawReference,
    #[serde(default)]
    response_status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawUser {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    code: u16,
}

impl From<RawEvent> for AuditEvent {
    fn from(raw: RawEvent) -> Self {
        Self {
            user: raw.user.username,
            user_agent: raw.user_agent,
            verb: raw.verb,
            group: raw.object_ref.api_group,
            resource: raw.object_ref.resource,
            subresource: raw.object_ref.subresource,
            namespace: raw.object_ref.namespace,
            name: raw.object_ref.name,
            code: raw.response_status.code,
            request_uri: raw.request_uri,
            timestamp: raw.request_received_timestamp,
        }
    }
}
