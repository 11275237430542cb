//! The rights that an installation gives the operator.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, ResourceExt, api::PostParams, core::DynamicObject};
use serde_json::json;

use super::{Workspace, documents};

/// What an installation consists of: tests that pass with its rights prove that none is missing.
const INSTALLATION: &str = include_str!("../../../../deploy/operator.yaml");

impl Workspace {
    /// Applies the Roles of an installation, and binds each to the control plane's user `operator`.
    pub(super) async fn grant_rights(&self) -> Result<()> {
        for object in installation()? {
            if object.types.as_ref().is_none_or(|types| types.kind != "Role") {
                continue;
            }
            self.apply_object(object).await?;
            self.bind_role(&object.name_any()).await?;
        }
        Ok(())
    }

    /// Applies the service account of an installation with its own rights, and gives a token for it: it goes with
    /// the namespace, as an operator does that runs there.
    pub(super) async fn own_account(&self) -> Result<String> {
        for object in installation()? {
            let kind = object.types.as_ref().map_or("", |types| &types.kind);
            if ["ServiceAccount", "RoleBinding"].contains(&kind) {
                self.apply_object(object).await?;
            }
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = TokenRequestSpec { audiences: Vec::new(), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let made =
            accounts.create_token_request("wandb-auth-operator", &PostParams::default(), &request).await?;
        Ok(made.status.context("no token was made")?.token)
    }

    /// Gives the control plane's user `operator` a Role of this namespace.
    pub async fn bind_role(&self, name: &str) -> Result<()> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
        });
        self.apply(&binding.to_string()).await
    }
}

/// The documents of an installation, which are read only once for all namespaces of this process.
fn installation() -> Result<&'static [DynamicObject]> {
    static OBJECTS: OnceLock<Vec<DynamicObject>> = OnceLock::new();
    if let Some(objects) = OBJECTS.get() {
        return Ok(objects);
    }
    let objects = documents(INSTALLATION)?;
    Ok(OBJECTS.get_or_init(|| objects))
}
