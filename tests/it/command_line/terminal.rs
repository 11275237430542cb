//! What only a terminal shows: colours, and lines of its width. `script` of util-linux makes one.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::{call::Directory, verdicts::JWT_ISSUER};
use crate::world::program;

/// What a terminal of 60 columns gets.
fn on_a_terminal(files: &Directory, variables: &[(&str, &str)]) -> Result<String> {
    let call = format!("stty rows 24 cols 60; {} check -f main.yaml", program().display());
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &call, "/dev/null"])
        .current_dir(files.path())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .output()
        .context("script makes a terminal")?;
    Ok(String::from_utf8(output.stdout)?.replace('\r', ""))
}

fn files() -> Result<Directory> {
    Directory::with(&[("main.yaml", JWT_ISSUER)])
}

#[test]
fn lines_are_as_wide_as_the_terminal_and_coloured() -> Result<()> {
    let shown = on_a_terminal(&files()?, &[])?;
    ensure!(shown.contains("\u{1b}["), "there are no colours in {shown:?}");
    let plain = Regex::new("\u{1b}\\[[0-9;]*m")?.replace_all(&shown, "").into_owned();
    ensure!(plain.contains("✗ TcpConnects"), "{plain}");
    let widest = plain.lines().map(|line| line.chars().count()).max();
    ensure!(widest.is_some_and(|widest| widest <= 60), "{widest:?} columns in {plain}");
    // Wrapped, nothing is lost.
    let joined = |text: &str| {
        text.split(['│', ' ', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let whole = files()?.call("check -f main.yaml")?.stdout;
    let times = Regex::new(r"\([0-9.]+ ms\)")?;
    assert_eq!(joined(&times.replace_all(&plain, "")), joined(&times.replace_all(&whole, "")));
    Ok(())
}

#[test]
fn no_color_turns_colours_off() -> Result<()> {
    let shown = on_a_terminal(&files()?, &[("NO_COLOR", "1")])?;
    ensure!(shown.contains("✗ TcpConnects") && !shown.contains('\u{1b}'), "{shown:?}");
    Ok(())
}

#[test]
fn a_pipe_gets_neither() -> Result<()> {
    let printed = files()?.call("check -f main.yaml")?;
    ensure!(!printed.stdout.contains('\u{1b}'), "{printed}");
    Ok(())
}
