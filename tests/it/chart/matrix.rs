//! Each value of the chart on its own: what it leads to, and that Helm, the API server and the level `restricted` take it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::Helm;

use super::{Case, documents, file};

/// A value, and what an object then has.
struct Entry {
    values: &'static str,
    kind: &'static str,
    /// A JSON pointer into the object.
    place: &'static str,
    content: &'static str,
}

const fn entry(
    values: &'static str,
    kind: &'static str,
    place: &'static str,
    content: &'static str,
) -> Entry {
    Entry { values, kind, place, content }
}

/// Where the operator's container is in the Deployment.
macro_rules! container {
    ($field:literal) => {
        concat!("/spec/template/spec/containers/0/", $field)
    };
}

macro_rules! pod {
    ($field:literal) => {
        concat!("/spec/template/spec/", $field)
    };
}

const MATRIX: &[Entry] = &[
    entry(
        "{global: {imageRegistry: mirror.example.com, another: {chart: uses this}}}",
        "Deployment",
        container!("image"),
        concat!("mirror.example.com/wandb-auth-operator:", env!("CARGO_PKG_VERSION")),
    ),
    entry(
        "{image: {registry: 'registry.example.com:5000/tools', tag: '1'}}",
        "Deployment",
        container!("image"),
        "registry.example.com:5000/tools/wandb-auth-operator:1",
    ),
    entry(
        "{image: {registry: registry.example.com, tag: '1'}, global: {imageRegistry: mirror.example.com}}",
        "Deployment",
        container!("image"),
        "mirror.example.com/wandb-auth-operator:1",
    ),
    entry(
        "{global: {imagePullSecrets: [a, {name: b}]}, imagePullSecrets: [{name: b}, c]}",
        "Deployment",
        pod!("imagePullSecrets"),
        "[{name: a}, {name: b}, {name: c}]",
    ),
    entry("{replicaCount: 2}", "Deployment", "/spec/replicas", "2"),
    entry("{nameOverride: sign-in}", "Deployment", "/metadata/name", "wandb-auth-operator-sign-in"),
    entry(
        "{nameOverride: sign-in}",
        "Deployment",
        "/spec/selector/matchLabels/app.kubernetes.io~1name",
        "wandb-auth-operator",
    ),
    entry("{namespaceOverride: chart-staging}", "ServiceAccount", "/metadata/namespace", "chart-staging"),
    entry("{namespaceOverride: chart-staging}", "Role", "/metadata/namespace", "chart-staging"),
    entry("{namespaceOverride: chart-staging}", "NetworkPolicy", "/metadata/namespace", "chart-staging"),
    entry(
        "{namespaceOverride: chart-staging, allNamespaces: true}",
        "ClusterRoleBinding",
        "/subjects/0/namespace",
        "chart-staging",
    ),
    entry(
        "{namespaceOverride: chart-staging, watchNamespaces: [wandb]}",
        "RoleBinding",
        "/subjects/0/namespace",
        "chart-staging",
    ),
    entry("{commonLabels: {team: a}}", "NetworkPolicy", "/metadata/labels/team", "a"),
    entry("{commonLabels: {team: a}}", "Deployment", "/spec/template/metadata/labels/team", "a"),
    entry(
        "{commonLabels: {team: a}, podLabels: {team: b}}",
        "Deployment",
        "/spec/template/metadata/labels/team",
        "b",
    ),
    entry("{commonAnnotations: {team: a}}", "Role", "/metadata/annotations/team", "a"),
    entry("{commonAnnotations: {team: a}}", "Deployment", "/spec/template/metadata/annotations/team", "a"),
    entry(
        "{commonAnnotations: {team: a}, service: {enabled: true, annotations: {team: b}}}",
        "Service",
        "/metadata/annotations/team",
        "b",
    ),
    entry("{serviceAccount: {labels: {team: a}}}", "ServiceAccount", "/metadata/labels/team", "a"),
    entry(
        "{extraEnv: [{name: TZ, value: Europe/Berlin}]}",
        "Deployment",
        container!("env/1"),
        "{name: TZ, value: Europe/Berlin}",
    ),
    entry(
        "{proxy: {httpProxy: 'http://a.example.com:8080', httpsProxy: 'http://b.example.com:3128', noProxy: '.svc, 10.0.0.0/8,'}}",
        "Deployment",
        container!("env"),
        "[{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: HTTPS_PROXY, value: 'http://b.example.com:3128'}, {name: HTTP_PROXY, value: 'http://a.example.com:8080'}, {name: NO_PROXY, value: '.svc, 10.0.0.0/8,kubernetes.default.svc,$(KUBERNETES_SERVICE_HOST)'}]",
    ),
    entry(
        "{proxy: {secretRef: {name: proxy}}}",
        "Deployment",
        container!("env/1"),
        "{name: HTTPS_PROXY, valueFrom: {secretKeyRef: {name: proxy, key: HTTPS_PROXY}}}",
    ),
    entry(
        "{proxy: {secretRef: {name: proxy, httpProxyKey: plain, httpsProxyKey: ''}, httpsProxy: 'https://b.example.com'}}",
        "Deployment",
        container!("env/2"),
        "{name: HTTP_PROXY, valueFrom: {secretKeyRef: {name: proxy, key: plain}}}",
    ),
    entry("{proxy: {noProxy: .svc}}", "Deployment", container!("env/1"), "null"),
    entry(
        "{proxy: {caBundle: {configMapKeyRef: {name: authorities, key: root.pem}}}}",
        "Deployment",
        container!("args/7"),
        "--proxy-ca-file=/etc/wandb-auth-operator/proxy/ca.crt",
    ),
    entry(
        "{proxy: {caBundle: {configMapKeyRef: {name: authorities, key: root.pem}}}}",
        "Deployment",
        pod!("volumes"),
        "[{name: proxy-authorities, configMap: {name: authorities, items: [{key: root.pem, path: ca.crt}]}}]",
    ),
    entry(
        "{proxy: {caBundle: {secretKeyRef: {name: authorities, key: root.pem}}}, extraVolumes: [{name: scratch, emptyDir: {}}]}",
        "Deployment",
        pod!("volumes"),
        "[{name: proxy-authorities, secret: {secretName: authorities, items: [{key: root.pem, path: ca.crt}]}}, {name: scratch, emptyDir: {}}]",
    ),
    entry(
        "{proxy: {caBundle: {secretKeyRef: {name: authorities, key: root.pem}}}}",
        "Deployment",
        container!("volumeMounts"),
        "[{name: proxy-authorities, mountPath: /etc/wandb-auth-operator/proxy, readOnly: true}]",
    ),
    entry(
        "{proxy: {httpsProxy: 'http://b.example.com:3129'}, networkPolicy: {proxyPorts: [3129], proxyTo: [{ipBlock: {cidr: 10.9.9.9/32}}]}}",
        "NetworkPolicy",
        "/spec/egress/4",
        "{ports: [{protocol: TCP, port: 3129}], to: [{ipBlock: {cidr: 10.9.9.9/32}}]}",
    ),
    entry("{networkPolicy: {proxyPorts: [3129]}}", "NetworkPolicy", "/spec/egress/4", "null"),
    entry(
        "{extraEnvFrom: [{secretRef: {name: more}}]}",
        "Deployment",
        container!("envFrom"),
        "[{secretRef: {name: more}}]",
    ),
    entry(
        "{extraEnvFrom: [{secretRef: {name: more}}], extraEnv: [{name: TZ, value: UTC}]}",
        "Deployment",
        container!("env"),
        "[{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: WANDB_AUTH_NAMESPACE, value: ''}, {name: WANDB_AUTH_ALL_NAMESPACES, value: 'false'}, {name: WANDB_AUTH_ALLOW_EGRESS, value: ''}, {name: TZ, value: UTC}]",
    ),
    entry(
        "{extraEnvFrom: [{secretRef: {name: more}}], watchNamespaces: [wandb], allowEgress: [10.0.0.0/8]}",
        "Deployment",
        container!("env/1"),
        "{name: WANDB_AUTH_ALL_NAMESPACES, value: 'false'}",
    ),
    entry(
        "{extraEnvFrom: [{secretRef: {name: more}}], allNamespaces: true, allowEgress: [10.0.0.0/8]}",
        "Deployment",
        container!("env/1"),
        "{name: WANDB_AUTH_NAMESPACE, value: ''}",
    ),
    entry(
        "{extraArgs: [--failure-patience=2m]}",
        "Deployment",
        container!("args/7"),
        "--failure-patience=2m",
    ),
    entry(
        "{extraVolumes: [{name: scratch, emptyDir: {}}]}",
        "Deployment",
        pod!("volumes"),
        "[{name: scratch, emptyDir: {}}]",
    ),
    entry(
        "{extraVolumes: [{name: scratch, emptyDir: {}}], extraVolumeMounts: [{name: scratch, mountPath: /tmp}]}",
        "Deployment",
        container!("volumeMounts"),
        "[{name: scratch, mountPath: /tmp}]",
    ),
    entry(
        "{extraContainers: [{name: tunnel, image: tunnel, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}",
        "Deployment",
        pod!("containers/1/name"),
        "tunnel",
    ),
    entry(
        "{extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-more'}}]}",
        "ConfigMap",
        "/metadata/name",
        "wandb-auth-operator-more",
    ),
    entry(
        "{extraObjects: ['{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}-text}}']}",
        "ConfigMap",
        "/metadata/name",
        "wandb-auth-operator-text",
    ),
    entry(
        "{namespaceOverride: chart-staging, extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: placed}}]}",
        "ConfigMap",
        "/metadata",
        "{name: placed, namespace: chart-staging}",
    ),
    entry(
        "{namespaceOverride: chart-staging, extraObjects: ['{apiVersion: v1, kind: ConfigMap, metadata: {name: there, namespace: chart-research}}']}",
        "ConfigMap",
        "/metadata/namespace",
        "chart-research",
    ),
    entry(
        "{namespaceOverride: chart-staging, extraObjects: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: placed-nowhere}, rules: []}]}",
        "ClusterRole",
        "/metadata/namespace",
        "null",
    ),
    entry("{fullnameOverride: 'true'}", "Deployment", "/metadata/name", "'true'"),
    entry("{fullnameOverride: 'true'}", "RoleBinding", "/roleRef/name", "'true'"),
    entry("{serviceAccount: {name: '1234'}}", "ServiceAccount", "/metadata/name", "'1234'"),
    entry("{serviceAccount: {name: '1234'}}", "Deployment", pod!("serviceAccountName"), "'1234'"),
    entry("{serviceAccount: {name: '1234'}}", "RoleBinding", "/subjects/0/name", "'1234'"),
    entry(
        "{serviceAccount: {name: '1234'}, allNamespaces: true}",
        "ClusterRoleBinding",
        "/subjects/0/name",
        "'1234'",
    ),
    entry("{runtimeClassName: '1'}", "Deployment", pod!("runtimeClassName"), "'1'"),
    entry("{priorityClassName: '1'}", "Deployment", pod!("priorityClassName"), "'1'"),
    entry(
        "{serviceMonitor: {enabled: true, interval: 90s, scrapeTimeout: 1m30s}}",
        "ServiceMonitor",
        "/spec/endpoints/0/scrapeTimeout",
        "1m30s",
    ),
    entry(
        "{readinessProbe: {successThreshold: 2}}",
        "Deployment",
        container!("readinessProbe/successThreshold"),
        "2",
    ),
    entry(
        "{livenessProbe: {successThreshold: 1, terminationGracePeriodSeconds: 5}}",
        "Deployment",
        container!("livenessProbe/terminationGracePeriodSeconds"),
        "5",
    ),
    entry("{strategy: {type: Recreate}}", "Deployment", "/spec/strategy", "{type: Recreate}"),
    entry(
        "{strategy: {rollingUpdate: {maxSurge: 50%, maxUnavailable: 1}}}",
        "Deployment",
        "/spec/strategy/rollingUpdate",
        "{maxSurge: 50%, maxUnavailable: 1}",
    ),
    entry("{revisionHistoryLimit: 0}", "Deployment", "/spec/revisionHistoryLimit", "0"),
    entry("{terminationGracePeriodSeconds: 90}", "Deployment", pod!("terminationGracePeriodSeconds"), "90"),
    entry(
        "{livenessProbe: {periodSeconds: 20, initialDelaySeconds: 5}}",
        "Deployment",
        container!("livenessProbe"),
        "{httpGet: {path: /healthz, port: metrics}, initialDelaySeconds: 5, periodSeconds: 20, timeoutSeconds: 5, failureThreshold: 6}",
    ),
    entry(
        "{livenessProbe: {timeoutSeconds: 9, failureThreshold: 9}}",
        "Deployment",
        container!("livenessProbe/timeoutSeconds"),
        "9",
    ),
    entry("{livenessProbe: {enabled: false}}", "Deployment", container!("livenessProbe"), "null"),
    entry(
        "{readinessProbe: {periodSeconds: 9, timeoutSeconds: 7, failureThreshold: 8}}",
        "Deployment",
        container!("readinessProbe"),
        "{httpGet: {path: /readyz, port: metrics}, periodSeconds: 9, timeoutSeconds: 7, failureThreshold: 8}",
    ),
    entry(
        "{startupProbe: {enabled: true, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 60}}",
        "Deployment",
        container!("startupProbe"),
        "{httpGet: {path: /healthz, port: metrics}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 60}",
    ),
    entry(
        "{podSecurityContext: {fsGroup: 1000}}",
        "Deployment",
        pod!("securityContext"),
        "{fsGroup: 1000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}",
    ),
    entry(
        "{securityContext: {runAsUser: 1000}}",
        "Deployment",
        container!("securityContext"),
        "{runAsUser: 1000, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}",
    ),
    entry(
        "{hostAliases: [{ip: 10.0.0.5, hostnames: [ldap.example.com]}]}",
        "Deployment",
        pod!("hostAliases"),
        "[{ip: 10.0.0.5, hostnames: [ldap.example.com]}]",
    ),
    entry(
        "{dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.10]}}",
        "Deployment",
        pod!("dnsConfig"),
        "{nameservers: [10.0.0.10]}",
    ),
    entry("{dnsPolicy: Default}", "Deployment", pod!("dnsPolicy"), "Default"),
    entry("{runtimeClassName: sandbox}", "Deployment", pod!("runtimeClassName"), "sandbox"),
    entry(
        "{replicaCount: 3, podDisruptionBudget: {minAvailable: 50%}}",
        "PodDisruptionBudget",
        "/spec/minAvailable",
        "50%",
    ),
    entry(
        "{replicaCount: 3, podDisruptionBudget: {minAvailable: 50%}}",
        "PodDisruptionBudget",
        "/spec/maxUnavailable",
        "null",
    ),
    entry(
        "{replicaCount: 3, podDisruptionBudget: {minAvailable: 0}}",
        "PodDisruptionBudget",
        "/spec/minAvailable",
        "0",
    ),
    entry(
        "{replicaCount: 3, podDisruptionBudget: {minAvailable: 66%}}",
        "PodDisruptionBudget",
        "/spec/minAvailable",
        "66%",
    ),
    entry(
        "{replicaCount: 3, podDisruptionBudget: {maxUnavailable: 1%}}",
        "PodDisruptionBudget",
        "/spec/maxUnavailable",
        "1%",
    ),
    entry("{replicaCount: 3}", "PodDisruptionBudget", "/spec/maxUnavailable", "1"),
    entry(
        "{serviceMonitor: {enabled: true, namespace: chart-research}}",
        "ServiceMonitor",
        "/metadata/namespace",
        "chart-research",
    ),
    entry(
        "{serviceMonitor: {enabled: true, namespace: chart-research}}",
        "ServiceMonitor",
        "/spec/namespaceSelector",
        "{matchNames: [wandb]}",
    ),
    entry(
        "{serviceMonitor: {enabled: true, scrapeTimeout: 20s}}",
        "ServiceMonitor",
        "/spec/endpoints/0/scrapeTimeout",
        "20s",
    ),
    entry(
        "{serviceMonitor: {enabled: true, relabelings: [{targetLabel: cluster, replacement: east}]}}",
        "ServiceMonitor",
        "/spec/endpoints/0/relabelings",
        "[{targetLabel: cluster, replacement: east}]",
    ),
    entry(
        "{serviceMonitor: {enabled: true, metricRelabelings: [{action: drop, regex: x, sourceLabels: [check]}]}}",
        "ServiceMonitor",
        "/spec/endpoints/0/metricRelabelings",
        "[{action: drop, regex: x, sourceLabels: [check]}]",
    ),
    entry(
        "{prometheusRule: {enabled: true, namespace: chart-research}}",
        "PrometheusRule",
        "/metadata/namespace",
        "chart-research",
    ),
    entry(
        "{prometheusRule: {enabled: true, alertLabels: {team: a}, documentationURL: 'https://docs.example.com'}}",
        "PrometheusRule",
        "/spec/groups/0/rules/0/labels",
        "{team: a, severity: warning}",
    ),
    entry(
        "{prometheusRule: {enabled: true, thresholds: {notReadyFor: 1h, rollbackWithin: 2h, warningsFor: 7d, checksOverdueHours: 30, certificateExpiresDays: 30, tokenExpiresSeconds: 60, apiKeyAgeDays: 365, operatorAbsentFor: 1m, nobodyLeadsFor: 1m, severalLeadersFor: 1m}}}",
        "PrometheusRule",
        "/spec/groups/0/rules/0/for",
        "1h",
    ),
    entry(
        "{grafanaDashboard: {enabled: true, labels: {grafana_dashboard: null, dashboards: 'yes'}}}",
        "ConfigMap",
        "/metadata/labels/grafana_dashboard",
        "null",
    ),
    entry(
        "{serverPodChecks: {enabled: true}, imagePullSecrets: [a]}",
        "Deployment",
        container!("args/9"),
        "--image-pull-secret=a",
    ),
    entry(
        "{injection: {enabled: true}}",
        "MutatingAdmissionPolicyBinding",
        "/spec/policyName",
        "wandb-auth-operator.wandb",
    ),
    entry(
        "{injection: {enabled: true, namespaceSelector: {matchLabels: {team: a}}}}",
        "MutatingAdmissionPolicyBinding",
        "/spec/matchResources/namespaceSelector",
        "{matchLabels: {team: a}}",
    ),
    entry(
        "{networkPolicy: {httpsTo: [{ipBlock: {cidr: 10.0.0.0/8}}]}}",
        "NetworkPolicy",
        "/spec/egress/2/to",
        "[{ipBlock: {cidr: 10.0.0.0/8}}]",
    ),
    entry(
        "{grafanaDashboard: {enabled: true, namespace: chart-research}}",
        "ConfigMap",
        "/metadata/namespace",
        "chart-research",
    ),
];

