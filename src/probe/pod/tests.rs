use super::*;
use crate::workloads::SourceContents;

/// The pod template of a server that has everything.
const TEMPLATE: &str = "
metadata:
  labels:
    app: wandb
    team: ml
    pod-template-hash: 5d9f
    statefulset.kubernetes.io/pod-name: wandb-0
  annotations:
    sidecar.istio.io/inject: 'true'
    config.linkerd.io/skip-outbound-ports: '636'
    k8s.v1.cni.cncf.io/networks: corporate
    notistio.io/x: 'no'
    container.apparmor.security.beta.kubernetes.io/wandb: runtime/default
    vault.hashicorp.com/agent-inject: 'true'
    kubectl.kubernetes.io/restartedAt: now
spec:
  serviceAccountName: wandb
  automountServiceAccountToken: true
  hostNetwork: true
  hostPID: true
  nodeSelector: {disk: fast}
  tolerations: [{key: gpu, operator: Exists}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: wandb}}}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
  dnsPolicy: None
  dnsConfig: {nameservers: [10.0.0.10], searches: [corp.example]}
  hostAliases: [{ip: 10.0.0.1, hostnames: [ldap.example.com]}]
  runtimeClassName: gvisor
  schedulerName: own
  initContainers: [{name: migrate, image: wandb/local}]
  containers:
  - {name: proxy, image: envoy}
  - name: wandb
    image: wandb/local
    env:
    - {name: HOST, value: https://wandb.example.com}
    - {name: https_proxy, valueFrom: {configMapKeyRef: {name: proxies, key: https}}}
    - {name: NO_PROXY, value: .svc}
    - {name: SSL_CERT_FILE, value: /etc/corporate/ca.pem}
    - {name: MYSQL, valueFrom: {secretKeyRef: {name: mysql, key: url}}}
    - {name: LOCAL_LDAP_ADDRESS, value: ldaps://old.example.com}
    envFrom:
    - {configMapRef: {name: settings}}
    - {secretRef: {name: mysql}}
    volumeMounts:
    - {name: data, mountPath: /vol}
    - {name: corporate, mountPath: /etc/corporate}
    - {name: added, mountPath: /usr/local/share/ca-certificates/added}
    - {name: earlier, mountPath: /usr/local/share/ca-certificates/corp.crt, subPath: ca.crt}
    - {name: token, mountPath: /usr/local/share/ca-certificates/token}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
  - {name: corporate, configMap: {name: corporate}}
  - {name: added, projected: {sources: [{configMap: {name: added}}]}}
  - {name: earlier, secret: {secretName: corp-ldap-3}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}}
";

fn build(template: &str, container: Option<&str>, authorities: CandidateAuthorities) -> Pod {
    build_with(template, container, authorities, &[])
}

fn build_with(
    template: &str,
    container: Option<&str>,
    authorities: CandidateAuthorities,
    sources: &[SourceContents],
) -> Pod {
    let server = ServerTemplate {
        template: serde_yaml::from_str(template).unwrap(),
        container: container.map(str::to_owned),
        sources: sources.to_vec(),
    };
    let owner = OwnerReference {
        api_version: "auth.wandb.com/v1alpha1".to_owned(),
        kind: "LdapConfig".to_owned(),
        name: "corp".to_owned(),
        uid: "1".to_owned(),
        block_owner_deletion: Some(true),
        controller: None,
    };
    ProbePod {
        name: "corp-ldap-check",
        namespace: "team",
        owner: &owner,
        annotations: &BTreeMap::from([("auth.wandb.com/checked-inputs".to_owned(), "1".to_owned())]),
        server: &server,
        resource: &Owner::new("LdapConfig", "ldap", "operator", "corp", "corp-ldap".to_owned()),
        image: "registry.example.com/wandb-auth-operator:1",
        pull_secrets: &["pull".to_owned()],
        values: "corp-ldap-candidate",
        variables: &["LOCAL_LDAP_ADDRESS", "HOST", RESOURCE_VARIABLE],
        authorities,
        arguments: &["--enforce-egress".to_owned()],
        deadline: Duration::from_secs(45),
    }
    .build()
}

#[test]
fn the_pod_sits_where_the_server_sits() {
    let pod = build(TEMPLATE, Some("wandb"), CandidateAuthorities::Some);
    insta::assert_snapshot!(serde_yaml::to_string(&pod).unwrap());
}

#[test]
fn a_template_that_says_nothing_is_enough() {
    let pod = build("{spec: {containers: [{name: wandb}]}}", None, CandidateAuthorities::None);
    insta::assert_snapshot!(serde_yaml::to_string(&pod).unwrap());
    // A container that the template does not have leaves the rest of the place.
    let other = build(TEMPLATE, Some("nobody"), CandidateAuthorities::None);
    assert_eq!(other.metadata.labels.unwrap().len(), 2);
    assert_eq!(other.spec.unwrap().containers[0].env.as_ref().map(Vec::len), Some(3));
}

/// What the pod security standard `restricted` asks of a pod, whatever the template has.
#[test]
fn no_template_gives_the_pod_more_than_is_permitted() {
    for security in ["{}", "{runAsUser: 0, privileged: true, capabilities: {add: [SYS_ADMIN]}}"] {
        let template = TEMPLATE
            .replace("image: wandb/local\n    env", &format!("securityContext: {security}\n    env"))
            .replace(
                "hostPID: true",
                "hostPID: true\n  securityContext: {runAsUser: 0, sysctls: [{name: a, value: b}]}",
            );
        let spec = build(&template, Some("wandb"), CandidateAuthorities::None).spec.unwrap();
        assert_eq!((spec.host_network, spec.host_pid, spec.host_ipc), (None, None, None));
        let pod = spec.security_context.unwrap();
        assert_eq!((pod.run_as_non_root, pod.run_as_user, pod.sysctls), (Some(true), None, None));
        assert_eq!(spec.containers.len(), 1);
        assert_eq!(spec.init_containers, None);
        assert_eq!(spec.containers[0].security_context, Some(restricted()));
        assert_eq!(spec.automount_service_account_token, Some(false));
        let volumes = spec.volumes.unwrap();
        assert!(volumes.iter().all(|volume| volume.host_path.is_none() && volume.name != "token"));
    }
}

#[test]
fn the_pod_has_an_end_and_no_traffic() {
    let pod = build(TEMPLATE, None, CandidateAuthorities::None);
    let spec = pod.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(spec.active_deadline_seconds, Some(45));
    assert_eq!(spec.readiness_gates.unwrap()[0].condition_type, format!("{GROUP}/never-ready"));
    let owners = pod.metadata.owner_references.unwrap();
    assert_eq!((owners.len(), owners[0].controller, owners[0].block_owner_deletion), (1, Some(true), None));
}

#[test]
fn the_candidate_counts_more_than_what_the_template_says() {
    let pod = build(TEMPLATE, Some("wandb"), CandidateAuthorities::Some);
    let container = pod.spec.unwrap().containers.remove(0);
    let entries = container.env.unwrap();
    let hosts: Vec<_> = entries.iter().filter(|entry| entry.name == "HOST").collect();
    let source = hosts[0].value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap();
    assert_eq!((hosts.len(), source.name.as_str(), source.key.as_str()), (1, "corp-ldap-candidate", "HOST"));
    // A file of authorities may be longer than a variable can be.
    assert!(entries.iter().all(|entry| entry.name != "ca.crt"));
    assert!(container.env_from.unwrap().iter().all(|source| source.secret_ref.is_none()));
}

#[test]
fn variables_come_with_those_that_they_refer_to() {
    let template = "spec: {containers: [{name: wandb, env: [
        {name: UNUSED, value: x},
        {name: ZONE, value: example.com},
        {name: PROXY_HOST, value: proxy.$(ZONE)},
        {name: HTTPS_PROXY, value: 'http://$(PROXY_HOST):$(PORT)'},
        {name: PORT, value: '3128'}]}]}";
    let entries =
        build(template, None, CandidateAuthorities::None).spec.unwrap().containers.remove(0).env.unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).skip(3).collect();
    assert_eq!(names, ["ZONE", "PROXY_HOST", "HTTPS_PROXY"]);
}

