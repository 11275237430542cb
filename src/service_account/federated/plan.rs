//! What checks and rendering need of a federated account, and what a run finds out about it.

use std::time::Duration;

use super::{
    issuer::TrustedIssuer,
    settings::{CLIENT_SECRET, FederatedSettings, ISSUER, TOKEN, TokenSource},
};
use crate::{
    api::service_account::AccountStatus,
    engine::{Inputs, Values},
    jwt::Token,
    problem::Problem,
    sensitive::Sensitive,
};

/// The key of the token in the Secret.
pub(super) const TOKEN_FILE: &str = "identity-token";

/// The share of the time limit that the issuer may take for its document and keys. It is limited because, for a
/// token from elsewhere, the server itself can judge the token without them.
const ISSUER_SHARE: f32 = 0.4;

/// What checks and rendering need for this kind of credential.
pub struct FederatedPlan {
    pub(super) settings: FederatedSettings,
    pub(super) issuer: Result<TrustedIssuer, Problem>,
    /// The token or the client's secret, if the spec refers to one.
    pub(super) secret: Option<Sensitive>,
    /// Where the client's secret is, as messages name it.
    pub(super) secret_location: String,
    /// How long the issuer may take to say what it publishes.
    pub(super) patience: Duration,
}

/// What a run finds out in addition to the results of its checks.
#[derive(Clone, Default)]
pub struct FederatedEvidence {
    pub(super) token: Option<HeldToken>,
    pub(super) account: Option<AccountStatus>,
}

/// A token that a run obtained, with the verdict about it.
#[derive(Clone)]
pub(super) enum HeldToken {
    /// The five rules accept the token and the server did not refuse it, or the server accepts it.
    Sound(Sensitive),
    /// The verdict is open, since the issuer's keys are unknown.
    Doubtful(Sensitive),
    /// The rules or the server refuse the token.
    Refused(Sensitive),
}

impl HeldToken {
    pub(super) fn into_token(self) -> Sensitive {
        match self {
            Self::Sound(token) | Self::Doubtful(token) | Self::Refused(token) => token,
        }
    }
}

impl FederatedPlan {
    /// Combines the parsed spec with the referenced values.
    pub(in crate::service_account) fn new(
        settings: FederatedSettings,
        limit: Duration,
        inputs: &Inputs,
    ) -> Self {
        let issuer = TrustedIssuer::read(&settings.issuer, ISSUER, inputs);
        let secret = inputs.get(TOKEN).or_else(|| inputs.get(CLIENT_SECRET)).cloned();
        let secret_location = inputs.location(CLIENT_SECRET).unwrap_or_default();
        Self { settings, issuer, secret, secret_location, patience: limit.mul_f32(ISSUER_SHARE) }
    }

    /// The first token in these values that is meant for the account of the spec, judged by its own claims.
    pub(super) fn current<'a>(&self, values: impl IntoIterator<Item = &'a Values>) -> Option<&'a Sensitive> {
        if matches!(self.settings.source, TokenSource::Secret) {
            return None;
        }
        let tokens = values.into_iter().filter_map(|values| values.get(TOKEN_FILE));
        tokens.into_iter().find(|token| is_meant(self, token))
    }

    /// The token to publish. Only a sound token replaces another one.
    pub(super) fn choose<'a>(
        &'a self,
        evidence: Option<&'a FederatedEvidence>,
        current: Option<&'a Sensitive>,
    ) -> Option<&'a Sensitive> {
        if matches!(self.settings.source, TokenSource::Secret) {
            return self.secret.as_ref();
        }
        match evidence.and_then(|evidence| evidence.token.as_ref()) {
            Some(HeldToken::Sound(token)) => Some(token),
            Some(HeldToken::Doubtful(token) | HeldToken::Refused(token)) => current.or(Some(token)),
            None => current,
        }
    }
}

/// Whether the token is meant for the account that the spec names now, judged by its claims without verification.
fn is_meant(plan: &FederatedPlan, token: &Sensitive) -> bool {
    let Ok(issuer) = &plan.issuer else { return false };
    Token::read(token.expose()).is_ok_and(|token| {
        let has = |name: &str, expected: &str| token.claims.text(name) == Ok(Some(expected));
        has("iss", issuer.plan.settings().issuer.as_str())
            && has("sub", &plan.settings.subject)
            && token.claims.audiences().is_ok_and(|list| list.contains(&plan.settings.audience.as_str()))
    })
}
