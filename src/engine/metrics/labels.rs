//! The labels of the metrics.

use std::{borrow::Cow, sync::Arc};

use kube::{Resource, ResourceExt};
use prometheus_client::encoding::EncodeLabelSet;

use crate::engine::Kind;

/// The name of a kind as a label value.
pub(super) type KindLabel = Cow<'static, str>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabels {
    pub(super) kind: KindLabel,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckLabels {
    pub(super) kind: KindLabel,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) check: Cow<'static, str>,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckKindLabels {
    pub(super) kind: KindLabel,
    pub(super) check: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub(super) kind: KindLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}

impl ResourceLabels {
    pub(super) fn check(&self, check: Cow<'static, str>, result: &'static str) -> CheckLabels {
        CheckLabels {
            kind: self.kind.clone(),
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
            check,
            result,
        }
    }
}

pub(super) fn labels<K: Kind>(object: &K) -> ResourceLabels {
    labels_of::<K>(object)
}

/// The labels of an object of a kind that it may not decode as.
pub(super) fn labels_of<K: Kind>(object: &impl Resource<DynamicType = ()>) -> ResourceLabels {
    ResourceLabels {
        kind: K::kind(&()),
        namespace: object.namespace().unwrap_or_default().into(),
        name: object.name_any().into(),
    }
}
