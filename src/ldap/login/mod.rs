//! A person's login, tried once: who the person is in the directory, whether the password is right, and what W&B Server
//! would read.
//!
//! W&B does not document by which attribute it finds people. So the usual ones are all looked at, and the report says
//! which of them has the name.

mod groups;
mod password;

use super::{
    Directory, LdapPlan,
    connection::Connection,
    entry::Entry,
    hints::HintTime,
    person::{FoundPerson, PersonSearch, look_for},
    probe::{bound, checks_of_connection},
    search::{any_of, equals, limited},
    spec::is_attribute_name,
};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    login::PersonAsRead,
    net::Network,
    problem::{Problem, enumerate, quote},
    sensitive::Sensitive,
};

/// What a person types at the login page.
pub struct LdapLogin {
    /// The name.
    pub user: String,
    /// The password. It is not empty: a bind without one proves nothing, and directories accept it.
    password: Sensitive,
    /// The attribute that has the name, if the person says so.
    attribute: Option<String>,
}

impl LdapLogin {
    /// What is typed, if it can be tried; the error says why not.
    pub fn new(user: &str, password: Sensitive, attribute: Option<&str>) -> Result<Self, String> {
        if user.trim().is_empty() {
            return Err("the user's name is empty, so nothing was sent".to_owned());
        }
        if password.expose().is_empty() {
            return Err(
                "the password is empty, so nothing was sent: a directory takes a bind without a password for an anonymous one, and accepts it whoever the user is"
                    .to_owned(),
            );
        }
        if let Some(attribute) = attribute.filter(|attribute| !is_attribute_name(attribute)) {
            return Err(format!("\"{}\" cannot be the name of an attribute", quote(attribute)));
        }
        Ok(Self { user: user.to_owned(), password, attribute: attribute.map(str::to_owned) })
    }

    /// The password, which no message may have.
    pub fn password(&self) -> &Sensitive {
        &self.password
    }

    /// The attributes that may have the name, each once.
    fn attributes<'a>(&'a self, directory: &'a Directory) -> Vec<&'a str> {
        if let Some(attribute) = &self.attribute {
            return vec![attribute];
        }
        let mut attributes = vec![directory.attributes.email.as_str()];
        attributes.extend(USUAL_ATTRIBUTES.into_iter().filter(|usual| *usual != directory.attributes.email));
        attributes
    }
}

/// The attributes in which directories have the names that people log in with, across products.
const USUAL_ATTRIBUTES: [&str; 4] = ["uid", "sAMAccountName", "userPrincipalName", "cn"];

/// The attributes that have the name for people, the better one first.
const NAMES: [&str; 2] = ["displayName", "cn"];

/// Every check of a login, in order.
pub fn login_checks(plan: &LdapPlan) -> Vec<CheckName> {
    let mut checks = checks_of_connection(plan);
    checks.extend([
        CheckName::PersonFound,
        CheckName::PasswordAccepted,
        CheckName::EmailRead,
        CheckName::GroupsRead,
        CheckName::LoginAllowed,
    ]);
    checks
}

/// Tries the login. The password is sent once, and only for an entry that is the only one of the name; what W&B Server
/// would read of the person is looked at whether or not the password is right.
pub async fn log_in(
    plan: &LdapPlan,
    network: &Network,
    login: &LdapLogin,
    report: &mut Report,
) -> Option<PersonAsRead> {
    let mut connection = bound(plan, network, report).await?;
    let person = try_person(plan, network, login, (&mut connection, report)).await;
    connection.close().await;
    person
}

async fn try_person(
    plan: &LdapPlan,
    network: &Network,
    login: &LdapLogin,
    (connection, report): (&mut Connection, &mut Report),
) -> Option<PersonAsRead> {
    let directory = &plan.directory;
    let entry = report.check(CheckName::PersonFound, find(connection, directory, login)).await?;
    let password = Box::pin(password::accepted(plan, network, &entry, &login.password));
    report.check(CheckName::PasswordAccepted, password).await;
    let email = report.check(CheckName::EmailRead, email(connection, directory, &entry)).await;
    let mut person = PersonAsRead {
        name: NAMES.iter().find_map(|name| entry.values(name).next()).map(str::to_owned),
        known_as: email.clone(),
        email,
        entry: Some(entry.dn.clone()),
        ..PersonAsRead::default()
    };
    let groups = report.check(CheckName::GroupsRead, groups::read(connection, directory, &entry)).await;
    person.groups = groups.unwrap_or_default();
    if directory.group_allow_list.is_empty() {
        report.skip(CheckName::LoginAllowed, super::allow_list::NO_ALLOW_LIST);
        return Some(person);
    }
    let allowed = groups::allowed(connection, directory, &entry);
    person.allowed_by = report.check(CheckName::LoginAllowed, allowed).await.unwrap_or_default();
    Some(person)
}

