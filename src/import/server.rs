//! What the variables of a server say beside the settings of single kinds.

use std::collections::BTreeSet;

use super::{FoundEnvironment, Recoverable, Setting, recovery::boolean, remarks::remark};
use crate::{
    api::{CheckName, CheckResult, JwtIssuer, LdapConfig, OidcProvider, Reason},
    engine::{Checked, Env, Finding, Kind},
    sensitive::Sensitive,
    similar::most_similar_from,
    values::HOST,
    workloads::RESTORE_MODE,
};

/// What a person should know about the server's variables that concerns no kind alone.
pub fn remarks_on_server(found: &FoundEnvironment) -> Vec<Finding> {
    let mut remarks = vec![restore_mode(found)];
    remarks.extend(both_kinds(found));
    remarks.extend(unread(found));
    let alone = [
        if_not_meant::<LdapConfig>(found),
        if_not_meant::<OidcProvider>(found),
        if_not_meant::<JwtIssuer>(found),
    ];
    for remark in alone.into_iter().flatten() {
        if remarks.iter().all(|known| known.name != remark.name) {
            remarks.push(remark);
        }
    }
    remarks
}

/// What is to be known of single variables of a server, as sentences.
pub fn remarks_on_variables(found: &FoundEnvironment) -> Vec<String> {
    let remarks = remarks_on_server(found).into_iter();
    let of_variables = remarks.filter(|remark| matches!(remark.name, CheckName::Variable(_)));
    of_variables.map(|remark| remark.message.as_str().to_owned()).collect()
}

fn if_not_meant<K: Recoverable>(found: &FoundEnvironment) -> Vec<Finding> {
    if K::is_meant(found) { Vec::new() } else { alone::<K>(found) }
}

/// Every variable of a kind, for a server that has not what the kind cannot do without. What is off says nothing.
pub fn alone<K: Recoverable>(found: &FoundEnvironment) -> Vec<Finding> {
    let needed = K::ENVIRONMENT.first().map(|env| found.name_of(*env)).unwrap_or_default();
    let tell = |name: &str, reason, what: String| {
        remark(
            name,
            CheckResult::Warning,
            reason,
            format!("{what} Set {needed}, too, if people are to log in by it."),
        )
    };
    let settings = K::ENVIRONMENT.iter().filter(|env| !K::INDEPENDENT.contains(env));
    let set = settings
        .flat_map(|env| found.settings(*env))
        .filter(|setting| setting.text().is_none_or(|text| !text.is_empty() && boolean(text) != Some(false)));
    let set = set.map(|Setting { name, .. }| {
        let what =
            format!("{name} is set and {needed} is not, so as far as the variables show, it has no effect.");
        tell(name, Reason::VariableMissing, what)
    });
    let unread = K::UNREAD.iter().filter(|(name, _)| found.variables.contains_key(*name));
    let unread = unread.map(|(name, meant)| {
        let meant = found.name_of(*meant);
        let what = format!("W&B Server does not read {name}, but {meant}, and {needed} is not set either.");
        tell(name, Reason::VariableNotRead, what)
    });
    set.chain(unread).collect()
}

/// What is wrong with the settings of proxies. The sentence begins with the variable that it is about.
pub fn remark_on_proxies(sentence: &str) -> Finding {
    let name = sentence.split_whitespace().next().unwrap_or_default();
    remark(name, CheckResult::Warning, Reason::VariableMalformed, sentence)
}

fn restore_mode(found: &FoundEnvironment) -> Finding {
    let value = found.variables.get(RESTORE_MODE).and_then(|variable| variable.value.as_ref());
    let checked = match value.map(Sensitive::expose).and_then(boolean) {
        Some(true) => Checked::warning(
            (),
            Reason::RestoreModeOn,
            format!(
                "{RESTORE_MODE} is true: single sign-on is off, and a temporary password stands in the server's log. Remove it once people can log in again."
            ),
        ),
        _ => Checked::passed((), format!("{RESTORE_MODE} is not on.")),
    };
    Finding::noted(CheckName::RestoreMode, checked)
}

/// Nobody but W&B knows which of the two counts, so neither verdict is about what people meet.
fn both_kinds(found: &FoundEnvironment) -> Option<Finding> {
    let (_, login) = LdapConfig::FIELDS.iter().find(|(field, _)| *field == "login")?;
    let login = found.setting(*login).filter(|setting| setting.text().and_then(boolean) == Some(true))?;
    OidcProvider::is_configured(found).then(|| {
        remark(
            login.name,
            CheckResult::Warning,
            Reason::Inconclusive,
            format!(
                "{} is true, and an OpenID Provider is set, too. Which of them people log in with is not documented: leave the variables of one of them.",
                login.name
            ),
        )
    })
}

