//! What Prometheus reads. Every metric name stands here and nowhere else.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    api::{ConditionType, Status},
    engine::{Findings, Kind},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    kind: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    kind: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
    check: Arc<str>,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckKindLabels {
    kind: Arc<str>,
    check: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: Arc<str>,
}

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    ready: Family<ResourceLabels, Gauge>,
    check_result: Family<CheckLabels, Gauge>,
    check_duration: Family<CheckKindLabels, Histogram, fn() -> Histogram>,
    last_check: Family<ResourceLabels, Seconds>,
    reconcile_duration: Family<KindLabels, Histogram, fn() -> Histogram>,
    certificate_not_after: Family<ResourceLabels, Seconds>,
    /// Which check series a resource has, to take the outdated ones away.
    shown: Mutex<HashMap<ResourceLabels, HashSet<CheckLabels>>>,
}

/// From a millisecond on loopback to the longest time limit of a run.
fn durations() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            ready: Family::default(),
            check_result: Family::default(),
            check_duration: Family::new_with_constructor(durations),
            last_check: Family::default(),
            reconcile_duration: Family::new_with_constructor(durations),
            certificate_not_after: Family::default(),
            shown: Mutex::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "wandb_auth_ready",
            "1 where the resource's Ready condition is True, 0 otherwise",
            self.ready.clone(),
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
        self
    }

    /// Notes the findings of a run.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    pub fn checked<K: Kind>(&self, object: &K, findings: &Findings) {
        let resource = labels(object);
        let mut shown = HashSet::new();
        for finding in &findings.list {
            let name = finding.name.to_string();
            let check: Arc<str> = name.split('/').next().unwrap_or(&name).into();
            self.check_duration
                .get_or_create(&CheckKindLabels { kind: resource.kind.clone(), check })
                .observe(finding.duration.as_secs_f64());
            let labels = CheckLabels {
                kind: resource.kind.clone(),
                namespace: resource.namespace.clone(),
                name: resource.name.clone(),
                check: name.into(),
                result: finding.result.into(),
            };
            self.check_result.get_or_create(&labels).set(1);
            shown.insert(labels);
        }
        let outdated = self.shown().insert(resource.clone(), shown.clone()).unwrap_or_default();
        for labels in outdated.difference(&shown) {
            self.check_result.remove(labels);
        }
        self.last_check.get_or_create(&resource).set(Timestamp::now().as_second() as f64);
        match findings.certificate {
            Some(certificate) => {
                let not_after = certificate.not_after.as_second() as f64;
                self.certificate_not_after.get_or_create(&resource).set(not_after);
            }
            None => {
                self.certificate_not_after.remove(&resource);
            }
        }
    }

    /// Notes the status that a run came to.
    pub fn settled<K: Kind>(&self, object: &K, status: &Status) {
        let ready = status
            .conditions
            .iter()
            .any(|condition| condition.type_ == ConditionType::Ready.as_str() && condition.status == "True");
        self.ready.get_or_create(&labels(object)).set(i64::from(ready));
    }

    /// Notes how long a run took.
    pub fn reconciled<K: Kind>(&self, duration: Duration) {
        let labels = KindLabels { kind: K::kind(&()).into() };
        self.reconcile_duration.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    /// Takes the series of a resource that is gone away.
    pub fn forget<K: Kind>(&self, namespace: &str, name: &str) {
        let resource =
            ResourceLabels { kind: K::kind(&()).into(), namespace: namespace.into(), name: name.into() };
        for labels in self.shown().remove(&resource).unwrap_or_default() {
            self.check_result.remove(&labels);
        }
        self.ready.remove(&resource);
        self.last_check.remove(&resource);
        self.certificate_not_after.remove(&resource);
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<ResourceLabels, HashSet<CheckLabels>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels<K: Kind>(object: &K) -> ResourceLabels {
    ResourceLabels {
        kind: K::kind(&()).into(),
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
    }
}
