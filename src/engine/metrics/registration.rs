//! Every metric's name and what it says.

use jiff::Timestamp;
use prometheus_client::metrics::info::Info;

use super::{
    BuildLabels, Metrics,
    process::Process,
    resources::{Figure, unix_seconds},
};

impl Metrics {
    pub(super) fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "wandb_auth_leading",
            "1 where this process works on resources, 0 where another one does",
            self.leading.clone(),
        );
        registry.register(
            "wandb_auth_ready",
            "1 where the resource's Ready condition is True, 0 otherwise",
            self.resources.view(Figure::Whole(|shown| Some(shown.settled?.is_ready.into()))),
        );
        registry.register(
            "wandb_auth_suspended",
            "1 where the resource's spec.suspend is true, 0 otherwise",
            self.resources.view(Figure::Whole(|shown| Some(shown.settled?.is_suspended.into()))),
        );
        registry.register(
            "wandb_auth_resource_warnings",
            "How many of the resource's checks have a warning",
            self.resources.view(Figure::Whole(|shown| Some(shown.settled?.warnings.into()))),
        );
        registry.register(
            "wandb_auth_check_result",
            "1 for the result that a check had last: Passed, Warning, Failed or Skipped",
            self.resources.view(Figure::Checks),
        );
        registry.register(
            "wandb_auth_check_duration_seconds",
            "How long checks took",
            self.check_duration.clone(),
        );
        registry.register(
            "wandb_auth_last_check_timestamp_seconds",
            "When the resource's checks ran last",
            self.resources.view(Figure::Seconds(|shown| shown.last_check.map(unix_seconds))),
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
            "How many runs ended before they wrote a status; they are tried again",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "wandb_auth_rollbacks",
            "How often the resource's target went back to its previous values",
            self.resources.view(Figure::Count(|shown| shown.rollbacks)),
        );
        registry.register(
            "wandb_auth_rotations",
            "How often the resource's API key was replaced",
            self.resources.view(Figure::Count(|shown| shown.rotations)),
        );
        registry.register(
            "wandb_auth_repairs",
            "How often the resource's Secret or target was put right after somebody else changed it",
            self.resources.view(Figure::Count(|shown| shown.repairs)),
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
            self.resources.view(Figure::Seconds(|shown| shown.certificate_not_after.map(unix_seconds))),
        );
        registry.register(
            "wandb_auth_certificate_not_after_seconds",
            "The old name of wandb_auth_certificate_not_after_timestamp_seconds, which the next release does not have",
            self.resources.view(Figure::Seconds(|shown| shown.certificate_not_after.map(unix_seconds))),
        );
        registry.register(
            "wandb_auth_token_expiration_timestamp_seconds",
            "When the published token expires",
            self.resources.view(Figure::Seconds(|shown| shown.token_expiration.map(unix_seconds))),
        );
        registry.register(
            "wandb_auth_token_expiration_seconds",
            "The old name of wandb_auth_token_expiration_timestamp_seconds, which the next release does not have",
            self.resources.view(Figure::Seconds(|shown| shown.token_expiration.map(unix_seconds))),
        );
        registry.register(
            "wandb_auth_api_key_age_seconds",
            "How long the published API key is in use",
            self.resources.view(Figure::Seconds(|shown| shown.api_key_since.map(age))),
        );
        self
    }
}

/// How many seconds ago that was.
fn age(since: Timestamp) -> f64 {
    Timestamp::now().duration_since(since).as_secs_f64().max(0.0)
}
