//! `TokenObtained`: the token that is published already, or a new one from where tokens come from.

use jiff::Timestamp;

use super::{
    Plan, claims, client_credentials,
    issuer::TrustedIssuer,
    kubernetes,
    life::{Life, expiration},
    settings::TokenSource,
};
use crate::{
    api::{CheckName, CheckResult, Reason},
    engine::{Checked, Finding, Scene},
    jwt::{Published, Token},
    problem::Problem,
    sensitive::Sensitive,
};

/// A token, and what is needed to judge it.
pub(super) struct Obtained {
    pub(super) token: Sensitive,
    /// What the issuer publishes of itself, or why that is not known.
    pub(super) published: Result<Published, Problem>,
}

/// Gets a token: a new one where `current` cannot be used any longer, and where the source was not tried
/// yet as the spec and the Secrets have it now.
pub(super) async fn obtain(
    plan: &Plan,
    issuer: &TrustedIssuer,
    current: Option<&Sensitive>,
    scene: &Scene<'_>,
) -> Result<Checked<Obtained>, Problem> {
    let published = issuer.published(scene.network, plan.patience).await;
    if let Some(token) = current
        && was_obtained(scene)
        && is_usable(plan, issuer, token, published.as_ref().ok(), scene.now)
    {
        return describe(plan, Obtained { token: token.clone(), published });
    }
    match make(plan, issuer, &published, scene).await {
        Ok(token) => describe(plan, Obtained { token, published }),
        Err(problem) => Err(beside(current, problem)),
    }
}

/// Says the same of a new token and, later, of the published one: equal findings are an equal status.
fn describe(plan: &Plan, obtained: Obtained) -> Result<Checked<Obtained>, Problem> {
    let maker = match &plan.settings.source {
        TokenSource::Secret => return Ok(Checked::passed(obtained, "The Secret holds a token.")),
        TokenSource::Kubernetes { account, .. } => {
            format!("Kubernetes for the service account \"{account}\"")
        }
        TokenSource::ClientCredentials { id, .. } => format!("the issuer for the client {id}"),
    };
    // Without its times, nobody would know when to renew it.
    let renewal = Life::of(&obtained.token)?.renewal();
    Ok(Checked::passed(obtained, format!("The token was made by {maker}, and is renewed at {renewal:.0}.")))
}

async fn make(
    plan: &Plan,
    issuer: &TrustedIssuer,
    published: &Result<Published, Problem>,
    scene: &Scene<'_>,
) -> Result<Sensitive, Problem> {
    let secret = || {
        let missing = || Problem::new(Reason::EmptyValue, "The referenced Secret is not at hand. Check it.");
        plan.secret.as_ref().ok_or_else(missing)
    };
    match &plan.settings.source {
        TokenSource::Secret => secret().cloned(),
        TokenSource::Kubernetes { account, expiration } => {
            kubernetes::request(account, *expiration, &plan.settings.audience, scene).await
        }
        TokenSource::ClientCredentials { id, scope } => {
            let published = published.as_ref().map_err(Clone::clone)?;
            let client = client_credentials::Client { id, secret: secret()?, scope: scope.as_deref() };
            client_credentials::request(&client, issuer, published, scene.network).await
        }
    }
}

/// Whether the source gave a token as the spec and the Secrets have it now.
fn was_obtained(scene: &Scene<'_>) -> bool {
    let passed =
        |finding: &Finding| finding.name == CheckName::TokenObtained && finding.result == CheckResult::Passed;
    scene.last_findings.iter().any(passed)
}

/// Whether the token is due for nothing yet, as far as can be told.
fn is_usable(
    plan: &Plan,
    issuer: &TrustedIssuer,
    token: &Sensitive,
    published: Option<&Published>,
    now: Timestamp,
) -> bool {
    let is_fresh = Life::of(token).is_ok_and(|life| now < life.renewal());
    // A key that the issuer withdrew, or an edited Secret, is mended by a new token.
    let is_accepted =
        |published: &Published| claims::judge(plan, issuer, &published.keys, token, now).is_ok();
    is_fresh && published.is_none_or(is_accepted)
}

/// Whether the token is for the account that the spec speaks of now: who it says it is for, unproven.
pub(super) fn is_meant(plan: &Plan, token: &Sensitive) -> bool {
    let Ok(issuer) = &plan.issuer else { return false };
    Token::read(token.expose()).is_ok_and(|token| {
        let has = |name: &str, expected: &str| token.claims.text(name) == Ok(Some(expected));
        has("iss", issuer.plan.settings().issuer.as_str())
            && has("sub", &plan.settings.subject)
            && token.claims.audiences().is_ok_and(|list| list.contains(&plan.settings.audience.as_str()))
    })
}

/// The problem, with how long the token that stays published is valid.
fn beside(current: Option<&Sensitive>, problem: Problem) -> Problem {
    let Some(end) = current.and_then(expiration) else { return problem };
    let Problem { reason, message } = problem;
    Problem::new(
        reason,
        format!(
            "{message} The published token stays, and is valid until {end:.0}; the operator keeps trying."
        ),
    )
}
