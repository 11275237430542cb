//! A login through a directory: a name and a password.

use std::io::Read;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use futures::{FutureExt, future::BoxFuture};

use super::{
    LoginKind, LoginRun, TriedLogin, in_time,
    prompt::{Echo, ask, is_terminal, read_piped},
};
use crate::{
    api::{CheckName, CheckResult, LdapConfig},
    engine::{CheckContext, Finding, Planned, Repetition},
    ldap::{LdapLogin, log_in, login_checks},
    problem::quote,
    sensitive::Sensitive,
};

/// What a person types at the login page.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// LdapConfig: the name that the person types at the login page; asked for where it is left out.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// LdapConfig: read the password from standard input instead of asking for it. One line break at its end is dropped.
    #[arg(long)]
    password_stdin: bool,

    /// LdapConfig: the attribute that has the person's name. Without it, the e-mail attribute of the spec and the usual ones
    /// are all looked at.
    #[arg(long, value_name = "ATTRIBUTE")]
    login_attribute: Option<String>,
}

/// No password is longer.
const LIMIT: u64 = 4096;

impl PasswordArgs {
    /// Asks for what was not given.
    async fn read(&self) -> anyhow::Result<LdapLogin> {
        if !is_terminal() && (self.user.is_none() || !self.password_stdin) {
            bail!(
                "standard input is no terminal, so nobody can be asked: name the user with --user, and give the password with --password-stdin"
            );
        }
        let user = match &self.user {
            Some(user) => user.clone(),
            None if self.password_stdin => bail!("--password-stdin needs --user"),
            None => ask("User", Echo::Shown).await?,
        };
        let password = if self.password_stdin {
            read_piped("--password-stdin", read_password).await?
        } else {
            ask(&format!("Password of {}", quote(&user)), Echo::Hidden).await?
        };
        LdapLogin::new(&user, Sensitive::new(password), self.login_attribute.as_deref())
            .map_err(|why| anyhow!(why))
    }
}

/// The whole input, without one line break at its end.
fn read_password(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = input.take(LIMIT + 1).read_to_string(&mut text);
    let length = length.context("the password cannot be read from standard input")?;
    if u64::try_from(length)? > LIMIT {
        bail!("the password on standard input is longer than {LIMIT} characters");
    }
    let password =
        text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(password.to_owned())
}

impl LoginKind for LdapConfig {
    fn log_in<'a>(
        planned: &'a Planned<Self>,
        LoginRun { arguments, network, limit }: LoginRun<'a>,
    ) -> BoxFuture<'a, anyhow::Result<TriedLogin>> {
        async move {
            let login = arguments.password.read().await?;
            let plan = &planned.plan;
            let mut report = planned.report(login_checks(plan), Repetition::Never);
            report.conceal(login.password());
            let context = CheckContext::without_cluster(network);
            let attempt = Box::pin(log_in(plan, network, &login, &mut report));
            let outcome = context.within(limit, attempt).await;
            let is_late = outcome.is_err();
            let person = in_time(outcome, limit, &mut report);
            let mut findings = report.finish().list;
            if is_late {
                findings.iter_mut().for_each(tell_of_password);
            }
            let tried = TriedLogin::tried(findings, person, quote(&login.user));
            let is_off = !plan.directory.login;
            let conditions = is_off.then_some("spec.login becomes true").into_iter().collect();
            Ok(TriedLogin { conditions, remark: is_off.then_some(NO_LOGIN), ..tried })
        }
        .boxed()
    }
}

/// The end of the time limit does not know that a password was under way.
fn tell_of_password(finding: &mut Finding) {
    if finding.name == CheckName::PasswordAccepted && finding.result == CheckResult::Failed {
        finding.message = format!(
            "{} The password was sent once at most, and the directory may have counted it, so be sure of it before you try again.",
            finding.message
        )
        .into();
    }
}

/// What must be known of a directory in test mode.
const NO_LOGIN: &str = "spec.login is false, so W&B Server does not use the directory for logins yet.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Awaited, Report},
        sensitive::Redactor,
    };

    #[test]
    fn the_end_of_the_time_tells_that_the_password_may_have_been_counted() {
        let limit = std::time::Duration::from_secs(1);
        for (name, is_told) in [(CheckName::PasswordAccepted, true), (CheckName::PersonFound, false)] {
            let mut report = Report::new(vec![name], Redactor::default());
            report.time_out(limit, Awaited::Answer);
            let mut findings = report.finish().list;
            findings.iter_mut().for_each(tell_of_password);
            let told = &findings[0].message;
            assert_eq!(told.contains("may have counted it"), is_told, "{told}");
        }
    }

    #[test]
    fn one_line_break_is_no_part_of_a_password() {
        for (input, password) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("a\nb\n\n", "a\nb\n"),
            (" ", " "),
            ("\n", ""),
        ] {
            assert_eq!(read_password(input.as_bytes()).unwrap(), password, "{input:?}");
        }
        assert!(read_password("x".repeat(5000).as_bytes()).is_err());
    }
}
