//! A login through an OpenID Provider: in the person's own browser.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use futures::{FutureExt, future::BoxFuture};

use super::{
    LoginKind, LoginRun, TriedLogin,
    browser::Listener,
    in_time,
    prompt::{Echo, ask, is_terminal},
};
use crate::{
    api::{CheckName, OidcProvider, Reason, duration},
    engine::{CheckContext, Planned, Repetition, Report},
    login::PersonAsRead,
    oidc::{
        AnswerReading, AnswerWay, BrowserAnswer, OidcPlan, RedirectUri, StartedLogin, begin, creates_users,
        finish, login_checks,
    },
    problem::Problem,
};

/// How the browser's answer gets to the program.
#[derive(Debug, Args)]
pub struct BrowserArgs {
    /// OidcProvider: an address of this machine at which to listen for the browser, such as `http://localhost:8765/callback`;
    /// it must be registered at the provider. Without it, the redirect URI of W&B Server is used, and the address at which
    /// the browser ended is asked for.
    #[arg(long, value_name = "URI")]
    redirect_uri: Option<String>,

    /// OidcProvider: how long to wait for the person.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: duration::Duration,

    /// OidcProvider: a team of W&B that the person's groups are compared with; may be repeated.
    #[arg(long, value_name = "TEAM")]
    team: Vec<String>,
}

impl BrowserArgs {
    fn way(&self) -> anyhow::Result<AnswerWay> {
        let Some(text) = &self.redirect_uri else { return Ok(AnswerWay::Pasted) };
        RedirectUri::of_loopback(text).map(AnswerWay::Listened).ok_or_else(|| {
            anyhow!(
                "--redirect-uri must be an address of this machine, such as http://localhost:8765/callback; leave it out to use the redirect URI of W&B Server"
            )
        })
    }
}

impl LoginKind for OidcProvider {
    fn log_in<'a>(
        planned: &'a Planned<Self>,
        run: LoginRun<'a>,
    ) -> BoxFuture<'a, anyhow::Result<TriedLogin>> {
        async move {
            let way = run.arguments.browser.way()?;
            let listener = match &way {
                AnswerWay::Listened(uri) => Some(Listener::open(uri).await?),
                AnswerWay::Pasted => None,
            };
            let plan = &planned.plan;
            let mut report = planned.report(login_checks(plan), Repetition::Never);
            let person = Box::pin(attempt(plan, run, (way, listener), &mut report)).await?;
            let who = person.as_ref().and_then(|person| {
                person.email.clone().or_else(|| person.username.clone()).or_else(|| person.subject.clone())
            });
            let who = who.map_or_else(|| "The person".to_owned(), |who| crate::problem::quote(&who));
            let is_closed = !creates_users(plan);
            let conditions = is_closed.then_some(CLOSED).into_iter().collect();
            Ok(TriedLogin { conditions, ..TriedLogin::tried(report.finish().list, person, who) })
        }
        .boxed()
    }
}

/// W&B Server creates nobody then, and whom it has cannot be seen from here.
const CLOSED: &str =
    "W&B already has a user with this address, since it creates none (spec.autoProvision is false)";

/// Finds the provider, waits for the browser, and does with its answer what W&B Server does.
async fn attempt(
    plan: &OidcPlan,
    LoginRun { arguments, network, limit }: LoginRun<'_>,
    (way, listener): (AnswerWay, Option<Listener>),
    report: &mut Report,
) -> anyhow::Result<Option<PersonAsRead>> {
    let context = CheckContext::without_cluster(network);
    let outcome = context.within(limit, Box::pin(begin(plan, network, way, report))).await;
    let Some(started) = in_time(outcome, limit, report) else { return Ok(None) };
    let patience = arguments.browser.timeout.get();
    let answer = match listener {
        Some(listener) => listened(&started, listener, patience).await,
        None => pasted(&started, patience).await?,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => {
            report.record::<()>(CheckName::LoginAnswered, Err(problem));
            return Ok(None);
        }
    };
    let finished = Box::pin(finish(plan, network, (&started, &answer), &arguments.browser.team, report));
    let outcome = context.within(limit, finished).await;
    Ok(in_time(outcome, limit, report))
}

/// The first answer to this login that comes to the address of this machine.
async fn listened(
    started: &StartedLogin,
    listener: Listener,
    patience: Duration,
) -> Result<BrowserAnswer, Problem> {
    eprintln!("Open this address in a browser, and log in as the person:\n\n  {}\n", started.url());
    eprintln!("Waiting for the browser at {} …", started.redirect_uri());
    let is_ours = |answer: &BrowserAnswer| started.is_surely_answered_by(answer);
    let waited = tokio::time::timeout(patience, listener.answer(is_ours)).await;
    waited.map_err(|_| late(started, patience))
}

/// The answer in the address that the person pastes.
async fn pasted(
    started: &StartedLogin,
    patience: Duration,
) -> anyhow::Result<Result<BrowserAnswer, Problem>> {
    let uri = started.redirect_uri();
    eprintln!("Open this address in a browser, and log in as the person:\n\n  {}\n", started.url());
    eprintln!(
        "The browser ends at an address that begins with {uri}, whatever the page there shows. Copy that whole address at once; it is of use for this one login only."
    );
    let echo = if is_terminal() { Echo::Whole } else { Echo::Shown };
    let text = match tokio::time::timeout(patience, ask("The address", echo)).await {
        Ok(text) => text?,
        Err(_) => return Ok(Err(late(started, patience))),
    };
    if text.trim().is_empty() {
        bail!("no address was given");
    }
    Ok(match BrowserAnswer::of_address(uri, &text) {
        AnswerReading::Answer(answer) => Ok(answer),
        AnswerReading::Other(why) => Err(Problem::new(Reason::Inconclusive, why)),
    })
}

fn late(started: &StartedLogin, patience: Duration) -> Problem {
    Problem::new(
        Reason::TimedOut,
        format!(
            "No answer to this login came within {} seconds (--timeout). If the provider's own page shows an error, follow that; one about the redirect URI ends when exactly {} is registered for the client.",
            patience.as_secs(),
            started.redirect_uri()
        ),
    )
}