/// The values of the matrix, each set once.
pub fn cases() -> Result<Vec<Case>> {
    let values: BTreeSet<_> = MATRIX.iter().map(|entry| entry.values).collect();
    let case = |values: &&str| Ok(Case { name: (*values).to_owned(), values: serde_yaml::from_str(values)? });
    values.iter().map(case).collect()
}

#[test]
fn every_value_has_its_effect() -> Result<()> {
    let helm = Helm::new()?;
    for Entry { values, kind, place, content } in MATRIX {
        let case = Case { name: (*values).to_owned(), values: serde_yaml::from_str(values)? };
        let rendered = documents(&case.rendered(&helm)?)?;
        let wanted: Value = serde_yaml::from_str(content)?;
        let found: Vec<_> = rendered
            .iter()
            .filter(|object| object["kind"] == *kind)
            .map(|object| object.pointer(place).cloned().unwrap_or_default())
            .collect();
        ensure!(found.contains(&wanted), "{values}: no {kind} has {wanted} at {place}, but {found:?}");
    }
    Ok(())
}

#[test]
fn helm_finds_nothing_to_improve_in_any_of_them() -> Result<()> {
    let helm = Helm::new()?;
    for case in super::every_case()? {
        helm.lint(&case.values).with_context(|| case.name.clone())?;
    }
    Ok(())
}

