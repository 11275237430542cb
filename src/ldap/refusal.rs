//! What the words of a refused bind mean. The protocol has one code for wrong credentials and none for a
//! lock, so every product says it in words or numbers of its own, under one code or another.
//!
//! Sources, all of them public:
//! - Active Directory and Samba: Windows "System Error Codes (1300-1699)" and "(1700-3999)", behind
//!   `data` in the text of `AcceptSecurityContext`; older Samba writes names of `NTSTATUS` values.
//! - eDirectory: Novell TID 10067240 "LDAP errors returned when NDS login, password, time and address
//!   restrictions are set", and the tip "eDirectory, LDAP and Password Policy Controls" of April 2002.
//! - Oracle Internet Directory: "Administrator's Guide", the chapter on password policies (`GSL_…_EXCP`).
//! - Oracle Directory Server Enterprise Edition, 389 Directory Server, Red Hat Directory Server: texts of
//!   the servers, in their documents on password policies and account lockout.
//! - `FreeIPA`: texts of its plug-ins `ipa-lockout`, `ipa-graceperiod` and `ipa-pwd-extop`.
//! - Oracle Unified Directory, `OpenDJ`, `PingDirectory`: the messages `ERR_BIND_OPERATION_…`, which are sent
//!   where `return-bind-error-messages` is on.
//! - IBM Directory Server, Security Verify Access, z/OS: "Password policy messages", and the `R0001…`
//!   messages of the SDBM back end.
//! - Kerberos behind a directory: MIT's and Heimdal's texts for the error codes of RFC 4120 section 7.5.9.

use crate::api::Reason;

/// Windows error numbers.
const WINDOWS: &[(u32, Reason)] = &[
    (0x525, Reason::InvalidCredentials), // ERROR_NO_SUCH_USER
    (0x52e, Reason::InvalidCredentials), // ERROR_LOGON_FAILURE
    (0x52f, Reason::AccountDisabled),    // ERROR_ACCOUNT_RESTRICTION
    (0x530, Reason::AccountDisabled),    // ERROR_INVALID_LOGON_HOURS
    (0x531, Reason::AccountDisabled),    // ERROR_INVALID_WORKSTATION
    (0x532, Reason::PasswordExpired),    // ERROR_PASSWORD_EXPIRED
    (0x533, Reason::AccountDisabled),    // ERROR_ACCOUNT_DISABLED
    (0x569, Reason::AccountDisabled),    // ERROR_LOGON_TYPE_NOT_GRANTED
    (0x701, Reason::AccountDisabled),    // ERROR_ACCOUNT_EXPIRED
    (0x773, Reason::PasswordExpired),    // ERROR_PASSWORD_MUST_CHANGE
    (0x775, Reason::AccountLocked),      // ERROR_ACCOUNT_LOCKED_OUT
];

/// Numbers of eDirectory's, without their sign.
const EDIRECTORY: &[(u32, Reason)] = &[
    (197, Reason::AccountLocked),      // login lockout
    (215, Reason::PasswordExpired),    // the new password is one of the old ones
    (217, Reason::AccountDisabled),    // maximum logins exceeded
    (218, Reason::AccountDisabled),    // bad login time
    (219, Reason::AccountDisabled),    // node address violation
    (220, Reason::AccountDisabled),    // log account expired
    (222, Reason::PasswordExpired),    // bad password: expired, and no grace login is left
    (223, Reason::PasswordExpired),    // password expired, with a grace login used up
    (601, Reason::InvalidCredentials), // no such entry
    (669, Reason::InvalidCredentials), // failed authentication
];

/// Numbers of Oracle Internet Directory's password policies.
const ORACLE: &[(u32, Reason)] = &[
    (9000, Reason::PasswordExpired), // GSL_PWDEXPIRED_EXCP
    (9001, Reason::AccountLocked),   // GSL_ACCOUNTLOCKED_EXCP
    (9008, Reason::PasswordExpired), // GSL_GRACELOGIN_EXCP
    (9050, Reason::AccountDisabled), // GSL_ACCTDISABLED_EXCP
];

