//! Checks from pods like the server's, where a network policy lets one of operator and server through to the directory,
//! and not the other.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{
    node::{
        SANDBOX_IMAGE,
        services::{self, WANDB_PORT, wandb},
    },
    wait_until,
};

use crate::cluster::{Cluster, PATIENCE, TIMEOUT, WANDB};

/// A server of its own, so that the resources of the story keep theirs.
const SERVER: &str = "elsewhere";
/// The resource that is about it.
const RESOURCE: &str = "ldap/seen";
/// The pod that makes its checks.
const CHECK: &str = "seen-ldap-check";
const NAMESPACE: &str = "--namespace=wandb";
/// The proxies of a mesh, of which the first is a native side car.
const SIDE_CARS: [&str; 2] = ["mesh-proxy", "old-mesh-proxy"];

/// Who may send anything to the directory's pod, by the node's own firewall: what a network policy comes to.
struct Policy<'a> {
    cluster: &'a Cluster,
    rules: Vec<Vec<String>>,
}

/// Whom it cuts off.
#[derive(Clone, Copy)]
enum CutOff {
    Operator,
    EverybodyElse,
}

impl<'a> Policy<'a> {
    fn enforce(cluster: &'a Cluster, cut_off: CutOff) -> Result<Self> {
        let pods = cluster.list(&["pods", "--namespace", services::NAMESPACE])?;
        let is_directory = |pod: &&Value| {
            pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("directory-"))
        };
        let directory = address(pods.iter().find(is_directory).context("no directory")?)?;
        let operator = address(cluster.operator_pods()?.first().context("no operator")?)?;
        let rule = |from: &[&str], what: &str| {
            let words = [&["FORWARD"], from, &["-d", &directory, "-p", "tcp", "-j", what]].concat();
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        // Each rule goes before those that were there.
        let rules = match cut_off {
            CutOff::Operator => vec![rule(&["-s", &operator], "DROP")],
            CutOff::EverybodyElse => vec![rule(&[], "DROP"), rule(&["-s", &operator], "ACCEPT")],
        };
        for rule in &rules {
            cluster.node.iptables("-I", rule)?;
        }
        Ok(Self { cluster, rules })
    }

    fn lift(self) -> Result<()> {
        self.rules.iter().try_for_each(|rule| self.cluster.node.iptables("-D", rule))
    }
}

fn address(pod: &Value) -> Result<String> {
    Ok(pod["status"]["podIP"].as_str().context("a pod without an address")?.to_owned())
}

/// The resource, whose checks are made from there.
fn manifest(from: &str) -> Value {
    json!({
        "apiVersion": "auth.wandb.com/v1alpha1", "kind": "LdapConfig",
        "metadata": {"name": "seen", "namespace": WANDB},
        "spec": {
            "target": {"deployment": {"name": SERVER}}, "checkFrom": from,
            "checkInterval": "10s", "checkTimeout": "15s", "failureThreshold": 1,
            "address": "ldaps://directory.identity.svc", "baseDN": "dc=example,dc=org",
            "bind": {
                "dn": "cn=wandb,ou=services,dc=example,dc=org",
                "passwordSecretRef": {"name": "ldap-bind", "key": "password"},
            },
            "tls": {"caBundle": {"configMapKeyRef": {"name": "authority", "key": "ca.crt"}}},
        },
    })
}

fn apply(cluster: &Cluster, from: &str) -> Result<()> {
    cluster.apply(&manifest(from).to_string())
}

/// A server and its Service.
fn start_server(cluster: &Cluster) -> Result<()> {
    let server = wandb(WANDB, SERVER)?.deployment();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVER, "namespace": WANDB},
        "spec": {
            "selector": server["spec"]["template"]["metadata"]["labels"], "ports": [{"port": WANDB_PORT}],
        },
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [server, service]});
    cluster.apply(&list.to_string())?;
    cluster.node.wait_for(&[&format!("deployment/{SERVER}"), NAMESPACE], "Available")
}

