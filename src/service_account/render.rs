//! The environment variables of W&B's clients.

use super::account::{AccountPlan, Attribution};
use crate::engine::{CA_FILE, Env, Values};

/// The address of the server.
pub(super) const BASE_URL: Env = Env { local: Some("WANDB_BASE_URL"), split: &[], field: None };
const ENTITY: Env = Env { local: Some("WANDB_ENTITY"), split: &[], field: None };
const USERNAME: Env = Env { local: Some("WANDB_USERNAME"), split: &[], field: None };
const USER_EMAIL: Env = Env { local: Some("WANDB_USER_EMAIL"), split: &[], field: None };
const CERTIFICATES: Env = Env { local: Some("SSL_CERT_FILE"), split: &[], field: None };

/// The API key.
pub(super) const API_KEY: Env = Env { local: Some("WANDB_API_KEY"), split: &[], field: None };
/// The path of the file with the identity token.
pub(super) const IDENTITY_TOKEN: Env =
    Env { local: Some("WANDB_IDENTITY_TOKEN_FILE"), split: &[], field: None };
/// The path of the file in which the client stores the access tokens that it gets.
pub(super) const CREDENTIALS: Env = Env { local: Some("WANDB_CREDENTIALS_FILE"), split: &[], field: None };

/// Every setting, in the order in which people read them. A client that finds both an API key and a token refuses
/// to work, so at most one of them is published.
pub(super) const ENVIRONMENT: &[Env] =
    &[BASE_URL, ENTITY, API_KEY, IDENTITY_TOKEN, CREDENTIALS, USERNAME, USER_EMAIL, CERTIFICATES];

/// The directory at which programs mount the Secret. Values that are paths of files refer to it.
pub(super) const MOUNT: &str = "/var/run/secrets/auth.wandb.com";

/// The values for programs of every account, whatever its credentials are.
pub(super) fn common(plan: &AccountPlan) -> Values {
    let mut values = Values::default();
    values.set(BASE_URL, plan.settings.base_url.as_str());
    values.set(ENTITY, plan.settings.membership.team());
    match &plan.settings.attribution {
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
