//! What a target is to have.

use crate::{
    sensitive::Sensitive,
    values::{CA_FILE, Env, Values},
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Those of the `wandb/local` image.
    Local,
    /// Those of the split services, and the other one's where a setting has no name among them.
    Split,
    /// Either: the target does not tell which image it runs, or runs both with one environment.
    #[default]
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

    /// Whether W&B documents a name of the setting for every server of this dialect.
    pub fn documents(self, env: Env) -> bool {
        match self {
            Self::Local => env.local.is_some(),
            Self::Split => !env.split.is_empty(),
            Self::Both => Self::Local.documents(env) && Self::Split.documents(env),
        }
    }

    /// The dialect of a server that runs this image, as far as its name tells; mirrors keep the last part.
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
        // One name in both is set once.
        assert_eq!(env(Some("A"), &["B", "A"]).names().collect::<Vec<_>>(), ["A", "B"]);
    }
}