fn secret(keys: &[&str]) -> SourceContents {
    SourceContents::Secret(keys.iter().map(|key| (*key).to_owned()).collect())
}

fn config_map(data: &[(&str, &str)]) -> SourceContents {
    SourceContents::ConfigMap(
        data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
    )
}

/// The entries of the container beside the candidate's, each as its name with what it refers to or its value.
fn entries_beside_the_candidate(template: &str, sources: &[SourceContents]) -> Vec<String> {
    let pod = build_with(template, None, CandidateAuthorities::None, sources);
    let entries = pod.spec.unwrap().containers.remove(0).env.unwrap();
    let text = |entry: &EnvVar| {
        let reference = entry.value_from.as_ref().and_then(|from| from.secret_key_ref.clone());
        let reference = reference.map(|reference| format!("{}.{}", reference.name, reference.key));
        format!("{} {}", entry.name, reference.unwrap_or_else(|| entry.value.clone().unwrap()))
    };
    entries.iter().skip(3).map(text).collect()
}

#[test]
fn of_whole_secrets_the_check_gets_what_is_of_connections_alone() {
    let template = "spec: {containers: [{name: wandb,
        envFrom: [{secretRef: {name: egress}}, {secretRef: {name: later}, prefix: HTTPS_}, {secretRef: {name: gone}}],
        env: [{name: no_proxy, value: .svc}, {name: HTTP_PROXY, value: 'http://$(USER)@proxy'}]}]}";
    let sources = [secret(&["https_proxy", "USER", "database"]), secret(&["PROXY", "no_proxy"]), secret(&[])];
    assert_eq!(
        entries_beside_the_candidate(template, &sources),
        [
            "USER egress.USER",
            "https_proxy egress.https_proxy",
            "HTTPS_PROXY later.PROXY",
            "no_proxy .svc",
            "HTTP_PROXY http://$(USER)@proxy",
        ]
    );
}

