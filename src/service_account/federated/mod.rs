//! Keeps a token of an issuer that W&B Server trusts fresh.
//!
//! In reading order: `settings` reads the spec, `plan` joins it with what it refers to, and `issuer` reads the `JwtIssuer` to which it refers. `obtain`
//! gets a token: the published one for most of its `lifetime`, otherwise a new one from `kubernetes` or by
//! `client_credentials`. `claims` judges it by the five rules, and `exchange` tries it at the server itself.
//!
//! Invariants:
//! - A token that the five rules accept is replaced only by another one that they accept.
//! - An outage elsewhere does not delay a renewal: neither the server nor the `JwtIssuer`'s own checks can prevent
//!   the renewal of a token in use.
//! - A token leaves the process only in the published Secret and in the exchange. A client's secret is sent only to
//!   the endpoint that the issuer's own document names.

mod claims;
mod client_credentials;
mod exchange;
mod issuer;
mod kubernetes;
mod lifetime;
mod obtain;
mod plan;
mod settings;

pub use plan::{FederatedEvidence, FederatedPlan};
pub use settings::FederatedSettings;

pub(super) use settings::references;

use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{account::AccountPlan, connect::connect, render};
use crate::{
    api::{
        CheckName,
        service_account::{AccountStatus, ServiceAccountDetails},
    },
    engine::{CheckContext, RenderContext, Report, Values},
    instance,
};
use lifetime::{Lifetime, as_followed, expiration, shown_expiration};
use obtain::{Obtained, obtain};
use plan::{HeldToken, TOKEN_FILE};
use settings::TokenSource;

/// The server's answer to a token.
enum Exchange {
    /// The server accepted it. The account is `None` if its name cannot be shown.
    Accepted(Option<AccountStatus>),
    Refused,
    Unanswered,
}

/// Where the client stores the access tokens that it gets. It cannot be in the Secret's directory, which is
/// read-only.
const CREDENTIALS_FILE: &str = "/tmp/wandb-credentials.json";

/// The names of all checks, without those of the connection to the server.
pub(super) fn checks(_own: &FederatedPlan) -> Vec<CheckName> {
    vec![CheckName::IssuerReady, CheckName::TokenObtained, CheckName::TokenClaims, CheckName::TokenExchange]
}

/// The share of the remaining time that the server may take. The rest is reserve: if the engine's own limit ended
/// the run, a token that was just made would be lost.
const SHARE: f32 = 0.8;

/// Runs the checks. Those of the token come first, because it must be renewed even while the server is unavailable.
pub(super) async fn probe(
    plan: &AccountPlan,
    own: &FederatedPlan,
    context: &CheckContext<'_>,
    report: &mut Report,
) -> FederatedEvidence {
    let started = Instant::now();
    // The future is boxed, since it is large and would be moved around.
    let held = Box::pin(prove(own, context, report)).await;
    let limit = plan.settings.time_limit;
    let time_left = limit.saturating_sub(started.elapsed()).mul_f32(SHARE);
    let exchanged = Box::pin(exchange(plan, own, held.as_ref(), context, report));
    let exchanged = context.within(time_left, exchanged).await.unwrap_or_else(|awaited| {
        report.time_out(limit, awaited);
        Exchange::Unanswered
    });
    match exchanged {
        Exchange::Accepted(account) => {
            FederatedEvidence { token: held.map(|held| HeldToken::Sound(held.into_token())), account }
        }
        Exchange::Refused => {
            FederatedEvidence { token: held.map(|held| HeldToken::Refused(held.into_token())), account: None }
        }
        Exchange::Unanswered => FederatedEvidence { token: held, account: None },
    }
}

/// Obtains a token and judges it by the five rules.
async fn prove(own: &FederatedPlan, context: &CheckContext<'_>, report: &mut Report) -> Option<HeldToken> {
    let issuer = match &own.issuer {
        Ok(issuer) => issuer,
        Err(problem) => return report.record(CheckName::IssuerReady, Err(problem.clone())),
    };
    let current = own.current(context.last_verified.into_iter().chain(context.published));
    let ready = report.record(CheckName::IssuerReady, issuer.ready(&own.settings.audience));
    // A token that programs already use is renewed even if the `JwtIssuer` is not ready, as long as the rules
    // accept it.
    if ready.is_none() && current.is_none() {
        return None;
    }
    if matches!(own.settings.source, TokenSource::Kubernetes { .. }) && context.cluster.is_none() {
        for check in [CheckName::TokenObtained, CheckName::TokenClaims, CheckName::TokenExchange] {
            report.skip(check, "Not run, since there is no cluster that could make a token.");
        }
        return None;
    }
    let obtained = report.check(CheckName::TokenObtained, obtain(own, issuer, current, context)).await?;
    let Obtained { token, published } = obtained;
    report.conceal(&token);
    let published = match published {
        Ok(published) => published,
        Err(problem) => {
            report.record::<()>(CheckName::TokenClaims, Err(problem));
            return Some(HeldToken::Doubtful(token));
        }
    };
    let judged = claims::check(own, issuer, &published.keys, &token, context.now.likely);
    let is_accepted = report.record(CheckName::TokenClaims, judged).is_some();
    Some(if is_accepted { HeldToken::Sound(token) } else { HeldToken::Refused(token) })
}