/// Variables that look like settings of how people log in, and that no document of W&B names.
fn unread(found: &FoundEnvironment) -> Vec<Finding> {
    let settings = [LdapConfig::ENVIRONMENT, OidcProvider::ENVIRONMENT, JwtIssuer::ENVIRONMENT, &[HOST]];
    let known: BTreeSet<_> = settings.into_iter().flatten().copied().flat_map(Env::names).collect();
    let mut unread = Vec::new();
    let has_own_remark = |name: &&str| OidcProvider::UNREAD.iter().any(|(unread, _)| unread == name);
    for name in found.unknown_names(&known).filter(|name| !has_own_remark(name)) {
        let meant = most_similar_from(ALIKE, known.iter().copied(), name);
        let meant = meant.map(|meant| format!(" Was {meant} meant?")).unwrap_or_default();
        let message = format!("No document of W&B names {name}, so W&B Server may not read it.{meant}");
        unread.push(remark(name, CheckResult::Warning, Reason::VariableNotRead, message));
    }
    unread
}

/// How alike two names must be, so that one may be meant by the other. Many variables begin with the same words, which
/// makes them much alike.
const ALIKE: f64 = 0.92;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::import::{Variable, VariableSource};

    fn told(variables: &[(&str, &str)]) -> Vec<(String, CheckResult, Reason)> {
        let variables = variables.iter().map(|(name, value)| {
            let value = Some(Sensitive::from(*value));
            ((*name).to_owned(), Variable { source: VariableSource::Elsewhere, value })
        });
        let found = FoundEnvironment::of(variables.collect::<BTreeMap<_, _>>(), None, None);
        let told = remarks_on_server(&found).into_iter();
        told.map(|finding| (finding.name.to_string(), finding.result, finding.reason)).collect()
    }

    #[test]
    fn what_concerns_no_kind_alone_is_told() {
        let calm = ("RestoreMode".to_owned(), CheckResult::Passed, Reason::Passed);
        let warning = |name: &str, reason| (name.to_owned(), CheckResult::Warning, reason);
        for (variables, expected) in [
            (vec![("HOST", "https://wandb.example.com"), ("MYSQL", "x")], vec![calm.clone()]),
            (vec![("LOCAL_RESTORE", "1")], vec![warning("RestoreMode", Reason::RestoreModeOn)]),
            (
                vec![("LOCAL_LDAP_LOGIN", "true"), ("OIDC_ISSUER", "https://a.example")],
                vec![calm.clone(), warning("Variable/LOCAL_LDAP_LOGIN", Reason::Inconclusive)],
            ),
            (vec![("LDAP_LOGIN", "false"), ("OIDC_ISSUER", "https://a.example")], vec![calm.clone()]),
            (
                vec![("GORILLA_OIDC_AUTH_METHOD", "pkce")],
                vec![calm.clone(), warning("Variable/GORILLA_OIDC_AUTH_METHOD", Reason::VariableNotRead)],
            ),
            // What Kubernetes sets for a Service named ldap, and what has a remark of its kind.
            (
                vec![("LDAP_SERVICE_HOST", "10.0.0.1"), ("LDAP_PORT_389_TCP", "tcp://10.0.0.1:389")],
                vec![calm.clone()],
            ),
            // What means nothing by itself.
            (
                vec![("OIDC_CLIENT_SECRET", "s")],
                vec![calm.clone(), warning("Variable/OIDC_CLIENT_SECRET", Reason::VariableNotRead)],
            ),
            (
                vec![
                    ("GORILLA_AUTH_METHOD", "pkce"),
                    ("LDAP_ATTRIBUTES", "email=mail"),
                    ("LDAP_TLS_ENABLE", ""),
                ],
                vec![
                    calm.clone(),
                    warning("Variable/LDAP_ATTRIBUTES", Reason::VariableMissing),
                    warning("Variable/GORILLA_AUTH_METHOD", Reason::VariableMissing),
                ],
            ),
            (vec![("LDAP_LOGIN", "false"), ("GORILLA_SESSION_LENGTH", "720h")], vec![calm.clone()]),
            // The kind's own remarks name what is missing and what is not read.
            (vec![("OIDC_SECRET", "s"), ("OIDC_CLIENT_SECRET", "s")], vec![calm]),
        ] {
            assert_eq!(told(&variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_name_that_was_meant_is_named() {
        let known = BTreeSet::from(["LOCAL_LDAP_BASE_DN", "LOCAL_LDAP_BIND_DN", "GORILLA_AUTH_METHOD"]);
        for (name, expected) in [("LOCAL_LDAP_BASEDN", Some("LOCAL_LDAP_BASE_DN")), ("SAML_ENTITY", None)] {
            assert_eq!(most_similar_from(ALIKE, known.iter().copied(), name), expected);
        }
    }
}
