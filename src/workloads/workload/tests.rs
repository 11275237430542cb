use std::fmt::Write;

use super::{
    samples::{
        ADDRESS, ANOTHER, ENVIRONMENT, LOGIN, SPLIT_ONLY, changed, delivery, deployment, owner, values,
        workload,
    },
    *,
};
use crate::{
    values::{CA_FILE, Env},
    workloads::WorkloadAddress,
};
use proptest::prelude::*;

/// The fields as an API server reports them after an apply and a `kubectl rollout undo` that changed one entry and
/// the volume.
const MOVED: &str = r#"
metadata:
  managedFields:
  - manager: wandb-auth-operator/ldapconfig/corp
    operation: Apply
    time: 2026-11-01T10:00:00Z
    fieldsV1:
      f:spec: {f:template: {f:spec: {
        f:containers: {'k:{"name":"wandb"}': {
          .: {}, f:name: {},
          f:env: {
            'k:{"name":"LOCAL_LDAP_ADDRESS"}': {.: {}, f:name: {}, f:valueFrom: {f:secretKeyRef: {}}},
            'k:{"name":"LOCAL_LDAP_LOGIN"}': {.: {}, f:name: {}}},
          f:volumeMounts: {
            'k:{"mountPath":"/usr/local/share/ca-certificates/wandb-auth-ldap-corp.crt"}':
              {.: {}, f:mountPath: {}, f:name: {}, f:readOnly: {}, f:subPath: {}}}}},
        f:volumes: {'k:{"name":"wandb-auth-ldap-corp"}': {.: {}, f:name: {}, f:secret: {f:items: {}}}}}}}
  - manager: kubectl-create
    operation: Update
    time: 2026-11-01T09:00:00Z
    fieldsV1: {f:spec: {f:replicas: {}, f:template: {f:spec: {f:containers: {'k:{"name":"wandb"}': {
      .: {}, f:image: {}, f:env: {.: {}, 'k:{"name":"HOST"}': {.: {}, f:name: {}, f:value: {}}}}}}}}}
  - manager: kubectl-rollout
    operation: Update
    time: 2026-11-01T11:00:00Z
    fieldsV1: {f:spec: {f:template: {f:spec: {
      f:containers: {'k:{"name":"wandb"}': {f:env: {
        'k:{"name":"LOCAL_LDAP_LOGIN"}': {f:valueFrom: {f:secretKeyRef: {}}}}}},
      f:volumes: {'k:{"name":"wandb-auth-ldap-corp"}': {f:secret: {f:secretName: {}}}}}}}}
  - manager: kube-controller-manager
    operation: Update
    subresource: status
    time: 2026-11-01T12:00:00Z
    fieldsV1: {f:status: {f:replicas: {}}}
spec:
  selector: {matchLabels: {app: wandb}}
  template:
    spec:
      containers:
      - name: wandb
        env:
        - {name: HOST, value: 'https://wandb.example.com'}
        - {name: LOCAL_LDAP_ADDRESS, valueFrom: {secretKeyRef: {name: corp-ldap-2, key: LOCAL_LDAP_ADDRESS}}}
        - {name: LOCAL_LDAP_LOGIN, valueFrom: {secretKeyRef: {name: corp-ldap-1, key: LOCAL_LDAP_LOGIN}}}
        volumeMounts:
        - {name: wandb-auth-ldap-corp, subPath: ca.crt, readOnly: true,
           mountPath: /usr/local/share/ca-certificates/wandb-auth-ldap-corp.crt}
      volumes:
      - name: wandb-auth-ldap-corp
        secret: {secretName: corp-ldap-1, defaultMode: 420, items: [{key: ca.crt, path: ca.crt}]}
"#;