/// Connects to the server and has it exchange the token, unless there is no token or the rules refuse it.
async fn exchange(
    plan: &AccountPlan,
    own: &FederatedPlan,
    held: Option<&HeldToken>,
    context: &CheckContext<'_>,
    report: &mut Report,
) -> Exchange {
    let Some(instance) = connect(plan, context.network, report).await else { return Exchange::Unanswered };
    let Some(HeldToken::Sound(token) | HeldToken::Doubtful(token)) = held else {
        return Exchange::Unanswered;
    };
    let mut outcome = Exchange::Unanswered;
    let mut access = None;
    let judged = Box::pin(async {
        let request = exchange::Request {
            instance,
            token,
            subject: &own.settings.subject,
            issuer: own.issuer.as_ref().ok().map(|issuer| &issuer.plan.settings().issuer),
            team: plan.settings.membership.team(),
            attribution: plan.settings.attribution.as_ref(),
            now: context.now.likely,
        };
        let checked = exchange::check(&request, &mut access).await;
        if checked.as_ref().is_err_and(|refusal| exchange::REFUSALS.contains(&refusal.problem.reason)) {
            outcome = Exchange::Refused;
        }
        checked
    });
    let account = instance::check(report, CheckName::TokenExchange, judged).await;
    if let Some(access) = &access {
        report.conceal(access);
    }
    account.map_or(outcome, Exchange::Accepted)
}

/// When the token must be renewed. A token that somebody else renews is checked again when it expires.
pub(super) fn renew_at(
    own: &FederatedPlan,
    evidence: Option<&FederatedEvidence>,
    context: &CheckContext<'_>,
) -> Option<Timestamp> {
    let current = own.current(context.last_verified.into_iter().chain(context.published));
    let token = own.choose(evidence, current)?;
    let due = match own.settings.source {
        TokenSource::Secret => expiration(token),
        TokenSource::Kubernetes { .. } | TokenSource::ClientCredentials { .. } => {
            Lifetime::of(token).ok().map(|lifetime| lifetime.renew_at(context.now.likely))
        }
    };
    due.map(|due| as_followed(due, context.now))
}

/// The values to publish, or `None` without a token.
pub(super) fn render(
    plan: &AccountPlan,
    own: &FederatedPlan,
    evidence: Option<&FederatedEvidence>,
    context: &RenderContext<'_>,
) -> Option<Values> {
    let token = own.choose(evidence, own.current(context.current))?;
    let mut values = render::common(plan);
    values.set_file(TOKEN_FILE, token.clone());
    values.set(render::IDENTITY_TOKEN, format!("{}/{TOKEN_FILE}", render::MOUNT));
    values.set(render::CREDENTIALS, CREDENTIALS_FILE);
    Some(values)
}

/// The published values with a newer token, provided that they are for the same account.
pub(super) fn renew(
    own: &FederatedPlan,
    evidence: Option<&FederatedEvidence>,
    held: &Values,
) -> Option<Values> {
    let Some(HeldToken::Sound(token)) = evidence?.token.as_ref() else { return None };
    own.current([held])?;
    let mut values = held.clone();
    values.set_file(TOKEN_FILE, token.clone());
    Some(values)
}

/// Evidence for a preview: a placeholder for the token, which only a run can obtain.
pub(super) fn placeholder_evidence(_own: &FederatedPlan) -> FederatedEvidence {
    FederatedEvidence {
        token: Some(HeldToken::Sound("a token that the operator obtains".into())),
        account: None,
    }
}

/// The details of the status.
pub(super) fn status_details(
    evidence: Option<&FederatedEvidence>,
    published: Option<&Values>,
    previous: ServiceAccountDetails,
) -> ServiceAccountDetails {
    let token = published.and_then(|values| values.get(TOKEN_FILE));
    ServiceAccountDetails {
        account: evidence.and_then(|evidence| evidence.account.clone()).or(previous.account),
        token_expiration: token.and_then(shown_expiration).map(Time),
        ..ServiceAccountDetails::default()
    }
}
