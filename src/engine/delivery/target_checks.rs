//! The checks that need only the state of the target, without a connection to anything. The functions are pure.

use super::proxy_matches::proxy_matches;
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Env, Finding, Kind},
    net::ProxySettings,
    problem::enumerate,
    workloads::{Dialect, Environment, RESTORE_MODE},
};

/// The findings about the target apart from its rollout. They are notes: none of them fails a resource.
pub(in crate::engine) fn looks<K: Kind>(
    object: &K,
    environment: &Environment,
    proxies: &ProxySettings,
) -> Vec<Finding> {
    let mut findings = vec![Finding::noted(CheckName::RestoreMode, restore_mode(environment))];
    findings.extend(
        rollout_strategy(environment).map(|checked| Finding::noted(CheckName::RolloutStrategy, checked)),
    );
    findings.extend(
        settings_documented(K::ENVIRONMENT, environment)
            .map(|checked| Finding::noted(CheckName::SettingsDocumented, checked)),
    );
    findings.extend(
        object
            .http_server()
            .and_then(|server| proxy_matches(proxies, &server, environment))
            .map(|checked| Finding::noted(CheckName::ProxyMatches, checked)),
    );
    findings.extend(
        object.check_target(environment).into_iter().map(|(name, checked)| Finding::noted(name, checked)),
    );
    findings
}

fn restore_mode(environment: &Environment) -> Checked {
    let is_on =
        environment.literals.get(RESTORE_MODE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_on {
        return Checked::warning(
            (),
            Reason::RestoreModeOn,
            format!(
                "{RESTORE_MODE} is true in the target: single sign-on is off, and a temporary password stands in the log. Remove it once people can log in again."
            ),
        );
    }
    if environment.references.contains(RESTORE_MODE) {
        return Checked::passed(
            (),
            format!(
                "{RESTORE_MODE} takes its value from elsewhere, which was not read. Look there if single sign-on is off."
            ),
        );
    }
    Checked::passed((), format!("{RESTORE_MODE} is not on."))
}

fn rollout_strategy(environment: &Environment) -> Option<Checked> {
    let remarks = environment.remarks.as_ref()?;
    if remarks.is_empty() {
        return Some(Checked::passed((), "Some pods stay ready all the time during a rollout."));
    }
    Some(Checked::warning((), Reason::RolloutInterrupts, remarks.join(" ")))
}

/// Whether W&B documents every setting that the target is given for its kind of server; `None` if it is given
/// none.
fn settings_documented(settings: &[Env], environment: &Environment) -> Option<Checked> {
    let is_given = |env: &&Env| env.names().any(|name| environment.references.contains(name));
    let given: Vec<&Env> = settings.iter().filter(is_given).collect();
    if given.is_empty() {
        return None;
    }
    let names = given.into_iter().filter(|env| !environment.dialect.documents(**env));
    let names: Vec<_> = names.filter_map(|env| env.names().next()).collect();
    if names.is_empty() {
        return Some(Checked::passed((), "W&B documents every setting for this server."));
    }
    Some(Checked::warning(
        (),
        Reason::SettingUndocumented,
        format!(
            "These settings have no name that W&B documents for {}, so the target's server may not read them: {}. Test whether they have an effect before you rely on them.",
            server(environment.dialect),
            enumerate(names)
        ),
    ))
}

/// The kind of server of a target, as words for a message.
fn server(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Local => "the image wandb/local",
        Dialect::Split => "the split services",
        Dialect::Both => "every kind of W&B Server",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::api::LdapConfig;

    #[test]
    fn says_only_what_was_looked_at() {
        let literal = |value: &str| Environment {
            literals: [(RESTORE_MODE.to_owned(), value.to_owned())].into(),
            ..Environment::default()
        };
        let reference =
            Environment { references: [RESTORE_MODE.to_owned()].into(), ..Environment::default() };
        let remarked = |remarks: &[&str]| Environment {
            remarks: Some(remarks.iter().map(|remark| (*remark).to_owned()).collect()),
            ..Environment::default()
        };
        let mut found = String::new();
        for environment in
            [literal("True"), literal("false"), reference, remarked(&[]), remarked(&["A.", "B."])]
        {
            let restore = Finding::noted(CheckName::RestoreMode, restore_mode(&environment));
            writeln!(found, "{:?}: {}", restore.result, restore.message).unwrap();
            if let Some(checked) = rollout_strategy(&environment) {
                let strategy = Finding::noted(CheckName::RolloutStrategy, checked);
                writeln!(found, "  {:?}: {}", strategy.result, strategy.message).unwrap();
            }
        }
        insta::assert_snapshot!(found);
    }

    #[test]
    fn a_setting_that_the_server_may_not_read_is_named() {
        let mut found = String::new();
        for (names, dialect) in [
            (&["HOST"][..], Dialect::Local),
            (&["LOCAL_LDAP_ADDRESS", "GORILLA_LDAP_GROUP_SYNC"], Dialect::Local),
            (&["LOCAL_LDAP_ADDRESS", "LDAP_USER_BASE_DN", "LDAP_GROUP_OBJECT_CLASS"], Dialect::Local),
            (&["LDAP_ADDRESS", "LDAP_USER_BASE_DN"], Dialect::Split),
            (&["LDAP_ADDRESS", "LDAP_USER_BASE_DN"], Dialect::Both),
        ] {
            let references = names.iter().map(|name| (*name).to_owned()).collect();
            let environment = Environment { references, dialect, ..Environment::default() };
            let told = settings_documented(LdapConfig::ENVIRONMENT, &environment);
            let told = told.map(|checked| Finding::noted(CheckName::SettingsDocumented, checked));
            let told = told.map(|finding| format!("{:?}: {}", finding.result, finding.message));
            writeln!(found, "{dialect:?} {names:?}: {}", told.unwrap_or_default()).unwrap();
        }
        insta::assert_snapshot!(found);
    }
}
