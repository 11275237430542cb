//! A person at the login page of the provider.

use anyhow::Result;

/// What a person does there.
#[derive(Clone, Copy, Debug)]
pub struct Deeds<'a> {
    /// The name.
    pub name: &'a str,
    /// The passwords, one after the other, as long as the page asks.
    pub passwords: &'a [&'a str],
    /// What the person says to the page that asks for the consent.
    pub consent: Option<Consent>,
}

/// The answer to the page that asks for the consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// No.
    Refused,
}

impl Consent {
    /// The value of the page's button.
    pub fn button(self) -> &'static str {
        match self {
            Self::Given => "allow",
            Self::Refused => "refuse",
        }
    }
}

/// Where a person ends.
#[derive(Clone, Debug)]
pub struct End {
    /// The address.
    pub address: String,
    /// What the page there says; empty where there is none.
    pub text: String,
}

/// Somebody who opens addresses and fills in forms.
pub trait Person {
    /// Opens the address and logs in.
    fn log_in(&mut self, address: &str, deeds: Deeds<'_>) -> Result<End>;
}
