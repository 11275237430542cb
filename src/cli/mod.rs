//! The command line: `run` and `crd`, `check`, `render` and `import` for files, `login` for a person's login, and `status`,
//! `recheck`, `rotate` and `explain` for a cluster.
//!
//! Arguments are parsed twice: by clap into words, and by each command into what it works with.

mod check;
mod cluster;
mod crd;
mod dyn_resource;
mod egress;
mod explain;
mod from_environment;
mod import;
mod kinds;
mod login;
mod manifests;
mod objects;
mod proxies;
mod references;
mod render;
mod requests;
mod run;
mod schema_errors;
mod sources;
mod status;
mod tally;
mod terminal;
mod tree;
mod wiring;
mod yaml;

use std::{ffi::OsStr, path::Path, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use check::CheckArguments;
pub use crd::CrdArguments;
pub use egress::EgressArgs;
pub use explain::ExplainArguments;
pub use from_environment::EnvironmentArgs;
pub use import::ImportArguments;
pub use login::LoginArguments;
pub use render::RenderArguments;
pub use requests::{COMMAND_MANAGER, RecheckArguments, RotateArguments};
pub use run::RunArguments;
pub use sources::SourceArgs;
pub use status::StatusArguments;

/// Proves, publishes and keeps the authentication settings of Weights & Biases Server on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "wandb-auth-operator", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    Run(RunArguments),
    /// Print the custom resource definitions, for kubectl apply -f -.
    Crd(CrdArguments),
    /// Check the resources in files as the controller would, without writing anything.
    Check(CheckArguments),
    /// Print the Secret and the env entries that the resources in files produce.
    Render(RenderArguments),
    /// Print the resources that say what a running server, a manifest or a chart's values have.
    Import(ImportArguments),
    /// Try a person's login before anybody is asked to: whether it works, and what W&B Server would read.
    Login(LoginArguments),
    /// Show whether all is well: servers, resources, what is wrong, and which pods run with which values.
    Status(StatusArguments),
    /// Ask the operator to check a resource now.
    Recheck(RecheckArguments),
    /// Ask the operator for a new API key now.
    Rotate(RotateArguments),
    /// Say what a reason or a check means, and what to do about it.
    Explain(ExplainArguments),
}

/// The name by which kubectl finds this program as the plugin `kubectl wandb-auth`.
const PLUGIN: &str = "kubectl-wandb_auth";

impl Arguments {
    /// Reads the arguments of this process. Called by the name of a plugin, the program calls itself as a person
    /// called it.
    pub fn of_this_process() -> Self {
        let name = std::env::args_os().next();
        let mut command = Self::command();
        if name.as_deref().is_some_and(is_plugin) {
            command = command.bin_name("kubectl wandb-auth");
        }
        let matches = command.get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Whether this is the name of the plugin, in whatever folder.
fn is_plugin(program: &OsStr) -> bool {
    Path::new(program).file_stem().is_some_and(|name| name == PLUGIN)
}

/// How a command that looked at something ended, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandVerdict {
    /// All is well.
    Passed,
    /// A check warns.
    PassedWithWarnings,
    /// A check failed.
    Failed,
    /// Something kept the checks from running: the files, the spec or a reference.
    NotUsable,
}

impl CommandVerdict {
    /// The worse of the two.
    fn worse(self, other: Self) -> Self {
        self.max(other)
    }

    /// The verdict as programs read it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::PassedWithWarnings => "PassedWithWarnings",
            Self::Failed => "Failed",
            Self::NotUsable => "NotUsable",
        }
    }
}

impl From<CommandVerdict> for ExitCode {
    fn from(verdict: CommandVerdict) -> Self {
        match verdict {
            CommandVerdict::Passed | CommandVerdict::PassedWithWarnings => Self::SUCCESS,
            CommandVerdict::Failed => Self::from(1),
            CommandVerdict::NotUsable => Self::from(2),
        }
    }
}

/// Runs the command. An error is for standard error and exit code 2.
pub async fn execute(arguments: Arguments) -> anyhow::Result<CommandVerdict> {
    match arguments.command {
        Command::Run(arguments) => run::run(arguments).await.map(|()| CommandVerdict::Passed),
        Command::Crd(arguments) => crd::crd(&arguments),
        Command::Check(arguments) => check::check(&arguments).await,
        Command::Render(arguments) => render::render(&arguments).await,
        Command::Import(arguments) => import::import(&arguments).await,
        Command::Login(arguments) => login::login(&arguments).await,
        Command::Status(arguments) => status::status(&arguments).await,
        Command::Recheck(arguments) => requests::recheck(&arguments).await,
        Command::Rotate(arguments) => requests::rotate(&arguments).await,
        Command::Explain(arguments) => explain::explain(&arguments),
    }
}
