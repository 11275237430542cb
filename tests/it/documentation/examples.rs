//! Every resource of the pages and the samples is free of warnings, as far as can be told without its servers.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{ROOT, add_files, documents, pages, samples};
use crate::{command_line::call::Directory, world::certificate};

/// The parts of a page that belong together, or a file.
fn examples() -> Result<Vec<(String, Vec<Value>)>> {
    let mut examples = Vec::new();
    for page in pages()? {
        for block in page.blocks("yaml") {
            examples.push((page.path.display().to_string(), documents(&block)?));
        }
    }
    for file in samples()? {
        let text = fs::read_to_string(Path::new(ROOT).join(&file))?;
        examples.push((file.display().to_string(), documents(&text)?));
    }
    examples.retain(|(_, documents)| documents.iter().any(is_ours));
    Ok(examples)
}

fn is_ours(document: &Value) -> bool {
    document.get("apiVersion").is_some_and(|version| version == "auth.wandb.com/v1alpha1")
}

/// Objects by kind and name, with the keys that somebody refers to.
type Wanted = BTreeMap<(&'static str, String), Vec<(String, String)>>;

/// Every reference to a key of a Secret or ConfigMap; `field` is the name of the reference.
fn references(value: &Value, wanted: &mut Wanted) {
    for (field, member) in value.as_object().into_iter().flatten() {
        let text = |name: &str| member.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(name), Some(key)) = (text("name"), text("key")) {
            let kind = if field == "configMapKeyRef" { "ConfigMap" } else { "Secret" };
            wanted.entry((kind, name)).or_default().push((key, field.clone()));
        }
        references(member, wanted);
    }
    value.as_array().into_iter().flatten().for_each(|member| references(member, wanted));
}

/// What a person would have put there.
fn value_for(field: &str, authority: &str) -> String {
    match field {
        "configMapKeyRef" | "secretKeyRef" => authority.to_owned(),
        "bootstrapSecretRef" | "adminKeySecretRef" => {
            "local-0123456789abcdef0123456789abcdef01234567".to_owned()
        }
        _ => "correct-horse-battery".to_owned(),
    }
}

/// What leads to a warning whatever the directory holds: a list that W&B may read in two ways, and passwords in the
/// clear.
#[test]
fn no_example_has_what_is_always_warned_of() -> Result<()> {
    let mut files = Vec::new();
    add_files(Path::new("examples"), "yaml", &mut files)?;
    ensure!(files.len() >= 4, "{files:?}");
    for file in files {
        // The demo's files are templates, which no parser of YAML reads.
        let (text, place) = (fs::read_to_string(Path::new(ROOT).join(&file))?, file.display());
        ensure!(!text.lines().any(|line| line.contains("groupAllowList") && line.contains('=')), "{place}");
        ensure!(!text.contains("insecurePlaintext: true"), "{place}");
    }
    for (place, documents) in examples()? {
        for spec in documents.iter().filter(|document| is_ours(document)).map(|document| &document["spec"]) {
            let groups = spec["groupAllowList"].as_array().into_iter().flatten().filter_map(Value::as_str);
            ensure!(!groups.into_iter().any(|group| group.contains(',')), "{place}: {spec}");
            ensure!(spec["insecurePlaintext"] != true, "{place}: {spec}");
        }
    }
    Ok(())
}

#[test]
fn every_example_is_free_of_warnings() -> Result<()> {
    let authority = certificate()?.authority_pem;
    let examples = examples()?;
    ensure!(examples.len() >= 25, "there are {} examples only", examples.len());
    let issuers: BTreeMap<_, _> = examples
        .iter()
        .flat_map(|(_, documents)| documents)
        .filter(|document| document.get("kind").is_some_and(|kind| kind == "JwtIssuer"))
        .filter_map(|issuer| Some((issuer.pointer("/metadata/name")?.as_str()?.to_owned(), issuer.clone())))
        .collect();
    let mut complaints = Vec::new();
    for (place, documents) in &examples {
        let mut manifests: Vec<Value> = documents.clone();
        for issuer in documents.iter().filter_map(|document| {
            document.pointer("/spec/credentials/federated/issuerRef/name").and_then(Value::as_str)
        }) {
            let is_there = documents.iter().any(|document| {
                document.pointer("/metadata/name").is_some_and(|name| name == issuer)
                    && document.get("kind").is_some_and(|kind| kind == "JwtIssuer")
            });
            if !is_there {
                manifests.push(issuers.get(issuer).with_context(|| format!("no page has {issuer}"))?.clone());
            }
        }
        let mut wanted = Wanted::new();
        manifests
            .iter()
            .filter(|document| is_ours(document))
            .for_each(|document| references(document, &mut wanted));
        for ((kind, name), keys) in wanted {
            let data: BTreeMap<_, _> =
                keys.iter().map(|(key, field)| (key.clone(), value_for(field, &authority))).collect();
            let data_field = if kind == "Secret" { "stringData" } else { "data" };
            let object =
                json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, data_field: data});
            let is_there = |document: &Value| {
                document.get("kind").is_some_and(|other| other == kind)
                    && document.pointer("/metadata/name").is_some_and(|other| *other == name)
            };
            if !manifests.iter().any(is_there) {
                manifests.push(object);
            }
        }
        for (number, manifest) in manifests.iter_mut().enumerate() {
            ensure!(manifest.is_object(), "{place}, document {number}");
            // One example is one namespace, whatever it says.
            manifest["metadata"]["namespace"] = json!("wandb");
            if is_ours(manifest) {
                manifest["spec"]["checkTimeout"] = json!("2s");
            }
        }
        let text: Vec<_> = manifests.iter().map(ToString::to_string).collect();
        let files = Directory::with(&[("all.yaml", &text.join("\n---\n"))])?;
        let printed = files.call("check -f all.yaml -o json")?;
        for report in printed.json()?.as_array().context("a list")? {
            let of = format!("{place}: {} {}", report["kind"], report["name"]);
            if let Some(obstacle) = report.get("obstacle") {
                complaints.push(format!("{of}: {}", obstacle["message"]));
            }
            let checks = report["checks"].as_array().into_iter().flatten();
            let warnings = checks.filter(|check| check["result"] == "Warning");
            complaints.extend(warnings.map(|check| format!("{of}: {} {}", check["name"], check["message"])));
        }
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}
