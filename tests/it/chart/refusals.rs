//! Values that the chart does not take, and what it says about them.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde_json::Value;
use test_support::Helm;

/// What people may write, and what the chart does not take.
const MISTAKES: &[&str] = &[
    "{crds: {instal: false}}",
    "{replicas: 2}",
    "{crds: {install: false}}",
    "{crds: {enabled: false, keep: false}}",
    "{concurrency: null}",
    "{replicaCount: two}",
    "{replicaCount: -1}",
    "{nameOverride: Wandb}",
    "{namespaceOverride: team.wandb}",
    "{commonLabels: {tier: 1}}",
    "{commonLabels: {app.kubernetes.io/name: wandb}}",
    "{global: {imageRegistry: 'https://mirror.example.com'}}",
    "{global: {imageRegistry: mirror.example.com}, image: {repository: registry.example.com/operator}}",
    "{image: {registry: mirror.example.com, repository: 'registry:5000/operator'}}",
    "{imagePullSecrets: [{nam: registry}]}",
    "{image: {tag: a/b}}",
    "{image: {digest: latest}}",
    "{image: {pullPolicy: Sometimes}}",
    "{watchNamespaces: wandb}",
    "{watchNamespaces: [Wandb]}",
    "{watchNamespaces: [wandb, wandb]}",
    "{allNamespaces: true, watchNamespaces: [wandb]}",
    "{allowEgress: [10.0.0.1]}",
    "{deletionPatience: ten minutes}",
    "{deletionPatience: 600}",
    "{concurrency: 0}",
    "{logFormat: xml}",
    "{listenAddress: '::'}",
    "{listenAddress: 0.0.0}",
    "{listenAddress: '[1:2]'}",
    "{fullnameOverride: 1wandb}",
    "{fullnameOverride: team.wandb}",
    "{serviceAccount: {create: false}}",
    "{tokenRequest: [trainer]}",
    "{tokenRequest: [{serviceAccounts: []}]}",
    "{tokenRequest: [{namespace: other, serviceAccounts: [trainer]}]}",
    "{targets: {daemonSet: true}}",
    "{serverPodChecks: {enabled: always}}",
    "{serverPodChecks: {enabled: true}, targets: {deployment: false, statefulSet: false, weightsAndBiases: false}}",
    "{extraArgs: [--server-pod-checks]}",
    "{injection: {enabled: always}}",
    "{injection: {namespaceSelector: {matchLabel: {team: a}}}}",
    "{networkPolicy: {httpsPorts: [https]}}",
    "{networkPolicy: {dnsPorts: 53}}",
    "{networkPolicy: {metricsFrom: monitoring}}",
    "{networkPolicy: {metricsFrom: [{}]}}",
    "{networkPolicy: {ldapTo: [10.0.0.0/8]}}",
    "{networkPolicy: {extraEgress: [{}]}}",
    "{networkPolicy: {extraEgress: [{ports: []}]}}",
    "{networkPolicy: {extraEgress: [{to: null, ports: [{port: 8080}]}]}}",
    "{podDisruptionBudget: {minAvailable: half}}",
    "{podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}, replicaCount: 2}",
    "{podDisruptionBudget: {minAvailable: 2}, replicaCount: 2}",
    "{podDisruptionBudget: {minAvailable: 100%}, replicaCount: 3}",
    "{podDisruptionBudget: {minAvailable: 51%}, replicaCount: 2}",
    "{podDisruptionBudget: {maxUnavailable: 0}, replicaCount: 2}",
    "{serviceMonitor: {scrapeTimeout: soon}}",
    "{serviceMonitor: {enabled: true, scrapeTimeout: 1m, interval: 59s}}",
    "{serviceMonitor: {enabled: true, labels: {app.kubernetes.io/instance: prometheus}}}",
    "{prometheusRule: {documentationURL: docs.example.com}}",
    "{prometheusRule: {thresholds: {notReadyFor: 15}}}",
    "{prometheusRule: {thresholds: {certificateExpires: 14}}}",
    "{prometheusRule: {enabled: true, thresholds: {notReadyFor: null}}}",
    "{prometheusRule: {enabled: true, alertLabels: {severity: page}}}",
    "{extraEnv: {TZ: UTC}}",
    "{extraEnv: [{name: DEBUG, value: true}]}",
    "{extraEnv: [{name: POD_NAME, value: me}]}",
    "{extraEnv: [{name: RUST_LOG, value: debug}], logFilter: info}",
    "{extraEnv: [{name: TZ, value: UTC}, {name: TZ, value: CET}]}",
    "{extraEnv: [{name: WANDB_AUTH_ALL_NAMESPACES, value: 'true'}]}",
    "{extraEnv: [{name: WANDB_AUTH_FAILURE_PATIENCE, value: 2m}]}",
    "{proxy: {httpsProxy: 'http://b.example.com:3129'}}",
    "{proxy: {httpsProxy: 'https://b.example.com', secretRef: {name: proxy}}}",
    "{proxy: {httpsProxy: 'https://user:password@b.example.com'}}",
    "{proxy: {httpsProxy: 'b.example.com:3128'}}",
    "{proxy: {caBundle: {configMapKeyRef: {name: a, key: b}, secretKeyRef: {name: a, key: b}}}}",
    "{proxy: {caBundle: {configMapKeyRef: {name: a}}}}",
    "{proxy: {httpsProxy: 'https://b.example.com'}, extraEnv: [{name: no_proxy, value: .svc}]}",
    "{extraArgs: [--proxy-ca-file=/a]}",
    "{extraArgs: [--log-format=text]}",
    "{extraArgs: [--namespace, wandb]}",
    "{extraVolumeMounts: [{name: scratch}]}",
    "{extraObjects: {kind: ConfigMap}}",
    "{strategy: {type: OnDelete}}",
    "{strategy: {rollingUpdate: {maxSurge: 0%}}}",
    "{terminationGracePeriodSeconds: 0}",
    "{livenessProbe: {httpGet: {path: /}}}",
    "{livenessProbe: {successThreshold: 2}}",
    "{startupProbe: {terminationGracePeriodSeconds: 0}}",
    "{readinessProbe: {terminationGracePeriodSeconds: 5}}",
    "{dnsPolicy: Cluster}",
    "{podLabels: {tier: 1}}",
    "{podLabels: {app.kubernetes.io/name: wandb}}",
    "{resources: {request: {cpu: 10m}}}",
];

#[test]
fn mistakes_are_told() -> Result<()> {
    let helm = Helm::new()?;
    let mut told = String::new();
    for mistake in MISTAKES {
        let values: Value = serde_yaml::from_str(mistake)?;
        let Err(refusal) = helm.template(&values) else { bail!("{mistake} is taken") };
        writeln!(told, "{mistake}\n{refusal}\n")?;
    }
    insta::assert_snapshot!(told);
    Ok(())
}
