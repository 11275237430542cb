//! Checks whether the account is in the team, and also the person to whom its runs are attributed.

use super::super::account::{AccountSettings, TeamMembership};
use crate::{
    api::{CheckName, Reason},
    engine::{Checked, Report},
    instance::{self, Credential, Entity, Instance, ServerRefusal, Viewer},
    problem::{Problem, enumerate},
};

/// Records `Membership`. `None` means that the check failed.
pub(super) async fn check(
    account: &AccountSettings,
    instance: Instance<'_>,
    credential: &Credential,
    viewer: &Viewer,
    report: &mut Report,
) -> Option<()> {
    instance::check(report, CheckName::Membership, judge(account, instance, credential, viewer)).await
}

async fn judge(
    account: &AccountSettings,
    instance: Instance<'_>,
    credential: &Credential,
    viewer: &Viewer,
) -> Result<Checked, ServerRefusal> {
    let team = account.membership.team();
    let listed = viewer.teams.iter().any(|name| name == team);
    let attribution = account.attribution.as_ref();
    if listed && attribution.is_none() {
        return Ok(Checked::passed((), member_of(&account.membership)));
    }
    let entity = instance.entity(credential, team).await?;
    let members = entity.map(|Entity { members, .. }| members).unwrap_or_default();
    if !listed && !members.iter().any(|member| member.id == viewer.id) {
        return Err(not_a_member(account, viewer).into());
    }
    match attribution {
        Some(person) if !members.iter().any(|member| person.is(member)) => {
            Ok(Checked::warning((), Reason::NotAMember, person.is_missing_from(team)))
        }
        _ => Ok(Checked::passed((), member_of(&account.membership))),
    }
}

fn member_of(membership: &TeamMembership) -> String {
    match membership {
        TeamMembership::Team(team) => format!("The account is in the team \"{team}\"."),
        TeamMembership::Organization { name, default_team } => {
            format!(
                "The account is in the team \"{default_team}\"; the server does not say whether that is a team of the organization \"{name}\"."
            )
        }
    }
}

fn not_a_member(account: &AccountSettings, viewer: &Viewer) -> Problem {
    let (name, team) = (&account.account_name, account.membership.team());
    let (field, clicks) = match &account.membership {
        TeamMembership::Team(_) => ("spec.team", "add it to the team in the web UI"),
        TeamMembership::Organization { .. } => {
            ("spec.organization.defaultTeam", "make that team its default team in the web UI")
        }
    };
    Problem::new(
        Reason::NotAMember,
        format!(
            "The account \"{name}\" is not in the team \"{team}\"; it is in {}. Correct {field}, or {clicks}.",
            enumerate(&viewer.teams)
        ),
    )
}
