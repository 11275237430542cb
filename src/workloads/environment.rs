//! The settings of a server that can be read off its target. They are used for checks and messages.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dialect, OtherSources};

/// The setting by which W&B Server lets its administrator in with a temporary password when nobody can log in any more.
pub const RESTORE_MODE: &str = "LOCAL_RESTORE";

/// The settings of a server, as far as its target shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment variables that are written out in the target, by name.
    pub literals: BTreeMap<String, String>,
    /// The names of the environment variables whose values come from elsewhere, such as a Secret.
    pub references: BTreeSet<String>,
    /// Whether there may be further environment variables, which do not show.
    pub other_sources: OtherSources,
    /// Where people open W&B in their browsers, if the target says so: a URL or a host name.
    pub host: Option<String>,
    /// Which names the server reads, as far as the target shows that.
    pub dialect: Dialect,
    /// What a person should consider about the target before a rollout, as sentences; `None` if that was not
    /// examined.
    pub remarks: Option<Vec<String>>,
}

impl Environment {
    /// Merges the environments of several containers. A switch that is on in any of them counts as on.
    pub(super) fn merged(environments: impl IntoIterator<Item = Self>) -> Self {
        environments.into_iter().reduce(Self::with).unwrap_or_default()
    }

    fn with(mut self, other: Self) -> Self {
        for (name, value) in other.literals {
            let present = self.literals.entry(name).or_insert_with(|| value.clone());
            if value.eq_ignore_ascii_case("true") {
                *present = value;
            }
        }
        self.references.extend(other.references);
        if other.other_sources == OtherSources::Sources {
            self.other_sources = OtherSources::Sources;
        }
        self.host = self.host.or(other.host);
        if self.dialect != other.dialect {
            self.dialect = Dialect::Both;
        }
        self.remarks = match (self.remarks, other.remarks) {
            (Some(mut remarks), Some(more)) => {
                for remark in more {
                    if !remarks.contains(&remark) {
                        remarks.push(remark);
                    }
                }
                Some(remarks)
            }
            (remarks, more) => remarks.or(more),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(switch: &str, host: Option<&str>, dialect: Dialect, remark: &str) -> Environment {
        Environment {
            literals: [("SWITCH".to_owned(), switch.to_owned())].into(),
            references: [host.unwrap_or("NONE").to_owned()].into(),
            other_sources: OtherSources::ListOnly,
            host: host.map(str::to_owned),
            dialect,
            remarks: Some(vec![remark.to_owned()]),
        }
    }

    #[test]
    fn a_switch_that_is_on_anywhere_is_on() {
        let off = environment("false", None, Dialect::Local, "a");
        let on = environment("True", Some("wandb.example.com"), Dialect::Split, "b");
        for merged in [Environment::merged([off.clone(), on.clone()]), Environment::merged([on.clone(), off])]
        {
            assert_eq!(merged.literals["SWITCH"], "True");
            assert_eq!(merged.host.as_deref(), Some("wandb.example.com"));
            assert_eq!(merged.references.len(), 2);
            assert_eq!(merged.dialect, Dialect::Both);
            assert_eq!(merged.remarks.map(|remarks| remarks.len()), Some(2));
        }
        assert_eq!(Environment::merged([on.clone(), on.clone()]), on);
        assert_eq!(Environment::merged([]), Environment::default());
    }
}
