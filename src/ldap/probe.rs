//! The order of the checks, and which of them depend on which.

use super::{
    Directory, LdapPlan, LdapProtection,
    allow_list::{NO_ALLOW_LIST, group_allow_list},
    attributes::attributes_present,
    base_dn::base_dn_exists,
    bind::bind,
    connection::Connection,
    groups::Group,
    start_tls::start_tls,
    test_user::{KnownPeople, test_user},
    wrong_port::{explain_handshake, explain_silence},
};
use crate::{
    api::CheckName,
    engine::{Checked, Report, check_tls, encrypt_stage_or, reach},
    net::{Duplex, Network, Said},
    problem::Problem,
};

/// Every check of the plan, in order.
pub fn checks(plan: &LdapPlan) -> Vec<CheckName> {
    let mut checks = checks_of_connection(plan);
    checks.extend([CheckName::BaseDnExists, CheckName::AttributesPresent, CheckName::GroupAllowList]);
    checks.extend((0..plan.directory.test_users.len()).map(CheckName::TestUser));
    checks
}

/// The checks up to a connection on which the account is bound, in order.
pub fn checks_of_connection(plan: &LdapPlan) -> Vec<CheckName> {
    let protection: &[CheckName] = match plan.directory.protection {
        LdapProtection::Tls(_) => &[CheckName::TlsVerifies],
        LdapProtection::StartTls(_) => &[CheckName::StartTls, CheckName::TlsVerifies],
        LdapProtection::Plaintext => &[],
    };
    let mut checks = vec![CheckName::DnsResolves, CheckName::EgressAllowed, CheckName::TcpConnects];
    checks.extend_from_slice(protection);
    checks.push(CheckName::Bind);
    checks
}

/// Runs the checks; what is not reached is recorded by the report.
pub async fn probe(plan: &LdapPlan, network: &Network, report: &mut Report) {
    let Some(mut connection) = bound(plan, network, report).await else { return };
    examine(plan, &mut connection, report).await;
    connection.close().await;
}

/// A connection on which the one bind of this run succeeded.
pub async fn bound(plan: &LdapPlan, network: &Network, report: &mut Report) -> Option<Connection> {
    let stream = protected(plan, network, report).await?;
    let Directory { url, protection, .. } = &plan.directory;
    report
        .check(CheckName::Bind, async {
            let mut connection = Connection::open(stream, network.meter()).await?;
            let credentials = plan.credentials.as_ref();
            let bind = async {
                match (bind(&mut connection, credentials, protection).await, protection) {
                    (Err(problem), LdapProtection::Plaintext) => {
                        Err(explain_silence(problem, plan, network).await)
                    }
                    (outcome, _) => outcome,
                }
            };
            let bound = match credentials {
                Some(credentials) => {
                    let login = credentials.login(&url.endpoint);
                    let said = |outcome: Result<&Checked, &Problem>| {
                        outcome.map_or_else(|problem| Said::by(problem.reason), |_| Said::Accepted)
                    };
                    let sent = network.send_once(&login, bind, said).await;
                    sent.map_err(|problem| credentials.located(problem))?
                }
                None => bind.await?,
            };
            Ok(bound.with(connection))
        })
        .await
}

/// A connection that is protected as the spec says.
pub async fn protected(plan: &LdapPlan, network: &Network, report: &mut Report) -> Option<Box<dyn Duplex>> {
    let directory = &plan.directory;
    let stream = reach(report, network, &directory.url.endpoint).await?;
    Some(match &directory.protection {
        LdapProtection::Plaintext => Box::new(stream),
        LdapProtection::Tls(name) => {
            let explain = |problem| explain_handshake(problem, plan, network);
            Box::new(encrypt_stage_or(report, stream, name, &plan.trust, explain).await?)
        }
        LdapProtection::StartTls(name) => {
            let stream = report
                .check(CheckName::StartTls, async {
                    let stream = match start_tls(stream, network.meter()).await {
                        Ok(stream) => stream,
                        Err(problem) => return Err(explain_silence(problem, plan, network).await),
                    };
                    Ok(Checked::passed(stream, "The server is ready for encryption."))
                })
                .await?;
            Box::new(check_tls(report, stream, name, &plan.trust).await?)
        }
    })
}

/// What needs the directory's contents. Attributes and groups are looked at independently of each
/// other, so that one run shows as much as it can.
async fn examine(plan: &LdapPlan, connection: &mut Connection, report: &mut Report) -> Option<()> {
    let directory = &plan.directory;
    report.check(CheckName::BaseDnExists, base_dn_exists(connection, directory)).await?;
    let mut known = KnownPeople::default();
    let attributes = attributes_present(connection, directory, &mut known);
    let attributes = report.check(CheckName::AttributesPresent, attributes).await;
    // A connection that ended after a check that passed must fail the next one, or nobody would see it.
    if attributes.is_none() && connection.is_over() {
        return None;
    }
    let allowed = allowed_groups(plan, connection, &mut known, report).await?;
    for (index, expected) in directory.test_users.iter().enumerate() {
        let checked = test_user(connection, directory, &allowed, expected);
        let checked = report.check(CheckName::TestUser(index), checked).await;
        if checked.is_none() && connection.is_over() {
            return None;
        }
    }
    Some(())
}

async fn allowed_groups(
    plan: &LdapPlan,
    connection: &mut Connection,
    known: &mut KnownPeople,
    report: &mut Report,
) -> Option<Vec<Group>> {
    if plan.directory.group_allow_list.is_empty() {
        report.skip(CheckName::GroupAllowList, NO_ALLOW_LIST);
        return Some(Vec::new());
    }
    let checked = group_allow_list(connection, &plan.directory, known);
    report.check(CheckName::GroupAllowList, checked).await
}
