//! The metrics for Prometheus. Every metric name is defined here and nowhere else, but for those of every process.

mod process;
mod registration;
mod resources;

use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use self::resources::{ResourceLabels, Resources, Settled, Shown};
use super::{Finding, Findings, Kind, MetricTimestamps, status::reading::is_ready};
use crate::{
    api::{CheckName, CheckResult, Status, names::EventReason},
    api_server::Requests,
    text::Text,
};

/// The name of a kind as a label value.
type KindLabel = Cow<'static, str>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckKindLabels {
    kind: KindLabel,
    check: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: KindLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    leading: Gauge,
    resources: Resources,
    check_duration: Family<CheckKindLabels, Histogram, fn() -> Histogram>,
    reconcile_duration: Family<KindLabels, Histogram, fn() -> Histogram>,
    reconcile_errors: Family<KindLabels, Counter>,
    api_requests: Requests,
    /// How long the last exposition was, and a little more.
    last_length: AtomicUsize,
}

/// A histogram with buckets from a millisecond (a server on loopback) to the longest time limit of a run, in
/// seconds.
fn durations() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            leading: Gauge::default(),
            resources: Resources::default(),
            check_duration: Family::new_with_constructor(durations),
            reconcile_duration: Family::new_with_constructor(durations),
            reconcile_errors: Family::default(),
            api_requests: Family::default(),
            last_length: AtomicUsize::new(0),
        };
        metrics.registered()
    }
}

impl Metrics {
    /// Where requests to the API server are counted.
    pub fn api_requests(&self) -> &Requests {
        &self.api_requests
    }

    /// Notes whether this process works on resources, or stands by.
    pub fn leads(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// Records the findings of a run.
    pub fn checked<K: Kind>(&self, object: &K, findings: &Findings) {
        let resource = labels_of::<K>(object);
        for finding in &findings.list {
            self.check_duration
                .get_or_create(&CheckKindLabels {
                    kind: resource.kind.clone(),
                    check: finding.name.family().into(),
                })
                .observe(finding.duration.as_secs_f64());
        }
        let not_after = findings.certificate.map(|certificate| certificate.not_after);
        self.resources.change(resource, |shown| {
            shown.checks = results(findings);
            shown.last_check = Some(Timestamp::now());
            shown.certificate_not_after = not_after;
        });
    }

    /// Records what an earlier process found, as far as the status shows it.
    pub fn recovered<K: Kind>(&self, object: &K, findings: &Findings) {
        self.resources.change(labels_of::<K>(object), |shown| shown.checks = results(findings));
    }

    /// Records the status at the end of a run, and the times of its details.
    pub fn settled<K: Kind>(&self, object: &K, status: &Status, metric_timestamps: MetricTimestamps) {
        let settled = Settled {
            is_ready: is_ready(status),
            is_suspended: object.common().suspend,
            warnings: status.warnings.unwrap_or_default(),
        };
        self.resources.change(labels_of::<K>(object), |shown| {
            shown.settled = Some(settled);
            shown.token_expiration = metric_timestamps.token_expiration;
            shown.api_key_since = metric_timestamps.api_key_since;
            // A counter that begins with 1 has no rise that anybody could be told of.
            shown.repairs.get_or_insert(0);
            if object.common().target.is_some() {
                shown.rollbacks.get_or_insert(0);
            }
            if shown.api_key_since.is_some() {
                shown.rotations.get_or_insert(0);
            }
        });
    }

    /// Counts what an event tells of, where there is a counter for that.
    pub fn happened<K: Kind>(&self, object: &impl Resource<DynamicType = ()>, reason: EventReason) {
        let counter: fn(&mut Shown) -> &mut Option<u32> = match reason {
            EventReason::RolledBack => |shown| &mut shown.rollbacks,
            EventReason::KeyRotated => |shown| &mut shown.rotations,
            EventReason::Repaired => |shown| &mut shown.repairs,
            _ => return,
        };
        self.resources.change(labels_of::<K>(object), |shown| {
            let count = counter(shown).get_or_insert(0);
            *count = count.saturating_add(1);
        });
    }

    /// Notes how long a run took.
    pub fn reconciled<K: Kind>(&self, duration: Duration) {
        let labels = KindLabels { kind: K::kind(&()) };
        self.reconcile_duration.get_or_create(&labels).observe(duration.as_secs_f64());
        self.reconcile_errors.get_or_create(&labels).inc_by(0);
    }

    /// Counts a run that ended with an error.
    pub fn failed<K: Kind>(&self) {
        self.reconcile_errors.get_or_create(&KindLabels { kind: K::kind(&()) }).inc();
    }

    /// Removes the series of a resource that does not exist any more.
    pub fn forget<K: Kind>(&self, namespace: &str, name: &str) {
        let resource = ResourceLabels { kind: K::kind(&()), namespace: namespace.into(), name: name.into() };
        self.resources.forget(&resource);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        // The text gets its capacity at once, because growing step by step would take twice the memory of a large
        // text.
        let mut text = String::with_capacity(self.last_length.load(Ordering::Relaxed));
        encode(&mut text, &self.registry)?;
        self.last_length.store(text.len() + text.len() / 8, Ordering::Relaxed);
        Ok(text)
    }
}

/// The results of the checks, a few words each.
fn results(findings: &Findings) -> Box<[(Text, CheckResult)]> {
    let result = |finding: &Finding| {
        let name = match finding.name {
            CheckName::TestUser(_) | CheckName::Sample(_) | CheckName::Variable(_) => {
                finding.name.to_string().into()
            }
            _ => finding.name.family().into(),
        };
        (name, finding.result)
    };
    let mut results: Vec<_> = findings.list.iter().map(result).collect();
    // Equal series are one.
    results.sort_unstable();
    results.dedup();
    results.into()
}

fn labels_of<K: Kind>(object: &impl Resource<DynamicType = ()>) -> ResourceLabels {
    ResourceLabels {
        kind: K::kind(&()),
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
    }
}
