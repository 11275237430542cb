//! Stands for the `wandb/local` image: reads its variables, and logs people in through a real directory.
//!
//! `ldap3` speaks with the directory in the plainest way, which makes it independent of how the operator does.

mod directory;
mod settings;

use std::{env, process::ExitCode, sync::Arc, thread};

use anyhow::{Context, Result};
use serde::Deserialize;
use test_support::{
    hostile::{HttpServer, Request, Response},
    stand_in_server::SERVING,
};

use crate::{
    directory::{Directory, Outcome},
    settings::Settings,
};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fatal: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<()> {
    let usage = "usage: wandb-stand-in-server ROOT [ADDRESS]";
    let mut arguments = env::args().skip(1);
    let root = arguments.next().context(usage)?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address = address.parse().context(usage)?;
    let settings = Settings::read(|name| env::var(name).ok())?;
    let directory = settings.map(|settings| Directory::new(settings, root.as_ref())).transpose()?;
    if let Some(directory) = &directory {
        block_on(directory.connect())?.context("cannot bind to the directory")?;
    }
    let directory = Arc::new(directory);
    let server =
        HttpServer::start_on(address, None, move |request| answer(directory.as_ref().as_ref(), request))?;
    println!("{SERVING}{}", server.address());
    loop {
        thread::park();
    }
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

fn answer(directory: Option<&Directory>, request: &Request) -> Response {
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/login") {
        return Response::status(404, "not found");
    }
    let Ok(login) = serde_json::from_str::<Login>(&request.body) else {
        return Response::status(400, "no login");
    };
    let Some(directory) = directory.filter(|directory| directory.is_for_login()) else {
        return Response::status(401, "people do not log in through a directory");
    };
    match block_on(directory.log_in(&login.email, &login.password)).and_then(|outcome| outcome) {
        Ok(Outcome::LoggedIn) => Response::status(200, "welcome"),
        Ok(Outcome::Unknown) => Response::status(401, "the email or the password is wrong"),
        Ok(Outcome::NotAllowed) => Response::status(403, "not in an allowed group"),
        Err(error) => {
            eprintln!("a login failed: {error:#}");
            Response::status(500, "the directory does not answer")
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
