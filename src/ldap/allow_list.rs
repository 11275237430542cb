//! The check `GroupAllowList`: whether its groups exist, and whether they let anybody in; and the look
//! `AllowListRead`: whether the target's server reads the list at all.

use super::{
    Directory, GroupName,
    connection::Connection,
    groups::{Group, Members},
    hints::HintTime,
    search::{limited, list},
    test_user::KnownPeople,
};
use crate::{
    api::{LdapConfigSpec, Reason},
    engine::Checked,
    problem::Problem,
    workloads::{Dialect, Environment},
};

/// What is said where there is no list.
pub const NO_ALLOW_LIST: &str = "spec.groupAllowList is not set, so everybody under the base DN may log in.";

/// Looks every group of the allow list up, and whether somebody is in it.
pub async fn group_allow_list(
    connection: &mut Connection,
    directory: &Directory,
    known: &mut KnownPeople,
) -> Result<Checked<Vec<Group>>, Problem> {
    let names = &directory.group_allow_list;
    let (mut groups, mut members, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match Group::find(connection, directory, name).await? {
            None => missing.push(name),
            Some(group) => {
                members.push((name, group.members(connection, directory).await?));
                groups.push(group);
            }
        }
    }
    if !missing.is_empty() {
        return Err(not_found(connection, directory, &missing, HintTime::default()).await);
    }
    if members.iter().all(|(_, members)| *members == Members::None) {
        return Err(Problem::new(
            Reason::NobodyAllowed,
            format!(
                "No group of spec.groupAllowList has a member ({}), so nobody could log in. Add people to one of the groups in the directory, or allow the account to read who is in them.",
                list(&names.iter().collect::<Vec<_>>())
            ),
        ));
    }
    // What is told of people by name stands for what a search for everybody would tell.
    if let Some((limit, undecided)) = undecided(&members)
        && known.get(connection, directory).await.is_empty()
    {
        return Err(limited(limit, &format!("whether {} exists and who is in it", list(&undecided))));
    }
    Ok(judge(groups, &members))
}

/// Tells which groups are missing, and what there is instead of the first few of them.
async fn not_found(
    connection: &mut Connection,
    directory: &Directory,
    missing: &[&GroupName],
    mut time: HintTime,
) -> Problem {
    const HINTS: usize = 3;
    let mut words = vec![format!("The directory has no group {}.", list(missing))];
    for name in missing.iter().take(HINTS) {
        let hint = time.similar_groups(connection, directory, name).await;
        words.extend(hint.filter(|hint| !words.contains(hint)));
    }
    words.push(
        "Check spec.groupAllowList, spec.groupSearch, and that the account may read groups.".to_owned(),
    );
    Problem::new(Reason::GroupNotFound, words.join(" "))
}

type NamedMembers<'a> = (&'a GroupName, Members);

/// The groups of which the directory does not let it be told who is in them, and its limit.
fn undecided<'a>(members: &'a [NamedMembers<'a>]) -> Option<(&'a str, Vec<&'a GroupName>)> {
    let undecided: Vec<_> = members
        .iter()
        .filter_map(|(name, members)| match members {
            Members::Undecided(limit) => Some((limit.as_str(), *name)),
            _ => None,
        })
        .collect();
    let limit = undecided.first()?.0;
    Some((limit, undecided.into_iter().map(|(_, name)| name).collect()))
}

