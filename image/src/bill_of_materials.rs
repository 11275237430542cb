//! The bill of materials, in the format of CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    certificates,
    libraries::Library,
    packages::{Identity, Packages},
    settings::{NAME, Settings},
};

/// Lists what is in the image: the crates of the program, the libraries beside them, and the authorities.
///
/// There is no serial number: equal images have equal lists.
pub fn write(packages: &Packages, libraries: &[Library], settings: &Settings) -> Result<Vec<u8>> {
    let product = (NAME.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let authorities =
        packages.sources.keys().find(|(name, _)| name == certificates::SOURCE).context("no authorities")?;

    let mut components: Vec<Value> = Vec::new();
    let mut dependencies: Vec<Value> = Vec::new();
    for (identity, package) in &packages.linked {
        let mut uses: Vec<_> = package.dependencies.iter().map(crate_url).collect();
        if *identity == product {
            uses.extend(libraries.iter().map(library_url));
            uses.push(crate_url(authorities));
        } else {
            components.push(of_crate("library", identity, &package.license));
        }
        dependencies.push(json!({"ref": crate_url(identity), "dependsOn": uses}));
    }
    components.extend(libraries.iter().map(of_library));
    components.push(of_crate("data", authorities, certificates::LICENSE));

    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": settings.created(),
            "component": of_crate("application", &product, env!("CARGO_PKG_LICENSE")),
        },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_vec_pretty(&bill)?)
}

fn crate_url((name, version): &Identity) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn library_url(library: &Library) -> String {
    format!("{}@{}", library.package_url, library.version)
}

fn of_crate(kind: &str, identity: &Identity, license: &str) -> Value {
    let url = crate_url(identity);
    let (name, version) = identity;
    json!({
        "type": kind,
        "bom-ref": url,
        "name": name,
        "version": version,
        // Older crates separate alternatives by a slash, which is no SPDX expression.
        "licenses": [{"expression": license.replace('/', " OR ")}],
        "purl": url,
    })
}

fn of_library(library: &Library) -> Value {
    let url = library_url(library);
    json!({
        "type": "library",
        "bom-ref": url,
        "name": library.name,
        "version": library.version,
        "description": library.description,
        "licenses": [{"expression": library.license}],
        "purl": url,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{libraries::libraries, program::Target};

    #[test]
    fn it_lists_what_is_linked_and_nothing_else() {
        let packages = Packages::read(&Target::choose(None).unwrap()).unwrap();
        let settings = Settings::new("amd64", 0).unwrap();
        let text = write(&packages, &libraries(&packages, "cc").unwrap(), &settings).unwrap();
        let bill: Value = serde_json::from_slice(&text).unwrap();

        let listed = |list: &Value, field: &str| -> Vec<String> {
            list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
        };
        let names: BTreeSet<_> = listed(&bill["components"], "name").into_iter().collect();
        for present in ["kube-client", "rustls", "aws-lc-sys", "aws-lc", "glibc", "rust", "webpki-root-certs"]
        {
            assert!(names.contains(present), "{present} is missing");
        }
        // A program of the build, a macro, a library of the tests, this program, and a forbidden one.
        for absent in ["cc", "serde_derive", "insta", "tar", "ring", NAME] {
            assert!(!names.contains(absent), "{absent} is listed");
        }

        let references = listed(&bill["components"], "bom-ref");
        let mut known: BTreeSet<_> = references.iter().cloned().collect();
        assert_eq!(known.len(), references.len(), "a reference stands for one component");
        known.insert(bill["metadata"]["component"]["bom-ref"].as_str().unwrap().to_owned());
        for edge in bill["dependencies"].as_array().unwrap() {
            assert!(known.contains(edge["ref"].as_str().unwrap()), "{edge}");
            for used in edge["dependsOn"].as_array().unwrap() {
                assert!(known.contains(used.as_str().unwrap()), "{edge}");
            }
        }
        let workspace = packages.workspace.to_str().unwrap();
        assert!(!String::from_utf8(text).unwrap().contains(workspace), "a path of this machine");
    }

    #[test]
    fn neighbours_in_the_workspace_add_nothing_to_the_program() {
        let packages = Packages::read(&Target::choose(None).unwrap()).unwrap();
        let (_, ldap) = packages.linked.iter().find(|((name, _), _)| name == "ldap3").unwrap();
        // The harness of the tests has this library speak TLS by itself.
        let tls: Vec<_> = ldap.dependencies.iter().filter(|(name, _)| name.contains("rustls")).collect();
        assert!(tls.is_empty(), "{tls:?}");
    }
}