#[test]
fn tells_who_moved_what() {
    let standing = workload(&deployment(), MOVED).standing(&owner("corp"));
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(standing.numbers, [1, 2].into());
    assert_eq!(standing.applied_at, at("2026-11-01T10:00:00Z"));
    let moved = RepointedBy { by: "kubectl-rollout".to_owned(), at: at("2026-11-01T11:00:00Z") };
    assert_eq!(standing.moved, Some(moved));
    // Old versions of Kubernetes track the members of a reference.
    let granular = MOVED.replace(
        "{'k:{\"name\":\"LOCAL_LDAP_LOGIN\"}': {f:valueFrom: {f:secretKeyRef: {}}}}",
        "{'k:{\"name\":\"LOCAL_LDAP_LOGIN\"}': {f:valueFrom: {f:secretKeyRef: {f:name: {}}}}}",
    );
    let granular = granular.replace(
        "'k:{\"name\":\"LOCAL_LDAP_LOGIN\"}': {.: {}, f:name: {}}",
        "'k:{\"name\":\"LOCAL_LDAP_LOGIN\"}': {.: {}, f:name: {}, f:valueFrom: {f:secretKeyRef: {f:key: {}}}}",
    );
    assert_eq!(workload(&deployment(), &granular).standing(&owner("corp")), standing);
}

#[test]
fn other_owners_have_nothing_there() {
    let seen = workload(&deployment(), MOVED);
    assert_eq!(seen.standing(&owner("other")), AppliedState::default());
    assert_eq!(seen.change(&owner("other"), None, &[]), Ok(None));
}

#[test]
fn what_a_person_wired_elsewhere_moves_nothing() {
    let sidecar = "
spec:
  selector: {}
  template:
    spec:
      containers:
      - {name: wandb}
      - name: sidecar
        env: [{name: LOCAL_LDAP_ADDRESS, valueFrom: {secretKeyRef: {name: corp-ldap-1, key: LOCAL_LDAP_ADDRESS}}}]
metadata:
  managedFields:
  - manager: helm
    operation: Update
    fieldsV1: {f:spec: {f:template: {f:spec: {f:containers: {'k:{\"name\":\"sidecar\"}': {f:env: {
      'k:{\"name\":\"LOCAL_LDAP_ADDRESS\"}': {.: {}, f:name: {}, f:valueFrom: {f:secretKeyRef: {}}}}}}}}}}
";
    let address = WorkloadAddress { name: "wandb".to_owned(), container: Some("wandb".to_owned()) };
    let standing = workload(&Target::Deployment(address), sidecar).standing(&owner("corp"));
    assert_eq!(standing, AppliedState { numbers: [1].into(), ..AppliedState::default() });
}

#[test]
fn moved_entries_are_patched_out() {
    let seen = workload(&deployment(), MOVED);
    insta::assert_json_snapshot!("out", change_of(&seen.change(&owner("corp"), None, &[])));
}

fn change_of(change: &Result<Option<Change>, Problem>) -> Value {
    match change {
        Ok(Some(Change::Apply(fields))) => json!({"apply": fields}),
        Ok(Some(Change::Merge(fields))) => json!({"merge": fields}),
        Ok(Some(Change::Claim(fields))) => json!({"claim": fields}),
        Ok(Some(Change::Several(_))) => panic!("a workload is one"),
        Ok(None) => Value::Null,
        Err(problem) => json!({"reason": problem.reason.as_str(), "message": problem.message}),
    }
}

#[test]
fn applies_the_names_of_both_dialects_that_have_a_value() {
    let seen =
        workload(&deployment(), "spec: {selector: {}, template: {spec: {containers: [{name: main}]}}}");
    let mut full = values(&[ADDRESS, SPLIT_ONLY]);
    full.set_file(CA_FILE, "certificates");
    let change = seen.change(&owner("corp"), Some(&delivery(3, &full)), &[]);
    insta::assert_json_snapshot!("apply", change_of(&change));
}

