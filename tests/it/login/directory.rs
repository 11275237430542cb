//! Logins through a real directory, with every bind counted there.

use anyhow::{Result, ensure};
use insta::assert_snapshot;
use serde_json::json;
use test_support::{ControlPlane, Slapd, User};

use super::{assert_found, check};
use crate::{
    command_line::{
        call::{Directory, PLANTED, Printed},
        verdicts::references,
    },
    world::{PASSWORD, certificate, ldap_config, put_references, workspace},
};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const CAROL: &str = "uid=carol,ou=people,dc=example,dc=org";

/// People who cannot log in as they are, and groups within groups.
const MORE: &str = "
dn: uid=twin,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin
cn: alice
sn: Example
mail: twin@example.org
userPassword: twin-password

dn: uid=nomail,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: posixAccount
uid: nomail
cn: nomail
sn: Example
uidNumber: 10010
gidNumber: 5001
homeDirectory: /home/nomail
userPassword: nomail-password

dn: cn=team,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: team
member: uid=carol,ou=people,dc=example,dc=org

dn: cn=company,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: company
member: cn=team,ou=groups,dc=example,dc=org
";

/// A directory, and the files of an `LdapConfig` for it.
pub(super) struct World {
    pub(super) slapd: Slapd,
    pub(super) files: Directory,
}

impl World {
    /// The resource with these further lines in its spec.
    pub(super) fn new(more: &str) -> Result<Self> {
        let certificate = certificate()?;
        let slapd = Slapd::builder(PASSWORD).certificate(&certificate).extra_ldif(MORE).start()?;
        let files = Directory::with(&[
            ("corp.yaml", &ldap_config(&slapd.ldaps_url()?, more)),
            ("references.yaml", &references(PASSWORD, &certificate)),
        ])?;
        Ok(Self { slapd, files })
    }

    /// Tries the login of this user with this password.
    fn log_in(&self, user: &str, password: &str, more: &str) -> Result<Printed> {
        let words = format!("login -f corp.yaml -f references.yaml --user {user} --password-stdin {more}");
        let printed = self.files.call_with_input(words.trim_end(), password)?;
        printed.assert_no_secret();
        let is_shown = |text: &str| password.len() > 3 && text.contains(password);
        ensure!(!is_shown(&printed.stdout) && !is_shown(&printed.stderr), "the password is shown: {printed}");
        Ok(printed)
    }

    /// How often anybody has bound as these people, and not as the service account.
    fn binds_of_people(&self) -> Result<usize> {
        let log = self.slapd.log().read()?.to_lowercase();
        Ok(log.lines().filter(|line| line.contains("bind dn=\"uid=") && line.contains("method=")).count())
    }
}

#[test]
fn the_right_password_is_sent_once_and_shows_whom_the_server_would_see() -> Result<()> {
    let world = World::new("groupAllowList: [wandb]")?;
    let printed = world.log_in("alice@example.org", "alice-password\n", "")?;
    assert_eq!(printed.code, 0, "{printed}");
    assert_snapshot!(printed);
    assert_eq!((world.slapd.bind_attempts(ALICE)?, world.binds_of_people()?), (1, 1));
    assert_eq!(world.slapd.bind_attempts(Slapd::SERVICE_DN)?, 1);

    let printed = world.log_in("bob", "bob-password", "-o json")?;
    let report = printed.json()?;
    // The server may look for the name elsewhere.
    assert_found(&report, "PersonFound", "Warning", "Inconclusive")?;
    assert_eq!((printed.code, &report["verdict"]), (0, &json!("PassedWithWarnings")), "{printed}");
    assert_eq!(
        report["person"],
        json!({
            "entry": "uid=bob,ou=people,dc=example,dc=org",
            "email": "bob@example.org",
            "name": "bob",
            "groups": [
                "5001",
                "cn=developers,ou=groups,dc=example,dc=org",
                "cn=wandb,ou=groups,dc=example,dc=org",
            ],
            "allowedBy": ["wandb"],
            "knownAs": "bob@example.org",
        })
    );
    let summary = "bob can log in only if W&B Server finds the entry by the attribute that has this name (see PersonFound). W&B Server would know this login as bob@example.org.";
    assert_eq!(report["summary"], summary);
    assert!(check(&report, "TlsVerifies").is_ok());
    Ok(())
}

#[test]
fn a_refused_password_is_sent_once() -> Result<()> {
    let world = World::new("groupAllowList: [wandb]")?;
    let printed = world.log_in("alice@example.org", PLANTED, "")?;
    assert_eq!(printed.code, 1, "{printed}");
    assert_snapshot!(printed);
    assert_eq!((world.slapd.bind_attempts(ALICE)?, world.binds_of_people()?), (1, 1));
    Ok(())
}

#[test]
fn an_empty_password_is_never_sent() -> Result<()> {
    let world = World::new("")?;
    for input in ["", "\n", "\r\n"] {
        let printed = world.log_in("alice@example.org", input, "")?;
        assert_eq!((printed.code, printed.stdout.as_str()), (2, ""), "{printed}");
        ensure!(printed.stderr.contains("the password is empty, so nothing was sent"), "{printed}");
    }
    assert_eq!((world.binds_of_people()?, world.slapd.bind_attempts(Slapd::SERVICE_DN)?), (0, 0));
    Ok(())
}

