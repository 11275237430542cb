//! `TokenObtained`: the token that is published already, or a new one from where tokens come from.

use jiff::Timestamp;

use super::{
    FederatedPlan, claims, client_credentials,
    exchange::REFUSALS,
    issuer::TrustedIssuer,
    kubernetes,
    lifetime::{Lifetime, expiration},
    settings::TokenSource,
};
use crate::{
    api::{CheckName, CheckResult, Reason},
    api_server::Cluster,
    engine::{CheckContext, Checked, Finding},
    jwt::{IssuerPublication, Token},
    problem::Problem,
    sensitive::Sensitive,
};

/// A token, and what is needed to judge it.
pub(super) struct Obtained {
    pub(super) token: Sensitive,
    /// What the issuer publishes of itself, or why that is not known.
    pub(super) published: Result<IssuerPublication, Problem>,
}

/// Gets a token: a new one where `current` cannot be used any longer, and where it may be another source's
/// than the one that the spec and the Secrets speak of now.
pub(super) async fn obtain(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    current: Option<&Sensitive>,
    scene: &CheckContext<'_>,
) -> Result<Checked<Obtained>, Problem> {
    if matches!(plan.settings.source, TokenSource::Kubernetes { .. }) {
        let own = scene.cluster.map(Cluster::own_audiences).unwrap_or_default();
        kubernetes::permit(&plan.settings.audience, &issuer.plan.settings().issuer, &own)?;
    }
    let published = issuer.published(scene.network, plan.patience).await;
    if let Some(token) = current
        && is_of_this_source(scene)
        && is_usable(plan, issuer, token, published.as_ref().ok(), scene.now.likely)
    {
        return describe(plan, Obtained { token: token.clone(), published });
    }
    match make(plan, issuer, &published, scene).await {
        Ok(token) => describe(plan, Obtained { token, published }),
        Err(problem) => Err(beside(current, problem)),
    }
}

/// Says the same of a new token and, later, of the published one: equal findings are an equal status.
fn describe(plan: &FederatedPlan, obtained: Obtained) -> Result<Checked<Obtained>, Problem> {
    let maker = match &plan.settings.source {
        TokenSource::Secret => return Ok(Checked::passed(obtained, "The Secret holds a token.")),
        TokenSource::Kubernetes { account, .. } => {
            format!("Kubernetes for the service account \"{account}\"")
        }
        TokenSource::ClientCredentials { id, .. } => format!("the issuer for the client {id}"),
    };
    // Without its times, nobody would know when to renew it.
    let renewal = Lifetime::of(&obtained.token)?.renewal();
    Ok(Checked::passed(obtained, format!("The token was made by {maker}, and is renewed at {renewal:.0}.")))
}

async fn make(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    published: &Result<IssuerPublication, Problem>,
    scene: &CheckContext<'_>,
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
        TokenSource::ClientCredentials { id, scope, parameters } => {
            let published = published.as_ref().map_err(Clone::clone)?;
            let client = client_credentials::Client {
                id,
                secret: secret()?,
                secret_location: &plan.secret_location,
                scope: scope.as_deref(),
                parameters,
            };
            client_credentials::request(&client, issuer, published, scene.network).await
        }
    }
}

/// Whether the token that is in use came from the source as the spec and the Secrets have it now: they passed
/// before, or the last run with them took its token for sound, so that it took the old one's place.
fn is_of_this_source(scene: &CheckContext<'_>) -> bool {
    scene.proven || was_sound(scene.last_findings)
}

/// Whether the token of the run was sound: the server accepted it, or the rules did and the server did not
/// refuse it.
fn was_sound(findings: &[Finding]) -> bool {
    let found = |name: &CheckName| findings.iter().find(|finding| finding.name == *name);
    let succeeded = |name: &CheckName| {
        found(name).is_some_and(|seen| matches!(seen.result, CheckResult::Passed | CheckResult::Warning))
    };
    let is_refused = found(&CheckName::TokenExchange)
        .is_some_and(|seen| seen.result == CheckResult::Failed && REFUSALS.contains(&seen.reason));
    succeeded(&CheckName::TokenObtained)
        && (succeeded(&CheckName::TokenExchange) || (succeeded(&CheckName::TokenClaims) && !is_refused))
}

/// Whether the token is due for nothing yet, as far as can be told.
fn is_usable(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    token: &Sensitive,
    published: Option<&IssuerPublication>,
    now: Timestamp,
) -> bool {
    let is_fresh = Lifetime::of(token).is_ok_and(|life| now < life.renewal());
    // A key that the issuer withdrew, or an edited Secret, is mended by a new token.
    let is_accepted =
        |published: &IssuerPublication| claims::judge(plan, issuer, &published.keys, token, now).is_ok();
    is_fresh && published.is_none_or(is_accepted)
}

/// Whether the token is for the account that the spec speaks of now: who it says it is for, unproven.
pub(super) fn is_meant(plan: &FederatedPlan, token: &Sensitive) -> bool {
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
    Problem::new(reason, format!("{message} The published token stays, and is valid until {end:.0}."))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The findings of a run: the obtained token, what the rules say of it, and what the server does.
    fn run(claims: Option<Reason>, exchange: Option<Reason>) -> Vec<Finding> {
        let finding = |name, failure: Option<Reason>| Finding {
            name,
            result: match failure {
                None => CheckResult::Passed,
                Some(Reason::NotReached) => CheckResult::Skipped,
                Some(_) => CheckResult::Failed,
            },
            reason: failure.unwrap_or(Reason::Passed),
            message: String::new(),
            duration: Duration::ZERO,
        };
        vec![
            finding(CheckName::TokenObtained, None),
            finding(CheckName::TokenClaims, claims),
            finding(CheckName::TokenExchange, exchange),
        ]
    }

    #[test]
    fn a_token_is_sound_where_nobody_refused_it() {
        for (claims, exchange, sound) in [
            (None, None, true),
            (None, Some(Reason::NotReached), true),
            (None, Some(Reason::ServerUnavailable), true),
            (None, Some(Reason::ManualStepRequired), false),
            (None, Some(Reason::TokenExpired), false),
            (Some(Reason::SubjectMismatch), Some(Reason::NotReached), false),
            // The server itself can tell what the issuer's keys would.
            (Some(Reason::TimedOut), None, true),
            (Some(Reason::TimedOut), Some(Reason::NotReached), false),
        ] {
            assert_eq!(was_sound(&run(claims, exchange)), sound, "{claims:?} {exchange:?}");
        }
        assert!(!was_sound(&[]));
    }
}
