//! The check `TokenObtained`: the published token, or a new one from the source in the spec.

use jiff::Timestamp;

use super::{
    claims, client_credentials,
    exchange::REFUSALS,
    issuer::TrustedIssuer,
    kubernetes,
    lifetime::{Lifetime, expiration},
    plan::FederatedPlan,
    settings::TokenSource,
};
use crate::{
    api::{CheckName, CheckResult, Reason},
    api_server::Cluster,
    engine::{CheckContext, Checked, Finding},
    jwt::IssuerPublication,
    problem::Problem,
    sensitive::Sensitive,
};

/// A token, and what is needed to judge it.
pub(super) struct Obtained {
    pub(super) token: Sensitive,
    /// The document and keys that the issuer publishes, or why they are unknown.
    pub(super) published: Result<IssuerPublication, Problem>,
}

/// Returns `current` while it can be used. Otherwise, or if it may come from another source than the one that the
/// spec and the Secrets name now, gets a new token.
pub(super) async fn obtain(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    current: Option<&Sensitive>,
    context: &CheckContext<'_>,
) -> Result<Checked<Obtained>, Problem> {
    if matches!(plan.settings.source, TokenSource::Kubernetes { .. }) {
        let own = context.cluster.map(Cluster::own_audiences).unwrap_or_default();
        kubernetes::permit(&plan.settings.audience, &issuer.plan.settings().issuer, &own)?;
    }
    let published = issuer.published(context.network, plan.patience).await;
    if let Some(token) = current
        && is_of_this_source(context)
        && is_usable(plan, issuer, token, published.as_ref().ok(), context.now.likely)
    {
        return describe(plan, Obtained { token: token.clone(), published });
    }
    match make(plan, issuer, &published, context).await {
        Ok(token) => describe(plan, Obtained { token, published }),
        Err(problem) => Err(beside(current, problem)),
    }
}

/// The finding says the same about a new token and later about the published one, so that the status stays equal.
fn describe(plan: &FederatedPlan, obtained: Obtained) -> Result<Checked<Obtained>, Problem> {
    let maker = match &plan.settings.source {
        TokenSource::Secret => return Ok(Checked::passed(obtained, "The Secret holds a token.")),
        TokenSource::Kubernetes { account, .. } => {
            format!("Kubernetes for the service account \"{account}\"")
        }
        TokenSource::ClientCredentials { id, .. } => format!("the issuer for the client {id}"),
    };
    // A token without these times is refused, since it would be unknown when to renew it.
    let renewal = Lifetime::of(&obtained.token)?.renewal();
    Ok(Checked::passed(obtained, format!("The token was made by {maker}, and is renewed at {renewal:.0}.")))
}

async fn make(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    published: &Result<IssuerPublication, Problem>,
    context: &CheckContext<'_>,
) -> Result<Sensitive, Problem> {
    let secret = || {
        let missing =
            || Problem::new(Reason::EmptyValue, "The referenced Secret could not be read. Check it.");
        plan.secret.as_ref().ok_or_else(missing)
    };
    match &plan.settings.source {
        TokenSource::Secret => secret().cloned(),
        TokenSource::Kubernetes { account, expiration } => {
            kubernetes::request(account, *expiration, &plan.settings.audience, context).await
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
            client_credentials::request(&client, issuer, published, context.network).await
        }
    }
}

/// Whether the token in use came from the source that the spec and the Secrets name now. Either they have been
/// verified before, or the last run with them found its token sound and published it.
fn is_of_this_source(context: &CheckContext<'_>) -> bool {
    context.verified_once || was_sound(context.last_findings)
}

/// Whether the token of the last run was sound: the server accepted it, or the rules accepted it and the server did
/// not refuse it.
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

/// Whether the token need not be replaced yet, as far as that is known.
fn is_usable(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    token: &Sensitive,
    published: Option<&IssuerPublication>,
    now: Timestamp,
) -> bool {
    let is_fresh = Lifetime::of(token).is_ok_and(|lifetime| now < lifetime.renewal());
    // If the issuer withdrew the key, or somebody edited the Secret, a new token corrects that.
    let is_accepted =
        |published: &IssuerPublication| claims::judge(plan, issuer, &published.keys, token, now).is_ok();
    is_fresh && published.is_none_or(is_accepted)
}

/// Adds to the problem how long the published token remains valid.
fn beside(current: Option<&Sensitive>, problem: Problem) -> Problem {
    let Some(end) = current.and_then(expiration) else { return problem };
    let Problem { reason, message } = problem;
    Problem::new(reason, format!("{message} The published token stays, and is valid until {end:.0}."))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::CheckFrom;

    /// The findings of a run that obtained a token, with these results of the rules and of the server.
    fn run(claims: Option<Reason>, exchange: Option<Reason>) -> Vec<Finding> {
        let finding = |name, failure: Option<Reason>| Finding {
            name,
            result: match failure {
                None => CheckResult::Passed,
                Some(Reason::NotReached) => CheckResult::Skipped,
                Some(_) => CheckResult::Failed,
            },
            reason: failure.unwrap_or(Reason::Passed),
            message: "".into(),
            duration: Duration::ZERO,
            from: CheckFrom::Operator,
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
            // The server itself can judge a token without the issuer's keys.
            (Some(Reason::TimedOut), None, true),
            (Some(Reason::TimedOut), Some(Reason::NotReached), false),
        ] {
            assert_eq!(was_sound(&run(claims, exchange)), sound, "{claims:?} {exchange:?}");
        }
        assert!(!was_sound(&[]));
    }
}
