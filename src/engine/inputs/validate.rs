//! Validates a spec by itself, without any other object. The functions are pure.

use std::time::Duration;

use crate::engine::{Kind, SpecDigest};
use crate::{
    api::{CaBundleSource, CheckFrom, CommonSpec, Reason, TargetSpec},
    problem::Problem,
};

/// Checks everything that the schema of the custom resource and its validation rules check, because not every
/// spec has been checked by an API server.
///
/// The kind's own messages come before the schema's, which can only name lengths and patterns.
///
/// The limits of the schema also ensure that the name of a reference is a name: a path in its place would lead to
/// another object.
pub(in crate::engine) fn validate<K: Kind>(object: &K, spec: &SpecDigest) -> Result<K::Parsed, Problem> {
    let parsed = object.parse();
    let mut problems = common(object.common());
    problems.extend(parsed.as_ref().err().cloned());
    // What has been said of a field already is not said once more in the schema's words.
    let is_told =
        |problems: &[Problem], field: &str| problems.iter().any(|each| each.message.contains(field));
    for violation in &spec.violations {
        if !is_told(&problems, &violation.field) {
            problems.push(Problem::new(Reason::InvalidSpec, violation.sentence.clone()));
        }
    }
    Problem::all(problems)?;
    parsed
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(5);
const SHORTEST_ROLLOUT: Duration = Duration::from_secs(10);
const LONGEST_ROLLOUT: Duration = Duration::from_hours(24);

/// What is wrong with the fields of every kind.
fn common(spec: &CommonSpec) -> Vec<Problem> {
    let tls = spec.tls.as_ref().map_or(Ok(()), |tls| ca_bundle(&tls.ca_bundle));
    let target = spec.target.as_ref().map_or(Ok(()), target);
    [check_from(spec), check_interval(spec), check_timeout(spec), rollout_timeout(spec), tls, target]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

fn check_from(spec: &CommonSpec) -> Result<(), Problem> {
    if spec.check_from == CheckFrom::ServerPod && spec.target.is_none() {
        return Problem::invalid_spec(
            "spec.checkFrom is ServerPod, but there is no spec.target whose pods could make the checks. Add one, or set spec.checkFrom to Operator.",
        );
    }
    Ok(())
}

fn check_interval(spec: &CommonSpec) -> Result<(), Problem> {
    if spec.check_interval.get() < SHORTEST_INTERVAL {
        return Problem::invalid_spec(format!(
            "spec.checkInterval is {}, but must be at least 10s.",
            spec.check_interval
        ));
    }
    Ok(())
}

fn check_timeout(spec: &CommonSpec) -> Result<(), Problem> {
    if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&spec.check_timeout.get()) {
        return Problem::invalid_spec(format!(
            "spec.checkTimeout is {}, but must be between 1s and 5m.",
            spec.check_timeout
        ));
    }
    Ok(())
}

fn rollout_timeout(spec: &CommonSpec) -> Result<(), Problem> {
    if !(SHORTEST_ROLLOUT..=LONGEST_ROLLOUT).contains(&spec.rollout_timeout.get()) {
        return Problem::invalid_spec(format!(
            "spec.rolloutTimeout is {}, but must be between 10s and 24h.",
            spec.rollout_timeout
        ));
    }
    Ok(())
}

fn ca_bundle(bundle: &CaBundleSource) -> Result<(), Problem> {
    if bundle.secret_key_ref.is_some() == bundle.config_map_key_ref.is_some() {
        return Problem::invalid_spec(
            "spec.tls.caBundle must have exactly one of secretKeyRef and configMapKeyRef.",
        );
    }
    Ok(())
}

fn target(spec: &TargetSpec) -> Result<(), Problem> {
    let members = [spec.deployment.is_some(), spec.stateful_set.is_some(), spec.weights_and_biases.is_some()];
    if members.into_iter().filter(|member| *member).count() != 1 {
        return Problem::invalid_spec(
            "spec.target must have exactly one of deployment, statefulSet and weightsAndBiases.",
        );
    }
    let more = &spec.additional_containers;
    if spec.weights_and_biases.is_some() && !more.is_empty() {
        return Problem::invalid_spec(
            "spec.target.additionalContainers works only with deployment or statefulSet; with weightsAndBiases, all applications of the server get the values.",
        );
    }
    if more.iter().any(|each| each.deployment.is_some() == each.stateful_set.is_some()) {
        return Problem::invalid_spec(
            "Each of spec.target.additionalContainers must have exactly one of deployment and statefulSet.",
        );
    }
    let first = (&spec.deployment, &spec.stateful_set);
    let more = more.iter().map(|each| (&each.deployment, &each.stateful_set));
    let all: Vec<_> = [first].into_iter().chain(more).collect();
    let is_repeated = |each| all.iter().filter(|other| **other == each).count() > 1;
    if all.iter().any(|each| is_repeated(*each)) {
        return Problem::invalid_spec("spec.target must not name the same container twice.");
    }
    Ok(())
}
