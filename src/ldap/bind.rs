//! The check `Bind`: one simple bind, and what its refusal means.

use ldap3::{LdapResult, controls::RawControl};

use super::{
    BindName, LdapProtection,
    connection::Connection,
    password_policy::{PASSWORD_POLICY, PasswordAction, PolicyResponse, PolicyWarning},
    refusal,
};
use crate::{
    api::Reason,
    engine::{Checked, coming_from},
    net::{Consequence, Endpoint, Login},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// Who binds, and with what.
pub struct BindCredentials {
    /// The name.
    pub name: BindName,
    /// The password.
    pub password: Sensitive,
    /// Where the password is, as messages name it after "the key".
    pub location: String,
}

impl BindCredentials {
    /// The same as every kind of server may see it.
    pub fn login(&self, server: &Endpoint) -> Login {
        // A directory serves one set of accounts at its ports for LDAP, for TLS and for the global catalog.
        let port = if matches!(server.port, 389 | 636 | 3268 | 3269) { 389 } else { server.port };
        Login {
            server: Endpoint { port, ..server.clone() },
            account: self.name.normal_form(),
            secret: self.password.clone(),
            consequence: Consequence::Lock,
        }
    }

    /// The problem, with where the password comes from where that is to be changed there.
    pub fn located(&self, problem: Problem) -> Problem {
        match problem.reason {
            Reason::InvalidCredentials | Reason::PasswordExpired => coming_from(problem, &self.location),
            _ => problem,
        }
    }
}

/// What to do about a password that is used up.
const CHANGE: &str = "To avoid a time in which nobody can log in, use a second account (see the guide ldap-directory); with one account, change the password in the directory and in the Secret together.";

/// The answer to a bind.
pub struct BindResponse {
    /// The result.
    pub result: LdapResult,
    /// What the controls of password policies say.
    pub policy: PolicyResponse,
}

/// Sends one bind.
pub async fn send(connection: &mut Connection, name: &str, password: &str) -> Result<BindResponse, Problem> {
    let control = RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val: None };
    let result = connection.bind(name, password, control).await?;
    let policy = PolicyResponse::find(&result.ctrls);
    Ok(BindResponse { result, policy })
}

/// Binds once. Whether that may be repeated is for the engine to decide and to say.
pub async fn bind(
    connection: &mut Connection,
    credentials: Option<&BindCredentials>,
    protection: &LdapProtection,
) -> Result<Checked, Problem> {
    let (name, password) = credentials
        .map_or(("", ""), |credentials| (credentials.name.as_str(), credentials.password.expose()));
    let BindResponse { result, mut policy } = send(connection, name, password).await?;
    match (result.rc, credentials) {
        (0, Some(credentials)) => {
            policy.warning = policy.warning.or_else(|| warning_in_words(&result.text, &credentials.name));
            match policy.demand() {
                Some(demand) => Err(must_change_password(credentials, demand)),
                None => Ok(accepted(credentials, policy.warning, protection)),
            }
        }
        (0, None) => Ok(accepted_anonymously(protection)),
        (_, Some(credentials)) => Err(refused(credentials, &result, &policy)),
        (_, None) => Err(anonymous_refusal(&result)),
    }
}

/// Directories without the control say in words that a password is about to expire, or that they let an
/// expired one in for a few last times.
pub fn warning_in_words(text: &str, name: &BindName) -> Option<PolicyWarning> {
    if refusal::announces_expiry(text, name.as_str()) {
        return Some(PolicyWarning::ExpiresSoon);
    }
    let reason = refusal::reason(text, name.as_str())?;
    (reason == Reason::PasswordExpired).then_some(PolicyWarning::GraceBinds)
}

/// The remark on a bind that worked, but that everybody on the way could read.
pub const UNENCRYPTED: &str = "the connection is not encrypted: everybody on the way can read the passwords (spec.insecurePlaintext). Use ldaps:// or spec.startTLS.";

fn accepted(
    credentials: &BindCredentials,
    warning: Option<PolicyWarning>,
    protection: &LdapProtection,
) -> Checked {
    let name = quote(credentials.name.as_str());
    let warned = warning.map(|warning| match warning {
        PolicyWarning::Expired => (
            Reason::PasswordExpired,
            format!("The directory accepts {name}, but says that the password has expired."),
        ),
        PolicyWarning::ExpiresSoon | PolicyWarning::GraceBinds => (
            Reason::PasswordExpiresSoon,
            format!("The directory accepts {name}, but warns that the password expires soon."),
        ),
    });
    match (warned, protection) {
        (Some((reason, seen)), protection) => {
            let besides = match protection {
                LdapProtection::Plaintext => format!(" Besides, {UNENCRYPTED}"),
                LdapProtection::Tls(_) | LdapProtection::StartTls(_) => String::new(),
            };
            let location = &credentials.location;
            Checked::warning(
                (),
                reason,
                format!("{seen} {CHANGE} The credentials come from the key {location}.{besides}"),
            )
        }
        (None, LdapProtection::Plaintext) => unencrypted(),
        (None, _) => Checked::passed((), format!("The directory accepts {name} and its password.")),
    }
}

