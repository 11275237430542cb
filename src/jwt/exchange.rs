//! The check `TokenExchange`: finds out whether W&B Server really accepts the tokens of the samples.
//!
//! It never fails, because the server can accept a token only after the values were published and a person has
//! registered the issuer. A failure would keep the values from being published for ever.

use std::time::Duration;

use super::{JwtPlan, samples::Genuine};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    instance::{BaseUrl, Instance, ServerRefusal},
    issuer::Issuer,
    net::HttpClient,
    problem::quote,
    sensitive::{Redactor, Sensitive},
};

/// Exchanges the tokens one by one until the server refuses one. The access tokens are discarded.
pub(super) async fn check(
    plan: &JwtPlan,
    http: HttpClient<'_>,
    genuine: &[Genuine<'_>],
    time_left: Duration,
    report: &mut Report,
) {
    let name = CheckName::TokenExchange;
    let issuer = &plan.settings.issuer;
    let base_url = match &plan.settings.instance {
        Some(base_url) if !genuine.is_empty() => base_url,
        _ => {
            report.record(name, Ok(unseen(issuer)));
            return;
        }
    };
    let mut pause = None;
    let mut given = Vec::new();
    let exchange = async {
        let instance = Instance { base_url, http };
        let checked = tokio::time::timeout(time_left, exchange(instance, genuine, &mut given)).await;
        Ok(match checked {
            Ok(Ok(())) => Checked::passed((), accepted(base_url, genuine)),
            Ok(Err((sample, refusal))) => {
                pause = refusal.retry_after;
                refused(issuer, sample, &refusal)
            }
            Err(_) => Checked::warning(
                (),
                Reason::TimedOut,
                format!(
                    "{base_url} did not answer within the time limit (checkTimeout). If this goes on, look at the server."
                ),
            ),
        })
    };
    report.check(name, exchange).await;
    for access in &given {
        report.conceal(access);
    }
    if let Some(pause) = pause {
        report.pause(pause);
    }
}

/// Exchanges the tokens. The message of a refusal must not contain an access token that an earlier sample got.
async fn exchange<'a>(
    instance: Instance<'_>,
    genuine: &[Genuine<'a>],
    given: &mut Vec<Sensitive>,
) -> Result<(), (&'a str, ServerRefusal)> {
    for Genuine { name, token } in genuine {
        match instance.exchange(token).await {
            Ok(access) => given.push(access.token),
            Err(mut refusal) => {
                let redactor = Redactor::new(given.iter().cloned());
                refusal.problem.message = redactor.redact(refusal.problem.message);
                return Err((*name, refusal));
            }
        }
    }
    Ok(())
}

fn accepted(base_url: &BaseUrl, genuine: &[Genuine<'_>]) -> String {
    let names: Vec<_> = genuine.iter().map(|sample| sample.name).collect();
    format!(
        "{base_url} accepts the token of {}, so the issuer is registered with an organization.",
        names.join(" and ")
    )
}

fn refused(issuer: &Issuer, sample: &str, refusal: &ServerRefusal) -> Checked {
    let problem = &refusal.problem;
    if problem.reason != Reason::TokenRefused {
        return Checked::warning((), problem.reason, problem.message.clone());
    }
    Checked::warning(
        (),
        Reason::ManualStepRequired,
        format!(
            "W&B Server does not accept the token of the sample {sample} yet: {} {}",
            problem.message,
            clicks(issuer)
        ),
    )
}

/// The warning when it is unknown whether the issuer is registered. It explains the steps, which a person must know
/// anyway.
fn unseen(issuer: &Issuer) -> Checked {
    Checked::warning(
        (),
        Reason::ManualStepRequired,
        format!(
            "The operator cannot see whether W&B Server accepts the issuer's tokens: set spec.instance, and add a sample with a token that is expected to be valid. {}",
            clicks(issuer)
        ),
    )
}

/// The steps that only a person can do, since W&B has no API for them.
pub(super) fn clicks(issuer: &Issuer) -> String {
    format!(
        "Register the issuer once, as an administrator of the organization: in the web UI, open the organization's dashboard, then Settings, Authentication, \"Set up JWT Issuer\", enter {} and click \"Create\"; restart W&B Server after a change of the published values, which it reads when it starts.",
        quote(issuer.as_str())
    )
}
