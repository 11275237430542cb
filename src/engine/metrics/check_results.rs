//! The metric of the results that each resource's checks had last.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, gauge::ConstGauge},
};

use super::labels::ResourceLabels;

/// The checks of a resource and their results: a few words, where a series for each would take most of what is kept of
/// the resource.
pub(super) type CheckLabel = Box<[(Cow<'static, str>, &'static str)]>;

/// The results that each resource's checks had last, as series that exist only while somebody reads them.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckResults(Arc<Mutex<HashMap<ResourceLabels, CheckLabel>>>);

impl CheckResults {
    pub(super) fn shown(&self) -> MutexGuard<'_, HashMap<ResourceLabels, CheckLabel>> {
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
