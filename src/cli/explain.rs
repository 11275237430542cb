//! `explain`: what a reason, a check or an event means, and what to do about it.

use anyhow::bail;
use clap::Args;

use super::{
    CommandVerdict,
    status::terminal_layout,
    terminal::{TITLE, print, styled},
    tree::{Branch, Mark, draw_tree},
};
use crate::{
    api::names::{ReferenceEntry, ReferenceTopic},
    problem::quote,
    similar::most_similar,
};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The one word of a condition, a check or an event, or the name of a check.
    #[arg(value_name = "REASON|CHECK")]
    name: String,
}

/// Prints the entries of the name.
pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<CommandVerdict> {
    let entries = ReferenceEntry::named(&arguments.name);
    if entries.is_empty() {
        bail!(complaint(&arguments.name));
    }
    let layout = terminal_layout();
    let texts: Vec<_> = entries.iter().map(|entry| draw_tree(&branch(entry), layout)).collect();
    print(&texts.join("\n"))?;
    Ok(CommandVerdict::Passed)
}

fn complaint(name: &str) -> String {
    let all = ReferenceEntry::all();
    let known = most_similar(all.iter().map(|entry| entry.name.as_str()), name);
    let hint = known.map_or_else(
        || "expected one word of a condition or the name of a check, such as InvalidCredentials or TlsVerifies".to_owned(),
        |known| format!("did you mean {known}?"),
    );
    format!("\"{}\" is no reason, check or event of this version; {hint}", quote(name))
}

fn branch(entry: &ReferenceEntry) -> Branch {
    let (topic, beginning) = match entry.topic {
        ReferenceTopic::Reason => ("reason of a condition or a check", "What to do"),
        ReferenceTopic::Check => ("check", "Where to look when it fails"),
        ReferenceTopic::Event => ("event", "What to do"),
    };
    let ends = entry.ends.as_ref().map(|ends| format!("It ends {ends}."));
    Branch::new(Mark::None, format!("{}  ({topic})", styled(TITLE, &entry.name)))
        .saying(&entry.meaning)
        .saying(ends.unwrap_or_default())
        .saying(format!("{beginning}: {}", entry.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        terminal::Glyphs,
        tree::{Detail, Layout},
    };

    #[test]
    fn an_entry_is_read_at_a_glance() {
        let layout = Layout { width: Some(80), detail: Detail::Complaints, glyphs: Glyphs::UNICODE };
        let shown: Vec<_> = ["HoldingLastVerified", "tlsverifies", "Ready"]
            .into_iter()
            .flat_map(ReferenceEntry::named)
            .map(|entry| anstream::adapter::strip_str(&draw_tree(&branch(&entry), layout)).to_string())
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_typo_is_answered_with_the_name() {
        assert!(complaint("InvalidCredential").contains("did you mean InvalidCredentials?"));
        assert!(complaint("7").contains("such as InvalidCredentials"));
    }
}
