//! Finds or creates the account in the team, as long as there is no API key of it yet.

use super::{
    super::account::AccountSettings,
    plan::{AccountPresence, ApiKeyEvidence, ApiKeyPlan},
};
use crate::{
    api::{CheckName, RECHECK_ANNOTATION, Reason, names::Resolution, service_account::AccountStatus},
    engine::{CheckContext, Checked, Report},
    instance::{self, ApiKey, Credential, Entity, Instance, ServerRefusal},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// Looks for the account, and reports what a person must do next. Records `ManualStepRequired`, and also
/// `Membership` unless the account does not exist yet.
pub(super) async fn look_up(
    account: &AccountSettings,
    own: &ApiKeyPlan,
    admin: &Sensitive,
    instance: Instance<'_>,
    report: &mut Report,
) -> ApiKeyEvidence {
    let found = match find(account, admin, instance).await {
        Ok(None) => AccountPresence::Absent,
        Ok(Some(present)) => {
            report.record(CheckName::Membership, Ok(made(account)));
            AccountPresence::Present(present)
        }
        Err(refusal) => {
            instance::check::<()>(report, CheckName::Membership, async { Err(refusal) }).await;
            return ApiKeyEvidence::default();
        }
    };
    report.record::<()>(CheckName::ManualStepRequired, Err(manual_step(account, own)));
    ApiKeyEvidence { account: found, ..ApiKeyEvidence::default() }
}

/// Creates the account, and records `Membership`.
pub(super) async fn create(
    account: &AccountSettings,
    admin: &Sensitive,
    instance: Instance<'_>,
    context: &CheckContext<'_>,
    evidence: ApiKeyEvidence,
    report: &mut Report,
) -> ApiKeyEvidence {
    let outcome = async {
        if let Some(refused) =
            context.refused_maintenance.filter(|finding| finding.name == CheckName::Membership)
        {
            return Err(Problem::new(refused.reason, refused.message.clone()).into());
        }
        let created = make(account, admin, instance).await?;
        Ok(made(account).with(created))
    };
    match instance::check(report, CheckName::Membership, outcome).await {
        Some(created) => ApiKeyEvidence { account: AccountPresence::Present(created), ..evidence },
        None => evidence,
    }
}

async fn find(
    account: &AccountSettings,
    admin: &Sensitive,
    instance: Instance<'_>,
) -> Result<Option<AccountStatus>, ServerRefusal> {
    let name = &account.account_name;
    let team = team(account, &credential(admin)?, instance).await?;
    let found = team.members.into_iter().find(|member| member.username.as_ref() == Some(name));
    match found.as_ref().and_then(|member| member.account_type.as_deref()) {
        Some(kind) if !kind.eq_ignore_ascii_case(SERVICE) => Err(Problem::new(
            Reason::AccountMismatch,
            format!(
                "\"{name}\" in the team \"{}\" is not a service account, but of the kind \"{}\", so it is not adopted. Set spec.accountName to a name that nobody has, or to a service account's.",
                account.membership.team(),
                quote(kind)
            ),
        )
        .into()),
        _ => Ok(found.map(|member| AccountStatus { id: member.id, username: name.clone() })),
    }
}

/// What a server calls the account type of service accounts.
const SERVICE: &str = "SERVICE";

async fn make(
    account: &AccountSettings,
    admin: &Sensitive,
    instance: Instance<'_>,
) -> Result<AccountStatus, ServerRefusal> {
    let AccountSettings { account_name, membership, .. } = account;
    let credential = credential(admin)?;
    let asked = instance.create_service_account(&credential, account_name, membership.team());
    // The remaining time is reserved for checking whether the account was created, in case there is no answer.
    let made = match tokio::time::timeout(account.time_limit.mul_f64(0.6), asked).await {
        Ok(made) => made,
        Err(_) => Err(Problem::new(Reason::TimedOut, "The server did not answer in time.").into()),
    };
    let id = match made {
        Ok(id) => id,
        Err(refusal) if is_unanswered(&refusal) => {
            return unanswered(account, admin, instance, refusal).await;
        }
        Err(refusal) => return Err(of_administrator(refusal)),
    };
    // Without this check, a server that names accounts differently would be asked to create another one in every
    // run.
    let members = team(account, &credential, instance).await?.members;
    let username = members.into_iter().find(|member| member.id == id).and_then(|member| member.username);
    match username {
        Some(username) if username != *account_name => Err(Problem::new(
            Reason::AccountMismatch,
            format!(
                "The server made the account and named it \"{}\" instead of \"{account_name}\". Set spec.accountName to that name.",
                quote(&username)
            ),
        )
        .into()),
        _ => Ok(AccountStatus { id, username: account_name.clone() }),
    }
}

/// Whether the server may have created the account although it did not confirm that.
fn is_unanswered(refusal: &ServerRefusal) -> bool {
    let reason = refusal.problem.reason;
    reason.remedy() == Resolution::Retry && !matches!(reason, Reason::RateLimited | Reason::ConnectionRefused)
}

/// Checks whether the account was created. If it cannot be found, the result is a refusal that needs a person,
/// because asking again soon could create one account after the other.
async fn unanswered(
    account: &AccountSettings,
    admin: &Sensitive,
    instance: Instance<'_>,
    refusal: ServerRefusal,
) -> Result<AccountStatus, ServerRefusal> {
    if let Ok(Some(found)) = find(account, admin, instance).await {
        return Ok(found);
    }
    let name = &account.account_name;
    Err(of_administrator(
        Problem::new(
            Reason::QueryFailed,
            format!(
                "The operator does not know whether the server made the account \"{name}\": {} If the team \"{}\" has a new service account of another name, set spec.accountName to that name. The account is asked for again after an hour, or at once when the annotation {RECHECK_ANNOTATION} gets a new value.",
                refusal.problem.message,
                account.membership.team()
            ),
        )
        .into(),
    ))
}

async fn team(
    account: &AccountSettings,
    credential: &Credential,
    instance: Instance<'_>,
) -> Result<Entity, ServerRefusal> {
    let name = account.membership.team();
    instance.entity(credential, name).await.map_err(of_administrator)?.ok_or_else(|| {
        Problem::new(
            Reason::AccessDenied,
            format!(
                "The server shows no team \"{name}\" to the account of spec.credentials.apiKey.createWith.adminKeySecretRef. Correct spec.team, make the team in the web UI, or use the key of one of its administrators."
            ),
        )
        .into()
    })
}

fn credential(admin: &Sensitive) -> Result<Credential, ServerRefusal> {
    ApiKey::parse(admin).map(Credential::Key).map_err(|problem| of_administrator(problem.into()))
}

/// Says in the message that the problem concerns the administrator's key and not the account's own.
fn of_administrator(
    ServerRefusal { problem: Problem { reason, message }, retry_after }: ServerRefusal,
) -> ServerRefusal {
    let message = format!("With the key of spec.credentials.apiKey.createWith.adminKeySecretRef: {message}");
    ServerRefusal { problem: Problem { reason, message }, retry_after }
}

/// The message does not say whether the account was created or found, so that later runs produce the same one.
fn made(account: &AccountSettings) -> Checked {
    let AccountSettings { account_name, membership, .. } = account;
    Checked::passed((), format!("The account \"{account_name}\" is in the team \"{}\".", membership.team()))
}

/// The problem that a person must make the first key: since release 0.77, a server gives nobody a key for another
/// account.
fn manual_step(account: &AccountSettings, own: &ApiKeyPlan) -> Problem {
    let AccountSettings { account_name, membership, base_url, .. } = account;
    let (secret, key) = &own.settings.bootstrap;
    Problem::new(
        Reason::ManualStepRequired,
        format!(
            "The account \"{account_name}\" has no API key here, and only a person can make its first one: open {base_url}, choose the team \"{}\", Team settings, Service accounts, and create an API key for \"{account_name}\". Copy the key, and put it into \"{key}\" of the Secret \"{secret}\" in this namespace.",
            membership.team()
        ),
    )
}