/// What the API server matches pods and Services by can never be changed, and people change their labels.
#[test]
fn no_selector_has_a_label_that_people_choose() -> Result<()> {
    let values = json!({
        "commonLabels": {"chosen": "yes"}, "podLabels": {"chosen-too": "yes"}, "nameOverride": "chosen",
        "replicaCount": 2, "allNamespaces": true, "userRoles": {"create": true},
        "serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true},
        "grafanaDashboard": {"enabled": true}, "crds": {"enabled": true},
    });
    let mut selectors = 0;
    for object in documents(&Helm::new()?.template(&values)?)? {
        ensure!(object["metadata"]["labels"]["chosen"] == "yes", "not labelled: {object}");
        for place in
            ["/spec/selector", "/spec/podSelector", pod!("topologySpreadConstraints/0/labelSelector")]
        {
            let Some(selector) = object.pointer(place).filter(|found| found.is_object()) else { continue };
            ensure!(!selector.to_string().contains("chosen"), "{selector} of {}", object["kind"]);
            selectors += 1;
        }
    }
    ensure!(
        selectors == 6,
        "Deployment with its spread, Service, NetworkPolicy, budget, monitor: {selectors}"
    );
    Ok(())
}

/// The paths of the values that somebody sets.
fn set(values: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        set(value, &path, found);
        found.insert(path);
    }
}

#[test]
fn every_value_is_set_by_some_case() -> Result<()> {
    let (mut known, mut tried) = (BTreeSet::new(), BTreeSet::new());
    set(&serde_yaml::from_str(&file("values.yaml")?)?, "", &mut known);
    for case in super::every_case()? {
        set(&case.values, "", &mut tried);
        set(&case.values_without_definitions(), "", &mut tried);
    }
    // The protections are what the tests of the level `restricted` take away, one by one.
    let protected = |path: &String| path.to_lowercase().contains("securitycontext.");
    let untried: Vec<_> = known.difference(&tried).filter(|path| !protected(path)).collect();
    ensure!(untried.is_empty(), "no case sets {untried:?}: add one to the matrix");
    Ok(())
}
