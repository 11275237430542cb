//! The series of each resource. They exist only while somebody reads them: a family of gauges for each would take more
//! memory than anything else that is kept of a resource.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::KindLabel;
use crate::{api::CheckResult, text::Text};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabels {
    pub(super) kind: KindLabel,
    pub(super) namespace: Text,
    pub(super) name: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    kind: KindLabel,
    namespace: Text,
    name: Text,
    check: Text,
    result: &'static str,
}

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// What is shown of a resource.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// What its status said last.
    pub(super) settled: Option<Settled>,
    /// Its checks and their results.
    pub(super) checks: Box<[(Text, CheckResult)]>,
    /// When its checks ran last.
    pub(super) last_check: Option<Timestamp>,
    pub(super) certificate_not_after: Option<Timestamp>,
    pub(super) token_expiration: Option<Timestamp>,
    /// Since when its API key is in use. The age is computed when the metrics are read.
    pub(super) api_key_since: Option<Timestamp>,
    pub(super) rollbacks: Option<u32>,
    pub(super) rotations: Option<u32>,
    pub(super) repairs: Option<u32>,
}

/// What a status says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) is_ready: bool,
    pub(super) is_suspended: bool,
    pub(super) warnings: u32,
}

/// What is shown of every resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Resources(Arc<Mutex<HashMap<ResourceLabels, Box<Shown>>>>);

impl Resources {
    /// Changes what is shown of a resource.
    pub(super) fn change(&self, resource: ResourceLabels, change: impl FnOnce(&mut Shown)) {
        change(self.shown().entry(resource).or_default());
    }

    /// Shows nothing of a resource any more.
    pub(super) fn forget(&self, resource: &ResourceLabels) {
        self.shown().remove(resource);
    }

    /// A metric of every resource.
    pub(super) fn view(&self, figure: Figure) -> View {
        View { resources: self.clone(), figure }
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<ResourceLabels, Box<Shown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One figure of a resource, where it has that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Figure {
    /// A gauge of whole numbers.
    Whole(fn(&Shown) -> Option<i64>),
    /// A gauge of seconds.
    Seconds(fn(&Shown) -> Option<f64>),
    /// A counter.
    Count(fn(&Shown) -> Option<u32>),
    /// 1 for the result of each check.
    Checks,
}

/// One figure of all resources as a metric.
#[derive(Clone, Debug)]
pub(super) struct View {
    resources: Resources,
    figure: Figure,
}

impl EncodeMetric for View {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (labels, shown) in self.resources.shown().iter() {
            match self.figure {
                Figure::Whole(of) => {
                    let Some(value) = of(shown) else { continue };
                    ConstGauge::new(value).encode(encoder.encode_family(labels)?)?;
                }
                Figure::Seconds(of) => {
                    let Some(value) = of(shown) else { continue };
                    ConstGauge::new(value).encode(encoder.encode_family(labels)?)?;
                }
                Figure::Count(of) => {
                    let Some(value) = of(shown) else { continue };
                    ConstCounter::new(u64::from(value)).encode(encoder.encode_family(labels)?)?;
                }
                Figure::Checks => {
                    for (check, result) in &shown.checks {
                        let labels = labels.check(check.clone(), *result);
                        ConstGauge::new(1_i64).encode(encoder.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.figure {
            Figure::Whole(_) | Figure::Seconds(_) | Figure::Checks => MetricType::Gauge,
            Figure::Count(_) => MetricType::Counter,
        }
    }
}

impl ResourceLabels {
    fn check(&self, check: Text, result: CheckResult) -> CheckLabels {
        CheckLabels {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            check,
            result: result.into(),
        }
    }
}

/// The time as Prometheus has it.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
pub(super) fn unix_seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}
