//! The account, and the server that has it, whatever credentials it has.

use std::time::Duration;

use kube::ResourceExt;

use crate::{
    api::{DeletionPolicy, Reason, ServiceAccount, ServiceAccountSpec, service_account},
    instance::{BaseUrl, Member},
    net::{CaBundle, Trust},
    problem::{Problem, quote_exactly},
};

/// What checks and rendering need of the account.
pub struct AccountPlan {
    /// The account, and the server that has it.
    pub settings: AccountSettings,
    /// The authorities that may vouch for the server.
    pub trust: Trust,
    /// The authorities among them that the spec names.
    pub ca_bundle: Option<CaBundle>,
}

/// The account, and the server that has it.
pub struct AccountSettings {
    /// The base URL of W&B Server.
    pub base_url: BaseUrl,
    /// The user name of the account.
    pub account_name: String,
    /// The UID of the resource; empty for a manifest that was never in a cluster.
    pub uid: String,
    /// The team or organization to which the account belongs.
    pub membership: TeamMembership,
    /// The person to whom the account's runs are attributed.
    pub attribution: Option<Attribution>,
    /// The time limit of all checks together.
    pub time_limit: Duration,
    /// Whether the published Secret is kept when the resource is deleted.
    pub deletion_policy: DeletionPolicy,
}

/// The team or organization to which an account belongs.
pub enum TeamMembership {
    /// A team, by its name.
    Team(String),
    /// An organization.
    Organization {
        /// The name of the organization.
        name: String,
        /// The team to which programs log unless they name another one.
        default_team: String,
    },
}

impl TeamMembership {
    /// The team to which programs log unless they name another one.
    pub fn team(&self) -> &str {
        match self {
            Self::Team(team) | Self::Organization { default_team: team, .. } => team,
        }
    }
}

/// The person to whom runs are attributed.
pub enum Attribution {
    /// The person's user name.
    Username(String),
    /// The person's e-mail address.
    UserEmail(String),
}

impl Attribution {
    /// Whether the member of a team is this person.
    pub(super) fn is(&self, member: &Member) -> bool {
        match self {
            Self::Username(username) => member.username.as_ref() == Some(username),
            Self::UserEmail(email) => {
                member.email.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(email))
            }
        }
    }

    /// The message that nobody in the team is this person.
    pub(super) fn is_missing_from(&self, team: &str) -> String {
        let (field, person) = match self {
            Self::Username(username) => ("username", username),
            Self::UserEmail(email) => ("userEmail", email),
        };
        format!(
            "Nobody in the team \"{team}\" is \"{}\", so the server attributes no runs to that person. Correct spec.attribution.{field}, or add the person to the team in the web UI.",
            quote_exactly(person)
        )
    }
}

/// The user name of the account: that of the resource, unless the spec says another one.
pub(super) fn account_name(object: &ServiceAccount) -> String {
    object.spec.account_name.clone().unwrap_or_else(|| object.name_any())
}

/// The problem of a field that is not valid.
pub(super) fn invalid<T>(message: impl AsRef<str>) -> Result<T, Problem> {
    Err(Problem::new(Reason::InvalidSpec, format!("{}.", message.as_ref())))
}

/// The team or organization that the spec names.
pub(super) fn membership(spec: &ServiceAccountSpec) -> Result<TeamMembership, Problem> {
    match (&spec.team, &spec.organization) {
        (Some(team), None) => Ok(TeamMembership::Team(team.clone())),
        (None, Some(organization)) => Ok(TeamMembership::Organization {
            name: organization.name.clone(),
            default_team: organization.default_team.clone(),
        }),
        _ => invalid("exactly one of spec.team and spec.organization must be set"),
    }
}

/// The person whom the spec names.
pub(super) fn attribution(spec: &service_account::AttributionSpec) -> Result<Attribution, Problem> {
    match (&spec.username, &spec.user_email) {
        (Some(username), None) => Ok(Attribution::Username(username.clone())),
        (None, Some(email)) => Ok(Attribution::UserEmail(email.clone())),
        _ => invalid("spec.attribution must have exactly one of username and userEmail"),
    }
}
