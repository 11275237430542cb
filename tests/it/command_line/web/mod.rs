//! `status --web` in a real browser: what a person sees, and what nobody else gets.

mod access;
mod keyboard;
mod live;
mod phases;
mod pictures;

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{Browser, ChildProcess, ControlPlane, User};

use crate::world::{PATIENCE, program};

/// A running `status --web`, ended on drop.
struct ServedPage {
    address: String,
    command: ChildProcess,
    _home: TempDir,
}

impl ServedPage {
    /// Serves the page of a namespace to whoever has every right.
    async fn of(namespace: &str) -> Result<Self> {
        Self::start(ControlPlane::shared().await?.kubeconfig(User::Admin), &["-n", namespace])
    }

    /// Serves the page with these further arguments.
    fn start(kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(program());
        command.args(["status", "--web"]).args(arguments).env("KUBECONFIG", kubeconfig);
        let command = ChildProcess::spawn("status --web", &command, &home.path().join("log"))?;
        command.log().wait_for("Ctrl-C ends it.", PATIENCE)?;
        let log = command.log().read()?;
        let address = log.lines().find_map(|line| line.strip_prefix("The page is at "));
        let address = address.with_context(|| format!("no address is printed: {log}"))?.to_owned();
        Ok(Self { address, command, _home: home })
    }

    /// A browser that shows it.
    fn browser(&self) -> Result<Browser> {
        let browser = Browser::start()?;
        browser.resize(1280, 900)?;
        browser.open(&self.address)?;
        Ok(browser)
    }
}

/// The words of every place of the picture, in the order of the page: what it is, its name and its state.
fn places(browser: &Browser) -> Result<Vec<[String; 3]>> {
    let places = browser.evaluate(
        "return [...document.querySelectorAll('.place')].map((place) => [...place.children].map((part) => part.textContent))",
    )?;
    Ok(serde_json::from_value(places)?)
}

/// Waits until a place of this kind and name has this state, with its sign.
fn wait_for_state(browser: &Browser, caption: &str, name: &str, state: &str) -> Result<()> {
    let wanted = [caption, name, state];
    let script = format!(
        "return [...document.querySelectorAll('.place')].some((place) => JSON.stringify([...place.children].map((part) => part.textContent)) === {})",
        Value::from(serde_json::to_string(&wanted)?)
    );
    browser.wait_until(&wanted.join(" "), &script, PATIENCE)
}

/// Waits until the page says this somewhere.
fn wait_for_text(browser: &Browser, text: &str) -> Result<()> {
    let script = format!("return document.body.innerText.includes({})", Value::from(text));
    browser.wait_until(text, &script, PATIENCE)
}