#[test]
fn nothing_is_sent_for_nobody_or_for_several() -> Result<()> {
    let world = World::new("")?;
    for (user, password, reason, words) in [
        ("mallory", PLANTED, "UserNotFound", "There is no entry under dc=example,dc=org with \"mallory\""),
        ("*", PLANTED, "UserNotFound", "with \"*\""),
        // Both have the common name alice.
        ("alice", "alice-password", "UserNotUnique", "uid=twin,ou=people"),
    ] {
        let printed = world.log_in(user, password, "-o json")?;
        assert_eq!(printed.code, 1, "{printed}");
        let report = printed.json()?;
        let message = assert_found(&report, "PersonFound", "Failed", reason)?;
        ensure!(message.contains(words) && message.contains("the password was not sent"), "{message}");
        assert_found(&report, "PasswordAccepted", "Skipped", "NotReached")?;
    }
    assert_eq!(world.binds_of_people()?, 0);
    // The person may say which attribute it is.
    let printed = world.log_in("alice", "alice-password", "--login-attribute uid")?;
    assert_eq!((printed.code, world.binds_of_people()?), (0, 1), "{printed}");
    Ok(())
}

#[test]
fn who_is_in_no_group_of_the_list_is_told() -> Result<()> {
    let world = World::new("groupAllowList: [wandb, company-of-nobody]")?;
    let printed = world.log_in("carol", "carol-password", "")?;
    assert_eq!((printed.code, world.slapd.bind_attempts(CAROL)?), (1, 1), "{printed}");
    assert_snapshot!(printed);
    Ok(())
}

#[test]
fn groups_within_groups_are_a_warning() -> Result<()> {
    let world = World::new("groupAllowList: [company]")?;
    let printed = world.log_in("carol", "carol-password", "-o json")?;
    assert_eq!(printed.code, 0, "{printed}");
    let report = printed.json()?;
    assert_found(&report, "LoginAllowed", "Warning", "NestedGroups")?;
    assert_eq!(report["verdict"], "PassedWithWarnings");
    ensure!(
        report["summary"].as_str().is_some_and(|text| text.contains("only if W&B Server finds")
            && text.contains("and if W&B Server follows groups")),
        "{printed}"
    );
    Ok(())
}

#[test]
fn who_has_no_address_cannot_log_in() -> Result<()> {
    let world = World::new("login: false")?;
    let printed = world.log_in("nomail", "nomail-password", "-o yaml")?;
    assert_eq!(printed.code, 1, "{printed}");
    ensure!(
        printed.stdout.contains("name: EmailRead\n  result: Failed\n  reason: AttributeMissing"),
        "{printed}"
    );
    ensure!(printed.stdout.contains("spec.login is false"), "{printed}");
    assert_eq!(world.binds_of_people()?, 1);
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_reached_says_nothing_of_the_person() -> Result<()> {
    let mut world = World::new("")?;
    world.slapd.stop()?;
    let printed = world.log_in("alice", "alice-password", "")?;
    assert_eq!(printed.code, 1, "{printed}");
    ensure!(printed.stdout.contains("Whether alice can log in was not seen: see TcpConnects."), "{printed}");
    Ok(())
}

#[test]
fn what_cannot_be_used_ends_with_two() -> Result<()> {
    let world = World::new("")?;
    for (words, complaint) in [
        ("login -f corp.yaml --user alice --password-stdin", "ResolvedRefs"),
        ("login -f corp.yaml -f references.yaml --user alice", "standard input is no terminal"),
        ("login -f corp.yaml -f references.yaml --password-stdin", "standard input is no terminal"),
        ("login ldap/other -f corp.yaml -f references.yaml", "the files have no ldap/other"),
        ("login -f references.yaml", "there is no LdapConfig"),
        ("login", "required"),
        (
            "login -f corp.yaml -f references.yaml --user a --password-stdin --login-attribute a)(b",
            "cannot be the name of an attribute",
        ),
        ("login -f corp.yaml -f references.yaml --user a --password-stdin --enforce-egress", "EgressAllowed"),
    ] {
        let printed = world.files.call_with_input(words, PLANTED)?;
        let expected = if words.contains("egress") { 1 } else { 2 };
        assert_eq!(printed.code, expected, "{printed}");
        let text = format!("{}{}", printed.stdout, printed.stderr);
        ensure!(text.contains(complaint) && !text.contains(PLANTED), "{complaint}: {printed}");
    }
    assert_eq!(world.binds_of_people()?, 0);
    Ok(())
}

#[tokio::test]
async fn the_resource_and_its_secrets_are_read_from_the_cluster() -> Result<()> {
    let certificate = certificate()?;
    let slapd = Slapd::builder(PASSWORD).certificate(&certificate).start()?;
    let workspace = workspace().await?;
    put_references(&workspace, &certificate).await?;
    workspace.apply(&ldap_config(&slapd.ldaps_url()?, "")).await?;
    let files = Directory::with(&[])?
        .variable("KUBECONFIG", ControlPlane::shared().await?.kubeconfig(User::Admin).display().to_string());
    let namespace = workspace.namespace();
    let words = format!("login ldap/corp -n {namespace} --user alice --password-stdin");
    let printed = files.call_with_input(&words, "alice-password")?;
    assert_eq!(printed.code, 0, "{printed}");
    ensure!(printed.stdout.contains(&format!("LdapConfig {namespace}/corp")), "{printed}");
    assert_eq!(slapd.bind_attempts(ALICE)?, 1);
    let printed = files.call(&format!("login ldap/other -n {namespace}"))?;
    assert_eq!(printed.code, 2);
    ensure!(printed.stderr.contains("there is no LdapConfig \"other\""), "{printed}");
    Ok(())
}