/// The last source of a variable counts, as for the server.
#[test]
fn a_secret_counts_no_more_than_a_config_map_after_it() {
    let (of_secret, of_map) = ("{secretRef: {name: egress}}", "{configMapRef: {name: settings}}");
    let (keys, data) = (secret(&["HTTPS_PROXY"]), config_map(&[("HTTPS_PROXY", "http://p")]));
    for (order, sources, expected) in [
        ([of_secret, of_map], [keys.clone(), data.clone()], Vec::new()),
        ([of_map, of_secret], [data, keys], vec!["HTTPS_PROXY egress.HTTPS_PROXY"]),
    ] {
        let template = format!("spec: {{containers: [{{name: wandb, envFrom: [{}]}}]}}", order.join(", "));
        assert_eq!(entries_beside_the_candidate(&template, &sources), expected);
    }
}

/// What leads the server to its authorities brings their files, wherever it comes from.
#[test]
fn a_file_of_authorities_comes_with_the_variable_that_names_it() {
    let volumes =
        "volumes: [{name: trust, configMap: {name: trust}}, {name: other, configMap: {name: other}}]";
    let mounts = "volumeMounts: [{name: trust, mountPath: /trust}, {name: other, mountPath: /other}]";
    let plain = "env: [{name: SSL_CERT_FILE, value: /trust/all.pem}]";
    let made = "env: [{name: SSL_CERT_FILE, value: '$(DIR)/all.pem'}]";
    let map = "envFrom: [{configMapRef: {name: settings}}]";
    let hidden = "envFrom: [{secretRef: {name: settings}}]";
    let named = config_map(&[("SSL_CERT_FILE", "/trust/all.pem")]);
    for (variables, sources, expected) in [
        (plain, vec![], vec!["/trust"]),
        (map, vec![named], vec!["/trust"]),
        (hidden, vec![secret(&["SSL_CERT_FILE"])], vec!["/trust", "/other"]),
        (made, vec![], vec!["/trust", "/other"]),
        (hidden, vec![secret(&["PASSWORD"])], vec![]),
    ] {
        let template = format!("spec: {{containers: [{{name: wandb, {variables}, {mounts}}}], {volumes}}}");
        let pod = build_with(&template, None, CandidateAuthorities::None, &sources);
        let mounts = pod.spec.unwrap().containers.remove(0).volume_mounts.unwrap_or_default();
        let places: Vec<_> = mounts.iter().map(|mount| mount.mount_path.as_str()).collect();
        assert_eq!(places, expected, "{variables}");
    }
}

/// The values before may have had authorities that the new ones lack.
#[test]
fn what_the_resource_has_put_into_the_template_is_left_out() {
    for authorities in [CandidateAuthorities::Some, CandidateAuthorities::None] {
        let spec = build(TEMPLATE, Some("wandb"), authorities).spec.unwrap();
        let secrets =
            spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.clone());
        let expected: &[&str] =
            if authorities == CandidateAuthorities::Some { &["corp-ldap-candidate"] } else { &[] };
        assert_eq!(secrets.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn no_second_pod_gets_the_address_of_the_first() {
    let template = r#"
metadata:
  annotations:
    cni.projectcalico.org/ipAddrs: '["10.0.0.1"]'
    cni.projectcalico.org/ipv4pools: '["pool"]'
    vpc.amazonaws.com/pod-ips: 10.0.0.1
    k8s.v1.cni.cncf.io/networks: '[{"name": "a", "namespace": "b", "ips": ["10.0.0.1/24"], "mac": "02:00:00:00:00:01"}]'
spec: {containers: [{name: wandb}]}
"#;
    let annotations = build(template, None, CandidateAuthorities::None).metadata.annotations.unwrap();
    assert_eq!(annotations["k8s.v1.cni.cncf.io/networks"], r#"[{"name":"a","namespace":"b"}]"#);
    assert_eq!(annotations["cni.projectcalico.org/ipv4pools"], r#"["pool"]"#);
    assert!(!annotations.keys().any(|name| name.ends_with("ipAddrs") || name.ends_with("pod-ips")));
}
