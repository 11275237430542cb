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
            "component": of_crate("application", &product, "Apache-2.0"),
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
