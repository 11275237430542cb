//! A person with a real browser, who types into the provider's page.

use anyhow::{Context, Result};
use test_support::Browser;

use super::{
    person::{Deeds, End, Person},
    provider::scenarios,
};
use crate::world::{HOST, PATIENCE};

/// Chromium, without a window.
struct Chromium(Browser);

impl Person for Chromium {
    fn log_in(&mut self, address: &str, deeds: Deeds<'_>) -> Result<End> {
        let Self(browser) = self;
        browser.open(address)?;
        for (index, password) in deeds.passwords.iter().enumerate() {
            let title = if index == 0 { "Log in" } else { "Wrong name or password" };
            browser.wait_until(title, &format!("return document.title === '{title}'"), PATIENCE)?;
            browser.wait_for("input[name=login]", PATIENCE)?.enter(deeds.name)?;
            browser.find("input[name=password]")?.enter(password)?;
            browser.find("button[type=submit]")?.click()?;
        }
        let Some(consent) = deeds.consent else { return self.end() };
        browser.wait_for(&format!("button[value={}]", consent.button()), PATIENCE)?.click()?;
        // W&B Server is not there, so the browser shows the address and a page of its own.
        let arrived = format!(
            "return location.href.startsWith('{HOST}') || document.URL.startsWith('chrome-error:') || (document.body && /arrived|another login/.test(document.body.innerText))"
        );
        browser.wait_until("end of the login", &arrived, PATIENCE)?;
        self.end()
    }
}

impl Chromium {
    fn end(&self) -> Result<End> {
        let Self(browser) = self;
        Ok(End { address: browser.url()?, text: browser.text().unwrap_or_default() })
    }
}

/// The same scenarios for a person with a real browser.
#[test]
fn a_browser_is_typed_into() -> Result<()> {
    for (name, scenario) in scenarios() {
        // Each has cookies of its own.
        let mut person = Chromium(Browser::start()?);
        scenario(&mut person).with_context(|| name)?;
    }
    Ok(())
}
