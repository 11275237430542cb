//! The check `Bind`: one simple bind, and what its refusal means.

use ldap3::{LdapResult, controls::RawControl};

use super::{
    BindName, Protection,
    connection::Connection,
    password_policy::{Demand, PASSWORD_POLICY, PolicyError, PolicyResponse, PolicyWarning},
};
use crate::{
    api::Reason,
    engine::Checked,
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// Who binds, and with what.
pub struct Credentials {
    /// The name.
    pub name: BindName,
    /// The password.
    pub password: Sensitive,
}

/// A refused password must not be tried again, or the directory locks the account.
const NOT_TRIED_AGAIN: &str = "The operator does not try it again until the spec, the Secret or the annotation auth.wandb.com/recheck changes.";

/// Binds once.
pub async fn bind(
    connection: &mut Connection,
    credentials: Option<&Credentials>,
    protection: &Protection,
) -> Result<Checked, Problem> {
    let (name, password) = credentials
        .map_or(("", ""), |credentials| (credentials.name.as_str(), credentials.password.expose()));
    let control = RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val: None };
    let result = connection.bind(name, password, control).await?;
    let policy = PolicyResponse::find(&result.ctrls);
    match (result.rc, credentials) {
        (0, Some(credentials)) => match policy.demand() {
            Some(demand) => Err(must_change_password(&credentials.name, demand)),
            None => Ok(accepted(&credentials.name, policy.warning, protection)),
        },
        (0, None) => Ok(accepted_anonymously(protection)),
        (_, Some(credentials)) => Err(refusal(&credentials.name, &result, policy.error)),
        (_, None) => Err(anonymous_refusal(&result)),
    }
}

/// The remark on a bind that worked, but that everybody on the way could read.
const UNENCRYPTED: &str = "the connection is not encrypted: everybody on the way reads the passwords (spec.insecurePlaintext). Use ldaps:// or spec.startTLS.";

fn accepted(name: &BindName, warning: Option<PolicyWarning>, protection: &Protection) -> Checked {
    let name = quote(name.as_str());
    let expires_soon = format!(
        "The directory accepts {name}, but warns that the password expires soon. Change it in the directory and in the Secret."
    );
    match (warning, protection) {
        (Some(_), Protection::Plaintext) => Checked::warning(
            (),
            Reason::PasswordExpiresSoon,
            format!("{expires_soon} Besides, {UNENCRYPTED}"),
        ),
        (Some(_), _) => Checked::warning((), Reason::PasswordExpiresSoon, expires_soon),
        (None, Protection::Plaintext) => unencrypted(),
        (None, _) => Checked::passed((), format!("The directory accepts {name} and its password.")),
    }
}

fn accepted_anonymously(protection: &Protection) -> Checked {
    match protection {
        Protection::Plaintext => unencrypted(),
        Protection::Tls(_) | Protection::StartTls(_) => {
            Checked::passed((), "The directory accepts anonymous binds; spec.bind is not set.")
        }
    }
}

fn unencrypted() -> Checked {
    Checked::warning((), Reason::Unencrypted, format!("The directory accepts the bind, but {UNENCRYPTED}"))
}

fn must_change_password(name: &BindName, demand: Demand) -> Problem {
    let name = quote(name.as_str());
    let seen = match demand {
        Demand::Change => format!("The password of {name} must be changed before anything else is allowed."),
        Demand::LastBinds => {
            format!(
                "The password of {name} has expired, and the directory accepts it for a few last binds only."
            )
        }
    };
    Problem::new(
        Reason::PasswordExpired,
        format!("{seen} Change it in the directory and in the Secret. {NOT_TRIED_AGAIN}"),
    )
}

/// The server's own words, if it had any.
pub fn said(result: &LdapResult) -> String {
    let text = result.text.trim_end_matches('\0').trim();
    if text.is_empty() {
        format!("code {}", result.rc)
    } else {
        format!("code {}, \"{}\"", result.rc, quote(text))
    }
}

fn anonymous_refusal(result: &LdapResult) -> Problem {
    let said = said(result);
    match result.rc {
        48 | 49 | 50 | 53 | 7 => Problem::new(
            Reason::AnonymousRefused,
            format!(
                "The directory refuses anonymous binds ({said}). Set spec.bind to an account that may search."
            ),
        ),
        _ => shared_refusal(result),
    }
}

fn refusal(name: &BindName, result: &LdapResult, policy: Option<PolicyError>) -> Problem {
    let said = said(result);
    let reason = policy
        .and_then(PolicyError::reason)
        .or_else(|| active_directory_reason(&result.text))
        .or_else(|| plain_reason(result));
    let Some(reason) = reason else {
        return shared_refusal(result);
    };
    let name_text = quote(name.as_str());
    let message = match reason {
        Reason::AccountLocked => format!(
            "The directory has locked {name_text} ({said}). Unlock it there, and check what else uses an old password."
        ),
        Reason::AccountDisabled => format!(
            "The directory does not let {name_text} in: the account is disabled, expired or limited to certain times or machines ({said}). Enable it there."
        ),
        Reason::PasswordExpired => format!(
            "The password of {name_text} has expired or must be changed ({said}). Change it in the directory and in the Secret."
        ),
        _ => format!(
            "The directory refused {name_text} or its password ({said}). Check spec.bind.dn and the Secret."
        ),
    };
    Problem::new(reason, format!("{message} {NOT_TRIED_AGAIN}"))
}

