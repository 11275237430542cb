//! The W&B operator's own resource, in both stored versions.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, User, Workspace,
    definitions::{StoredVersion, weights_and_biases},
};
use wandb_auth_operator::{
    api::{Reason, ldap_config::LdapConfig, oidc_provider::OidcProvider},
    engine::{Env, Kind, Values},
    error::StepError,
    workloads::{Change, Delivery, Owner, Target, TargetSnapshot, read},
};

use crate::world::PATIENCE;

fn target() -> Target {
    Target::WeightsAndBiases { name: "wandb".to_owned() }
}

/// A `WeightsAndBiases` named `wandb` in a namespace of its own.
struct World {
    workspace: Workspace,
    api: Api<DynamicObject>,
    /// As a person applied it.
    object: DynamicObject,
}

impl World {
    /// The resource of this version with that spec, as a person applied it.
    async fn with(plane: &ControlPlane, stored: StoredVersion, version: &str, spec: Value) -> Result<Self> {
        let workspace = Workspace::create(plane, &[weights_and_biases(stored)?]).await?;
        let kind = GroupVersionKind::gvk("apps.wandb.com", version, "WeightsAndBiases");
        let resource = ApiResource::from_gvk_with_plural(&kind, "weightsandbiases");
        let api = Api::namespaced_with(workspace.client().clone(), workspace.namespace(), &resource);
        let object = DynamicObject::new("wandb", &resource).data(json!({"spec": spec}));
        let world = Self { workspace, api, object };
        world.create().await?;
        Ok(world)
    }

    async fn create(&self) -> Result<()> {
        self.api.patch("wandb", &PatchParams::apply("test"), &Patch::Apply(&self.object)).await?;
        Ok(())
    }

