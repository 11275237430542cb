//! Which Kubernetes takes the policy, and what the chart says to the others.

use anyhow::{Context, Result, ensure};
use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use test_support::{
    ControlPlane, Helm, Installation, User, Workspace,
    helm::{NAMESPACE, RELEASE},
};

use super::{super::documents, Stage, labelled};

/// What the chart comes to for a cluster of this version, which serves these APIs, if they are known.
fn rendered(version: &str, served: &[&str]) -> Result<std::result::Result<Vec<Value>, String>> {
    let helm = Helm::new()?;
    let values = ["--set", "injection.enabled=true,crds.enabled=false", "--kube-version", version];
    let served: Vec<_> = served.iter().flat_map(|api| ["--api-versions", api]).collect();
    let command = ["template", RELEASE, helm.chart()?, "--namespace", NAMESPACE];
    match helm.run(&[&command[..], &values, &served].concat()) {
        Ok(text) => Ok(Ok(documents(&text)?)),
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[test]
fn the_newest_version_that_is_served_is_taken() -> Result<()> {
    const PODS: &str = "v1/Pod";
    const STABLE: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
    const BETA: &str = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";
    const ALPHA: &str = "admissionregistration.k8s.io/v1alpha1/MutatingAdmissionPolicy";
    for (kubernetes, served, expected) in [
        ("1.36.3", &[PODS, ALPHA, BETA, STABLE][..], "v1"),
        ("1.35.1", &[PODS, ALPHA, BETA], "v1beta1"),
        ("1.33.4-gke.1", &[PODS, ALPHA], "v1alpha1"),
        // Without a cluster, as in a pipeline, the version is all that is known.
        ("1.36.0", &[], "v1"),
        ("1.37.0-eks-1", &[], "v1"),
    ] {
        let objects = rendered(kubernetes, served)?.map_err(anyhow::Error::msg)?;
        let mut versions = objects
            .iter()
            .filter(|object| {
                object["kind"].as_str().is_some_and(|kind| kind.starts_with("MutatingAdmission"))
            })
            .map(|object| &object["apiVersion"]);
        ensure!(
            versions.clone().count() == 2
                && versions.all(|found| *found == format!("admissionregistration.k8s.io/{expected}")),
            "{kubernetes} {served:?}"
        );
    }
    Ok(())
}

#[test]
fn a_kubernetes_that_serves_none_is_refused_with_its_version() -> Result<()> {
    for (kubernetes, served) in [("1.35.2", &[][..]), ("1.33.0", &["v1/Pod"]), ("1.36.1", &["v1/Pod"])] {
        let refusal =
            rendered(kubernetes, served)?.err().with_context(|| format!("{kubernetes} is taken"))?;
        for part in ["injection.enabled needs", &format!("this one, v{kubernetes}, does not"), "1.36"] {
            ensure!(refusal.contains(part), "{part}: {refusal}");
        }
    }
    insta::assert_snapshot!(rendered("1.35.2", &[])?.err().unwrap_or_default());
    Ok(())
}

/// They are those of Kubernetes before 1.36.
#[tokio::test]
async fn earlier_versions_of_the_api_take_it_too() -> Result<()> {
    const STABLE: &str = "admissionregistration.k8s.io/v1\"";
    const EARLIER: [&str; 2] =
        ["admissionregistration.k8s.io/v1beta1", "admissionregistration.k8s.io/v1alpha1"];
    let plane = ControlPlane::start_serving(&EARLIER).await?;
    for version in EARLIER {
        let stage = Stage::in_namespace(Workspace::create(&plane, &[]).await?).await?;
        let policy = stage.policy(stage.workspace.namespace())?;
        let policy = policy.replace(STABLE, &format!("{version}\""));
        ensure!(policy.contains(version) && !policy.contains(STABLE), "{policy}");
        assert_eq!(stage.workspace.complaints(&policy).await?, [""; 0], "{version}");
        stage.apply_policy(policy).await?;
        let pod = stage.created(&labelled("ci-wsa")).await?;
        ensure!(pod["spec"]["containers"][0]["envFrom"].is_array(), "{version}: {pod:#}");
    }
    Ok(())
}

/// Helm asks the API server what it serves.
#[tokio::test]
async fn a_release_is_installed_with_it() -> Result<()> {
    let stage = Stage::without_policy().await?;
    let plane = ControlPlane::shared().await?;
    let namespace = stage.workspace.namespace();
    let installation = Installation { kubeconfig: plane.kubeconfig(User::Admin), namespace };
    let selected = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let values = json!({
        "fullnameOverride": "with-injection", "crds": {"enabled": false},
        "injection": {"enabled": true, "namespaceSelector": selected},
    });
    let helm = Helm::new()?;
    helm.upgrade_install(installation, &values, &[])?;
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy");
    let policies: Api<DynamicObject> =
        Api::all_with(stage.workspace.client().clone(), &ApiResource::from_gvk(&kind));
    let name = format!("with-injection.{namespace}");
    ensure!(policies.get_opt(&name).await?.is_some(), "it is not there");
    helm.uninstall(installation, &["--wait"])?;
    ensure!(policies.get_opt(&name).await?.is_none(), "it stays behind");
    Ok(())
}
