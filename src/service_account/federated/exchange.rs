//! `TokenExchange`: whether W&B Server really gives an access token for the token.

use jiff::Timestamp;

use super::life::expiration;
use crate::{
    api::{Reason, service_account::AccountStatus},
    engine::Checked,
    instance::{Credential, Instance, Refusal},
    problem::{Problem, enumerate, quote},
    sensitive::Sensitive,
};

/// The reasons by which the server refuses a token, rather than not answering for now.
pub(super) const REFUSALS: [Reason; 2] = [Reason::ManualStepRequired, Reason::TokenExpired];

/// Exchanges the token, looks who it stands for, and forgets the access token.
pub(super) async fn check(
    instance: Instance<'_>,
    token: &Sensitive,
    subject: &str,
    team: &str,
    now: Timestamp,
) -> Result<Checked<AccountStatus>, Refusal> {
    let access = instance.exchange(token).await.map_err(|refusal| match expiration(token) {
        Some(end) if end <= now => expired(refusal, end),
        _ => explain(refusal, subject, team),
    })?;
    let viewer = instance.viewer(&Credential::Token(access)).await?;
    let teams = viewer.teams;
    let username = viewer.username.or(viewer.email).unwrap_or_else(|| viewer.id.clone());
    let shown = quote(&username);
    let account = AccountStatus { id: viewer.id, username };
    if teams.iter().any(|name| name == team) {
        return Ok(Checked::passed(
            account,
            format!(
                "W&B Server gives an access token for the account {shown}, which is in the team \"{team}\"."
            ),
        ));
    }
    Ok(Checked::warning(
        account,
        Reason::NotAMember,
        format!(
            "W&B Server gives an access token for the account {shown}, but that is not in the team \"{team}\" and has these: {}. Add it to the team in the web UI, or correct the spec.",
            enumerate(teams)
        ),
    ))
}

/// The rules allow clocks to differ a little, which the server need not.
fn expired(refusal: Refusal, end: Timestamp) -> Refusal {
    if refusal.problem.reason != Reason::TokenRefused {
        return refusal;
    }
    let message = format!(
        "The token expired at {end:.0} (exp), and the server refuses it: have the issuer make a new one. {}",
        refusal.problem.message
    );
    Refusal { problem: Problem::new(Reason::TokenExpired, message), ..refusal }
}

/// Says what only a person can do, since W&B has no programming interface for it.
fn explain(refusal: Refusal, subject: &str, team: &str) -> Refusal {
    if refusal.problem.reason != Reason::TokenRefused {
        return refusal;
    }
    let message = format!(
        "Register the account once: in the web UI, open the settings of the team \"{team}\" (or of the organization), then Service accounts, \"New service account\", choose an external one with the issuer of the JwtIssuer, and enter exactly {:?} as its subject. {}",
        quote(subject),
        refusal.problem.message
    );
    Refusal { problem: Problem::new(Reason::ManualStepRequired, message), ..refusal }
}