/// A template whose container has this entry for an address, set by this field manager.
fn with_entry(entry: &str, manager: &str) -> String {
    format!(
        "
metadata:
  managedFields:
  - manager: {manager}
    operation: Update
    fieldsV1: {{f:spec: {{f:template: {{f:spec: {{f:containers: {{'k:{{\"name\":\"wandb\"}}': {{f:env: {{
      'k:{{\"name\":\"LOCAL_LDAP_ADDRESS\"}}': {{.: {{}}, f:name: {{}}}}}}}}}}}}}}}}}}
spec:
  selector: {{}}
  template: {{spec: {{containers: [{{name: wandb, env: [{{name: LOCAL_LDAP_ADDRESS{entry}}}]}}]}}}}
"
    )
}

#[test]
fn refuses_to_change_an_entry_of_somebody_else() {
    let full = values(ENVIRONMENT);
    let mut found = String::new();
    for (entry, yields) in [
        (", value: hunter2", false),
        ("", false),
        (", valueFrom: {secretKeyRef: {name: theirs, key: hunter2}}", false),
        (", valueFrom: {configMapKeyRef: {name: theirs, key: hunter2}}", false),
        (", valueFrom: {fieldRef: {fieldPath: metadata.name}}", false),
        (", valueFrom: {secretKeyRef: {name: younger-ldap-1, key: hunter2}}", false),
        (", valueFrom: {secretKeyRef: {name: younger-ldap-1, key: hunter2}}", true),
        (", valueFrom: {secretKeyRef: {name: corp-ldap-1, key: hunter2}}", false),
    ] {
        let displaced: Vec<Owner> = yields.then(|| owner("younger")).into_iter().collect();
        let seen = workload(&deployment(), &with_entry(entry, "helm"));
        let change = seen.change(&owner("corp"), Some(&delivery(3, &full)), &displaced);
        let told = change.map_or_else(|problem| problem.message, |_| "taken over".to_owned());
        assert!(!told.contains("hunter2"), "{told}");
        writeln!(found, "{entry} {displaced}: {told}", displaced = displaced.len()).unwrap();
    }
    insta::assert_snapshot!("conflicts", found);
}

/// A container before it is taken over, with every way in which somebody may have set a variable.
const BROWNFIELD: &str = "
spec:
  selector: {}
  template:
    spec:
      containers:
      - name: sidecar
        env: [{name: LOCAL_LDAP_ADDRESS, value: theirs}]
      - name: wandb
        image: i
        env:
        - {name: HOST, value: 'https://wandb.example.com'}
        - {name: LOCAL_LDAP_LOGIN, value: 'true'}
        - {name: MOTD, value: 'ask $(LOCAL_LDAP_ADDRESS)'}
        - {name: LOCAL_LDAP_ADDRESS, valueFrom: {configMapKeyRef: {name: theirs, key: address}}}
        - {name: LOCAL_LDAP_LOGIN, value: 'false'}
        volumeMounts: [{name: data, mountPath: /vol}]
      volumes: [{name: data, emptyDir: {}}]
";

#[test]
fn what_a_tool_left_of_our_entry_is_ours() {
    let full = values(&[ADDRESS]);
    for (manager, is_ours) in [("wandb-auth-operator/ldapconfig/corp", true), ("helm", false)] {
        let seen = workload(&deployment(), &with_entry("", manager));
        let change = seen.change(&owner("corp"), Some(&delivery(3, &full)), &[]);
        assert_eq!(change.is_ok(), is_ours, "{manager}: {change:?}");
    }
}

fn named_wandb() -> Target {
    Target::Deployment(WorkloadAddress { name: "wandb".to_owned(), container: Some("wandb".to_owned()) })
}

