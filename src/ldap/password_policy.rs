//! What a directory with password policies adds to its answer to a bind: the control of
//! draft-behera-ldap-password-policy, and the two older ones of draft-vchu-ldap-pwd-policy.

use lber::structure::StructureTag;
use ldap3::controls::Control;

use crate::api::Reason;

/// Asks for the reason behind a refusal; servers may ignore it.
pub const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// Says that the password has expired, asked for or not.
const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";

/// Says that the password expires soon.
const PASSWORD_EXPIRING: &str = "2.16.840.1.113730.3.4.5";

/// Why a password that was accepted must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAction {
    /// The directory allows nothing else before it is changed.
    Change,
    /// It has expired, and each further bind is one of a few last ones.
    LastBinds,
}

/// What the password policy control of a response says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PolicyResponse {
    /// What will happen.
    pub warning: Option<PolicyWarning>,
    /// What has happened.
    pub error: Option<PolicyError>,
}

/// What a directory announces to an account that it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyWarning {
    /// The password expires after some time.
    ExpiresSoon,
    /// It has expired, and some binds are left.
    GraceBinds,
    /// It has expired, which the directory tells and tolerates.
    Expired,
}

/// The errors of the control that a bind can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// The password has expired.
    PasswordExpired,
    /// The account is locked.
    AccountLocked,
    /// An administrator has set the password, and it must be changed.
    ChangeAfterReset,
    /// One that only changing a password meets.
    Other,
}

impl PolicyError {
    /// What it means for a bind.
    fn reason(self) -> Option<Reason> {
        match self {
            Self::PasswordExpired | Self::ChangeAfterReset => Some(Reason::PasswordExpired),
            Self::AccountLocked => Some(Reason::AccountLocked),
            Self::Other => None,
        }
    }
}

impl PolicyResponse {
    /// Reads the controls that the server sent.
    pub fn find(controls: &[Control]) -> Self {
        let sent = |name: &str| controls.iter().map(|Control(_, raw)| raw).find(|raw| raw.ctype == name);
        let mut response = sent(PASSWORD_POLICY)
            .and_then(|raw| raw.val.as_deref())
            .and_then(Self::parse)
            .unwrap_or_default();
        if response == Self::default() {
            response.warning = if sent(PASSWORD_EXPIRED).is_some() {
                Some(PolicyWarning::Expired)
            } else {
                sent(PASSWORD_EXPIRING).map(|_| PolicyWarning::ExpiresSoon)
            };
        }
        response
    }

    /// Why a bind was refused, if a control tells.
    pub fn refusal(&self) -> Option<Reason> {
        match (self.error.and_then(PolicyError::reason), self.warning) {
            (Some(reason), _) => Some(reason),
            (None, Some(PolicyWarning::Expired)) => Some(Reason::PasswordExpired),
            (None, _) => None,
        }
    }

    /// Why the password of a bind that succeeded is not to be used again, if that is so.
    pub fn demand(&self) -> Option<PasswordAction> {
        match (self.error, self.warning) {
            (Some(PolicyError::ChangeAfterReset), _) => Some(PasswordAction::Change),
            (Some(PolicyError::PasswordExpired), _) | (_, Some(PolicyWarning::GraceBinds)) => {
                Some(PasswordAction::LastBinds)
            }
            _ => None,
        }
    }

    /// `SEQUENCE { warning [0] CHOICE { timeBeforeExpiration [0], graceAuthNsRemaining [1] }, error [1] ENUMERATED }`, both optional.
    fn parse(value: &[u8]) -> Option<Self> {
        // Shorter than any nesting that could hurt the parser, and longer than any real value.
        if value.len() > 64 {
            return None;
        }
        let (_, sequence) = lber::parse::parse_tag(value).ok()?;
        let mut response = Self::default();
        for element in sequence.expect_constructed()? {
            match element.id {
                0 => response.warning = warning(element),
                1 => {
                    response.error = Some(match element.expect_primitive()?.as_slice() {
                        [0] => PolicyError::PasswordExpired,
                        [1] => PolicyError::AccountLocked,
                        [2] => PolicyError::ChangeAfterReset,
                        _ => PolicyError::Other,
                    });
                }
                _ => {}
            }
        }
        Some(response)
    }
}

/// The number that comes with it changes from bind to bind, and is not looked at.
fn warning(element: StructureTag) -> Option<PolicyWarning> {
    match element.expect_constructed()?.first()?.id {
        0 => Some(PolicyWarning::ExpiresSoon),
        1 => Some(PolicyWarning::GraceBinds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ldap3::controls::RawControl;

    use super::*;

    #[test]
    fn reads_the_older_controls() {
        let control = |ctype: &str, val: Option<&[u8]>| {
            let val = val.map(<[u8]>::to_vec);
            Control(None, RawControl { ctype: ctype.to_owned(), crit: false, val })
        };
        let warning = |controls: &[Control]| PolicyResponse::find(controls).warning;
        assert_eq!(warning(&[]), None);
        assert_eq!(warning(&[control(PASSWORD_EXPIRED, Some(b"0"))]), Some(PolicyWarning::Expired));
        assert_eq!(warning(&[control(PASSWORD_EXPIRING, Some(b"86400"))]), Some(PolicyWarning::ExpiresSoon));
        // The newer control knows more.
        let grace = [0x30, 5, 0xa0, 3, 0x81, 1, 2];
        let both = [control(PASSWORD_EXPIRED, None), control(PASSWORD_POLICY, Some(&grace))];
        assert_eq!(warning(&both), Some(PolicyWarning::GraceBinds));
        let expired = PolicyResponse::find(&[control(PASSWORD_EXPIRED, None)]);
        assert_eq!((expired.refusal(), expired.demand()), (Some(Reason::PasswordExpired), None));
    }

    #[test]
    fn reads_the_password_policy_control() {
        let parsed = |bytes: &[u8]| PolicyResponse::parse(bytes);
        let error = |error| Some(PolicyResponse { warning: None, error: Some(error) });
        assert_eq!(parsed(&[0x30, 0]), Some(PolicyResponse::default()));
        assert_eq!(parsed(&[0x30, 3, 0x81, 1, 0]), error(PolicyError::PasswordExpired));
        assert_eq!(parsed(&[0x30, 3, 0x81, 1, 1]), error(PolicyError::AccountLocked));
        assert_eq!(parsed(&[0x30, 3, 0x81, 1, 2]), error(PolicyError::ChangeAfterReset));
        assert_eq!(parsed(&[0x30, 3, 0x81, 1, 6]), error(PolicyError::Other));
        let warning = [0x30, 5, 0xa0, 3, 0x80, 1, 9];
        let warned = |warning| Some(PolicyResponse { warning: Some(warning), error: None });
        assert_eq!(parsed(&warning), warned(PolicyWarning::ExpiresSoon));
        assert_eq!(parsed(&[0x30, 5, 0xa0, 3, 0x81, 1, 2]), warned(PolicyWarning::GraceBinds));
        for garbage in [&b""[..], b"0", &[0x30, 9], &[4, 1, 1], &[0x30, 2, 0xa1, 0]] {
            assert_eq!(parsed(garbage), None, "{garbage:?}");
        }
    }
}
