//! The `wandb-auth-operator` command; see [`wandb_auth_operator::cli`].

use std::{process::ExitCode, time::Duration};

use tokio::runtime::Builder;
use wandb_auth_operator::cli::{Arguments, CommandVerdict, execute};

/// The resolver cannot be interrupted; a name that hangs in it must not keep the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments = Arguments::of_this_process();
    // One provider for every TLS connection; a second installation can only be this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // The work is waiting; one thread does it, and keeps the allocator from holding memory for several.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the operator cannot start: {error}")),
    };
    let outcome = runtime.block_on(execute(arguments));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    match outcome {
        Ok(verdict) => verdict.into(),
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    CommandVerdict::NotUsable.into()
}
