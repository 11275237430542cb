//! The files in `crds/`, and those of the chart, are what the program prints.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::world::program;

/// For `kubectl apply -f crds`, and for the chart, which can hold no file from outside of it.
const PLACES: [&str; 2] = ["crds", "charts/wandb-auth-operator/files/crds"];

fn regenerate() -> String {
    format!("cargo run -- crd --directory {} --directory {}", PLACES[0], PLACES[1])
}

#[test]
fn the_files_are_what_the_program_writes() -> Result<()> {
    let written = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut command = Command::new(program());
    command.arg("crd");
    for directory in &written {
        command.arg("--directory").arg(directory.path());
    }
    ensure!(command.status()?.success());
    for (place, written) in PLACES.iter().zip(written) {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        ensure!(!committed.is_symlink(), "{place} is a link, which git and kubectl do not follow everywhere");
        let is_current = files(&committed)? == files(written.path())?;
        ensure!(is_current, "{place}/ is not what the program makes of src/api/; run: {}", regenerate());
    }
    Ok(())
}

#[test]
fn the_files_are_what_the_program_prints() -> Result<()> {
    let output = Command::new(program()).arg("crd").output()?;
    ensure!(output.status.success());
    let written = tempfile::tempdir()?;
    let status = Command::new(program()).args(["crd", "--directory"]).arg(written.path()).status()?;
    ensure!(status.success());
    let files = files(written.path())?;
    let printed = String::from_utf8(output.stdout)?;
    let documents: Vec<_> = printed.split("---\n").filter(|document| !document.is_empty()).collect();
    assert_eq!(documents.len(), files.len());
    for (name, text) in &files {
        assert!(documents.contains(&text.as_str()), "{name} is not printed as it is written");
    }
    Ok(())
}

fn files(directory: &Path) -> Result<BTreeMap<String, String>> {
    fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?))
        })
        .collect()
}