/// What only the operator reaches is not published, and what only the server's pods reach is.
pub fn the_servers_pods_decide(cluster: &Cluster) -> Result<()> {
    start_server(cluster)?;
    let policy = Policy::enforce(cluster, CutOff::EverybodyElse)?;
    apply(cluster, "ServerPod")?;
    the_check_gets_no_traffic(cluster)?;
    let found = wait_for_failure(cluster)?;
    ensure!(found["from"] == "ServerPod", "it was not found from the server's place: {found}");
    ensure!(!is_published(cluster)?, "what the server cannot reach is published");
    // For the operator all is well; the server, which binds to the directory when it starts, does not start.
    apply(cluster, "Operator")?;
    cluster.node.wait_for(&[RESOURCE, NAMESPACE], "Verified")?;
    policy.lift()?;
    remove_resource(cluster)?;

    let policy = Policy::enforce(cluster, CutOff::Operator)?;
    apply(cluster, "Operator")?;
    let found = wait_for_failure(cluster)?;
    ensure!(found["from"].is_null(), "it was not found by the operator: {found}");
    ensure!(!is_published(cluster)?, "what the operator cannot reach is published");
    let mesh = mesh(cluster)?.to_string();
    start_mesh(cluster, &mesh)?;
    apply(cluster, "ServerPod")?;
    // The side cars go on, and the check ends all the same.
    cluster.node.wait_for(&[RESOURCE, NAMESPACE], "Ready")?;
    the_check_had_side_cars(cluster)?;
    cluster.node.kubectl(&["delete", "-f", "-"], &mesh)?;
    policy.lift()?;
    remove_resource(cluster)?;
    let all = [format!("deployment/{SERVER}"), format!("service/{SERVER}")];
    cluster.node.kubectl(&["delete", NAMESPACE, &all[0], &all[1]], "").map(drop)
}

/// The pod has the labels that the Service selects by, and is never one of those to which it sends anything.
fn the_check_gets_no_traffic(cluster: &Cluster) -> Result<()> {
    let label = format!("--selector=kubernetes.io/service-name={SERVER}");
    let mut seen = Vec::new();
    wait_until(PATIENCE, "pod among those that the Service selects", || {
        let slices = cluster.list(&["endpointslices", NAMESPACE, &label])?;
        seen = slices
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
            .filter(|endpoint| endpoint["targetRef"]["name"] == CHECK)
            .collect();
        Ok(!seen.is_empty())
    })?;
    let is_served = |endpoint: &Value| {
        endpoint["conditions"]["ready"] == true || endpoint["conditions"]["serving"] == true
    };
    ensure!(!seen.iter().any(is_served), "the Service sends it traffic: {seen:?}");
    Ok(())
}

