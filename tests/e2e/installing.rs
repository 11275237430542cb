//! The chart's way into the cluster, through it and out of it.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use test_support::{helm::RELEASE, wait_until};

use crate::cluster::{Cluster, OPERATOR, OperatorProcess, PATIENCE, WANDB, values};
use crate::delivering::{EVERY_NAME, EVERY_RESOURCE};

/// `helm install` into a namespace that admits restricted pods only.
pub fn install(cluster: &Cluster) -> Result<()> {
    let namespaces = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WANDB}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": OPERATOR,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }},
    ]});
    cluster.apply(&namespaces.to_string())?;
    cluster.upgrade(&values())
}

/// The checks that the notes of the chart show, where the operator runs; their server does not exist.
pub fn the_printed_example_runs(cluster: &Cluster) -> Result<()> {
    for pod in cluster.operator_pods()? {
        let image = &pod["spec"]["containers"][0]["image"];
        ensure!(*image == cluster.published_image(), "{image} runs, and not {}", cluster.published_image());
    }
    let manifest = "{apiVersion: auth.wandb.com/v1alpha1, kind: LdapConfig, metadata: {name: corp}, \
                    spec: {address: 'ldaps://ldap.example.com:636', baseDN: 'dc=example,dc=com'}}";
    let deployment = format!("deployment/{RELEASE}");
    let command = ["exec", "-i", &deployment, "--namespace", OPERATOR, "--container", "operator", "--"];
    let check = ["/usr/bin/wandb-auth-operator", "check", "-f", "-"];
    let failed = cluster.node.kubectl(&[&command[..], &check].concat(), manifest).err();
    let told = failed.context("a server that does not exist passes")?;
    ensure!(format!("{told:#}").contains("ldap.example.com"), "{told:#}");
    Ok(())
}

/// What the kernel says of the operator's container.
pub fn the_pod_is_restricted() -> Result<()> {
    let processes = OperatorProcess::all()?;
    let [process] = processes.as_slice() else { anyhow::bail!("{} operators run", processes.len()) };
    for (name, expected) in [
        ("Uid", "65532\t65532\t65532\t65532"),
        ("CapBnd", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let found = process.status(name)?;
        ensure!(found == expected, "{name} is {found}, expected {expected}");
    }
    let options = process.root_options()?;
    ensure!(options.split(',').any(|option| option == "ro"), "its root can be written to: {options}");
    Ok(())
}

/// `helm upgrade` to other pods: nothing is published anew, and no pod of W&B Server is replaced.
pub fn upgrade_writes_no_secret(cluster: &Cluster) -> Result<()> {
    let (secrets, pods) = (cluster.secrets()?, cluster.wandb_pods(WANDB)?);
    let before = cluster.requests()?.len();
    let leader = cluster.leader()?;
    let mut values = values();
    values["logFormat"] = json!("text");
    cluster.upgrade(&values)?;
    cluster.wait_for_checks(&EVERY_NAME)?;
    ensure!(cluster.leader()? != leader, "the old pod leads still");

    let requests = cluster.requests()?;
    let written: Vec<_> = requests
        .iter()
        .skip(before)
        .filter(|event| {
            event.resource == "secrets" && !["get", "list", "watch"].contains(&event.verb.as_str())
        })
        .collect();
    ensure!(written.is_empty(), "the upgrade wrote Secrets: {written:#?}");
    ensure!(cluster.secrets()? == secrets, "the Secrets of {WANDB} are not those from before the upgrade");
    ensure!(names(&cluster.wandb_pods(WANDB)?) == names(&pods), "the upgrade replaced pods of W&B Server");
    Ok(())
}

fn names(pods: &[serde_json::Value]) -> Vec<&serde_json::Value> {
    pods.iter().map(|pod| &pod["metadata"]["name"]).collect()
}

/// `helm uninstall` takes the operator, and leaves the definitions, the resources and what was delivered.
pub fn uninstalling_locks_nobody_out(cluster: &Cluster) -> Result<()> {
    let secrets = cluster.secrets()?;
    cluster.uninstall()?;
    // The garbage collector deletes them after the Deployment is gone, and helm waits for that one only.
    wait_until(PATIENCE, "end of the operator's pods", || Ok(cluster.operator_pods()?.is_empty()))?;
    for plural in ["ldapconfigs", "oidcproviders", "jwtissuers", "serviceaccounts"] {
        cluster.get(&["crd", &format!("{plural}.auth.wandb.com")])?;
    }
    for (resource, name) in EVERY_RESOURCE {
        cluster.get(&[resource, name, "--namespace", WANDB])?;
    }
    ensure!(cluster.secrets()? == secrets, "uninstalling changed the Secrets of {WANDB}");
    ensure!(cluster.log_in("alice@example.org", "alice-password")? == 200, "alice cannot log in any more");
    Ok(())
}
