//! The command line.

use anyhow::Result;
use clap::{Arg, Command, CommandFactory};
use wandb_auth_operator::cli::Arguments;

use super::{NOTE, Table, check, code};

const PAGE: &str = "docs/reference/command-line.md";

fn joined(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn call(argument: &Arg) -> String {
    let value: String =
        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value = argument.get_action().takes_values();
    match (argument.get_short(), argument.get_long()) {
        (short, Some(long)) => {
            let short = short.map(|short| format!("-{short}, ")).unwrap_or_default();
            code(&format!("{short}--{long}{}", if takes_value { format!(" {value}") } else { String::new() }))
        }
        _ => code(&value),
    }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let help = if help.ends_with('.') { help } else { help + "." };
    let values = joined(argument.get_possible_values().iter().map(|value| code(value.get_name())));
    if values.is_empty() || !argument.get_action().takes_values() {
        help
    } else {
        format!("{help} One of {values}.")
    }
}

fn section(command: &Command) -> String {
    let has_variables = command.get_arguments().any(|argument| argument.get_env().is_some());
    let mut head = vec!["argument", "default", "meaning"];
    if has_variables {
        head.insert(1, "variable");
    }
    let mut table = Table::new(&head);
    for argument in
        command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
    {
        let default =
            joined(argument.get_default_values().iter().map(|value| code(&value.to_string_lossy())));
        let default = if argument.get_action().takes_values() { default } else { String::new() };
        let mut cells = vec![call(argument), default, meaning(argument)];
        if has_variables {
            let variable = argument.get_env().map(|name| code(&name.to_string_lossy()));
            cells.insert(1, variable.unwrap_or_default());
        }
        table.row(cells);
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    format!("## {}\n\n{}.\n\n{}", command.get_name(), about.trim_end_matches('.'), table.end())
}

#[test]
fn the_command_line_is_up_to_date() -> Result<()> {
    let program = Arguments::command();
    let mut text = format!(
        "# Command line\n\n{NOTE}`wandb-auth-operator COMMAND --help` says the same. `RUST_LOG` sets the log filter of `run`. The \
         cluster comes from `KUBECONFIG` or from the pod.\n\n\
         | exit code of `check`, `login`, `render` and `import` | means |\n|---|---|\n\
         | 0 | all is well, apart from warnings |\n| 1 | a check failed, or warns with `--fail-on-warning`; for `import` also that a value would change, for `login` that the person cannot log in |\n\
         | 2 | something kept the command from its work: a file, the spec or a reference |\n\n\
         | exit code of `status`, and of `recheck` and `rotate` with `--wait` | means |\n|---|---|\n\
         | 0 | all is Ready, apart from warnings |\n| 1 | something is not Ready |\n\
         | 2 | nothing can be said: no cluster, no such resource, no right to list them, or nobody has done it in time |\n\n"
    );
    let commands: Vec<_> = program.get_subcommands().filter(|command| command.get_name() != "help").collect();
    anyhow::ensure!(commands.len() >= 5, "the program has {} commands only", commands.len());
    for command in commands {
        text += &section(command);
    }
    check(PAGE, &(text.trim_end().to_owned() + "\n"))
}