#[test]
fn one_patch_takes_over_every_entry_where_it_stands() {
    let seen = workload(&named_wandb(), BROWNFIELD);
    let mut full = values(&[ADDRESS, LOGIN, ANOTHER]);
    full.set_file(CA_FILE, "certificates");
    let delivery = delivery(3, &full);
    assert!(seen.change(&owner("corp"), Some(&delivery), &[]).is_err());
    let change = seen.take_over(&owner("corp"), &delivery);
    insta::assert_json_snapshot!("taken_over", change_of(&change));
    let after = changed(&seen, &owner("corp"), &change.unwrap().unwrap());
    // The next change affects only the ownership of fields.
    let claim = after.change(&owner("corp"), Some(&delivery), &[]).unwrap().unwrap();
    assert!(matches!(claim, Change::Claim(_)), "{claim:?}");
    let claimed = changed(&after, &owner("corp"), &claim);
    assert_eq!(claimed.template(), after.template());
    assert_eq!(claimed.change(&owner("corp"), Some(&delivery), &[]), Ok(None));
}

#[test]
fn what_gives_way_goes_in_the_change_that_takes_its_place() {
    let bare = "spec: {selector: {}, template: {spec: {containers: [{name: wandb, env: [{name: HOST, value: h}]}]}}}";
    let (old, new) = (owner("corp"), owner("younger"));
    let with_file = |settings: &[Env]| {
        let mut values = values(settings);
        values.set_file(CA_FILE, "certificates");
        values
    };
    let (before, after) = (with_file(&[ADDRESS, LOGIN, ANOTHER]), with_file(&[ADDRESS, SPLIT_ONLY]));
    let mut seen = workload(&deployment(), bare);
    let helm = serde_json::from_value(json!([{"manager": "helm", "operation": "Update"}])).unwrap();
    seen.object.metadata.managed_fields = Some(helm);
    let change = seen.change(&old, Some(&delivery(1, &before)), &[]).unwrap().unwrap();
    let seen = changed(&seen, &old, &change);
    let (wanted, displaced) = (delivery(1, &after), [old.clone()]);
    let change = seen.change(&new, Some(&wanted), &displaced).unwrap().unwrap();
    let handed_over = changed(&seen, &new, &change);
    assert!(handed_over.standing(&old).numbers.is_empty());
    assert_eq!(handed_over.standing(&new).numbers, [1].into());
    let pod = handed_over.template().and_then(|template| template.spec.clone()).unwrap();
    let names: Vec<_> = pod.containers[0].env.iter().flatten().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["HOST", "LOCAL_LDAP_ADDRESS", "LDAP_ADDRESS", "LDAP_SPLIT"]);
    let volumes: Vec<_> = pod.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    assert_eq!(volumes, [new.volume.as_str()]);
    assert_eq!(handed_over.change(&old, None, &[]), Ok(None), "nothing is left to give up");
    // Only the ownership of fields is left to change.
    let claim = handed_over.change(&new, Some(&wanted), &displaced).unwrap().unwrap();
    assert!(matches!(claim, Change::Claim(_)), "{claim:?}");
}

#[test]
fn what_is_there_is_told_with_where_it_comes_from() {
    let seen = workload(&named_wandb(), BROWNFIELD);
    let full = values(ENVIRONMENT);
    let present = seen.present(&owner("corp"), &delivery(3, &full), &[]);
    let told: Vec<_> = present.iter().map(|variable| (variable.name.as_str(), variable.holder)).collect();
    assert_eq!(
        told,
        [
            ("LOCAL_LDAP_LOGIN", EntryHolder::Other),
            ("LOCAL_LDAP_ADDRESS", EntryHolder::Other),
            ("LOCAL_LDAP_LOGIN", EntryHolder::Other)
        ]
    );
    let seen = workload(&deployment(), &MOVED.replace("corp-ldap-1, key", "younger-ldap-1, key"));
    let present = seen.present(&owner("corp"), &delivery(3, &full), &[owner("younger")]);
    let told: Vec<_> = present.iter().map(|variable| (variable.name.as_str(), variable.holder)).collect();
    assert_eq!(told, [("LOCAL_LDAP_ADDRESS", EntryHolder::Own), ("LOCAL_LDAP_LOGIN", EntryHolder::Yielding)]);
}

