use std::{collections::BTreeMap, fmt::Write};

use super::*;
use crate::{
    api::{JwtIssuer, LdapConfig, OidcProvider},
    import::{Variable, VariableSource},
};

fn environment(variables: &[(&str, &str)]) -> FoundEnvironment {
    let variables = variables.iter().map(|(name, value)| {
        let value = Some(Sensitive::from(*value));
        ((*name).to_owned(), Variable { source: VariableSource::Elsewhere, value })
    });
    FoundEnvironment::of(variables.collect::<BTreeMap<_, _>>(), None, None)
}

/// What is said of these variables, whether anything can be checked, and what the checks are worth.
fn told<K: Recoverable>(variables: &[(&str, &str)]) -> String {
    let Some(settings) = checkable::<K>(&environment(variables), None, &Trust::empty()) else {
        return "nothing of this kind\n".to_owned();
    };
    let planned = settings.plan.as_ref().map(|(planned, _)| K::checks(&planned.plan));
    let mut told = if planned.is_some() { String::new() } else { "nothing can be checked\n".to_owned() };
    let checks = planned.into_iter().flatten().map(|check| Finding::noted(check, Checked::passed((), "")));
    for finding in settings.report(checks.collect()) {
        if !finding.message.is_empty() {
            writeln!(told, "{} {:?} {}: {}", finding.name, finding.result, finding.reason, finding.message)
                .unwrap();
        }
    }
    told
}

/// Variables that every directory here has.
const DIRECTORY: [(&str, &str); 4] = [
    ("LDAP_ADDRESS", "ldaps://ldap.example.com"),
    ("LDAP_BASE_DN", "dc=example,dc=org"),
    ("LDAP_TLS_ENABLE", "true"),
    ("LDAP_LOGIN", "true"),
];

/// Variables that every provider here has.
const PROVIDER: [(&str, &str); 4] = [
    ("OIDC_ISSUER", "https://login.example.com"),
    ("OIDC_CLIENT_ID", "wandb"),
    ("OIDC_AUTH_METHOD", "pkce"),
    ("HOST", "https://wandb.example.com"),
];

/// The variables with these changes; an empty value is as good as none.
fn changed<'a>(variables: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = variables.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes).copied().collect()
}

#[test]
fn what_a_directorys_variables_mean_is_told() {
    let mut text = String::new();
    for changes in [
        &[][..],
        &[("LDAP_TLS_ENABLE", "yes")],
        &[("LDAP_ADDRESS", "ldap://ldap.example.com"), ("LDAP_TLS_ENABLE", "on")],
        &[("LDAP_TLS_ENABLE", "")],
        &[("LDAP_LOGIN", "enabled")],
        &[("LDAP_LOGIN", "false")],
        &[("LOCAL_LDAP_ADDRESS", "ldaps://other.example.com")],
        &[("LOCAL_LDAP_TLS_ENABLE", "1")],
        &[("LDAP_ADDRESS", "")],
        &[("LDAP_ADDRESS", "ldap.example.com")],
        &[("LDAP_ADDRESS", "ldaps://cn=admin:hunter2@ldap.example.com")],
        &[("LDAP_BASE_DN", "")],
        &[("LDAP_BASE_DN", "example.org")],
        &[("LDAP_BIND_DN", "cn=wandb,dc=example,dc=org")],
        &[("LDAP_BIND_PW", "hunter2-long")],
        &[("LDAP_BIND_DN", "not a dn"), ("LDAP_BIND_PW", "hunter2-long")],
        &[("LDAP_BIND_DN", "cn=wandb,dc=example,dc=org"), ("LDAP_BIND_PW", "\"hunter2-long\"")],
        &[("LDAP_BIND_DN", "cn=wandb,dc=example,dc=org"), ("LDAP_BIND_PW", "  ")],
        &[("LDAP_ATTRIBUTES", "mail,gidNumber")],
        &[("LDAP_ATTRIBUTES", "email=mail")],
        &[("LDAP_GROUP_ALLOW_LIST", "cn=a+,ou=groups")],
        &[("LDAP_USER_OBJECT_CLASS", "inet org person")],
    ] {
        let variables = changed(&DIRECTORY, changes);
        writeln!(text, "# {changes:?}\n{}", told::<LdapConfig>(&variables)).unwrap();
    }
    insta::assert_snapshot!(text);
    assert_eq!(told::<LdapConfig>(&PROVIDER), "nothing of this kind\n");
}

