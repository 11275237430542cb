//! `login`: a person's login, tried against real servers.
//!
//! `directory` and `terminal` are about passwords, `issuer` about tokens, and `provider` about logins in a browser: what
//! happens there is the same for a person with a real browser (`chromium`) and for one who only reads pages (`reader`).
#![expect(clippy::indexing_slicing, reason = "a report that lacks what it should have fails its test")]

mod attempt;
mod chromium;
mod directory;
mod issuer;
mod person;
mod provider;
mod reader;
mod terminal;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What a check found, which ended like this.
fn assert_found(report: &Value, name: &str, result: &str, reason: &str) -> Result<String> {
    let found = check(report, name)?;
    ensure!(found["result"] == result && found["reason"] == reason, "{found}");
    Ok(found["message"].as_str().unwrap_or_default().to_owned())
}

/// What was found by this check.
fn check<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let checks = report["checks"].as_array().context("there are checks")?;
    checks.iter().find(|check| check["name"] == name).with_context(|| format!("no {name} in {report}"))
}
