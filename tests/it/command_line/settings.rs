//! Every flag of `run` is an environment variable as well.

use anyhow::{Context, Result};
use clap::CommandFactory;
use insta::assert_snapshot;
use wandb_auth_operator::cli::Arguments;

use super::call::Directory;

#[test]
fn every_flag_has_its_variable() -> Result<()> {
    let command = Arguments::command();
    let run = command.find_subcommand("run").context("there is run")?;
    let flags: Vec<_> = run.get_arguments().filter(|argument| argument.get_id() != "help").collect();
    assert!(flags.len() >= 7, "{flags:?}");
    for argument in flags {
        let flag = argument.get_long().context("a setting is a long flag")?;
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        let expected = format!("WANDB_AUTH_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(variable, Some(expected), "--{flag}");
    }
    Ok(())
}

#[test]
fn variables_are_read_like_flags() -> Result<()> {
    let files = Directory::with(&[])?
        .variable("WANDB_AUTH_NAMESPACE", "one,two")
        .variable("WANDB_AUTH_ALLOW_EGRESS", "10.0.0.0/8,example.com");
    assert_snapshot!(files.call("run")?);
    Ok(())
}

/// As the chart sets them, so that no Secret of `extraEnvFrom` does.
#[test]
fn variables_with_nothing_in_them_count_as_absent() -> Result<()> {
    let files = Directory::with(&[])?
        .variable("WANDB_AUTH_NAMESPACE", "")
        .variable("WANDB_AUTH_ALL_NAMESPACES", "false")
        .variable("WANDB_AUTH_ALLOW_EGRESS", "");
    for words in ["run", "run --all-namespaces", "run --namespace=one --allow-egress=10.0.0.0/8"] {
        let printed = files.call(words)?;
        assert!(printed.stderr.contains("there is no cluster to talk to"), "{printed}");
    }
    Ok(())
}

#[test]
fn help_says_what_each_command_is_for() -> Result<()> {
    let files = Directory::with(&[])?;
    for command in
        ["run", "check", "render", "import", "login", "crd", "status", "recheck", "rotate", "explain"]
    {
        assert_snapshot!(format!("help_of_{command}"), files.call(&format!("{command} --help"))?);
    }
    Ok(())
}
