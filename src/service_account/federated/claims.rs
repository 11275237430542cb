//! The check `TokenClaims`: judges a token by the five rules by which W&B Server accepts one.

use jiff::{SignedDuration, Timestamp};

use super::{issuer::TrustedIssuer, lifetime::Lifetime, plan::FederatedPlan, settings::TokenSource};
use crate::{
    api::{Reason, jwt_issuer::TokenRule},
    engine::Checked,
    issuer::KeySet,
    jwt::{AcceptedToken, Audiences, RuleRefusal, Rules, TrustedKeys},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// If a token that nobody renews expires within this time, the check warns.
const SOON: SignedDuration = SignedDuration::from_mins(10);

/// Judges a token by all five rules, and reports how long it is valid.
pub(super) fn check(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    keys: &KeySet,
    token: &Sensitive,
    now: Timestamp,
) -> Result<Checked, Problem> {
    let accepted = judge(plan, issuer, keys, token, now)?;
    let (subject, audience) = (quote(&accepted.subject), quote(&plan.settings.audience));
    let seen = format!(
        "All five rules accept the token: its subject is \"{subject}\", its audience \"{audience}\", and it is valid until {:.0}",
        accepted.expires
    );
    let lifetime = Lifetime::of(token).ok();
    let nearly_over = lifetime.is_some_and(|lifetime| lifetime.is_nearly_over(now));
    let short = lifetime.is_some_and(Lifetime::is_short);
    let advice = match plan.settings.source {
        TokenSource::Secret if nearly_over || accepted.expires.duration_since(now) < SOON => {
            "The operator does not renew it: put a new one into the Secret before then"
        }
        TokenSource::Kubernetes { .. } | TokenSource::ClientCredentials { .. } if short => {
            "It is valid for less than 10 minutes in all, and the kubelet takes up to about 90 seconds to bring a changed Secret into a pod: ask the issuer for 15 minutes or longer"
        }
        TokenSource::Kubernetes { .. } | TokenSource::ClientCredentials { .. } if nearly_over => {
            "That is soon, although it was just made: check the clocks of the issuer and of the node, and make tokens valid for longer"
        }
        _ => return Ok(Checked::passed((), format!("{seen}."))),
    };
    Ok(Checked::warning((), Reason::TokenExpiresSoon, format!("{seen}. {advice}.")))
}

/// Judges a token by all five rules.
pub(super) fn judge(
    plan: &FederatedPlan,
    issuer: &TrustedIssuer,
    keys: &KeySet,
    token: &Sensitive,
    now: Timestamp,
) -> Result<AcceptedToken, Problem> {
    let settings = issuer.plan.settings();
    let rules = Rules {
        issuer: &settings.issuer,
        subject: Some(&plan.settings.subject),
        audiences: &Audiences::OneOf(vec![plan.settings.audience.clone()]),
        now,
    };
    let trusted = TrustedKeys { set: keys, policy: &settings.keys };
    rules.judge_token(token.expose(), trusted).map_err(|refusal| {
        let RuleRefusal { rule, problem } = refusal;
        let advice = advice(issuer, rule, problem.reason);
        Problem::new(problem.reason, format!("By the rule {rule}: {}{advice}", problem.message))
    })
}

/// Advice about how to correct the cause of a refusal.
fn advice(issuer: &TrustedIssuer, rule: TokenRule, reason: Reason) -> String {
    let name = issuer.name();
    match (rule, reason) {
        // A malformed token is not caused by the spec, so no field can be named.
        (_, Reason::TokenMalformed) | (TokenRule::Expiry, _) => String::new(),
        (TokenRule::Signature, _) => format!(
            " Check that it comes from the issuer of the JwtIssuer \"{name}\", and change spec.keys there if such tokens are to be accepted."
        ),
        (TokenRule::Issuer, _) => format!(
            " Use a token of that issuer, or correct spec.credentials.federated.issuerRef or the JwtIssuer \"{name}\"."
        ),
        (TokenRule::Subject, _) => {
            " Configure the issuer to set that subject, or correct spec.credentials.federated.subject."
                .to_owned()
        }
        (TokenRule::Audience, _) => {
            " Configure the issuer to set that audience, or correct spec.credentials.federated.audience."
                .to_owned()
        }
    }
}
