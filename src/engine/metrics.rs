//! The metrics for Prometheus. Every metric name is defined here and nowhere else, but for those of every process.

mod process;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, text::encode},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

use self::process::Process;
use super::{Finding, Findings, Kind, MetricTimestamps, status::conditions::is_ready};
use crate::{
    api::{CheckName, Status, names::EventReason},
    api_server::Requests,
};

/// The name of a kind as a label value.
type KindLabel = Cow<'static, str>;

/// The checks of a resource and their results: a few words, where a series for each would take most of what is kept of
/// the resource.
type CheckLabel = Box<[(Cow<'static, str>, &'static str)]>;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
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
    warnings: Family<ResourceLabels, Gauge>,
    check_result: CheckResults,
    check_duration: Family<CheckKindLabels, Histogram, fn() -> Histogram>,
    last_check: Family<ResourceLabels, Seconds>,
    reconcile_duration: Family<KindLabels, Histogram, fn() -> Histogram>,
    reconcile_errors: Family<KindLabels, Counter>,
    rollbacks: Family<ResourceLabels, Counter>,
    rotations: Family<ResourceLabels, Counter>,
    repairs: Family<ResourceLabels, Counter>,
    api_requests: Requests,
    certificate_not_after: Family<ResourceLabels, Seconds>,
    token_expiration: Family<ResourceLabels, Seconds>,
    api_key_age: Family<ResourceLabels, Seconds>,
    /// Since when each resource's API key is in use. The age is computed when the metrics are read.
    api_keys: Mutex<HashMap<ResourceLabels, Timestamp>>,
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
            ready: Family::default(),
            suspended: Family::default(),
            warnings: Family::default(),
            check_result: CheckResults::default(),
            check_duration: Family::new_with_constructor(durations),
            last_check: Family::default(),
            reconcile_duration: Family::new_with_constructor(durations),
            reconcile_errors: Family::default(),
            rollbacks: Family::default(),
            rotations: Family::default(),
            repairs: Family::default(),
            api_requests: Family::default(),
            certificate_not_after: Family::default(),
            token_expiration: Family::default(),
            api_key_age: Family::default(),
            api_keys: Mutex::default(),
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
            "wandb_auth_resource_warnings",
            "How many of the resource's checks have a warning",
            self.warnings.clone(),
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
        self.counters_registered()
    }

    fn counters_registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "wandb_auth_reconcile_errors",
            "How many runs ended before they came to a status, and are tried again",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "wandb_auth_rollbacks",
            "How often the resource's target went back to the values of before",
            self.rollbacks.clone(),
        );
        registry.register(
            "wandb_auth_rotations",
            "How often the resource's API key was replaced",
            self.rotations.clone(),
        );
        registry.register(
            "wandb_auth_repairs",
            "How often the resource's Secret or target was put right after somebody else changed it",
            self.repairs.clone(),
        );
        registry.register(
            "wandb_auth_api_requests",
            "How many requests were sent to the API server; the code is none where it did not answer",
            self.api_requests.clone(),
        );
        registry.register(
            "wandb_auth_build",
            "1, with the version of the operator",
            Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") }),
        );
        registry.register_collector(Box::new(Process::started_now()));
        self.times_registered()
    }

    fn times_registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "wandb_auth_certificate_not_after_timestamp_seconds",
            "When the server's certificate expires",
            self.certificate_not_after.clone(),
        );
        registry.register(
            "wandb_auth_certificate_not_after_seconds",
            "The old name of wandb_auth_certificate_not_after_timestamp_seconds, which goes with the next release",
            self.certificate_not_after.clone(),
        );
        registry.register(
            "wandb_auth_token_expiration_timestamp_seconds",
            "When the published token expires",
            self.token_expiration.clone(),
        );
        registry.register(
            "wandb_auth_token_expiration_seconds",
            "The old name of wandb_auth_token_expiration_timestamp_seconds, which goes with the next release",
            self.token_expiration.clone(),
        );
        registry.register(
            "wandb_auth_api_key_age_seconds",
            "How long the published API key is in use",
            self.api_key_age.clone(),
        );
        self
    }

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
        let show = |finding: &Finding| {
            let name = match finding.name {
                CheckName::TestUser(_) | CheckName::Sample(_) => Cow::Owned(finding.name.to_string()),
                _ => Cow::Borrowed(finding.name.family()),
            };
            (name, finding.result.into())
        };
        let mut shown: Vec<_> = findings.list.iter().map(show).collect();
        // Equal series are one.
        shown.sort_unstable();
        shown.dedup();
        self.check_result.shown().insert(resource.clone(), shown.into());
    }

    /// Records the status at the end of a run, and the times of its details.
    pub fn settled<K: Kind>(&self, object: &K, status: &Status, metric_timestamps: MetricTimestamps) {
        let resource = labels(object);
        self.ready.get_or_create(&resource).set(i64::from(is_ready(status)));
        self.suspended.get_or_create(&resource).set(i64::from(object.common().suspend));
        self.warnings.get_or_create(&resource).set(status.warnings.unwrap_or_default().into());
        set(&self.token_expiration, &resource, metric_timestamps.token_expiration);
        // A counter that begins with 1 has no rise that anybody could be told of.
        self.repairs.get_or_create(&resource).inc_by(0);
        if object.common().target.is_some() {
            self.rollbacks.get_or_create(&resource).inc_by(0);
        }
        if metric_timestamps.api_key_since.is_some() {
            self.rotations.get_or_create(&resource).inc_by(0);
        }
        if let Some(since) = metric_timestamps.api_key_since {
            self.api_keys().insert(resource, since);
        } else {
            self.api_key_age.remove(&resource);
            self.api_keys().remove(&resource);
        }
    }

    /// Counts what an event tells of, where there is a counter for that.
    pub fn happened<K: Kind>(&self, object: &impl Resource<DynamicType = ()>, reason: EventReason) {
        let counter = match reason {
            EventReason::RolledBack => &self.rollbacks,
            EventReason::KeyRotated => &self.rotations,
            EventReason::Repaired => &self.repairs,
            _ => return,
        };
        counter.get_or_create(&labels_of::<K>(object)).inc();
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
        self.check_result.shown().remove(&resource);
        self.ready.remove(&resource);
        self.suspended.remove(&resource);
        self.warnings.remove(&resource);
        for counter in [&self.rollbacks, &self.rotations, &self.repairs] {
            counter.remove(&resource);
        }
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
}

/// The results that each resource's checks had last, as series that exist only while somebody reads them.
#[derive(Clone, Debug, Default)]
struct CheckResults(Arc<Mutex<HashMap<ResourceLabels, CheckLabel>>>);

impl CheckResults {
    fn shown(&self) -> MutexGuard<'_, HashMap<ResourceLabels, CheckLabel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EncodeMetric for CheckResults {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(1_i64);
        for (resource, shown) in self.shown().iter() {
            for (check, result) in shown {
                gauge.encode(encoder.encode_family(&resource.check(check.clone(), result))?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
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
    labels_of::<K>(object)
}

/// The labels of an object of a kind that it may not decode as.
fn labels_of<K: Kind>(object: &impl Resource<DynamicType = ()>) -> ResourceLabels {
    ResourceLabels {
        kind: K::kind(&()),
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
    }
}