/// Groups that exist: says what is doubtful about them.
fn judge(groups: Vec<Group>, members: &[NamedMembers<'_>]) -> Checked<Vec<Group>> {
    let remarks = remarks(members);
    let text = remarks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ");
    match (remarks.first(), groups.len()) {
        (Some((reason, _)), _) => Checked::warning(groups, *reason, text),
        (None, 1) => Checked::passed(groups, "The group exists and has members."),
        (None, count) => Checked::passed(groups, format!("All {count} groups exist and have members.")),
    }
}

fn remarks(members: &[NamedMembers<'_>]) -> Vec<(Reason, String)> {
    let with = |wanted: Members| {
        let names: Vec<_> =
            members.iter().filter(|(_, members)| *members == wanted).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| list(&names))
    };
    let mut remarks = Vec::new();
    remarks.extend(
        with(Members::None)
            .map(|names| (Reason::GroupEmpty, format!("Nobody is a member of {names}; check the list."))),
    );
    remarks.extend(with(Members::OnlyPrimary).map(|names| {
        (Reason::GroupEmpty, format!(
            "People are in {names} only as their primary group, which W&B may not see: try a login, or name a group that lists its members."
        ))
    }));
    remarks.extend(with(Members::Unknown).map(|names| {
        (Reason::GroupEmpty, format!(
            "The operator cannot see who is in {names}: nobody is listed, but it may be people's primary group. Allow the account to read primaryGroupToken, or name a group that lists its members."
        ))
    }));
    remarks.extend(with(Members::OnlyGroups).map(|names| {
        (Reason::NestedGroups, format!(
            "Only groups were seen among the members of {names}, and W&B does not document whether it follows groups within groups, so the list may allow nobody to log in: try a login, or name the groups that people are in."
        ))
    }));
    remarks.extend(with(Members::Hidden).map(|names| {
        (Reason::NotReadable, format!(
            "The account can search for the members of {names}, but cannot read them, and W&B may need to. Allow the account to read them in the directory, and try a login."
        ))
    }));
    remarks.extend(undecided(members).map(|(limit, names)| {
        (Reason::SearchLimited, format!(
            "The directory limits searches ({limit}), so the operator cannot see who is in {}; see the checks of spec.testUsers.",
            list(&names)
        ))
    }));
    let ambiguous: Vec<_> =
        members.iter().map(|(name, _)| *name).filter(|name| name.as_str().contains(',')).collect();
    if !ambiguous.is_empty() {
        remarks.push((Reason::AmbiguousSeparator, format!(
            "The list is published separated by commas, and W&B does not document how it reads names that contain one ({}): try a login, or name the group by its cn.",
            list(&ambiguous)
        )));
    }
    remarks
}

/// Whether the server of the target keeps out who is in no group of the list. W&B documents its variable for
/// one image only, and a server that does not read it lets everybody in. What the server does is seen by a
/// login alone, so a person tries one, and writes down who was refused.
pub fn is_read(spec: &LdapConfigSpec, environment: &Environment) -> Option<Checked> {
    if spec.group_allow_list.is_empty() {
        return None;
    }
    if environment.dialect == Dialect::Local {
        return Some(Checked::passed((), "W&B documents the list for the image wandb/local."));
    }
    if spec.test_users.iter().any(|user| user.expect.allowed == Some(false)) {
        return Some(Checked::passed((), "spec.testUsers has somebody whom the list does not allow."));
    }
    Some(Checked::warning(
        (),
        Reason::AllowListUnproven,
        "W&B documents LOCAL_LDAP_GROUP_ALLOW_LIST for the image wandb/local alone, and a server that does not read the list allows everybody in the directory to log in. Let somebody who is in none of the groups log in at W&B's own login page; once that is refused, add the person to spec.testUsers with expect.allowed: false.",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        api::{CheckName, CheckResult},
        engine::Finding,
        net::{EgressPolicy, Network},
    };

    /// The hints cost as much time as the directory takes, and a group that is missing is for a person to mend.
    #[tokio::test]
    async fn a_missing_group_is_told_though_no_hint_comes() {
        let (stream, _silent) = tokio::io::duplex(1024);
        let network = Network::new(EgressPolicy::Unrestricted);
        let mut connection = Connection::open(Box::new(stream), network.meter()).await.unwrap();
        let spec = json!({
            "address": "ldaps://ldap.example.com",
            "baseDN": "dc=example,dc=org",
            "groupAllowList": ["wandb", "staff"],
        });
        let directory = Directory::parse(&serde_json::from_value(spec).unwrap()).unwrap();
        let missing: Vec<_> = directory.group_allow_list.iter().collect();
        let time = HintTime::of(Duration::from_millis(20));
        let told = not_found(&mut connection, &directory, &missing, time);
        let problem = tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
        assert_eq!(problem.reason, Reason::GroupNotFound);
        assert!(!problem.message.contains("similar name"), "{}", problem.message);
    }

    #[test]
    fn a_list_that_may_not_be_read_is_told_until_a_person_was_kept_out() {
        let spec = |list: &[&str], allowed: Option<bool>| -> LdapConfigSpec {
            serde_json::from_value(json!({
                "address": "ldaps://ldap.example.com",
                "baseDN": "dc=example,dc=org",
                "groupAllowList": list,
                "testUsers": allowed
                    .map(|allowed| json!({"filter": "(uid=a)", "expect": {"allowed": allowed}}))
                    .into_iter()
                    .collect::<Vec<_>>(),
            }))
            .unwrap()
        };
        for (list, allowed, dialect, expected) in [
            (&[][..], None, Dialect::Both, None),
            (&["wandb"], None, Dialect::Local, Some(CheckResult::Passed)),
            (&["wandb"], None, Dialect::Split, Some(CheckResult::Warning)),
            (&["wandb"], Some(true), Dialect::Split, Some(CheckResult::Warning)),
            (&["wandb"], Some(false), Dialect::Split, Some(CheckResult::Passed)),
            (&["wandb"], None, Dialect::Both, Some(CheckResult::Warning)),
        ] {
            let environment = Environment { dialect, ..Environment::default() };
            let told = is_read(&spec(list, allowed), &environment);
            let told = told.map(|checked| Finding::noted(CheckName::AllowListRead, checked).result);
            assert_eq!(told, expected, "{list:?} {allowed:?} {dialect:?}");
        }
    }
}
