//! The check `GroupAllowList`: whether its groups exist, and whether they let anybody in.

use super::{
    Directory, GroupName,
    connection::Connection,
    groups::{Group, Members},
    search::{limited, list},
    test_user::KnownPeople,
};
use crate::{api::Reason, engine::Checked, problem::Problem};

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
        return Err(Problem::new(
            Reason::GroupNotFound,
            format!(
                "The directory has no group {}. Check spec.groupAllowList, spec.groupSearch, and that the account may read groups.",
                list(&missing)
            ),
        ));
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
            "It cannot be told who is in {names}: nobody is listed, but it may be people's primary group. Allow the account to read primaryGroupToken, or name a group that lists its members."
        ))
    }));
    remarks.extend(with(Members::OnlyGroups).map(|names| {
        (Reason::NestedGroups, format!(
            "Only groups were seen among the members of {names}, and W&B does not document whether it follows groups within groups, so it may let nobody in by it: try a login, or name the groups that people are in."
        ))
    }));
    remarks.extend(with(Members::Hidden).map(|names| {
        (Reason::NotReadable, format!(
            "The account may search for the members of {names}, but not read them, as W&B may have to. Allow the account to read them in the directory, and try a login."
        ))
    }));
    remarks.extend(undecided(members).map(|(limit, names)| {
        (Reason::SearchLimited, format!(
            "The directory limits searches ({limit}), so it cannot be told who is in {}; see the checks of spec.testUsers.",
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
