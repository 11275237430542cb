//! The files in `crds/` are what the program prints.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::world::program;

const REGENERATE: &str =
    "the files in crds/ are not what the program makes of src/api/; run: cargo run -- crd --directory crds";

#[test]
fn the_files_are_what_the_program_writes() -> Result<()> {
    let written = tempfile::tempdir()?;
    let status = Command::new(program()).args(["crd", "--directory"]).arg(written.path()).status()?;
    ensure!(status.success());
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    assert!(files(&committed)? == files(written.path())?, "{REGENERATE}");
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
