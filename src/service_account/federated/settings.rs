//! From `spec.credentials.federated` to types that cannot be wrong.

use std::time::Duration;

use super::super::settings::invalid;
use crate::{
    api::{
        Reason,
        service_account::{FederatedSpec, TokenSource},
    },
    problem::Problem,
};

/// Who tokens are about and for.
pub struct FederatedSettings {
    /// The claim `sub`.
    pub subject: String,
    /// The claim `aud`.
    pub audience: String,
}

const SHORTEST_EXPIRATION: Duration = Duration::from_mins(10);
const LONGEST_EXPIRATION: Duration = Duration::from_hours(24);

impl FederatedSettings {
    /// Judges the spec by itself.
    pub fn parse(spec: &FederatedSpec) -> Result<Self, Problem> {
        trimmed("subject", &spec.subject)?;
        trimmed("audience", &spec.audience)?;
        token(&spec.token)?;
        Err(Problem::new(
            Reason::NotSupportedYet,
            "spec.credentials.federated is not supported by this version. Use spec.credentials.apiKey.",
        ))
    }
}

fn trimmed(field: &str, text: &str) -> Result<(), Problem> {
    if text.trim() == text {
        Ok(())
    } else {
        invalid(format!("{field} must not begin or end with white space"))
    }
}

fn token(source: &TokenSource) -> Result<(), Problem> {
    match (&source.secret_ref, &source.service_account, &source.client_credentials) {
        (Some(_), None, None) => Ok(()),
        (None, Some(account), None) => {
            if (SHORTEST_EXPIRATION..=LONGEST_EXPIRATION).contains(&account.expiration.get()) {
                return Ok(());
            }
            invalid(format!("expiration is {}, but must be between 10m and 24h", account.expiration))
        }
        (None, None, Some(client)) => trimmed("clientID", &client.client_id),
        _ => invalid("token must have exactly one of secretRef, serviceAccount and clientCredentials"),
    }
}
