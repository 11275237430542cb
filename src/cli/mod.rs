//! The command line: `run`, `crd`, `check`, `render` and `import`.
//!
//! Arguments are parsed twice: by clap into words, and by each command into what it works with.

mod check;
mod cluster;
mod crd;
mod dyn_resource;
mod from_environment;
mod import;
mod manifests;
mod objects;
mod proxies;
mod references;
mod render;
mod run;
mod schema_errors;
mod sources;
mod tally;
mod terminal;
mod tree;
mod wiring;
mod yaml;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use check::CheckArguments;
pub use crd::CrdArguments;
pub use from_environment::EnvironmentArgs;
pub use import::ImportArguments;
pub use render::RenderArguments;
pub use run::RunArguments;
pub use sources::SourceArgs;

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
    }
}
