//! Admission policies of the API server itself that do not take what the operator writes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use test_support::{condition, pods::WandbWorkload};

use crate::delivery::{Stage, TARGET, eventually};

const KIND: &str = "LdapConfig";

/// What the policies say.
const WORDS: &str = "nothing is written on Fridays";

/// A policy for what the operator writes, and for what is only tried, in the stage's namespace.
struct Policy<'a> {
    stage: &'a Stage,
    name: String,
}

impl<'a> Policy<'a> {
    async fn bind(
        stage: &'a Stage,
        group: &str,
        resource: &str,
        operation: &str,
        name: &str,
    ) -> Result<Self> {
        let namespace = stage.workspace.namespace();
        let title = format!("{namespace}-{resource}-{}", operation.to_lowercase());
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
            "metadata": {"name": title},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource],
                }]},
                "matchConditions": [
                    {"name": "who", "expression":
                        "request.userInfo.username == 'operator' || (has(request.dryRun) && request.dryRun)"},
                    {"name": "what", "expression": format!("object.metadata.name.matches('^{name}$')")},
                ],
                "validations": [{"expression": "false", "message": WORDS}],
            },
        }))?;
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
            "metadata": {"name": title},
            "spec": {
                "policyName": title, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector":
                    {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        }))?;
        let client = stage.workspace.client();
        Api::all(client.clone()).create(&PostParams::default(), &policy).await?;
        Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        Ok(Self { stage, name: title })
    }

    /// Waits until it keeps the object from being applied.
    async fn applies_to(&self, manifest: &str) -> Result<()> {
        eventually("the policy to apply", || async {
            let complaints = self.stage.workspace.complaints(manifest).await?;
            Ok(complaints.iter().any(|complaint| complaint.contains(WORDS)).then_some(()))
        })
        .await
    }

    async fn end(self) -> Result<()> {
        let client = self.stage.workspace.client();
        let (how, name) = (DeleteParams::default(), &self.name);
        Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()).delete(name, &how).await?;
        Api::<ValidatingAdmissionPolicy>::all(client.clone()).delete(name, &how).await?;
        Ok(())
    }
}

fn secret(name: &str) -> String {
    let metadata = json!({"name": name, "annotations": {"tried": "yes"}});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}).to_string()
}

/// Waits for the condition that tells of the policy, then for the end of it once the policy is gone.
async fn told_and_over(policy: Policy<'_>, type_: &str, change: &str) -> Result<()> {
    let stage = policy.stage;
    stage.apply(change).await?;
    let status = eventually("a condition that tells of the policy", || async {
        let status = stage.workspace.status(KIND, "corp").await?;
        let told = condition(&status, type_).is_some_and(|told| {
            let words = told["message"].as_str().unwrap_or_default();
            told["status"] == "False" && words.contains(WORDS)
        });
        Ok(told.then_some(status))
    })
    .await?;
    let reason = condition(&status, type_).context("the condition")?["reason"].clone();
    ensure!(["WriteRejected", "TargetRefused"].iter().any(|known| reason == *known), "{status:#}");
    ensure!(condition(&status, "Ready").context("Ready")?["status"] == "False", "{status:#}");
    policy.end().await?;
    stage.workspace.wait_until_ready(KIND, "corp").await?;
    Ok(())
}

#[tokio::test]
async fn what_a_policy_denies_is_told_and_done_when_the_policy_is_gone() -> Result<()> {
    let stage = Stage::open(&WandbWorkload::deployment("wandb")).await?;
    let spec =
        |number: u32| format!("{TARGET}\nattributes: {{email: mail, group: gidNumber, name{number}: cn}}");
    stage.ready(&spec(0)).await?;

    let policy = Policy::bind(&stage, "", "secrets", "UPDATE", "corp-ldap").await?;
    policy.applies_to(&secret("corp-ldap")).await?;
    told_and_over(policy, "Published", &spec(1)).await.context("the Secret")?;

    let policy = Policy::bind(&stage, "", "secrets", "CREATE", "corp-ldap-[0-9]+").await?;
    policy.applies_to(&secret("corp-ldap-99")).await?;
    told_and_over(policy, "RolledOut", &spec(2)).await.context("a revision")?;

    let policy = Policy::bind(&stage, "apps", "deployments", "UPDATE", "wandb").await?;
    policy.applies_to(&WandbWorkload::deployment("wandb").variable("TRIED", "yes").manifest()).await?;
    told_and_over(policy, "RolledOut", &spec(3)).await.context("the target")?;
    stage.expect_no_broken_reference()
}
