//! A namespace that is deleted as a whole ends, whatever the operator held in it.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use test_support::{Operator, WandbServer, Workspace, pods::WandbWorkload, wandb_server::Fault};

use crate::{
    delivery::{Stage, TARGET, eventually, player_has_ready},
    service_account::{LONG_ROTATION, publish_long_ago, service_account},
    world::{ARGUMENTS, operator, program},
};

/// A namespace with a resource that has delivered, and one whose key was generated.
struct Scene {
    stage: Stage,
    server: WandbServer,
    /// The key that a person copied.
    bootstrap: String,
}

impl Scene {
    async fn open() -> Result<Self> {
        let stage = Stage::quiet(&WandbWorkload::deployment("wandb")).await?;
        player_has_ready(&stage.player, "wandb", 2).await?;
        let server = WandbServer::builder().key_prefix("local").start()?;
        let bootstrap = server.service_account("ci", "research")?;
        stage.workspace.put_secret("sa-key", &[("key", &bootstrap)]).await?;
        publish_long_ago(&stage.workspace, &server, &bootstrap).await?;
        Ok(Self { stage, server, bootstrap })
    }

    async fn hold(&self) -> Result<()> {
        let workspace = &self.stage.workspace;
        workspace.apply(&service_account("ci", &self.server.base_url(), LONG_ROTATION, "")).await?;
        self.stage.ready(TARGET).await?;
        for (kind, name, finalizer) in
            [("LdapConfig", "corp", "target"), ("ServiceAccount", "ci", "remote-credentials")]
        {
            eventually("the finalizer", || async {
                let held = workspace.resources(kind)?.get(name).await?.metadata.finalizers;
                let is_held = held.is_some_and(|held| held == [format!("auth.wandb.com/{finalizer}")]);
                Ok((is_held && self.server.keys_of("ci").len() == 2).then_some(()))
            })
            .await?;
        }
        workspace.wait_until_ready("ServiceAccount", "ci").await?;
        Ok(())
    }
}

async fn end(workspace: &Workspace) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(workspace.client().clone());
    namespaces.delete(workspace.namespace(), &DeleteParams::default()).await?;
    eventually("the end of the namespace", || async {
        Ok(namespaces.get_opt(workspace.namespace()).await?.is_none().then_some(()))
    })
    .await
}

async fn ends_with(scene: &Scene, operator: &Operator) -> Result<()> {
    scene.hold().await?;
    end(&scene.stage.workspace).await?;
    let left: Vec<_> = scene.server.keys_of("ci").into_iter().map(|key| key.secret).collect();
    assert_eq!(left, std::slice::from_ref(&scene.bootstrap), "{}", operator.log().tail());
    Ok(())
}

#[tokio::test]
async fn with_the_operator_outside() -> Result<()> {
    let scene = Scene::open().await?;
    let operator = operator(&scene.stage.workspace)?;
    ends_with(&scene, &operator).await
}

#[tokio::test]
async fn with_the_operator_inside() -> Result<()> {
    let scene = Scene::open().await?;
    let operator = scene.stage.workspace.start_operator_inside(program(), &ARGUMENTS).await?;
    ends_with(&scene, &operator).await
}

#[tokio::test]
async fn although_a_server_hangs_and_the_keys_stay() -> Result<()> {
    let scene = Scene::open().await?;
    let operator = scene.stage.workspace.start_operator_inside(program(), &ARGUMENTS).await?;
    scene.hold().await?;
    scene.server.fail("viewer", Fault::Hang);
    // A run that waits for an answer is no obstacle either.
    scene.stage.workspace.recheck("ServiceAccount", "ci", "now").await?;
    end(&scene.stage.workspace).await?;
    assert_eq!(scene.server.keys_of("ci").len(), 2);
    ensure!(operator.log().contains("CredentialsOrphaned")?, "{}", operator.log().tail());
    Ok(())
}
