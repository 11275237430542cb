//! Tokens of an issuer that W&B Server trusts, kept fresh.
//!
//! In reading order: `settings` reads the spec, and `issuer` the `JwtIssuer` that it refers to. `obtain`
//! gets a token: the published one while its `life` has not passed, or a new one from `kubernetes` or by
//! `client_credentials`. `claims` judges it by the five rules, and `exchange` at the server itself.
//!
//! Invariants:
//! - A token that the five rules accept is replaced by one that they accept, and by nothing else.
//! - What can be renewed does not wait for what cannot be reached: neither the server nor the
//!   `JwtIssuer`'s own checks keep a token in use from being renewed.
//! - A token leaves the process in the published Secret and in the exchange, a client's secret only to
//!   the endpoint that the issuer's own document names.

mod claims;
mod client_credentials;
mod exchange;
mod issuer;
mod kubernetes;
mod lifetime;
mod obtain;
mod settings;

pub use settings::FederatedSettings;

pub(super) use settings::references;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ServiceAccountPlan as WholePlan, connect::connect, render};
use crate::{
    api::{
        CheckName,
        service_account::{AccountStatus, ServiceAccountDetails},
    },
    engine::{CheckContext, Inputs, RenderContext, Report, Values},
    instance,
    problem::Problem,
    sensitive::Sensitive,
};
use issuer::TrustedIssuer;
use lifetime::{Lifetime, as_followed, expiration, told_expiration};
use obtain::{Obtained, is_meant, obtain};
use settings::{CLIENT_SECRET, ISSUER, TOKEN, TokenSource};

/// What checks and rendering need of this credential.
pub struct FederatedPlan {
    settings: FederatedSettings,
    issuer: Result<TrustedIssuer, Problem>,
    /// The token or the client's secret, where the spec refers to one.
    secret: Option<Sensitive>,
    /// Where the client's secret is, as messages name it.
    secret_location: String,
    /// How long the issuer may take to say what it publishes.
    patience: Duration,
}

/// What a run learns beside its findings.
#[derive(Clone, Default)]
pub struct FederatedEvidence {
    token: Option<Held>,
    account: Option<AccountStatus>,
}

/// A token that a run had in its hands.
#[derive(Clone)]
enum Held {
    /// The five rules accept it and the server did not refuse it, or the server accepts it.
    Sound(Sensitive),
    /// Nobody can tell, since the issuer's keys are not known.
    Doubtful(Sensitive),
    /// The rules or the server refuse it.
    Refused(Sensitive),
}

impl Held {
    fn into_token(self) -> Sensitive {
        match self {
            Self::Sound(token) | Self::Doubtful(token) | Self::Refused(token) => token,
        }
    }
}

/// What the server made of a token.
enum Exchange {
    /// The account, where what the server calls it can be shown.
    Accepted(Option<AccountStatus>),
    Refused,
    Unanswered,
}

impl FederatedPlan {
    /// Joins the parsed spec with the referenced values.
    pub(super) fn new(settings: FederatedSettings, limit: Duration, inputs: &Inputs) -> Self {
        let issuer = TrustedIssuer::read(&settings.issuer, ISSUER, inputs);
        let secret = inputs.get(TOKEN).or_else(|| inputs.get(CLIENT_SECRET)).cloned();
        let secret_location = inputs.location(CLIENT_SECRET).unwrap_or_default();
        Self { settings, issuer, secret, secret_location, patience: limit.mul_f32(ISSUER_SHARE) }
    }

    /// The token among these values that can go on being used, as far as it says itself.
    fn current<'a>(&self, values: impl IntoIterator<Item = &'a Values>) -> Option<&'a Sensitive> {
        if matches!(self.settings.source, TokenSource::Secret) {
            return None;
        }
        let tokens = values.into_iter().filter_map(|values| values.get(TOKEN_FILE));
        tokens.into_iter().find(|token| is_meant(self, token))
    }

    /// The token that is to be published: only one that is sound replaces another one.
    fn choose<'a>(
        &'a self,
        evidence: Option<&'a FederatedEvidence>,
        current: Option<&'a Sensitive>,
    ) -> Option<&'a Sensitive> {
        if matches!(self.settings.source, TokenSource::Secret) {
            return self.secret.as_ref();
        }
        match evidence.and_then(|evidence| evidence.token.as_ref()) {
            Some(Held::Sound(token)) => Some(token),
            Some(Held::Doubtful(token) | Held::Refused(token)) => current.or(Some(token)),
            None => current,
        }
    }
}

/// The Secret's key that holds the token.
const TOKEN_FILE: &str = "identity-token";

/// Where the client keeps the access tokens that it exchanges: the Secret's own directory is read-only.
const CREDENTIALS_FILE: &str = "/tmp/wandb-credentials.json";

/// The share of the time limit that the issuer may take for its document and keys: with a token from
/// elsewhere, the server itself can tell what they would.
const ISSUER_SHARE: f32 = 0.4;

/// The checks beside those of the server.
pub(super) fn checks(_own: &FederatedPlan) -> Vec<CheckName> {
    vec![CheckName::IssuerReady, CheckName::TokenObtained, CheckName::TokenClaims, CheckName::TokenExchange]
}

/// The share of the remaining time that the server may take: a token that was just made must not be lost
/// to the engine's own limit.
const SHARE: f32 = 0.8;

