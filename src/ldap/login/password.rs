//! The check `PasswordAccepted`: one bind as the person.

use crate::{
    api::Reason,
    engine::{Checked, Report},
    ldap::{
        BindName, Dn, LdapPlan, LdapProtection,
        bind::{
            BindCredentials, BindResponse, UNENCRYPTED, refusal_of_account, said, send, shared_refusal,
            warning_in_words,
        },
        connection::Connection,
        entry::Entry,
        password_policy::{PasswordAction, PolicyWarning},
        probe::protected,
    },
    net::{Network, Said},
    problem::{Problem, quote},
    sensitive::{Redactor, Sensitive},
};

/// Binds as the person, on a connection of its own, so that the account still reads on the first one what W&B Server
/// reads.
pub(super) async fn accepted(
    plan: &LdapPlan,
    network: &Network,
    entry: &Entry,
    password: &Sensitive,
) -> Result<Checked, Problem> {
    // A name that is empty or no DN would make another bind of it than the person's.
    let Some(dn) = Dn::parse(&entry.dn).ok().filter(|dn| !dn.as_str().is_empty()) else {
        return Err(Problem::new(
            Reason::ProtocolError,
            format!(
                "The directory calls the entry \"{}\", which is no DN, so the password was not sent.",
                quote(&entry.dn)
            ),
        ));
    };
    let mut connection = connect(plan, network).await?;
    let credentials =
        BindCredentials { name: BindName::Dn(dn), password: password.clone(), location: String::new() };
    let login = credentials.login(&plan.directory.url.endpoint);
    let bind = async {
        let response = send_password(&mut connection, &credentials).await?;
        judge(&credentials.name, &response, &plan.directory.protection)
    };
    let said = |outcome: Result<&Checked, &Problem>| {
        outcome.map_or_else(|problem| Said::by(problem.reason), |_| Said::Accepted)
    };
    let outcome = network.send_once(&login, bind, said).await;
    connection.close().await;
    outcome
}

/// A second connection, which is reached as the first one was.
async fn connect(plan: &LdapPlan, network: &Network) -> Result<Connection, Problem> {
    let mut report = Report::new(Vec::new(), Redactor::default());
    if let Some(stream) = protected(plan, network, &mut report).await {
        return Connection::open(stream, network.meter()).await;
    }
    let findings = report.finish();
    let (reason, seen) = findings
        .failure()
        .map_or((Reason::ConnectionFailed, ""), |failure| (failure.reason, failure.message.as_str()));
    Err(Problem::new(
        reason,
        format!("No second connection could be made, so the password was not sent. {seen}"),
    ))
}

async fn send_password(
    connection: &mut Connection,
    credentials: &BindCredentials,
) -> Result<BindResponse, Problem> {
    send(connection, credentials.name.as_str(), credentials.password.expose()).await.map_err(
        |Problem { reason, message }| {
            Problem::new(
                reason,
                format!("{message} The password was sent once, and the directory may have counted it."),
            )
        },
    )
}

/// What a person must know of a password that went over the network.
const SENT: &str = "The password was sent once.";

fn judge(
    dn: &BindName,
    BindResponse { result, policy }: &BindResponse,
    protection: &LdapProtection,
) -> Result<Checked, Problem> {
    let name = quote(dn.as_str());
    if result.rc != 0 {
        let said = said(result);
        let Some(reason) = refusal_of_account(dn, result, policy) else {
            let Problem { reason, message } = shared_refusal(result);
            return Err(Problem::new(reason, format!("{message} {SENT}")));
        };
        let message = match reason {
            Reason::AccountLocked => format!(
                "The directory has locked {name} ({said}), so the right password is refused, too. Unlock the account there. {SENT}"
            ),
            Reason::AccountDisabled => format!(
                "The directory does not allow {name} to log in: the account is disabled, expired or limited to certain times or machines ({said}). Enable it there. {SENT}"
            ),
            Reason::PasswordExpired => format!(
                "The password of {name} has expired or must be changed ({said}), which W&B Server cannot do: change it elsewhere. {SENT}"
            ),
            _ => format!(
                "The directory refuses the password of {name} ({said}). {SENT} Directories lock an account after some wrong ones, so be sure of the password before you try again."
            ),
        };
        return Err(Problem::new(reason, message));
    }
    let warning = policy.warning.or_else(|| warning_in_words(&result.text, dn));
    let remark = match (policy.demand(), warning) {
        (Some(PasswordAction::Change), _) => Some((
            Reason::PasswordExpired,
            "but it must be changed before anything else is allowed, which W&B Server cannot do: change it elsewhere",
        )),
        (Some(PasswordAction::LastBinds), _) | (None, Some(PolicyWarning::GraceBinds)) => Some((
            Reason::PasswordExpired,
            "but it has expired, and is accepted only a few more times: change it",
        )),
        (None, Some(PolicyWarning::Expired)) => {
            Some((Reason::PasswordExpired, "but says that it has expired: change it"))
        }
        (None, Some(PolicyWarning::ExpiresSoon)) => {
            Some((Reason::PasswordExpiresSoon, "but warns that it expires soon: change it"))
        }
        (None, None) => None,
    };
    let accepts = format!("The directory accepts the password of {name}");
    Ok(match (remark, protection) {
        (Some((reason, remark)), _) => Checked::warning((), reason, format!("{accepts}, {remark}. {SENT}")),
        (None, LdapProtection::Plaintext) => {
            Checked::warning((), Reason::Unencrypted, format!("{accepts}, but {UNENCRYPTED} {SENT}"))
        }
        (None, _) => Checked::passed((), format!("{accepts}. {SENT}")),
    })
}

#[cfg(test)]
mod tests {
    use ldap3::LdapResult;

    use super::*;
    use crate::ldap::password_policy::PolicyResponse;

    fn refusal(rc: u32, text: &str) -> Problem {
        let result = LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        };
        let name = BindName::parse("uid=alice,dc=example,dc=org").unwrap();
        let response = BindResponse { result, policy: PolicyResponse::default() };
        judge(&name, &response, &LdapProtection::Plaintext).err().unwrap()
    }

    #[test]
    fn every_refusal_says_that_the_password_was_sent_once() {
        for (rc, text, reason) in [
            (49, "", Reason::InvalidCredentials),
            (19, "", Reason::AccountLocked),
            (49, "password expired!", Reason::PasswordExpired),
            (53, "Account inactivated. Contact system administrator.", Reason::AccountDisabled),
            (51, "", Reason::ServerUnavailable),
            (8, "", Reason::ConfidentialityRequired),
        ] {
            let problem = refusal(rc, text);
            assert_eq!(problem.reason, reason, "{rc} {text}");
            assert!(problem.message.contains(SENT), "{}", problem.message);
        }
    }
}