#[test]
fn refuses_to_change_a_volume_or_mount_of_somebody_else() {
    let mut full = values(&[ADDRESS]);
    full.set_file(CA_FILE, "certificates");
    let mut found = String::new();
    for pod in [
        "{containers: [{name: wandb}], volumes: [{name: wandb-auth-ldap-corp, emptyDir: {}}]}",
        "{containers: [{name: wandb}], volumes: [{name: wandb-auth-ldap-corp, secret: {secretName: theirs}}]}",
        "{containers: [{name: wandb, volumeMounts: [{name: theirs, mountPath: /usr/local/share/ca-certificates/wandb-auth-ldap-corp.crt}]}]}",
        "{containers: [{name: wandb}], volumes: [{name: wandb-auth-ldap-corp, secret: {secretName: corp-ldap-1}}]}",
    ] {
        let seen = workload(&deployment(), &format!("spec: {{selector: {{}}, template: {{spec: {pod}}}}}"));
        let change = seen.change(&owner("corp"), Some(&delivery(3, &full)), &[]);
        let told = change.map_or_else(|problem| problem.message, |_| "taken over".to_owned());
        writeln!(found, "{told}").unwrap();
    }
    insta::assert_snapshot!("volume_conflicts", found);
}

#[test]
fn finds_the_container() {
    let full = values(ENVIRONMENT);
    let mut found = String::new();
    for (named, containers) in [
        (None, "{name: one}"),
        (None, "{name: one}, {name: two}"),
        (Some("two"), "{name: one}, {name: two}"),
        (Some("three"), "{name: one}, {name: two}"),
    ] {
        let address = WorkloadAddress { name: "wandb".to_owned(), container: named.map(str::to_owned) };
        let yaml = format!("spec: {{selector: {{}}, template: {{spec: {{containers: [{containers}]}}}}}}");
        let seen = workload(&Target::Deployment(address), &yaml);
        let told = match seen.change(&owner("corp"), Some(&delivery(3, &full)), &[]) {
            Ok(change) => {
                let Some(Change::Apply(fields)) = change else { panic!("{change:?}") };
                fields.pointer("/spec/template/spec/containers/0/name").unwrap().to_string()
            }
            Err(problem) => format!("{}: {}", problem.reason, problem.message),
        };
        writeln!(found, "{} of {containers}: {told}", named.unwrap_or("no name")).unwrap();
    }
    insta::assert_snapshot!("containers", found);
}

#[test]
fn every_container_that_is_meant_is_in_one_change() {
    let yaml = "spec: {selector: {}, template: {spec: {containers: [
        {name: one, image: wandb/megabinary:1}, {name: two, image: wandb/megabinary:1}, {name: three}]}}}";
    let meant = |names: &[&str]| {
        let containers = names.iter().map(|name| Some((*name).to_owned())).collect();
        workload(&deployment(), yaml).with_containers(containers)
    };
    let mut full = values(&[ADDRESS]);
    full.set_file(CA_FILE, "certificates");
    // Naming a container twice has the same effect as naming it once.
    let change = meant(&["two", "one", "two"]).change(&owner("corp"), Some(&delivery(3, &full)), &[]);
    insta::assert_json_snapshot!("several_containers", change_of(&change));
    let missing = meant(&["one", "four", "five"]).change(&owner("corp"), Some(&delivery(3, &full)), &[]);
    insta::assert_snapshot!("several_missing", missing.unwrap_err().message);
    assert_eq!(meant(&["one", "two"]).environment().dialect, Dialect::Split);
    assert_eq!(meant(&["one", "three"]).environment().dialect, Dialect::Both);
}

