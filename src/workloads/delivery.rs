//! The values that a target must have, and the names under which its containers read them.

use crate::{
    sensitive::Sensitive,
    values::{CA_FILE, Env, Values},
};

/// The values that a target must have, which it gets as references to one revision.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The revision's number.
    pub number: u64,
    /// Every setting that the kind of the owner can have.
    pub environment: &'static [Env],
    /// The values that the revision holds.
    pub values: &'a Values,
}

/// The set of environment variable names that the containers of a target read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The names of the `wandb/local` image.
    Local,
    /// The names of the split services. A setting without a name of its own there keeps the name of `wandb/local`.
    Split,
    /// The names of both, because the target does not show which image it runs, or runs both with one environment.
    #[default]
    Both,
}

impl Delivery<'_> {
    /// The settings that have a value, in the order in which the kind declares them.
    pub fn settings(&self) -> impl Iterator<Item = Env> + '_ {
        self.environment.iter().copied().filter(|env| env.names().any(|name| self.values.get(name).is_some()))
    }

    /// The certificates that the target must get as a file.
    pub fn authorities(&self) -> Option<&Sensitive> {
        self.values.get(CA_FILE)
    }
}

impl Dialect {
    /// The environment variables that carry this setting in this dialect.
    pub fn names(self, env: Env) -> Vec<&'static str> {
        match self {
            Self::Local => env.local.into_iter().collect(),
            Self::Split if env.split.is_empty() => env.local.into_iter().collect(),
            Self::Split => env.split.to_vec(),
            Self::Both => env.names().collect(),
        }
    }

    /// Whether W&B documents the setting for every server of this dialect.
    pub fn documents(self, env: Env) -> bool {
        match self {
            Self::Local => env.local.is_some(),
            Self::Split => !env.split.is_empty(),
            Self::Both => Self::Local.documents(env) && Self::Split.documents(env),
        }
    }

    /// The dialect of a server that runs this image, judged by the last part of the image name, which mirrors keep.
    pub fn of_image(image: &str) -> Self {
        let repository = image.split('@').next().unwrap_or_default();
        let last = repository.rsplit('/').next().unwrap_or_default();
        match last.split(':').next() {
            Some("local") => Self::Local,
            Some("megabinary") => Self::Split,
            _ => Self::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_which_names_its_server_reads() {
        for (image, dialect) in [
            ("wandb/local", Dialect::Local),
            ("wandb/local:0.76.1", Dialect::Local),
            ("registry.example.com:5000/mirror/wandb/local@sha256:0123", Dialect::Local),
            ("us-docker.pkg.dev/x/wandb/megabinary:0.80", Dialect::Split),
            ("localhost:5000/wandb", Dialect::Both),
            ("", Dialect::Both),
        ] {
            assert_eq!(Dialect::of_image(image), dialect, "{image}");
        }
    }

    #[test]
    fn what_both_dialects_have_is_documented_for_any_server() {
        let env = |local, split| Env { local, split, field: None };
        for (env, local, split, both) in [
            (env(Some("A"), &["B"]), true, true, true),
            (env(Some("A"), &[]), true, false, false),
            (env(None, &["B"]), false, true, false),
        ] {
            let documented = [Dialect::Local, Dialect::Split, Dialect::Both].map(|each| each.documents(env));
            assert_eq!(documented, [local, split, both]);
        }
        // A name that both dialects share must be listed only once.
        assert_eq!(env(Some("A"), &["B", "A"]).names().collect::<Vec<_>>(), ["A", "B"]);
    }
}
