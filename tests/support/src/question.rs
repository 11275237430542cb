//! Programs in Go that answer questions: one JSON file in, another one out.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::{process::run_to_completion, run_directory::RunDirectory};

/// Runs `program SUBJECT REQUEST-FILE ANSWER-FILE` and reads the answer.
pub(crate) fn ask<T: DeserializeOwned>(program: &Path, subject: &str, request: &impl Serialize) -> Result<T> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let directory = RunDirectory::create(&name)?;
    let answer = directory.path().join("answer.json");
    let mut command = Command::new(program);
    command
        .arg(subject)
        .arg(directory.write("request.json", &serde_json::to_string(request)?)?)
        .arg(&answer)
        .current_dir(directory.path());
    run_to_completion(&format!("{name} {subject}"), &command, &directory.path().join("log"))?;
    let text = fs::read_to_string(answer).context("there is no answer")?;
    serde_json::from_str(&text).with_context(|| format!("the answer is not as expected: {text}"))
}