/// Words of the other products. The first that is in a text decides: what leads to a lock is told
/// besides a lock more often than the other way round.
const WORDS: &[(Reason, &[&str])] = &[
    (
        Reason::AccountLocked,
        &[
            "account locked",
            "account is locked",
            "account is currently locked",
            "account is temporarily locked",
            "account has been locked",
            "account was locked",
            "account has been temporarily locked",
            "account was permanently locked",
            "account is permanently locked",
            "accountlocked",
            "user is locked",
            "user locked",
            "user has been locked",
            "entry permanently locked",
            "entry is locked",
            "locked out",
            "locked due to",
            "login lockout",
            "account lockout",
            "password retry limit",
            "retry limit exceeded",
            "too many failed",
            "too many invalid",
            "too many unsuccessful",
            "too many wrong",
            "too many bad",
            "too many incorrect",
            "too many password",
            "too many login",
            "too many authentication",
            "maximum number of failed",
            "intruder",
            "credentials have been revoked",
            "err client revoked",
        ],
    ),
    (
        Reason::PasswordExpired,
        &[
            "password expired",
            "password has expired",
            "password is expired",
            "password is already expired",
            "password has already expired",
            "password was expired",
            "expired password",
            "pwdexpired",
            "credentials expired",
            "key expired",
            "key has expired",
            "password must be changed",
            "password must be reset",
            "password must change",
            "password needs to be changed",
            "must change your password",
            "must change the password",
            "must change password",
            "must change their password",
            "must change his password",
            "change password before",
            "change your password before",
            "password change required",
            "password change is required",
            "password reset required",
            "password reset is required",
            "change after reset",
            "grace login",
            "grace logins",
        ],
    ),
    (
        Reason::AccountDisabled,
        &[
            "account disabled",
            "account is disabled",
            "account is currently disabled",
            "account has been disabled",
            "account was disabled",
            "administratively disabled",
            "administrative disabled",
            "acctdisabled",
            "login disabled",
            "login is disabled",
            "user disabled",
            "user is disabled",
            "user has been disabled",
            "entry is disabled",
            "account inactivated",
            "account inactive",
            "account is inactive",
            "account is not active",
            "account inactivity limit",
            "user is inactive",
            "account deactivated",
            "account is deactivated",
            "account has been deactivated",
            "user deactivated",
            "account expired",
            "account has expired",
            "account is expired",
            "principal is expired",
            "database has expired",
            "client expired",
            "principal expired",
            "account suspended",
            "account is suspended",
            "account has been suspended",
            "user suspended",
            "user is suspended",
            "has been revoked",
            "is revoked",
            "account restriction",
            "account restrictions",
            "invalid logon hours",
            "invalid workstation",
            "not allowed to log on at this time",
        ],
    ),
];

/// Words that announce the end of a password which still works.
const ANNOUNCEMENTS: &[&str] =
    &["will expire", "expires in", "is about to expire", "time before expiration", "expirewarning"];

/// What a text says of an account, if it says anything. `name` is left out of the text first: servers
/// repeat it, and it may hold such words itself.
pub fn reason(text: &str, name: &str) -> Option<Reason> {
    let words = Words::of(text, name);
    windows(&words)
        .or_else(|| numbered(&words, &["nds", "error"], EDIRECTORY))
        .or_else(|| numbered(&words, &["password", "policy", "error"], ORACLE))
        .or_else(|| WORDS.iter().find(|(_, all)| words.have_any(all)).map(|(reason, _)| *reason))
}

/// Whether a text announces the end of a password.
pub fn announces_expiry(text: &str, name: &str) -> bool {
    Words::of(text, name).have_any(ANNOUNCEMENTS)
}

/// The words of a text in lower case, each with a space on both sides.
struct Words(String);

impl Words {
    fn of(text: &str, name: &str) -> Self {
        let mut text = text.to_lowercase();
        if !name.is_empty() {
            text = text.replace(&name.to_lowercase(), " ");
        }
        let words =
            text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        Self(words.fold(" ".to_owned(), |words, word| words + word + " "))
    }

    fn have(&self, phrase: &str) -> bool {
        self.0.contains(&format!(" {phrase} "))
    }

    fn have_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.have(phrase))
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_whitespace()
    }
}

/// `80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 52e, v4563`.
fn windows(words: &Words) -> Option<Reason> {
    if !words.have_any(&["acceptsecuritycontext", "ldaperr"]) {
        return None;
    }
    let number = words.iter().skip_while(|word| *word != "data").nth(1)?;
    let number = u32::from_str_radix(number.trim_start_matches("0x"), 16).ok()?;
    find(WINDOWS, number)
}

/// `NDS error: login lockout (-197)`, `Password Policy Error :9001: GSL_ACCOUNTLOCKED_EXCP : …`.
fn numbered(words: &Words, beginning: &[&str], table: &[(u32, Reason)]) -> Option<Reason> {
    if !words.have(&beginning.join(" ")) {
        return None;
    }
    words.iter().filter_map(|word| word.parse().ok()).find_map(|number| find(table, number))
}

