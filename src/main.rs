//! The `wandb-auth-operator` command; see [`wandb_auth_operator::cli`].

use std::process::ExitCode;

use clap::Parser;
use wandb_auth_operator::cli::{Arguments, Verdict, execute};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One provider for every TLS connection; a second installation can only be this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match execute(arguments).await {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Verdict::NotUsable.into()
        }
    }
}
