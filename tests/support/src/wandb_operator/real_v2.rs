//! W&B's own operator of the second generation: its webhooks, its definitions and its program.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
};

use super::{
    real::{RealOperator, RunningOperator},
    webhook::Endpoint,
};
use crate::{CertificateAuthority, Leaf, Workspace, background};

/// Where its webhooks listen, whatever it is told.
const ADDRESS: &str = "https://127.0.0.1:9443";

/// Its webhooks, by the resources that they are for.
const WEBHOOKS: [(&str, &str); 2] = [
    ("weightsandbiases", "/mutate-apps-wandb-com-v2-weightsandbiases"),
    ("applications", "/mutate-apps-wandb-com-v2-application"),
];

/// What it makes of the resource; the resource's own definition is what the tests install.
const APPLICATIONS: &str = "apps.wandb.com_applications.yaml";

/// Starts it on the namespace of the workspace.
pub(super) fn start(real: &RealOperator, workspace: &Workspace) -> Result<RunningOperator> {
    let certificate = CertificateAuthority::new("webhook")?.issue(&Leaf::loopback())?;
    let applications = match &real.archive {
        Some(directory) => Some(definition(&directory.join(APPLICATIONS))?),
        None => None,
    };
    let config = workspace.config().clone();
    let authority_pem = certificate.authority_pem.clone();
    background::complete(move || prepare(config, applications, authority_pem))??;
    let namespaces = format!("--isolation-namespaces={}", workspace.namespace());
    let arguments = ["--health-probe-bind-address=0", "--webhook-cert-path=certificates", &namespaces];
    let files = [
        ("certificates/tls.crt", certificate.certificate_pem.as_str()),
        ("certificates/tls.key", certificate.key_pem.as_str()),
    ];
    real.start_with_files(workspace, &arguments, &[], &files)
}

async fn prepare(
    config: Config,
    applications: Option<CustomResourceDefinition>,
    authority_pem: String,
) -> Result<()> {
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config)?;
    if let Some(definition) = applications {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let name = definition.metadata.name.clone().context("a definition has no name")?;
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&definition)).await?;
    }
    for (resources, path) in WEBHOOKS {
        let endpoint = Endpoint { url: format!("{ADDRESS}{path}"), authority_pem: authority_pem.clone() };
        endpoint.register(&client, &namespace, resources).await?;
    }
    Ok(())
}

fn definition(path: &Path) -> Result<CustomResourceDefinition> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is no definition", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;

    use super::*;
    use crate::{
        ControlPlane,
        process::{PATIENCE, wait_until},
    };

    #[tokio::test]
    async fn the_program_runs_with_its_webhooks_on_the_namespace() -> Result<()> {
        let workspace = Workspace::create(ControlPlane::shared().await?, &[]).await?;
        let directory = tempfile::tempdir()?;
        let (program, seen) = (directory.path().join("manager"), directory.path().join("seen"));
        let script = format!(
            "#!/bin/sh\ncat certificates/tls.crt certificates/tls.key > {0}.part\necho \"$@\" >> {0}.part\n\
             mv {0}.part {0}\nexec sleep 60\n",
            seen.display()
        );
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let real = RealOperator { program, archive: None };
        let _running = start(&real, &workspace)?;
        wait_until(PATIENCE, "the program's start", || Ok(seen.exists()))?;
        let seen = fs::read_to_string(seen)?;
        for part in ["BEGIN CERTIFICATE", "BEGIN PRIVATE KEY", "--webhook-cert-path=certificates"] {
            assert!(seen.contains(part), "{part}: {seen}");
        }
        assert!(seen.contains(&format!("--isolation-namespaces={}", workspace.namespace())), "{seen}");
        let webhooks: Api<MutatingWebhookConfiguration> = Api::all(workspace.client().clone());
        for (resources, path) in WEBHOOKS {
            let configuration = webhooks.get(&format!("{resources}-{}", workspace.namespace())).await?;
            let urls = configuration.webhooks.into_iter().flatten().filter_map(|each| each.client_config.url);
            assert_eq!(urls.collect::<Vec<_>>(), [format!("{ADDRESS}{path}")]);
        }
        workspace.delete().await
    }
}