/// The one entry of the name.
async fn find(
    connection: &mut Connection,
    directory: &Directory,
    login: &LdapLogin,
) -> Result<Checked<Entry>, Problem> {
    let attributes = login.attributes(directory);
    let filters: Vec<_> = attributes.iter().map(|attribute| equals(attribute, &login.user)).collect();
    let further = [attributes.as_slice(), &NAMES].concat();
    let (search, _) = look_for(connection, directory, &any_of(&filters), &further).await?;
    let (user, base) = (quote(&login.user), quote(directory.user_base().as_str()));
    let named = format!("under {base} with \"{user}\" as {}", enumerate_or(&attributes));
    match search {
        PersonSearch::One(FoundPerson { entry, doubt }) => {
            Ok(found((login, &directory.attributes.email), &attributes, entry, doubt))
        }
        PersonSearch::Nobody(Some(limit)) => {
            Err(limited(&limit, &format!("whether there is an entry {named}, and the password was not sent")))
        }
        PersonSearch::Nobody(None) => Err(Problem::new(
            Reason::UserNotFound,
            format!(
                "There is no entry {named}, so the password was not sent. Check the spelling, spec.baseDN and spec.userSearch, and that the account may read the entry."
            ),
        )),
        PersonSearch::Several(dns) => Err(Problem::new(
            Reason::UserNotUnique,
            format!(
                "There are several entries {named}, such as {}, so the password was not sent to any of them. Log in with a name that only one entry has, or narrow spec.userSearch; --login-attribute tries one attribute alone.",
                dns.iter().map(|dn| quote(dn)).collect::<Vec<_>>().join(" and ")
            ),
        )),
    }
}

/// What is not known of every login.
const UNDOCUMENTED: &str =
    "W&B does not document which attribute it compares with the name that people type.";

fn found(
    (login, email): (&LdapLogin, &str),
    attributes: &[&str],
    entry: Entry,
    doubt: Option<String>,
) -> Checked<Entry> {
    let has = |attribute: &&&str| {
        entry.values(attribute).any(|value| value.to_lowercase() == login.user.to_lowercase())
    };
    let having: Vec<_> = attributes.iter().filter(has).copied().collect();
    let by = if having.is_empty() { String::new() } else { format!(" by {}", enumerate(&having)) };
    let seen = format!("The directory has {}, found{by}.", quote(&entry.dn));
    match doubt {
        Some(limit) => Checked::warning(
            entry,
            Reason::SearchLimited,
            format!(
                "{seen} It limits searches ({limit}), so the operator cannot see whether others have the name, too."
            ),
        ),
        None if having.contains(&email) => Checked::passed(entry, format!("{seen} {UNDOCUMENTED}")),
        None => Checked::warning(
            entry,
            Reason::Inconclusive,
            format!("{seen} {UNDOCUMENTED} If the login page refuses this name, try the e-mail address."),
        ),
    }
}

/// `a, b or c`.
fn enumerate_or(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// The e-mail address that W&B Server reads: the first one under exactly this name.
async fn email(
    connection: &mut Connection,
    directory: &Directory,
    entry: &Entry,
) -> Result<Checked<String>, Problem> {
    let attribute = &directory.attributes.email;
    let mut values = entry.values_as_written(attribute);
    if let Some(first) = values.next() {
        let others =
            if values.next().is_some() { " The entry has several, in an order that may change." } else { "" };
        let message = format!(
            "W&B Server reads {} from {attribute}, and knows the person by it.{others}",
            quote(first)
        );
        return Ok(Checked::passed(first.to_owned(), message));
    }
    if entry.values(attribute).next().is_some() {
        return Err(Problem::new(
            Reason::AttributeNameDiffers,
            format!(
                "The directory returns {attribute} under another spelling of that name, by which W&B Server does not find it. Write spec.attributes.email as the directory does."
            ),
        ));
    }
    let there = HintTime::default().attributes_there(connection, entry, "email", attribute).await;
    Err(Problem::new(
        Reason::AttributeMissing,
        format!(
            "{} has no {attribute} that the account may read, and W&B Server needs the e-mail address.{} Add it to the entry, or set spec.attributes.email to the attribute that holds it.",
            quote(&entry.dn),
            there.map_or_else(String::new, |there| format!(" {there}"))
        ),
    ))
}
