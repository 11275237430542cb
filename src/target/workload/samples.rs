//! Workloads and deliveries for tests.

use kube::core::DynamicObject;
use serde_json::Value;

use super::Workload;
use crate::{
    engine::{Env, Values},
    target::{Delivery, Owner, Target, WorkloadAddress},
};

pub(super) const ADDRESS: Env =
    Env { local: Some("LOCAL_LDAP_ADDRESS"), split: &["LDAP_ADDRESS"], field: None };
pub(super) const LOGIN: Env = Env { local: Some("LOCAL_LDAP_LOGIN"), split: &["LDAP_LOGIN"], field: None };
pub(super) const SPLIT_ONLY: Env = Env { local: None, split: &["LDAP_SPLIT"], field: None };
pub(super) const ENVIRONMENT: &[Env] = &[ADDRESS, LOGIN, SPLIT_ONLY];

pub(super) fn owner(name: &str) -> Owner {
    Owner::new("LdapConfig", "ldap", "wandb-auth-operator/ldapconfig", name, format!("{name}-ldap"))
}

pub(super) fn deployment() -> Target {
    Target::Deployment(WorkloadAddress { name: "wandb".to_owned(), container: None })
}

/// The workload that this YAML describes.
pub(super) fn workload(target: &Target, yaml: &str) -> Workload {
    let mut fields: Value = serde_yaml::from_str(yaml).unwrap();
    fields["apiVersion"] = "apps/v1".into();
    fields["kind"] = target.kind().into();
    for (name, value) in [("name", "wandb"), ("namespace", "team"), ("uid", "u"), ("resourceVersion", "7")] {
        fields["metadata"][name] = value.into();
    }
    let object: DynamicObject = serde_json::from_value(fields).unwrap();
    Workload::parse(target.clone(), object).unwrap()
}

pub(super) fn values(settings: &[Env]) -> Values {
    let mut values = Values::default();
    for setting in settings {
        values.set(*setting, "a value");
    }
    values
}

pub(super) fn delivery(number: u64, values: &Values) -> Delivery<'_> {
    Delivery { number, environment: ENVIRONMENT, values }
}