/// Reasons that the result code alone tells.
fn plain_reason(result: &LdapResult) -> Option<Reason> {
    match result.rc {
        // Some servers tell apart an unknown name (32), a malformed one (34) and an account without
        // a password (48); to all of them trying again is useless.
        32 | 34 | 48 | 49 => Some(Reason::InvalidCredentials),
        // 389 Directory Server's answer after too many wrong passwords.
        19 => Some(Reason::AccountLocked),
        53 if result.text.to_lowercase().contains("inactivated") => Some(Reason::AccountDisabled),
        _ => None,
    }
}

/// What is refused whoever binds.
fn shared_refusal(result: &LdapResult) -> Problem {
    let said = said(result);
    match result.rc {
        8 | 13 => Problem::new(
            Reason::ConfidentialityRequired,
            format!(
                "The directory wants an encrypted connection before a bind ({said}). Use ldaps:// or spec.startTLS."
            ),
        ),
        10 => Problem::new(
            Reason::Referral,
            format!(
                "The directory refers the bind to another server ({}). Use that server's address.",
                referred_to(result)
            ),
        ),
        51 | 52 => Problem::new(
            Reason::ServerUnavailable,
            format!("The directory is busy or unavailable ({said}). The operator tries it again."),
        ),
        _ => Problem::new(
            Reason::OperationRefused,
            format!("The directory refused the bind ({said}). Check its log."),
        ),
    }
}

/// The first address of a referral.
pub fn referred_to(result: &LdapResult) -> String {
    result.refs.first().map_or_else(|| "it does not say which".to_owned(), |url| quote(url))
}

/// Active Directory answers every refusal with code 49 and a Windows error number in its text:
/// `80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563`.
fn active_directory_reason(text: &str) -> Option<Reason> {
    let (_, after) = text.split_once(", data ")?;
    match after.split([',', ' ']).next()? {
        "525" | "52e" => Some(Reason::InvalidCredentials),
        "530" | "531" | "533" | "701" => Some(Reason::AccountDisabled),
        "532" | "773" => Some(Reason::PasswordExpired),
        "775" => Some(Reason::AccountLocked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult { rc, matched: String::new(), text: text.to_owned(), refs: Vec::new(), ctrls: Vec::new() }
    }

    fn reason(rc: u32, text: &str) -> Reason {
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        refusal(&name, &result(rc, text), None).reason
    }

    #[test]
    fn every_refusal_has_its_reason() {
        for (rc, text, expected) in [
            (49, "", Reason::InvalidCredentials),
            (48, "", Reason::InvalidCredentials),
            (32, "", Reason::InvalidCredentials),
            (19, "Exceed password retry limit.", Reason::AccountLocked),
            (53, "Account inactivated. Contact system administrator.", Reason::AccountDisabled),
            (53, "simple bind disallowed", Reason::OperationRefused),
            (8, "", Reason::ConfidentialityRequired),
            (13, "", Reason::ConfidentialityRequired),
            (10, "", Reason::Referral),
            (51, "", Reason::ServerUnavailable),
            (52, "", Reason::ServerUnavailable),
            (80, "", Reason::OperationRefused),
        ] {
            assert_eq!(reason(rc, text), expected, "{rc} {text}");
        }
    }

    #[test]
    fn reads_the_error_numbers_of_active_directory() {
        for (number, expected) in [
            ("525", Reason::InvalidCredentials),
            ("52e", Reason::InvalidCredentials),
            ("530", Reason::AccountDisabled),
            ("531", Reason::AccountDisabled),
            ("532", Reason::PasswordExpired),
            ("533", Reason::AccountDisabled),
            ("701", Reason::AccountDisabled),
            ("773", Reason::PasswordExpired),
            ("775", Reason::AccountLocked),
            ("999", Reason::InvalidCredentials),
        ] {
            let text = format!(
                "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {number}, v4563\0"
            );
            assert_eq!(reason(49, &text), expected, "{number}");
        }
    }

    #[test]
    fn only_refused_credentials_are_said_not_to_be_tried_again() {
        let name = BindName::parse("CORP\\wandb").unwrap();
        for rc in 1..90 {
            let problem = refusal(&name, &result(rc, ""), None);
            assert_eq!(
                problem.message.contains(NOT_TRIED_AGAIN),
                problem.reason.refuses_credentials(),
                "{rc}"
            );
        }
    }
}
