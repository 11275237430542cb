//! The environment variables of W&B's clients.

use super::{ServiceAccountPlan, settings::Attribution};
use crate::engine::{CA_FILE, Env, Values};

/// Where the server is.
pub(super) const BASE_URL: Env = Env { local: Some("WANDB_BASE_URL"), split: &[], field: None };
const ENTITY: Env = Env { local: Some("WANDB_ENTITY"), split: &[], field: None };
const USERNAME: Env = Env { local: Some("WANDB_USERNAME"), split: &[], field: None };
const USER_EMAIL: Env = Env { local: Some("WANDB_USER_EMAIL"), split: &[], field: None };
const CERTIFICATES: Env = Env { local: Some("SSL_CERT_FILE"), split: &[], field: None };

/// An API key.
pub(super) const API_KEY: Env = Env { local: Some("WANDB_API_KEY"), split: &[], field: None };
/// Where the identity token is.
pub(super) const IDENTITY_TOKEN: Env =
    Env { local: Some("WANDB_IDENTITY_TOKEN_FILE"), split: &[], field: None };
/// Where the client keeps the access tokens that it exchanges.
pub(super) const CREDENTIALS: Env = Env { local: Some("WANDB_CREDENTIALS_FILE"), split: &[], field: None };

/// Every setting, in the order in which people read them. A client that finds both a key and a token
/// refuses to work, so one is published at most.
pub(super) const ENVIRONMENT: &[Env] =
    &[BASE_URL, ENTITY, API_KEY, IDENTITY_TOKEN, CREDENTIALS, USERNAME, USER_EMAIL, CERTIFICATES];

/// Where programs mount the Secret, wherever a value must be a file.
pub(super) const MOUNT: &str = "/var/run/secrets/auth.wandb.com";

/// What every account's programs need, whatever they prove themselves with.
pub(super) fn common(plan: &ServiceAccountPlan) -> Values {
    let mut values = Values::default();
    values.set(BASE_URL, plan.account.base_url.as_str());
    values.set(ENTITY, plan.account.home.team());
    match &plan.account.attribution {
        Some(Attribution::Username(username)) => values.set(USERNAME, username.as_str()),
        Some(Attribution::UserEmail(email)) => values.set(USER_EMAIL, email.as_str()),
        None => {}
    }
    if let Some(bundle) = &plan.ca_bundle {
        values.set_authorities(bundle);
        values.set(CERTIFICATES, format!("{MOUNT}/{CA_FILE}"));
    }
    values
}