#[test]
fn tells_the_environment() {
    let environment = workload(&deployment(), MOVED).environment();
    assert_eq!(environment.host.as_deref(), Some("https://wandb.example.com"));
    assert_eq!(environment.literals.keys().collect::<Vec<_>>(), ["HOST"]);
    let references: Vec<_> = environment.references.iter().collect();
    assert_eq!(references, ["LOCAL_LDAP_ADDRESS", "LOCAL_LDAP_LOGIN"]);
}

#[test]
fn tells_which_rollouts_interrupt_the_service() {
    let set = Target::StatefulSet(WorkloadAddress { name: "wandb".to_owned(), container: None });
    for (target, spec, interrupts) in [
        (deployment(), "replicas: 1", false),
        (deployment(), "replicas: 3, strategy: {type: Recreate}", true),
        (deployment(), "replicas: 0, strategy: {type: Recreate}", false),
        (deployment(), "replicas: 1, strategy: {rollingUpdate: {maxUnavailable: 25%, maxSurge: 25%}}", false),
        (deployment(), "replicas: 1, strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}", true),
        (deployment(), "replicas: 2, strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}", false),
        (deployment(), "replicas: 1, strategy: {rollingUpdate: {maxUnavailable: 100%, maxSurge: 1}}", true),
        // If both are zero, Kubernetes could make no progress, so it ends one pod first.
        (deployment(), "replicas: 1, strategy: {rollingUpdate: {maxUnavailable: 0%, maxSurge: 0%}}", true),
        (deployment(), "replicas: 1, strategy: {rollingUpdate: {maxUnavailable: 25%, maxSurge: 0}}", true),
        (deployment(), "replicas: 2, strategy: {rollingUpdate: {maxUnavailable: 2, maxSurge: 1}}", true),
        (deployment(), "replicas: 2, strategy: {rollingUpdate: {maxUnavailable: 3, maxSurge: 1}}", true),
        (deployment(), "replicas: 3, strategy: {rollingUpdate: {maxUnavailable: 99%, maxSurge: 1}}", false),
        (deployment(), "replicas: 3, strategy: {rollingUpdate: {maxUnavailable: 100%, maxSurge: 1}}", true),
        (deployment(), "replicas: 3, strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0}}", false),
        (deployment(), "replicas: 0, strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}", false),
        (set.clone(), "replicas: 1", true),
        (set.clone(), "replicas: 0", false),
        (set.clone(), "replicas: 2", false),
        // For a StatefulSet, a share is rounded up.
        (set.clone(), "replicas: 3, updateStrategy: {rollingUpdate: {maxUnavailable: 67%}}", true),
        (set, "replicas: 3, updateStrategy: {rollingUpdate: {maxUnavailable: 66%}}", false),
    ] {
        let yaml = format!("spec: {{selector: {{}}, template: {{spec: {{containers: []}}}}, {spec}}}");
        let remarks = workload(&target, &yaml).environment().remarks.unwrap();
        assert_eq!(remarks.len(), usize::from(interrupts), "{target} {spec}: {remarks:?}");
    }
}

/// The workload after every change that the delivery needs, and the number of changes.
fn settled(mut seen: Workload, delivery: Option<&Delivery<'_>>) -> (Workload, usize) {
    for count in 0..4 {
        match seen.change(&owner("corp"), delivery, &[]).unwrap() {
            Some(change) => seen = changed(&seen, &owner("corp"), &change),
            None => return (seen, count),
        }
    }
    panic!("it does not end: {:?}", seen.change(&owner("corp"), delivery, &[]));
}

