//! The cluster's name server.

use std::path::Path;

use serde_json::{Value, json};

use super::configuration::NAME_SERVER_ADDRESS;
use super::machine_pod::MachinePod;
use crate::tools::NodeBinaries;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
const CONFIGURATION: &str = "\
.:53 {
  errors
  ready
  kubernetes cluster.local in-addr.arpa
}
";

/// `CoreDNS` with the rights that it needs and the Service that pods ask.
pub(super) fn manifest(binaries: &NodeBinaries) -> Value {
    let metadata = json!({"name": NAME, "namespace": NAMESPACE});
    let program = binaries.coredns.display().to_string();
    let probe = json!({"httpGet": {"path": "/ready", "port": 8181}});
    let command = [program.as_str(), "-conf", "/configuration/Corefile"];
    let pod = MachinePod::new(NAMESPACE, NAME, &command, probe)
        .directory(binaries.coredns.parent().unwrap_or(Path::new("/")))
        .config_map(NAME, "/configuration")
        .account(NAME)
        .without_cluster_names();
    let rules = json!([
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME});
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]);
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": NAME}, "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME}, "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": CONFIGURATION}},
        pod.deployment(),
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": NAMESPACE},
            "spec": {"clusterIP": NAME_SERVER_ADDRESS, "selector": {"app": NAME}, "ports": ports},
        },
    ]})
}