fn find(table: &[(u32, Reason)], number: u32) -> Option<Reason> {
    table.iter().find(|(own, _)| *own == number).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: Option<Reason> = Some(Reason::AccountLocked);
    const DISABLED: Option<Reason> = Some(Reason::AccountDisabled);
    const EXPIRED: Option<Reason> = Some(Reason::PasswordExpired);
    const INVALID: Option<Reason> = Some(Reason::InvalidCredentials);

    const NAME: &str = "cn=locked out,ou=Account Disabled,dc=example,dc=org";

    #[test]
    fn reads_every_dialect() {
        for (text, expected) in [
            // 389 Directory Server and its relatives.
            ("Exceed password retry limit. Please try later.", LOCKED),
            ("Exceed password retry limit. Contact system administrator to reset.", LOCKED),
            ("Invalid credentials, you now have exceeded the password retry limit.", LOCKED),
            ("Account inactivated. Contact system administrator.", DISABLED),
            ("Account inactivity limit exceeded. Contact system administrator to reset.", DISABLED),
            ("password expired!", EXPIRED),
            // FreeIPA.
            ("Too many failed logins.\n", LOCKED),
            ("Entry permanently locked.\n", LOCKED),
            ("Account (Kerberos principal) is expired", DISABLED),
            ("Password is expired.\n", EXPIRED),
            // eDirectory.
            ("NDS error: login lockout (-197)", LOCKED),
            ("NDS error: log account expired (-220)", DISABLED),
            ("NDS error: maximum logins exceeded (-217)", DISABLED),
            ("NDS error: bad login time (-218)", DISABLED),
            ("NDS error: bad password (-222)", EXPIRED),
            ("NDS error: password expired (-223)", EXPIRED),
            ("NDS error: failed authentication (-669)", INVALID),
            // Oracle Internet Directory.
            ("Password Policy Error :9001: GSL_ACCOUNTLOCKED_EXCP : Your account is locked.", LOCKED),
            ("Password Policy Error :9000: GSL_PWDEXPIRED_EXCP :Your Password has expired.", EXPIRED),
            (
                "Password Policy Error :9050: GSL_ACCTDISABLED_EXCP : Your Account has been disabled.",
                DISABLED,
            ),
            ("Password Policy Error :9008: GSL_GRACELOGIN_EXCP", EXPIRED),
            // OpenDJ, Oracle Unified Directory, PingDirectory.
            (
                "Rejecting a bind request for user uid=a because the account has been administratively disabled",
                DISABLED,
            ),
            (
                "Rejecting a bind request for user uid=a because the account has been locked due to too many failed authentication attempts",
                LOCKED,
            ),
            ("Rejecting a bind request for user uid=a because that user's password is expired", EXPIRED),
            ("Rejecting a bind request for user uid=a because the account has expired", DISABLED),
            // IBM.
            ("Error, Account is locked", LOCKED),
            ("Error, Password has expired", EXPIRED),
            ("Error, Password must be changed after reset", EXPIRED),
            ("R000102 The user ID has been revoked", DISABLED),
            // Kerberos.
            ("SASL(-13): Client's credentials have been revoked", LOCKED),
            ("Clients credentials have been revoked", LOCKED),
            ("KDC_ERR_CLIENT_REVOKED", LOCKED),
            ("Client's entry in database has expired", DISABLED),
            ("Password has expired", EXPIRED),
            ("KDC_ERR_KEY_EXPIRED", EXPIRED),
            // Samba.
            ("Simple Bind Failed: NT_STATUS_ACCOUNT_LOCKED_OUT", LOCKED),
            ("Simple Bind Failed: NT_STATUS_ACCOUNT_DISABLED", DISABLED),
            ("Simple Bind Failed: NT_STATUS_ACCOUNT_EXPIRED", DISABLED),
            ("Simple Bind Failed: NT_STATUS_PASSWORD_MUST_CHANGE", EXPIRED),
            ("Simple Bind Failed: NT_STATUS_PASSWORD_EXPIRED", EXPIRED),
            ("Simple Bind Failed: NT_STATUS_INVALID_LOGON_HOURS", DISABLED),
            // Services that speak LDAP.
            ("Reason: LOCKED_OUT", LOCKED),
            ("User is suspended", DISABLED),
            ("account was permanently locked", LOCKED),
            // Plain refusals, and words that only look like one of these.
            ("", None),
            ("Invalid credentials", None),
            ("Simple Bind Failed: NT_STATUS_LOGON_FAILURE", None),
            ("simple bind disallowed", None),
            ("simple bind is disabled", None),
            ("unauthenticated bind (DN with no password) disallowed", None),
            ("the database is locked", None),
            ("wrong password for cn=locked out,ou=Account Disabled,dc=example,dc=org", None),
            ("wrong password for CN=locked out,OU=Account Disabled,DC=example,DC=org", None),
        ] {
            assert_eq!(reason(text, NAME), expected, "{text}");
        }
    }

    #[test]
    fn reads_the_error_numbers_of_windows() {
        for (number, expected) in [
            ("525", INVALID),
            ("52e", INVALID),
            ("52f", DISABLED),
            ("530", DISABLED),
            ("531", DISABLED),
            ("532", EXPIRED),
            ("533", DISABLED),
            ("701", DISABLED),
            ("773", EXPIRED),
            ("775", LOCKED),
            ("0x775", LOCKED),
            ("00000775", LOCKED),
            ("2030", None),
            ("zzz", None),
        ] {
            for version in ["v4563\0", "v1db1", "vece"] {
                let text = format!(
                    "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {number}, {version}"
                );
                assert_eq!(reason(&text, ""), expected, "{text}");
            }
        }
        // A number without the text around it could mean anything.
        assert_eq!(reason("no data 775", ""), None);
    }

    #[test]
    fn tells_an_announcement_from_an_end() {
        for text in [
            "Password Policy Error :9002: GSL_EXPIREWARNING_EXCP : Your Password will expire in 600 seconds.",
            "Warning, time before expiration is 86400",
        ] {
            assert!(announces_expiry(text, NAME), "{text}");
        }
        assert!(!announces_expiry("NDS error: password expired (-223)", NAME));
    }
}
