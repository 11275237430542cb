//! The API server's audit log: the list of the requests that tests ask for.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Metadata of every request, once: a watch has no end while it is in use, so it counts when it begins. What the tests
/// and the components of Kubernetes get or list is left out, as it is half of everything; the requests by which the
/// harness knows how far the log is stay.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  nonResourceURLs: [/version]
  omitStages: [RequestReceived, ResponseStarted]
- level: None
  users: [admin, system:kube-controller-manager, system:apiserver]
  verbs: [get, list]
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

/// The log, which is read once: tests ask again and again, and it grows with all of them.
#[derive(Debug)]
pub(super) struct AuditLog {
    path: PathBuf,
    markers: AtomicUsize,
    read: Mutex<Read>,
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Read {
    /// Where the next line begins.
    position: u64,
    /// Without the harness's own requests.
    events: Vec<AuditEvent>,
    /// The newest of the harness's own requests.
    marker: Option<usize>,
}

impl AuditLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, markers: AtomicUsize::new(1), read: Mutex::default() }
    }

    /// A number that no other request of this control plane has, and a path with it.
    pub(super) fn next_marker(&self) -> (usize, String) {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        (number, format!("/version?{MARKER}{number}"))
    }

    /// Whether the log has this request of the harness, or a later one.
    pub(super) fn has(&self, marker: usize) -> Result<bool> {
        Ok(self.catch_up()?.marker >= Some(marker))
    }

    /// The requests so far that are wanted, without the harness's own.
    pub(super) fn events(&self, is_wanted: impl Fn(&AuditEvent) -> bool) -> Result<Vec<AuditEvent>> {
        Ok(self.catch_up()?.events.iter().filter(|event| is_wanted(event)).cloned().collect())
    }

    /// Reads what has been written since the last time.
    fn catch_up(&self) -> Result<MutexGuard<'_, Read>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = File::open(&self.path)
            .with_context(|| format!("cannot read the audit log {}", self.path.display()))?;
        file.seek(SeekFrom::Start(read.position))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The last line may still be in writing.
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(complete);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: RawEvent = serde_json::from_slice(line).with_context(|| {
                format!("an audit event is not as expected: {}", String::from_utf8_lossy(line))
            })?;
            match event.request_uri.split_once(MARKER) {
                Some((_, number)) => read.marker = read.marker.max(number.parse().ok()),
                None => read.events.push(AuditEvent::from(event)),
            }
        }
        read.position += u64::try_from(complete)?;
        Ok(read)
    }
}

/// In the path of the harness's own requests, before their number.
const MARKER: &str = "audit-marker=";

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
