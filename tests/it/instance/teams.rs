//! Teams, who is in them, and who may put service accounts there.

use test_support::WandbServer;
use wandb_auth_operator::api::Reason;

use super::{Way, credential, granted, refusal};

#[tokio::test]
async fn an_administrator_makes_an_account_in_a_team() {
    let server = WandbServer::builder().start().unwrap();
    server.team("research");
    let admin = credential(&server.admin("root").unwrap());
    let way = Way::to(&server.base_url());
    let instance = way.instance();

    let id = granted(instance.create_service_account(&admin, "ci", "research").await);
    let team = granted(instance.entity(&admin, "research").await).unwrap();
    let member = team.members.first().unwrap();
    assert_eq!((&member.id, member.username.as_deref()), (&id, Some("ci")));
    assert_eq!(member.account_type.as_deref(), Some("SERVICE"));

    let taken = refusal(instance.create_service_account(&admin, "ci", "research").await).problem;
    assert_eq!(taken.reason, Reason::QueryFailed);
    assert!(taken.message.contains("the username ci is taken"), "{}", taken.message);
    let unknown = refusal(instance.create_service_account(&admin, "ci2", "reserch").await).problem;
    assert!(unknown.message.contains("could not find entity reserch"), "{}", unknown.message);
}

#[tokio::test]
async fn strangers_do_not_see_a_team() {
    let server = WandbServer::builder().start().unwrap();
    server.team("research");
    let stranger = credential(&server.user("alice", "other").unwrap());
    let way = Way::to(&server.base_url());
    let instance = way.instance();

    assert!(granted(instance.entity(&stranger, "research").await).is_none());
    assert!(granted(instance.entity(&stranger, "alice").await).is_some());
    let refused = refusal(instance.create_service_account(&stranger, "ci", "research").await).problem;
    assert_eq!(refused.reason, Reason::QueryFailed);
    assert!(refused.message.contains("createServiceAccount with an error: permission denied. Check"));
}
