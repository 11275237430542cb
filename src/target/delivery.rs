//! What a target is to have.

use crate::{
    engine::{CA_FILE, Env, Values},
    sensitive::Sensitive,
};

/// What a target is to have: the values of one revision, by reference.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The revision's number.
    pub number: u64,
    /// Every setting that the owner's kind may have.
    pub environment: &'static [Env],
    /// What the revision holds.
    pub values: &'a Values,
}

/// Which names a target's containers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of the `wandb/local` image.
    Local,
    /// Those of the split services, and the other one's where a setting has no name among them.
    Split,
    /// Both: the chart of the W&B operator v1 runs both server shapes with one environment.
    Both,
}

impl Delivery<'_> {
    /// The settings that have a value, in the order in which people read them.
    pub fn settings(&self) -> impl Iterator<Item = Env> + '_ {
        self.environment.iter().copied().filter(|env| env.names().any(|name| self.values.get(name).is_some()))
    }

    /// The certificates that are to be a file.
    pub fn authorities(&self) -> Option<&Sensitive> {
        self.values.get(CA_FILE)
    }
}

impl Dialect {
    /// The names of a setting.
    pub fn names(self, env: Env) -> Vec<&'static str> {
        match self {
            Self::Local => env.local.into_iter().collect(),
            Self::Split if env.split.is_empty() => env.local.into_iter().collect(),
            Self::Split => env.split.to_vec(),
            Self::Both => env.names().collect(),
        }
    }
}
