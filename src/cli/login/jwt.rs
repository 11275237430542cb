//! A login through an issuer of tokens: a token from a file.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use futures::{FutureExt, future::BoxFuture};

use super::{LoginKind, LoginRun, TriedLogin, in_time, prompt::read_piped};
use crate::{
    api::JwtIssuer,
    engine::{CheckContext, Planned, Repetition},
    jwt::{TokenExchangeWish, TokenLogin, has_instance, log_in, login_checks},
    sensitive::Sensitive,
};

/// The token that a program would log in with.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// JwtIssuer: file with the token that a program would log in with, or - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// JwtIssuer: the subject that W&B Server knows: the user's e-mail address, or the subject of the service account.
    #[arg(long, value_name = "SUBJECT", requires = "token_file")]
    subject: Option<String>,

    /// JwtIssuer: exchange the token at W&B Server (spec.instance), as programs do, if every rule accepts it.
    #[arg(long, requires = "token_file")]
    exchange: bool,
}

/// No token is longer, and a file that is longer is another one.
const LIMIT: usize = 64 * 1024;

impl TokenArgs {
    async fn read(&self) -> anyhow::Result<TokenLogin> {
        let Some(file) = &self.token_file else {
            bail!("name the file with the token that a program would log in with: --token-file FILE");
        };
        let shown = file.display();
        let text = if file.as_os_str() == "-" {
            read_piped("--token-file -", |input| Ok(std::io::read_to_string(input)?)).await
        } else {
            let file = file.clone();
            let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(file));
            read.await?.map_err(anyhow::Error::from)
        };
        let text = text.with_context(|| format!("--token-file {shown}"))?;
        let token = text.trim();
        if token.is_empty() || token.len() > LIMIT {
            bail!("--token-file {shown} has {} characters, and a token has some hundreds", token.len());
        }
        Ok(TokenLogin {
            token: Sensitive::from(token),
            subject: self.subject.clone(),
            exchange: if self.exchange { TokenExchangeWish::Asked } else { TokenExchangeWish::NotAsked },
        })
    }
}

impl LoginKind for JwtIssuer {
    fn log_in<'a>(
        planned: &'a Planned<Self>,
        LoginRun { arguments, network, limit }: LoginRun<'a>,
    ) -> BoxFuture<'a, anyhow::Result<TriedLogin>> {
        async move {
            let login = arguments.token.read().await?;
            let plan = &planned.plan;
            if login.exchange == TokenExchangeWish::Asked && !has_instance(plan) {
                bail!("--exchange needs the server that exchanges tokens: set spec.instance.baseURL");
            }
            let mut report = planned.report(login_checks(plan, login.exchange), Repetition::Never);
            report.conceal(&login.token);
            let context = CheckContext::without_cluster(network);
            let attempt = Box::pin(log_in(plan, network, &login, &mut report));
            let outcome = context.within(limit, attempt).await;
            let person = in_time(outcome, limit, &mut report);
            let tried = TriedLogin::tried(report.finish().list, person, PROGRAM.to_owned());
            let conditions = match login.exchange {
                TokenExchangeWish::Asked => Vec::new(),
                TokenExchangeWish::NotAsked => vec![UNSEEN],
            };
            Ok(TriedLogin { token: login.decoded(), conditions, ..tried })
        }
        .boxed()
    }
}

/// The rules can be seen from here, and the rest cannot.
const UNSEEN: &str = "W&B Server knows the issuer and the subject, which --exchange shows";

/// Who logs in with a token.
const PROGRAM: &str = "A program with this token";