#[test]
fn what_a_providers_variables_mean_is_told() {
    let mut text = String::new();
    for changes in [
        &[][..],
        &[("HOST", "")],
        &[("HOST", "wandb.example.com/path")],
        &[("OIDC_ISSUER", "")],
        &[("OIDC_ISSUER", "login.example.com")],
        &[("OIDC_CLIENT_ID", "")],
        &[("OIDC_CLIENT_ID", "wandb\n")],
        &[("OIDC_AUTH_METHOD", "code")],
        &[("OIDC_AUTH_METHOD", "")],
        &[("OIDC_CLIENT_SECRET", "hunter2-long")],
        &[("OIDC_SECRET", "hunter2-long"), ("GORILLA_OIDC_SECRET", "another-long")],
        &[("SESSION_LENGTH", "720"), ("GORILLA_SESSION_LENGTH", "720h")],
        &[("SESSION_LENGTH", "720h")],
        &[("GORILLA_SESSION_LENGTH", "720")],
        &[("GORILLA_SESSION_LENGTH", "90m")],
        &[("GORILLA_SESSION_LENGTH", "a month")],
        &[("GORILLA_ENABLE_SSO_GROUPS_CLAIMS", "yes")],
        &[("GORILLA_OIDC_CUSTOM_SCOPES", "groups profile")],
    ] {
        let variables = changed(&PROVIDER, changes);
        writeln!(text, "# {changes:?}\n{}", told::<OidcProvider>(&variables)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_an_issuers_variables_mean_is_told() {
    let mut text = String::new();
    for variables in
        [&[("FEDERATED_AUTH_AUDIENCES", "my-org, other,")][..], &[("SKIP_AUDIENCE_VALIDATION", "2")]]
    {
        writeln!(text, "# {variables:?}\n{}", told::<JwtIssuer>(variables)).unwrap();
    }
    insta::assert_snapshot!(text);
    let mut found = environment(&[("FEDERATED_AUTH_AUDIENCES", "my-org")]);
    found.token_issuer = Some("https://token.example.com".to_owned());
    assert!(checkable::<JwtIssuer>(&found, None, &Trust::empty()).unwrap().plan.is_some());
}

/// Unlike a key of a Secret, a variable is used as it is: the server sends the line break, too.
#[test]
fn a_value_is_checked_as_the_server_has_it() {
    for password in ["hunter2\n", "hunter2\r\n", "hunter2\n\n", "hunter2", " hunter2", "${PASSWORD}"] {
        let variables = [("LDAP_BIND_DN", "cn=wandb,dc=example,dc=org"), ("LDAP_BIND_PW", password)];
        let found = environment(&changed(&DIRECTORY, &variables));
        let settings = checkable::<LdapConfig>(&found, None, &Trust::empty()).unwrap();
        let (planned, _) = settings.plan.unwrap();
        assert!(planned.plan.credentials.unwrap().password.expose() == password, "{password:?}");
    }
}

/// No password travels in the clear because of a mistake in another variable.
#[test]
fn an_encryption_that_is_not_clear_is_an_encryption() {
    let variables = [("LDAP_ADDRESS", "ldap://ldap.example.com"), ("LDAP_TLS_ENABLE", "yes")];
    let found = environment(&changed(&DIRECTORY, &variables));
    let (planned, _) = checkable::<LdapConfig>(&found, None, &Trust::empty()).unwrap().plan.unwrap();
    assert!(LdapConfig::checks(&planned.plan).contains(&CheckName::StartTls));
}

#[test]
fn a_secret_is_in_no_message() {
    let secret = "hunter2-long";
    let variables = [("LDAP_BIND_DN", "cn=wandb,dc=example,dc=org"), ("LDAP_BIND_PW", secret)];
    let found = environment(&changed(&DIRECTORY, &variables));
    let settings = checkable::<LdapConfig>(&found, None, &Trust::empty()).unwrap();
    let leak = Finding::noted(CheckName::Bind, Checked::passed((), format!("It is {secret}.")));
    let report = settings.report(vec![leak]);
    assert!(report.iter().all(|finding| !finding.message.contains(secret)));
    assert_eq!(report.last().unwrap().message, "It is [redacted].");
}

/// Nothing that counts is passed over in silence.
#[test]
fn a_value_that_is_no_text_is_told() {
    for (name, has_plan) in
        [("LDAP_ADDRESS", false), ("LDAP_BASE_DN", true), ("LDAP_TLS_ENABLE", true), ("LDAP_BIND_PW", true)]
    {
        let variables = changed(&DIRECTORY, &[("LDAP_BIND_DN", "cn=w,dc=example,dc=org"), (name, "x")]);
        let mut found = environment(&variables);
        found.variables.get_mut(name).unwrap().value = None;
        let settings = checkable::<LdapConfig>(&found, None, &Trust::empty()).unwrap();
        assert_eq!(settings.plan.is_some(), has_plan, "{name}");
        let told = settings.report(Vec::new());
        let check = CheckName::Variable(name.into());
        let told = told.iter().find(|finding| finding.name == check).unwrap();
        assert_eq!((told.result, told.reason), (CheckResult::Failed, Reason::VariableMalformed), "{name}");
    }
}
