//! What is kept of a schema: the limits by which values are judged.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde::Deserialize;
use serde_json::Value;

/// The schema of a field, without what only people and the API server read: with that, those of all kinds would take a
/// megabyte for as long as the process lives. The fields have the names that they have in a definition.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecSchema {
    /// Such as `object`.
    #[serde(rename = "type")]
    pub type_: Option<Box<str>>,
    /// The members that must be there.
    #[serde(default)]
    pub required: Box<[String]>,
    /// The only values, if they are few.
    #[serde(default, rename = "enum")]
    pub enum_: Box<[Value]>,
    pub(super) pattern: Option<Box<str>>,
    pub(super) min_length: Option<i64>,
    pub(super) max_length: Option<i64>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) min_items: Option<i64>,
    pub(super) max_items: Option<i64>,
    pub(super) max_properties: Option<i64>,
    #[serde(default, rename = "x-kubernetes-validations")]
    pub(super) rules: Box<[SpecRule]>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(super) list_type: Option<Box<str>>,
    /// Whether members that no schema is known of are kept.
    #[serde(default, rename = "x-kubernetes-preserve-unknown-fields")]
    pub keeps_unknown: bool,
    /// The members that are known.
    #[serde(default)]
    pub properties: BTreeMap<String, SpecSchema>,
    pub(super) items: Option<Box<SpecSchema>>,
    pub(super) additional_properties: Option<AnyMember>,
}

/// A rule in CEL.
#[derive(Debug, Deserialize)]
pub(super) struct SpecRule {
    pub(super) rule: Box<str>,
    pub(super) message: Option<Box<str>>,
}

/// What members may be that have no name of their own.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum AnyMember {
    /// All of them are like this.
    Like(Box<SpecSchema>),
    /// Nothing is said but whether there may be any.
    Allowed(#[expect(dead_code, reason = "it is read so that such a schema can be")] bool),
}

impl SpecSchema {
    /// What is kept of the schema of a definition.
    pub(super) fn of(schema: &JSONSchemaProps) -> Option<Self> {
        serde_json::from_value(serde_json::to_value(schema).ok()?).ok()
    }
}
