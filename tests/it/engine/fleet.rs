//! Many resources of all kinds at once. The benchmark lives through the same story with 10,000.

use anyhow::Result;
use test_support::fleet::story::{Extent, live};
use wandb_auth_operator::api::custom_resource_definitions;

use crate::world::program;

#[tokio::test]
async fn a_fleet_lives_through_a_restart_a_rotation_and_an_outage_with_each_write_once() -> Result<()> {
    let extent = Extent { resources: 200, namespaces: 10 };
    live(program(), &custom_resource_definitions(), extent, |_| ()).await
}