/// What puts the proxies of a service mesh into the pod: one that is started before everything else, and one beside it,
/// as older meshes have it. Neither ever ends by itself.
fn mesh(cluster: &Cluster) -> Result<Value> {
    const NAME: &str = "mesh.example.com";
    let served = cluster.list(&["mutatingadmissionpolicies"])?;
    let version =
        &served.first().context("the chart has no such policy, whose version would be known")?["apiVersion"];
    let proxy = |kind: &str, name: &str, more: &str| {
        format!(
            r#"Object.spec.{kind}{{name: "{name}", image: "{SANDBOX_IMAGE}", imagePullPolicy: "IfNotPresent", securityContext: Object.spec.{kind}.securityContext{{runAsUser: 65532}}{more}}}"#
        )
    };
    // The API server takes no list of objects as one value.
    let add = |path: &str, value: &str| format!(r#"JSONPatch{{op: "add", path: "{path}", value: {value}}}"#);
    let patches = [
        add("/metadata/finalizers", "[]"),
        add("/metadata/finalizers/-", &format!(r#""{NAME}/seen""#)),
        add("/spec/initContainers", "[]"),
        add("/spec/initContainers/-", &proxy("initContainers", SIDE_CARS[0], r#", restartPolicy: "Always""#)),
        add("/spec/containers/-", &proxy("containers", SIDE_CARS[1], "")),
    ];
    let expression = format!("[{}]", patches.join(", "));
    let policy = json!({
        "apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            "matchConditions": [{"name": "check", "expression": format!("object.metadata.?name.orValue('') == '{CHECK}'")}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    });
    let binding = json!({
        "apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": NAME},
        "spec": {"policyName": NAME},
    });
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}))
}

/// Waits until the API server goes by the policy, which it reads some time after it was made.
fn start_mesh(cluster: &Cluster, mesh: &str) -> Result<()> {
    cluster.apply(mesh)?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": CHECK, "namespace": WANDB},
        "spec": {"containers": [{"name": "check", "image": SANDBOX_IMAGE}]},
    });
    let tried = ["create", "--dry-run=server", "--output=json", "-f", "-"];
    wait_until(PATIENCE, "effect of the policy", || {
        let pod: Value = serde_json::from_str(&cluster.node.kubectl(&tried, &pod.to_string())?)?;
        Ok(pod["spec"]["initContainers"].is_array())
    })
}

/// The pod ran beside the proxies, and is kept until that was seen.
fn the_check_had_side_cars(cluster: &Cluster) -> Result<()> {
    let pod = cluster.get(&["pod", CHECK, NAMESPACE])?;
    let has_run = |status: &&Value| {
        let state = &status["state"];
        state["running"].is_object() || state["terminated"]["startedAt"].is_string()
    };
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array());
    let statuses = lists.into_iter().flatten().flatten();
    let names: Vec<_> = statuses.filter(has_run).filter_map(|status| status["name"].as_str()).collect();
    ensure!(SIDE_CARS.iter().all(|name| names.contains(name)), "{:#}", pod["status"]);
    Ok(())
}

/// The check that says that the directory cannot be reached.
fn wait_for_failure(cluster: &Cluster) -> Result<Value> {
    let mut found = Value::Null;
    wait_until(PATIENCE, "failure to connect", || {
        let resource = cluster.get(&[RESOURCE, NAMESPACE])?;
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_told = conditions
            .iter()
            .any(|condition| condition["type"] == "Verified" && condition["status"] == "False");
        let checks = resource["status"]["checks"].as_array().cloned().unwrap_or_default();
        let failed = |check: &Value| check["name"] == "TcpConnects" && check["result"] == "Failed";
        found = checks.into_iter().find(failed).unwrap_or_default();
        Ok(is_told && !found.is_null())
    })?;
    Ok(found)
}

fn is_published(cluster: &Cluster) -> Result<bool> {
    Ok(cluster.secrets()?.contains_key("seen-ldap"))
}

/// Lets a pod go that the mesh has kept to be seen.
fn let_go(cluster: &Cluster, pods: &[Value]) -> Result<()> {
    const PATCH: &str = r#"{"metadata": {"finalizers": null}}"#;
    let is_kept = |pod: &Value| pod["metadata"]["name"] == CHECK && pod["metadata"]["finalizers"].is_array();
    if pods.iter().any(is_kept) {
        cluster.node.kubectl(&["patch", "pod", CHECK, NAMESPACE, "--type=merge", "--patch", PATCH], "")?;
    }
    Ok(())
}

/// Deletes the resource, with which everything goes.
fn remove_resource(cluster: &Cluster) -> Result<()> {
    cluster.node.kubectl(&["delete", RESOURCE, NAMESPACE, TIMEOUT], "")?;
    wait_until(PATIENCE, "end of all that belongs to it", || {
        let pods = cluster.list(&["pods", NAMESPACE])?;
        let_go(cluster, &pods)?;
        let is_left = pods.iter().any(|pod| pod["metadata"]["name"] == CHECK);
        let secrets = cluster.secrets()?;
        Ok(!is_left && !secrets.keys().any(|name| name.starts_with("seen-ldap")))
    })
}
