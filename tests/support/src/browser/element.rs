//! An element of a page.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::driver::DriverSession;

/// The name under which the protocol puts the identity of an element.
const KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

/// An element of the page that the browser shows.
#[derive(Debug)]
pub struct Element<'a> {
    session: &'a DriverSession,
    path: String,
}

impl<'a> Element<'a> {
    /// The element that the driver names in an answer.
    pub(super) fn of(session: &'a DriverSession, answer: &Value) -> Result<Self> {
        let id = answer.get(KEY).and_then(Value::as_str).context("the driver names no element")?;
        Ok(Self { session, path: format!("/element/{id}") })
    }

    /// Clicks it, as a person does: one that cannot be seen or that something covers is an error.
    pub fn click(&self) -> Result<()> {
        self.session.post(&format!("{}/click", self.path), &json!({})).map(drop)
    }

    /// Types this into it.
    pub fn enter(&self, text: &str) -> Result<()> {
        self.session.post(&format!("{}/value", self.path), &json!({ "text": text })).map(drop)
    }

    /// The text of it that a person sees.
    pub fn text(&self) -> Result<String> {
        let text = self.session.get(&format!("{}/text", self.path))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// An attribute, if it has that.
    pub fn attribute(&self, name: &str) -> Result<Option<String>> {
        let value = self.session.get(&format!("{}/attribute/{name}", self.path))?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// What assistive programs call it.
    pub fn label(&self) -> Result<String> {
        let label = self.session.get(&format!("{}/computedlabel", self.path))?;
        Ok(label.as_str().unwrap_or_default().to_owned())
    }
}