proptest! {
    #[test]
    fn every_way_ends_with_exactly_the_delivery(
        steps in prop::collection::vec((any::<[bool; 3]>(), any::<bool>(), 1..4_u64, 0..3_usize), 1..5),
    ) {
        let yaml = "spec: {selector: {}, template: {spec: {containers: [
            {name: one, image: i, env: [{name: HOST, value: v}], volumeMounts: [{name: data, mountPath: /vol}]},
            {name: two, image: i}], volumes: [{name: data, emptyDir: {}}]}}}";
        let original = workload(&deployment(), yaml);
        let mut seen = original.clone();
        for (settings, has_file, number, containers) in steps {
            let chosen = ENVIRONMENT.iter().zip(settings).filter(|(_, is_set)| *is_set);
            let chosen: Vec<Env> = chosen.map(|(env, _)| *env).collect();
            let mut full = values(&chosen);
            if has_file {
                full.set_file(CA_FILE, "certificates");
            }
            let containers = [&["one"][..], &["two"], &["one", "two"]][containers];
            seen = seen.with_containers(containers.iter().map(|name| Some((*name).to_owned())).collect());
            let delivery = delivery(number, &full);
            let (after, count) = settled(seen, Some(&delivery));
            prop_assert!(count <= 1);
            let wanted = chosen.iter().flat_map(|env| env.names()).count() * containers.len() + usize::from(has_file);
            prop_assert_eq!(references(after.template(), &owner("corp")).len(), wanted);
            prop_assert_eq!(settled(after.clone(), Some(&delivery)).1, 0);
            seen = after;
        }
        let (after, _) = settled(seen, None);
        prop_assert_eq!(references(after.template(), &owner("corp")), vec![]);
        prop_assert_eq!(after.ownership().applied(&owner("corp").manager), None);
    }

    #[test]
    fn taking_over_keeps_every_name_in_its_place(
        entries in prop::collection::vec((0..5_usize, 0..4_usize), 0..8),
        settings in any::<[bool; 4]>(),
    ) {
        const NAMES: [&str; 5] =
            ["HOST", "LOCAL_LDAP_ADDRESS", "LOCAL_LDAP_LOGIN", "LOCAL_LDAP_ANOTHER", "LDAP_ADDRESS"];
        const SOURCES: [&str; 4] = [
            "value: x",
            "valueFrom: {secretKeyRef: {name: s, key: k}}",
            "valueFrom: {configMapKeyRef: {name: m, key: k}}",
            "valueFrom: {fieldRef: {fieldPath: metadata.name}}",
        ];
        let entry = |(name, source): &(usize, usize)| format!("{{name: {}, {}}}", NAMES[*name], SOURCES[*source]);
        let listed: Vec<_> = entries.iter().map(entry).collect();
        let yaml = format!(
            "spec: {{selector: {{}}, template: {{spec: {{containers: [{{name: wandb, image: i, env: [{}]}}]}}}}}}",
            listed.join(", ")
        );
        let seen = workload(&deployment(), &yaml);
        let names = |seen: &Workload| {
            let mut names: Vec<_> = Vec::new();
            for entry in seen.container(None).unwrap().env.iter().flatten() {
                if !names.contains(&entry.name) {
                    names.push(entry.name.clone());
                }
            }
            names
        };
        let chosen = [ADDRESS, LOGIN, ANOTHER, SPLIT_ONLY].into_iter().zip(settings);
        let full = values(&chosen.filter(|(_, is_set)| *is_set).map(|(env, _)| env).collect::<Vec<_>>());
        let delivery = delivery(3, &full);
        let Some(change) = seen.take_over(&owner("corp"), &delivery).unwrap() else { return Ok(()) };
        let after = changed(&seen, &owner("corp"), &change);
        let (before, now) = (names(&seen), names(&after));
        prop_assert_eq!(now.get(..before.len()), Some(before.as_slice()));
        if let Some(claim) = after.change(&owner("corp"), Some(&delivery), &[]).unwrap() {
            prop_assert!(matches!(claim, Change::Claim(_)));
            let claimed = changed(&after, &owner("corp"), &claim);
            prop_assert_eq!(claimed.template(), after.template());
            prop_assert_eq!(claimed.change(&owner("corp"), Some(&delivery), &[]), Ok(None));
        }
    }
}
