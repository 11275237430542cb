//! The metrics for Prometheus. Every metric name is defined here and nowhere else.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{Findings, Kind, MetricTimestamps};
use crate::api::{CheckName, ConditionType, Status};

/// The name of a kind as a label value.
type KindLabel = Cow<'static, str>;

/// The series of one resource's checks: the name of each check and its result.
type CheckLabel = HashSet<(Cow<'static, str>, &'static str)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    kind: KindLabel,
    namespace: Arc<str>,
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    kind: KindLabel,
    namespace: Arc<str>,
    name: Arc<str>,
    check: Cow<'static, str>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckKindLabels {
    kind: KindLabel,
    check: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: KindLabel,
}

impl ResourceLabels {
    fn check(&self, check: Cow<'static, str>, result: &'static str) -> CheckLabels {
        CheckLabels {
            kind: self.kind.clone(),
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
            check,
            result,
        }
    }
}

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    leading: Gauge,
    ready: Family<ResourceLabels, Gauge>,
    suspended: Family<ResourceLabels, Gauge>,
    check_result: Family<CheckLabels, Gauge>,
    check_duration: Family<CheckKindLabels, Histogram, fn() -> Histogram>,
    last_check: Family<ResourceLabels, Seconds>,
    reconcile_duration: Family<KindLabels, Histogram, fn() -> Histogram>,
    certificate_not_after: Family<ResourceLabels, Seconds>,
    token_expiration: Family<ResourceLabels, Seconds>,
    api_key_age: Family<ResourceLabels, Seconds>,
    /// Since when each resource's API key is in use. The age is computed when the metrics are read.
    api_keys: Mutex<HashMap<ResourceLabels, Timestamp>>,
    /// The check series that each resource has, so that outdated ones can be removed.
    shown: Mutex<HashMap<ResourceLabels, CheckLabel>>,
    /// The length of the last exposition plus a margin, in bytes.
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
            ready: Family::default(),
            suspended: Family::default(),
            check_result: Family::default(),
            check_duration: Family::new_with_constructor(durations),
            last_check: Family::default(),
            reconcile_duration: Family::new_with_constructor(durations),
            certificate_not_after: Family::default(),
            token_expiration: Family::default(),
            api_key_age: Family::default(),
            api_keys: Mutex::default(),
            shown: Mutex::default(),
            last_length: AtomicUsize::new(0),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "wandb_auth_leading",
            "1 where this process works on resources, 0 where it stands by",
            self.leading.clone(),
        );
        registry.register(
            "wandb_auth_ready",
            "1 where the resource's Ready condition is True, 0 otherwise",
            self.ready.clone(),
        );
        registry.register(
            "wandb_auth_suspended",
            "1 where the resource's spec.suspend is true, 0 otherwise",
            self.suspended.clone(),
        );
        registry.register(
            "wandb_auth_check_result",
            "1 for the result that a check had last: Passed, Warning, Failed or Skipped",
            self.check_result.clone(),
        );
        registry.register(
            "wandb_auth_check_duration_seconds",
            "How long checks took",
            self.check_duration.clone(),
        );
        registry.register(
            "wandb_auth_last_check_timestamp_seconds",
            "When the resource's checks ran last",
            self.last_check.clone(),
        );
        registry.register(
            "wandb_auth_reconcile_duration_seconds",
            "How long runs took, their checks included",
            self.reconcile_duration.clone(),
        );
        registry.register(
            "wandb_auth_certificate_not_after_seconds",
            "When the server's certificate expires",
            self.certificate_not_after.clone(),
        );
        registry.register(
            "wandb_auth_token_expiration_seconds",
            "When the published token expires",
            self.token_expiration.clone(),
        );
        registry.register(
            "wandb_auth_api_key_age_seconds",
            "How long the published API key is in use",
            self.api_key_age.clone(),
        );
        self
    }

    /// Records whether this process works on resources, or stands by.
    pub fn leads(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// Records the findings of a run.
    pub fn checked<K: Kind>(&self, object: &K, findings: &Findings) {
        let resource = labels(object);
        for finding in &findings.list {
            self.check_duration
                .get_or_create(&CheckKindLabels {
                    kind: resource.kind.clone(),
                    check: finding.name.family().into(),
                })
                .observe(finding.duration.as_secs_f64());
        }
        self.show(&resource, findings);
        set(&self.last_check, &resource, Some(Timestamp::now()));
        let not_after = findings.certificate.map(|certificate| certificate.not_after);
        set(&self.certificate_not_after, &resource, not_after);
    }

    /// Records what an earlier process found, as far as the status shows it.
    pub fn recovered<K: Kind>(&self, object: &K, findings: &Findings) {
        self.show(&labels(object), findings);
    }

    fn show(&self, resource: &ResourceLabels, findings: &Findings) {
        let mut shown = CheckLabel::new();
        for finding in &findings.list {
            let name = match finding.name {
                CheckName::TestUser(_) | CheckName::Sample(_) => Cow::Owned(finding.name.to_string()),
                _ => Cow::Borrowed(finding.name.family()),
            };
            shown.insert((name, finding.result.into()));
        }
        for (check, result) in &shown {
            self.check_result.get_or_create(&resource.check(check.clone(), result)).set(1);
        }
        let outdated = self.shown().insert(resource.clone(), shown.clone()).unwrap_or_default();
        for (check, result) in outdated.difference(&shown) {
            self.check_result.remove(&resource.check(check.clone(), result));
        }
    }

    /// Records the status at the end of a run, and the times of its details.
    pub fn settled<K: Kind>(&self, object: &K, status: &Status, metric_timestamps: MetricTimestamps) {
        let ready = status
            .conditions
            .iter()
            .any(|condition| condition.type_ == ConditionType::Ready.as_str() && condition.status == "True");
        let resource = labels(object);
        self.ready.get_or_create(&resource).set(i64::from(ready));
        self.suspended.get_or_create(&resource).set(i64::from(object.common().suspend));
        set(&self.token_expiration, &resource, metric_timestamps.token_expiration);
        if let Some(since) = metric_timestamps.api_key_since {
            self.api_keys().insert(resource, since);
        } else {
            self.api_key_age.remove(&resource);
            self.api_keys().remove(&resource);
        }
    }

    /// Records how long a run took.
    pub fn reconciled<K: Kind>(&self, duration: Duration) {
        let labels = KindLabels { kind: K::kind(&()) };
        self.reconcile_duration.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// Removes the series of a resource that does not exist any more.
    pub fn forget<K: Kind>(&self, namespace: &str, name: &str) {
        let resource = ResourceLabels { kind: K::kind(&()), namespace: namespace.into(), name: name.into() };
        for (check, result) in self.shown().remove(&resource).unwrap_or_default() {
            self.check_result.remove(&resource.check(check, result));
        }
        self.ready.remove(&resource);
        self.suspended.remove(&resource);
        self.last_check.remove(&resource);
        self.certificate_not_after.remove(&resource);
        self.token_expiration.remove(&resource);
        self.api_key_age.remove(&resource);
        self.api_keys().remove(&resource);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let now = Timestamp::now();
        for (resource, since) in self.api_keys().iter() {
            let age = now.duration_since(*since).as_secs_f64();
            self.api_key_age.get_or_create(resource).set(age.max(0.0));
        }
        // The text gets its capacity at once, because growing step by step would take twice the memory of a large
        // text.
        let mut text = String::with_capacity(self.last_length.load(Ordering::Relaxed));
        encode(&mut text, &self.registry)?;
        self.last_length.store(text.len() + text.len() / 8, Ordering::Relaxed);
        Ok(text)
    }

    fn api_keys(&self) -> MutexGuard<'_, HashMap<ResourceLabels, Timestamp>> {
        self.api_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<ResourceLabels, CheckLabel>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets a time, or removes the series if there is none.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
fn set(family: &Family<ResourceLabels, Seconds>, resource: &ResourceLabels, time: Option<Timestamp>) {
    match time {
        Some(time) => {
            family.get_or_create(resource).set(time.as_second() as f64);
        }
        None => {
            family.remove(resource);
        }
    }
}

fn labels<K: Kind>(object: &K) -> ResourceLabels {
    ResourceLabels {
        kind: K::kind(&()),
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
    }
}
