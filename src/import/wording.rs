//! The words of a message about a spec, for people who have a server's variables and no resource. Pure.

use super::{FoundEnvironment, Recoverable, recovery::Hole};
use crate::{engine::Env, workloads::AUTHORITIES};

/// What messages say of a resource, and what they say instead. The longest comes first.
pub(super) struct Wording(Vec<(String, String)>);

/// What only a resource can ask for, and the host of a server whose own host is not known.
const FIXED: [(&str, &str); 4] = [
    (
        "Not run, since spec.checks.redirectURI is not true.",
        "Not run, since only an OidcProvider with checks.redirectURI asks for it.",
    ),
    (", and turn spec.checks.clientCredentials off if it works", ""),
    ("The referenced values are clean", "The secret values are clean"),
    ("https://host.invalid", "https://<HOST>"),
];

impl Wording {
    /// The names that this environment has for the fields of the kind.
    pub(super) fn of<K: Recoverable>(found: &FoundEnvironment) -> Self {
        let name = |env: Env| found.name_of(env);
        let mut words: Vec<_> =
            K::FIELDS.iter().map(|(field, env)| (format!("spec.{field}"), name(*env).to_owned())).collect();
        words.extend(["spec.tls.caBundle", "tls.caBundle"].map(|field| {
            (field.to_owned(), format!("a .crt file in {AUTHORITIES} of the server's container"))
        }));
        words.extend(FIXED.map(|(own, instead)| (own.to_owned(), instead.to_owned())));
        words.sort_by_key(|(own, _)| std::cmp::Reverse(own.len()));
        Self(words)
    }

    /// Has messages name a variable in the place of the key of a Secret.
    pub(super) fn with_key(mut self, (secret, key): (&str, &str), field: &str, variable: &str) -> Self {
        let place = format!("key \"{key}\" of the Secret \"{secret}\"");
        let variable = format!("variable {variable}");
        // The field says nothing more than the variable does.
        self.0.insert(0, (format!(" ({field})"), String::new()));
        self.0.insert(0, (place, variable));
        self
    }

    /// The text with these words.
    pub(super) fn reword(&self, text: &str) -> String {
        let mut reworded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = self.0.iter().find(|(own, _)| is_whole(rest, own));
            let (taken, instead) = match found {
                Some((own, instead)) => (own.len(), instead.as_str()),
                None => (first.len_utf8(), rest.get(..first.len_utf8()).unwrap_or_default()),
            };
            reworded.push_str(instead);
            rest = rest.get(taken..).unwrap_or_default();
        }
        reworded
    }
}

/// Whether the text begins with these words, and no word goes on after them.
fn is_whole(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

/// The first field of the kind that a complaint about a spec names.
pub(super) fn field_of<K: Recoverable>(complaint: &str) -> Option<(&'static str, Env)> {
    let place = |field: &str| {
        let words = format!("spec.{field}");
        complaint
            .match_indices(&words)
            .map(|(at, _)| at)
            .find(|at| complaint.get(*at..).is_some_and(|rest| is_whole(rest, &words)))
    };
    let named = K::FIELDS.iter().filter_map(|(field, env)| Some((place(field)?, *field, *env)));
    // Of fields within each other, the complaint is about the inner one.
    named
        .min_by_key(|(at, field, _)| (*at, std::cmp::Reverse(field.len())))
        .map(|(_, field, env)| (field, env))
}

/// What a person must do about a field that no variable gives.
pub(super) fn missing(hole: &Hole, name: &str) -> String {
    match hole {
        Hole::Unknown { wanted, .. } => format!("{name} is not set. Set it to {wanted}."),
        Hole::Refused(complaint) => complaint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::LdapConfig,
        import::{ServerShape, Variable, VariableSource},
    };

    fn wording() -> Wording {
        let variable =
            Variable { source: VariableSource::Elsewhere, value: Some("ldaps://ldap.example.com".into()) };
        let variables = BTreeMap::from([("LDAP_ADDRESS".to_owned(), variable)]);
        Wording::of::<LdapConfig>(&FoundEnvironment::of(variables, Some(ServerShape::Local), None))
    }

    #[test]
    fn fields_become_variables() {
        let wording = wording().with_key(
            ("environment-ldap-bind", "password"),
            "spec.bind.passwordSecretRef",
            "LOCAL_LDAP_BIND_PW",
        );
        for (text, expected) in [
            (
                "set spec.address to ldap://a and spec.startTLS: true.",
                "set LDAP_ADDRESS to ldap://a and LOCAL_LDAP_TLS_ENABLE: true.",
            ),
            ("spec.bind.dn must be a DN", "LOCAL_LDAP_BIND_DN must be a DN"),
            ("Check spec.bind.", "Check LOCAL_LDAP_BIND_DN."),
            ("spec.groupAllowListed", "spec.groupAllowListed"),
            (
                "The credentials come from the key \"password\" of the Secret \"environment-ldap-bind\" (spec.bind.passwordSecretRef).",
                "The credentials come from the variable LOCAL_LDAP_BIND_PW.",
            ),
            ("Größe: spec.baseDN", "Größe: LOCAL_LDAP_BASE_DN"),
        ] {
            assert_eq!(wording.reword(text), expected);
        }
    }

    #[test]
    fn a_complaint_is_about_the_first_field_that_it_names() {
        for (complaint, expected) in [
            ("spec.bind.dn must be a DN. spec.baseDN must be one.", Some("bind.dn")),
            ("spec.attributes must name both email and group", Some("attributes")),
            ("spec.testUsers[0].filter must be", None),
        ] {
            assert_eq!(field_of::<LdapConfig>(complaint).map(|(field, _)| field), expected);
        }
    }
}