fn accepted_anonymously(protection: &LdapProtection) -> Checked {
    match protection {
        LdapProtection::Plaintext => unencrypted(),
        LdapProtection::Tls(_) | LdapProtection::StartTls(_) => {
            Checked::passed((), "The directory accepts anonymous binds; spec.bind is not set.")
        }
    }
}

fn unencrypted() -> Checked {
    Checked::warning((), Reason::Unencrypted, format!("The directory accepts the bind, but {UNENCRYPTED}"))
}

fn must_change_password(credentials: &BindCredentials, demand: PasswordAction) -> Problem {
    let name = quote(credentials.name.as_str());
    let seen = match demand {
        PasswordAction::Change => {
            format!("The password of {name} must be changed before anything else is allowed.")
        }
        PasswordAction::LastBinds => {
            format!("The password of {name} has expired, and the directory accepts it only a few more times.")
        }
    };
    Problem::new(Reason::PasswordExpired, format!("{seen} {CHANGE}"))
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

// Result codes of a server that is in no state to judge anything.
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

fn refused(credentials: &BindCredentials, result: &LdapResult, policy: &PolicyResponse) -> Problem {
    let said = said(result);
    let name = &credentials.name;
    let Some(reason) = refusal_of_account(name, result, policy) else {
        return shared_refusal(result);
    };
    let name_text = quote(name.as_str());
    let message = match reason {
        Reason::AccountLocked => format!(
            "The directory has locked {name_text} ({said}). Unlock it there, and check what else uses an old password."
        ),
        Reason::AccountDisabled => format!(
            "The directory does not allow {name_text} to log in: the account is disabled, expired or limited to certain times or machines ({said}). Enable it there."
        ),
        Reason::PasswordExpired => {
            format!("The password of {name_text} has expired or must be changed ({said}). {CHANGE}")
        }
        _ => format!(
            "The directory refused {name_text} or its password ({said}). Check spec.bind.dn, and the password."
        ),
    };
    Problem::new(reason, message)
}

/// Why the directory refuses this account or its password; nothing where the refusal is about something else.
pub fn refusal_of_account(name: &BindName, result: &LdapResult, policy: &PolicyResponse) -> Option<Reason> {
    match (policy.refusal(), spoken_reason(name, result)) {
        // 389 Directory Server's control calls an inactivated account locked, its words know better.
        (Some(Reason::AccountLocked), Some(Reason::AccountDisabled)) => Some(Reason::AccountDisabled),
        (control, words) => control.or(words).or_else(|| plain_reason(result)),
    }
}

/// What the server's words say of the account, under whichever result code.
fn spoken_reason(name: &BindName, result: &LdapResult) -> Option<Reason> {
    match result.rc {
        // These are about the connection, or about where the account is.
        8 | 10 | 13 => None,
        _ => refusal::reason(&result.text, name.as_str()),
    }
}

/// Reasons that the result code alone tells.
fn plain_reason(result: &LdapResult) -> Option<Reason> {
    match result.rc {
        // Some servers tell apart an unknown name (32), a malformed one (34) and an account without
        // a password (48).
        32 | 34 | 48 | 49 => Some(Reason::InvalidCredentials),
        // 389 Directory Server's answer after too many wrong passwords.
        19 => Some(Reason::AccountLocked),
        _ => None,
    }
}

/// What is refused whoever binds.
pub fn shared_refusal(result: &LdapResult) -> Problem {
    let said = said(result);
    match result.rc {
        8 | 13 => Problem::new(
            Reason::ConfidentialityRequired,
            format!(
                "The directory requires an encrypted connection before a bind ({said}). Use ldaps:// or spec.startTLS."
            ),
        ),
        10 => Problem::new(
            Reason::Referral,
            format!(
                "The directory refers the bind to another server ({}). Use that server's address.",
                referred_to(result)
            ),
        ),
        BUSY | UNAVAILABLE => Problem::new(
            Reason::ServerUnavailable,
            format!("The directory is busy or unavailable ({said}) and has not judged the bind."),
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

#[cfg(test)]
mod tests {
    use ldap3::controls::Control;

    use super::*;
    use crate::{api::CheckName, engine::Finding};

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult { rc, matched: String::new(), text: text.to_owned(), refs: Vec::new(), ctrls: Vec::new() }
    }

    fn reason(rc: u32, text: &str) -> Reason {
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        refused(&credentials(name), &result(rc, text), &PolicyResponse::default()).reason
    }

    fn credentials(name: BindName) -> BindCredentials {
        let location = "\"password\" of the Secret \"ldap-bind\" (spec.bind.passwordSecretRef)".to_owned();
        BindCredentials { name, password: "secret".into(), location }
    }

    #[test]
    fn every_refusal_has_its_reason() {
        for (rc, text, expected) in [
            (49, "", Reason::InvalidCredentials),
            (48, "", Reason::InvalidCredentials),
            (32, "", Reason::InvalidCredentials),
            (19, "", Reason::AccountLocked),
            (53, "simple bind disallowed", Reason::OperationRefused),
            (8, "", Reason::ConfidentialityRequired),
            (13, "password expired", Reason::ConfidentialityRequired),
            (10, "", Reason::Referral),
            (51, "", Reason::ServerUnavailable),
            (52, "", Reason::ServerUnavailable),
            (80, "", Reason::OperationRefused),
        ] {
            assert_eq!(reason(rc, text), expected, "{rc} {text}");
        }
    }

    #[test]
    fn a_refusal_names_the_secret_and_its_key() {
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        let credentials = credentials(name);
        let named = "The credentials come from the key \"password\" of the Secret \"ldap-bind\" (spec.bind.passwordSecretRef).";
        let policy = PolicyResponse::default();
        for problem in [
            refused(&credentials, &result(49, ""), &policy),
            refused(&credentials, &result(49, "password expired"), &policy),
            must_change_password(&credentials, PasswordAction::Change),
            must_change_password(&credentials, PasswordAction::LastBinds),
        ] {
            // What others are told who sent the same does not name it.
            assert!(!problem.message.contains("ldap-bind"), "{}", problem.message);
            let located = credentials.located(problem);
            assert!(located.message.ends_with(named), "{}", located.message);
        }
        let locked = refused(&credentials, &result(19, ""), &policy);
        assert_eq!(credentials.located(locked.clone()), locked);
    }

    #[test]
    fn the_way_to_another_password_leaves_no_gap() {
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        let credentials = credentials(name);
        let used_up = |warning| {
            let checked = accepted(&credentials, Some(warning), &LdapProtection::Plaintext);
            Finding::noted(CheckName::Bind, checked).message.into()
        };
        for message in [
            refused(&credentials, &result(49, "password expired"), &PolicyResponse::default()).message,
            must_change_password(&credentials, PasswordAction::Change).message,
            must_change_password(&credentials, PasswordAction::LastBinds).message,
            used_up(PolicyWarning::Expired),
            used_up(PolicyWarning::ExpiresSoon),
        ] {
            assert!(message.contains("use a second account"), "{message}");
            assert!(message.contains("in the directory and in the Secret together"), "{message}");
        }
    }

    #[test]
    fn words_decide_under_whichever_code() {
        for rc in [1, 19, 49, 50, 53, 80] {
            assert_eq!(reason(rc, "NDS error: login lockout (-197)"), Reason::AccountLocked, "{rc}");
            assert_eq!(
                reason(rc, "Account inactivated. Contact system administrator."),
                Reason::AccountDisabled
            );
            assert_eq!(reason(rc, "password expired!"), Reason::PasswordExpired);
        }
    }

    #[test]
    fn the_control_knows_better_than_the_words() {
        let raw = RawControl {
            ctype: PASSWORD_POLICY.to_owned(),
            crit: false,
            val: Some(vec![0x30, 3, 0x81, 1, 1]),
        };
        let policy = PolicyResponse::find(&[Control(None, raw)]);
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        let credentials = credentials(name);
        let problem = refused(&credentials, &result(49, "password expired!"), &policy);
        assert_eq!(problem.reason, Reason::AccountLocked);
        let inactivated = result(53, "Account inactivated. Contact system administrator.");
        assert_eq!(refused(&credentials, &inactivated, &policy).reason, Reason::AccountDisabled);
    }

    #[test]
    fn an_accepted_password_that_is_used_up_is_told_by_words_too() {
        let name = BindName::parse("cn=admin,dc=example,dc=org").unwrap();
        for (text, warning) in [
            ("", None),
            ("NDS error: password expired (-223)", Some(PolicyWarning::GraceBinds)),
            ("Password Policy Error :9008: GSL_GRACELOGIN_EXCP", Some(PolicyWarning::GraceBinds)),
            (
                "Password Policy Error :9002: GSL_EXPIREWARNING_EXCP : Your Password will expire in 9 seconds",
                Some(PolicyWarning::ExpiresSoon),
            ),
        ] {
            assert_eq!(warning_in_words(text, &name), warning, "{text}");
        }
    }
}