/// Runs the checks: first those of the token, which must be renewed also while the server is away.
pub(super) async fn probe(
    plan: &WholePlan,
    own: &FederatedPlan,
    scene: &CheckContext<'_>,
    report: &mut Report,
) -> FederatedEvidence {
    let started = Instant::now();
    // Boxed, since a future that is moved around should be small.
    let held = Box::pin(prove(own, scene, report)).await;
    let limit = plan.account.time_limit;
    let time_left = limit.saturating_sub(started.elapsed()).mul_f32(SHARE);
    let exchanged = Box::pin(exchange(plan, own, held.as_ref(), scene, report));
    let exchanged = scene.within(time_left, exchanged).await.unwrap_or_else(|awaited| {
        report.time_out(limit, awaited);
        Exchange::Unanswered
    });
    match exchanged {
        Exchange::Accepted(account) => {
            FederatedEvidence { token: held.map(|held| Held::Sound(held.into_token())), account }
        }
        Exchange::Refused => {
            FederatedEvidence { token: held.map(|held| Held::Refused(held.into_token())), account: None }
        }
        Exchange::Unanswered => FederatedEvidence { token: held, account: None },
    }
}

/// From the `JwtIssuer` to a token and what the five rules say of it.
async fn prove(own: &FederatedPlan, scene: &CheckContext<'_>, report: &mut Report) -> Option<Held> {
    let issuer = match &own.issuer {
        Ok(issuer) => issuer,
        Err(problem) => return report.record(CheckName::IssuerReady, Err(problem.clone())),
    };
    let current = own.current(scene.last_verified.into_iter().chain(scene.published));
    let ready = report.record(CheckName::IssuerReady, issuer.ready(&own.settings.audience));
    // What programs use already is kept alive, as long as the rules accept it.
    if ready.is_none() && current.is_none() {
        return None;
    }
    if matches!(own.settings.source, TokenSource::Kubernetes { .. }) && scene.cluster.is_none() {
        for check in [CheckName::TokenObtained, CheckName::TokenClaims, CheckName::TokenExchange] {
            report.skip(check, "Not run, since there is no cluster that could make a token.");
        }
        return None;
    }
    let obtained = report.check(CheckName::TokenObtained, obtain(own, issuer, current, scene)).await?;
    let Obtained { token, published } = obtained;
    report.conceal(&token);
    let published = match published {
        Ok(published) => published,
        Err(problem) => {
            report.record::<()>(CheckName::TokenClaims, Err(problem));
            return Some(Held::Doubtful(token));
        }
    };
    let judged = claims::check(own, issuer, &published.keys, &token, scene.now.likely);
    let is_accepted = report.record(CheckName::TokenClaims, judged).is_some();
    Some(if is_accepted { Held::Sound(token) } else { Held::Refused(token) })
}

/// Reaches the server, and has it exchange the token unless there is none or the rules refuse it.
async fn exchange(
    plan: &WholePlan,
    own: &FederatedPlan,
    held: Option<&Held>,
    scene: &CheckContext<'_>,
    report: &mut Report,
) -> Exchange {
    let Some(instance) = connect(plan, scene.network, report).await else { return Exchange::Unanswered };
    let Some(Held::Sound(token) | Held::Doubtful(token)) = held else { return Exchange::Unanswered };
    let mut outcome = Exchange::Unanswered;
    let mut access = None;
    let judged = Box::pin(async {
        let request = exchange::Request {
            instance,
            token,
            subject: &own.settings.subject,
            issuer: own.issuer.as_ref().ok().map(|issuer| &issuer.plan.settings().issuer),
            team: plan.account.home.team(),
            attribution: plan.account.attribution.as_ref(),
            now: scene.now.likely,
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

/// When the token must be renewed. One that somebody else renews is looked at as it expires.
pub(super) fn renew_at(
    own: &FederatedPlan,
    evidence: Option<&FederatedEvidence>,
    scene: &CheckContext<'_>,
) -> Option<Timestamp> {
    let current = own.current(scene.last_verified.into_iter().chain(scene.published));
    let token = own.choose(evidence, current)?;
    let due = match own.settings.source {
        TokenSource::Secret => expiration(token),
        TokenSource::Kubernetes { .. } | TokenSource::ClientCredentials { .. } => {
            Lifetime::of(token).ok().map(|life| life.renew_at(scene.now.likely))
        }
    };
    due.map(|due| as_followed(due, scene.now))
}

/// The values; nothing without a token.
pub(super) fn render(
    plan: &WholePlan,
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

/// The values that are held with a token that lasts longer, if that is of the same account.
pub(super) fn renew(
    own: &FederatedPlan,
    evidence: Option<&FederatedEvidence>,
    held: &Values,
) -> Option<Values> {
    let Some(Held::Sound(token)) = evidence?.token.as_ref() else { return None };
    own.current([held])?;
    let mut values = held.clone();
    values.set_file(TOKEN_FILE, token.clone());
    Some(values)
}

/// What a run would learn, with words in the place of what only a run can obtain.
pub(super) fn placeholder_evidence(_own: &FederatedPlan) -> FederatedEvidence {
    FederatedEvidence { token: Some(Held::Sound("a token that the operator obtains".into())), account: None }
}

/// What the status tells of it.
pub(super) fn status_details(
    evidence: Option<&FederatedEvidence>,
    published: Option<&Values>,
    previous: ServiceAccountDetails,
) -> ServiceAccountDetails {
    let token = published.and_then(|values| values.get(TOKEN_FILE));
    ServiceAccountDetails {
        account: evidence.and_then(|evidence| evidence.account.clone()).or(previous.account),
        token_expiration: token.and_then(told_expiration).map(Time),
        ..ServiceAccountDetails::default()
    }
}
