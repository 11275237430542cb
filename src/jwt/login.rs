//! A program's login with a token: which rule decides, and whether W&B Server exchanges it.

use jiff::Timestamp;

use super::{JwtPlan, RuleRefusal, Rules, Token, TrustedKeys, exchange::clicks, probe::fetch_keys, rules};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    instance::{BaseUrl, Instance},
    login::{DecodedToken, PersonAsRead},
    net::{HttpClient, Network},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// A token that is tried.
pub struct TokenLogin {
    /// The token.
    pub token: Sensitive,
    /// The subject that W&B Server knows, if the person says so: a user's e-mail address, or the subject of a service
    /// account.
    pub subject: Option<String>,
    /// Whether it is exchanged.
    pub exchange: TokenExchangeWish,
}

/// Whether a token is sent to W&B Server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenExchangeWish {
    /// It is, if every rule accepts it.
    Asked,
    /// It stays here.
    NotAsked,
}

impl TokenLogin {
    /// What the token says, if it can be read.
    pub fn decoded(&self) -> Option<DecodedToken> {
        let token = Token::read(self.token.expose()).ok()?;
        Some(DecodedToken {
            algorithm: token.header.algorithm,
            key: token.header.kid,
            claims: token.claims.all().clone(),
        })
    }
}

/// Every check of a login, in order.
pub fn login_checks(plan: &JwtPlan, exchange: TokenExchangeWish) -> Vec<CheckName> {
    let exchange = (exchange == TokenExchangeWish::Asked).then_some(CheckName::TokenExchange);
    plan.protection()
        .checks()
        .chain([
            CheckName::Discovery,
            CheckName::IssuerMatches,
            CheckName::JwksFetches,
            CheckName::JwksReachableFromOutside,
            CheckName::TokenClaims,
        ])
        .chain(exchange)
        .collect()
}

/// Whether the spec names the server that exchanges tokens.
pub fn has_instance(plan: &JwtPlan) -> bool {
    plan.settings.instance.is_some()
}

/// Judges the token by the issuer's keys and the rules of W&B Server, and exchanges it if that is asked for.
pub async fn log_in(
    plan: &JwtPlan,
    network: &Network,
    login: &TokenLogin,
    report: &mut Report,
) -> Option<PersonAsRead> {
    let http = plan.http(network);
    let (set, _) = fetch_keys(plan, http, report).await?;
    let settings = &plan.settings;
    let rules = Rules {
        issuer: &settings.issuer,
        subject: login.subject.as_deref(),
        audiences: &settings.audiences,
        now: Timestamp::now(),
    };
    let trusted = TrustedKeys { set: &set, policy: &settings.keys };
    let subject = report.record(CheckName::TokenClaims, judge(&rules, login, trusted))?;
    let person = PersonAsRead {
        subject: Some(subject.clone()),
        known_as: Some(subject),
        token_bytes: Some(login.token.expose().len()),
        ..PersonAsRead::default()
    };
    if let (TokenExchangeWish::Asked, Some(base_url)) = (login.exchange, &settings.instance) {
        let exchanged = Box::pin(exchange(plan, http, base_url, &login.token));
        if let Some(access) = report.check(CheckName::TokenExchange, exchanged).await {
            report.conceal(&access);
        }
    }
    Some(person)
}

fn judge(
    rules: &Rules<'_>,
    login: &TokenLogin,
    trusted: TrustedKeys<'_>,
) -> Result<Checked<String>, Problem> {
    match rules.judge_token_in_use(login.token.expose(), trusted) {
        Ok(accepted) => {
            let message = format!(
                "The token satisfies all five rules until {:.0}; W&B identifies it as \"{}\".",
                accepted.expires,
                quote(&accepted.subject)
            );
            Ok(Checked::passed(accepted.subject, message))
        }
        Err(RuleRefusal { rule, problem: Problem { reason, message } }) => Err(Problem::new(
            reason,
            format!("The rule {rule} refuses the token. {message}{}", rules::advice(rule, reason)),
        )),
    }
}

/// Exchanges the token as the SDK does.
async fn exchange(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    base_url: &BaseUrl,
    token: &Sensitive,
) -> Result<Checked<Sensitive>, Problem> {
    match (Instance { base_url, http }).exchange(token).await {
        Ok(access) => {
            let message = format!(
                "{base_url} exchanges the token for an access token of {} seconds, which is not stored.",
                access.expires_in.as_secs()
            );
            Ok(Checked::passed(access.token, message))
        }
        Err(refusal) if refusal.problem.reason == Reason::TokenRefused => {
            let message = format!("{} {}", refusal.problem.message, clicks(&plan.settings.issuer));
            Err(Problem::new(Reason::TokenRefused, message))
        }
        Err(refusal) => Err(refusal.problem),
    }
}
