//! Prints to standard output, in a form for `kubectl apply -f -`.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use serde_json::json;

use super::{super::yaml, ImportArguments, result::Imported};
use crate::cli::dyn_resource::MASK;
use crate::sensitive::Sensitive;

/// Prints every resource. Resources that cannot be applied as they are, and Secrets whose values are not shown, are
/// printed as comments.
pub(super) fn print(imports: &[Imported], arguments: &ImportArguments) -> anyhow::Result<()> {
    // The Secrets are written first: if their file cannot be written, nothing must be printed that needs them.
    if let Some(file) = &arguments.secrets_out {
        write_secrets(file, imports)?;
    }
    let mut output = std::io::stdout().lock();
    for imported in imports {
        let namespace = &imported.subject.namespace;
        for (name, keys) in imported.secrets().into_iter().filter(|_| arguments.secrets_out.is_none()) {
            if arguments.reveal {
                let secret = secret(name, namespace, &keys, Sensitive::expose)?;
                write!(
                    output,
                    "---\n# Create this Secret first: its values are in no Secret today.\n{secret}"
                )?;
            } else {
                let secret = secret(name, namespace, &keys, |_| MASK)?;
                write!(
                    output,
                    "---\n# Create this Secret first: its values are in no Secret today. They are not shown here.\n# Use --secrets-out FILE to write them to a file, or --reveal to print them.\n{}",
                    commented(&secret)
                )?;
            }
        }
        for map in &imported.config_maps {
            write!(
                output,
                "---\n# The authorities that the server trusts in addition to the image's.\n{}",
                yaml::write(map)?
            )?;
        }
        for draft in &imported.drafts {
            let text = yaml::write(&draft.manifest)?;
            if draft.holes.is_empty() {
                write!(output, "---\n{text}")?;
                continue;
            }
            let holes: Vec<_> = draft
                .holes
                .iter()
                .map(|hole| format!("{}.\n", hole.to_string().trim_end_matches('.')))
                .collect();
            write!(
                output,
                "---\n# This {} is not complete:\n{}{}",
                draft.kind,
                commented(&holes.concat()),
                commented(&text)
            )?;
        }
    }
    Ok(())
}

/// Writes the Secrets to a new file that only its owner can read.
fn write_secrets(file: &Path, imports: &[Imported]) -> anyhow::Result<()> {
    let mut text = String::new();
    for imported in imports {
        for (name, keys) in imported.secrets() {
            let secret = secret(name, &imported.subject.namespace, &keys, Sensitive::expose)?;
            text.extend(["---\n", &secret]);
        }
    }
    if text.is_empty() {
        eprintln!("No Secret is needed, so {} is not written.", file.display());
        return Ok(());
    }
    let mut opened =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(|| {
            format!("cannot create {}; an existing file is never overwritten", file.display())
        })?;
    opened.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

fn secret(
    name: &str,
    namespace: &str,
    keys: &BTreeMap<&str, &Sensitive>,
    show: impl Fn(&Sensitive) -> &str,
) -> anyhow::Result<String> {
    let data: BTreeMap<_, _> = keys.iter().map(|(key, value)| (*key, show(value))).collect();
    yaml::write(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque", "stringData": data,
    }))
}

fn commented(text: &str) -> String {
    text.lines().flat_map(|line| ["# ", line, "\n"]).collect()
}