    /// The target, once API discovery tells of it.
    async fn seen(&self) -> Result<TargetSnapshot> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let found = async {
            loop {
                ticks.tick().await;
                let answer = read(self.workspace.client(), self.workspace.namespace(), &target()).await?;
                if let Some(seen) = answer {
                    return Ok(seen);
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.context("the resource is not found")?
    }

    /// Waits until API discovery tells of as many versions.
    async fn wait_until_served(&self, count: usize) -> Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let found = async {
            loop {
                ticks.tick().await;
                let groups = self.workspace.client().list_api_groups().await?.groups;
                let group = groups.into_iter().find(|group| group.name == "apps.wandb.com");
                if group.is_some_and(|group| group.versions.len() == count) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.context("the versions are not served")?
    }

    /// Makes a merge patch under that name.
    async fn merge(&self, manager: &str, patch: &Value) -> kube::Result<DynamicObject> {
        let how = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.api.patch("wandb", &how, &Patch::Merge(patch)).await
    }

    /// Brings the owner's entries to the delivery, and shows that nothing is left to do.
    async fn deliver(&self, owner: &Owner, delivery: Option<&Delivery<'_>>) -> Result<Value> {
        let change = merge_patch(&self.seen().await?, owner, delivery)?;
        let changed = self.merge(&owner.manager, &change).await?;
        let again = self.seen().await?.change(owner, delivery, &[]);
        ensure!(again == Ok(None), "there is more to do: {again:?}");
        Ok(changed.data.get("spec").cloned().unwrap_or_default())
    }
}

fn merge_patch(seen: &TargetSnapshot, owner: &Owner, delivery: Option<&Delivery<'_>>) -> Result<Value> {
    match seen.change(owner, delivery, &[]) {
        Ok(Some(Change::Merge(patch))) => Ok(patch),
        other => bail!("no merge patch: {other:?}"),
    }
}

fn oidc() -> Owner {
    owner::<OidcProvider>("main")
}

fn ldap() -> Owner {
    owner::<LdapConfig>("corp")
}

fn owner<K: Kind>(name: &str) -> Owner {
    let kind = K::kind(&());
    let manager = format!("wandb-auth-operator/{}", kind.to_lowercase());
    Owner::new(&kind, K::SHORT_NAME, &manager, name, format!("{name}-{}", K::SHORT_NAME))
}

fn values(names: &[(&str, &str)]) -> Values {
    names.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn oidc_values() -> Values {
    values(&[
        ("OIDC_ISSUER", "https://login.example.com"),
        ("GORILLA_OIDC_ISSUER", "https://login.example.com"),
        ("OIDC_CLIENT_ID", "wandb"),
        ("GORILLA_OIDC_CLIENT_ID", "wandb"),
        ("OIDC_SECRET", "s3cret"),
        ("GORILLA_OIDC_SECRET", "s3cret"),
        ("SESSION_LENGTH", "8"),
        ("GORILLA_SESSION_LENGTH", "8h"),
        ("DISABLE_SSO_PROVISIONING", "true"),
        ("GORILLA_DISABLE_SSO_PROVISIONING", "true"),
        ("GORILLA_USE_IDENTIFIER_CLAIMS", "true"),
    ])
}

fn ldap_values() -> Values {
    values(&[
        ("LOCAL_LDAP_ADDRESS", "ldap://ldap.example.com"),
        ("LDAP_ADDRESS", "ldap://ldap.example.com"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ])
}

fn delivery<'a>(number: u64, environment: &'static [Env], values: &'a Values) -> Delivery<'a> {
    Delivery { number, environment, values }
}

/// Shows that the API server refuses a change to another version of the resource, and to its successor.
async fn refuses_what_is_stale(world: &World) -> Result<()> {
    let values = oidc_values();
    let first = delivery(1, OidcProvider::ENVIRONMENT, &values);
    let stale = merge_patch(&world.seen().await?, &oidc(), Some(&first))?;
    world.merge("somebody", &json!({"metadata": {"labels": {"a": "b"}}})).await?;
    is_conflict(world.merge(&oidc().manager, &stale).await)?;
    let stale = merge_patch(&world.seen().await?, &oidc(), Some(&first))?;
    world.api.delete("wandb", &DeleteParams::default()).await?;
    world.create().await?;
    is_conflict(world.merge(&oidc().manager, &stale).await)
}

fn is_conflict(answer: kube::Result<DynamicObject>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => bail!("not a conflict: {other:?}"),
    }
}

/// Shows what a user without any right is told.
async fn needs_no_right_to_find_the_version(plane: &ControlPlane, world: &World) -> Result<()> {
    world.seen().await?;
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig(User::Operator))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let answer = read(&Client::try_from(config)?, "default", &target()).await;
    let Err(StepError::Problem(problem)) = answer else { bail!("{answer:?}") };
    ensure!(problem.reason == Reason::Forbidden, "{problem:?}");
    ensure!(problem.message.contains("get, list, watch and patch on weightsandbiases"), "{problem:?}");
    Ok(())
}

/// Shows whose entries stand where.
async fn stands(world: &World, owner: &Owner, number: u64, moved_by: Option<&str>) -> Result<()> {
    let standing = world.seen().await?.standing(owner);
    ensure!(standing.numbers == BTreeSet::from([number]), "{standing:?}");
    ensure!(standing.applied_at.is_some(), "{standing:?}");
    ensure!(standing.moved.as_ref().map(|moved| moved.by.as_str()) == moved_by, "{standing:?}");
    Ok(())
}

#[tokio::test]
async fn the_second_version() -> Result<()> {
    let spec = json!({
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {
            "hostname": "https://wandb.example.com", "version": "0.78.0", "bucketProxy": false, "features": {},
            "legacyOverrides": {"global": {"env": [{"name": "FOREIGN", "value": "kept"}]}},
        },
    });
    let world = World::with(ControlPlane::shared().await?, StoredVersion::V2, "v2", spec.clone()).await?;
    needs_no_right_to_find_the_version(ControlPlane::shared().await?, &world).await?;
    let environment = world.seen().await?.environment();
    assert_eq!(environment.host.as_deref(), Some("https://wandb.example.com"));
    assert_eq!(environment.literals.get("FOREIGN").map(String::as_str), Some("kept"));
    refuses_what_is_stale(&world).await?;
    let (oidc_values, ldap_values) = (oidc_values(), ldap_values());
    let oidc_delivery = |number| delivery(number, OidcProvider::ENVIRONMENT, &oidc_values);
    let ldap_delivery = |number| delivery(number, LdapConfig::ENVIRONMENT, &ldap_values);
    world.deliver(&oidc(), Some(&oidc_delivery(1))).await?;
    stands(&world, &oidc(), 1, None).await?;
    world.deliver(&ldap(), Some(&ldap_delivery(7))).await?;
    let both = world.deliver(&oidc(), Some(&oidc_delivery(2))).await?;
    insta::assert_yaml_snapshot!("second_version", both);
    stands(&world, &oidc(), 2, None).await?;
    stands(&world, &ldap(), 7, None).await?;
    // A person goes back by hand.
    let back = json!({"spec": {"wandb": {"oidc": {"issuerUrl": {"name": oidc().revision(1)}}}}});
    world.merge("kubectl-edit", &back).await?;
    let moved = world.seen().await?.standing(&oidc());
    ensure!(moved.numbers == BTreeSet::from([1, 2]), "{moved:?}");
    ensure!(moved.moved.is_some_and(|moved| moved.by == "kubectl-edit" && moved.at.is_some()));
    world.deliver(&oidc(), Some(&oidc_delivery(2))).await?;
    stands(&world, &oidc(), 2, None).await?;
    // A person has an opinion of their own.
    world.merge("kubectl-edit", &json!({"spec": {"wandb": {"oidc": {"sessionLength": "1h"}}}})).await?;
    let refused = world.seen().await?.change(&oidc(), Some(&oidc_delivery(2)), &[]);
    let problem = refused.err().context("the person's session length is overwritten")?;
    ensure!(
        problem.reason == Reason::FieldConflict && problem.message.contains("kubectl-edit"),
        "{problem:?}"
    );
    world.merge("kubectl-edit", &json!({"spec": {"wandb": {"oidc": {"sessionLength": null}}}})).await?;
    world.deliver(&oidc(), Some(&oidc_delivery(2))).await?;
    world.deliver(&oidc(), None).await?;
    stands(&world, &ldap(), 7, None).await?;
    let mut left = world.deliver(&ldap(), None).await?;
    // The defaults of the map that the one switch is in stay.
    let security =
        left.get_mut("wandb").and_then(Value::as_object_mut).and_then(|map| map.remove("security"));
    ensure!(security.is_some_and(|map| map["disableSSOProvisioning"] == false));
    assert_eq!(left, spec);
    Ok(())
}

#[tokio::test]
async fn the_first_version() -> Result<()> {
    let plane = ControlPlane::start().await?;
    // Without the definition there is no target, and no error either.
    let workspace = Workspace::create(&plane, &[]).await?;
    let answer = read(workspace.client(), workspace.namespace(), &target()).await?;
    ensure!(answer.is_none(), "{answer:?}");
    let spec = json!({
        "chart": {"url": "https://charts.example.com"},
        "values": {"global": {"host": "https://wandb.example.com", "extraEnv": {"FOREIGN": "kept"}}},
    });
    let (oidc_values, ldap_values) = (oidc_values(), ldap_values());
    // The stored version counts, whichever others there are.
    for (stored, served) in [(StoredVersion::OnlyV1, 1), (StoredVersion::V1, 2)] {
        let world = World::with(&plane, stored, "v1", spec.clone()).await?;
        world.wait_until_served(served).await?;
        let environment = world.seen().await?.environment();
        assert_eq!(environment.host.as_deref(), Some("https://wandb.example.com"));
        refuses_what_is_stale(&world).await?;
        let oidc_delivery = |number| delivery(number, OidcProvider::ENVIRONMENT, &oidc_values);
        let ldap_delivery = delivery(7, LdapConfig::ENVIRONMENT, &ldap_values);
        world.deliver(&oidc(), Some(&oidc_delivery(1))).await?;
        world.deliver(&ldap(), Some(&ldap_delivery)).await?;
        let both = world.deliver(&oidc(), Some(&oidc_delivery(2))).await?;
        insta::assert_yaml_snapshot!("first_version", both);
        stands(&world, &oidc(), 2, None).await?;
        stands(&world, &ldap(), 7, None).await?;
        let issuer = json!({"valueFrom": {"secretKeyRef": {"name": oidc().revision(1)}}});
        let back = json!({"spec": {"values": {"global": {"extraEnv": {"OIDC_ISSUER": issuer}}}}});
        world.merge("kubectl-edit", &back).await?;
        let moved = world.seen().await?.standing(&oidc());
        ensure!(moved.moved.is_some_and(|moved| moved.by == "kubectl-edit"));
        world.deliver(&oidc(), Some(&oidc_delivery(2))).await?;
        // A person sets the same variable.
        let scalar = json!({"spec": {"values": {"global": {"extraEnv": {"LDAP_ADDRESS": "ldap://theirs"}}}}});
        world.merge("kubectl-edit", &scalar).await?;
        let refused = world.seen().await?.change(&ldap(), Some(&ldap_delivery), &[]);
        let problem = refused.err().context("the person's entry is overwritten")?;
        ensure!(problem.reason == Reason::FieldConflict, "{problem:?}");
        ensure!(problem.message.contains("extraEnv.LDAP_ADDRESS (by kubectl-edit)"), "{problem:?}");
        ensure!(!problem.message.contains("theirs"), "{problem:?}");
        let nothing = json!({"spec": {"values": {"global": {"extraEnv": {"LDAP_ADDRESS": null}}}}});
        world.merge("kubectl-edit", &nothing).await?;
        world.deliver(&ldap(), None).await?;
        stands(&world, &oidc(), 2, None).await?;
        assert_eq!(world.deliver(&oidc(), None).await?, spec);
    }
    Ok(())
}
